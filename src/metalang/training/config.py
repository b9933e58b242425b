"""The flags of a run: ours, beside all of `transformers.TrainingArguments`."""

import re
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import deepspeed
import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from metalang.errors import ConfigError
from metalang.training.deepspeed_json import check_deepspeed_json


@dataclass
class ModelArguments:
    """Which model, with which ids."""

    _argument_group_name = "the model"

    model_name_or_path: str = field(
        metadata={"help": "hub name, model folder, or an architecture: configs/models/pythia-14m.json"}
    )
    tokenizer_name: str | None = field(
        default=None,
        metadata={
            "help": "tokenizer folder, tokenizer.json, SentencePiece .model or hub name; default: the model's own"
        },
    )
    num_meta_lang_tokens: int = field(
        default=0, metadata={"help": "tokens <meta_lang_0>, <meta_lang_1>, ... behind the text vocabulary"}
    )
    random_initialize: bool = field(
        default=False, metadata={"help": "fresh weights, drawn from --seed, instead of the model's own"}
    )
    architecture: Literal["causal"] = field(default="causal", metadata={"help": "what is predicted from what"})

    def __post_init__(self) -> None:
        if self.num_meta_lang_tokens < 0:
            raise ConfigError(f"--num_meta_lang_tokens {self.num_meta_lang_tokens} is no count; give 0 or more")
        is_architecture = self.model_name_or_path.endswith(".json")
        if is_architecture and not self.random_initialize:
            raise ConfigError(
                f"--model_name_or_path {self.model_name_or_path} is an architecture without weights; "
                "set --random_initialize True, or name a model that has weights"
            )
        if is_architecture and self.tokenizer_name is None:
            raise ConfigError(
                f"--model_name_or_path {self.model_name_or_path} is an architecture without a tokenizer; "
                "name one by --tokenizer_name"
            )


@dataclass
class DataArguments:
    """Which tokens, in which shares."""

    _argument_group_name = "the data"

    data_paths: list[str] = field(
        metadata={
            "help": "what is trained on: corpora or raw text (.txt, .jsonl, .parquet, hub dataset); NAME=PATH allowed"
        }
    )
    data_ratios: list[str] = field(metadata={"help": "share of the tokens of each of --data_paths; they sum to 1"})
    nl_eval_data_path: list[str] = field(
        default_factory=list, metadata={"help": "natural language to evaluate on; NAME=PATH allowed"}
    )
    max_length: int = field(default=1024, metadata={"help": "predicted ids in a window"})
    max_epochs: float = field(
        default=4.0,
        metadata={
            "help": "a source may be read at most that often; up to 4 epochs are nearly as good as new data "
            "(Muennighoff et al. 2023, arXiv 2305.16264, abstract)"
        },
    )
    text_field: str = field(default="text", metadata={"help": "field of raw .jsonl and .parquet that holds the text"})

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"--max_length {self.max_length} holds no token; give 1 or more, such as 1024")
        if not self.max_epochs > 0:
            raise ConfigError(f"--max_epochs {self.max_epochs} reads nothing; give more than 0, such as 1")


@dataclass
class RunArguments(TrainingArguments):
    """transformers' flags with three defaults of ours (the order is the mixture's, a NaN is shown), and two flags."""

    _argument_group_name = "the run: two flags of ours and all of transformers.TrainingArguments"

    train_sampling_strategy: str = field(
        default="sequential", metadata={"help": "sequential: the mixture decides the order, nothing shuffles it again"}
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "leave NaN and Inf out of logged losses (transformers' default: True)"}
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "of no use here: windows have no other columns"}
    )
    gather_weights: bool = field(
        default=True, metadata={"help": "end with a complete Hugging Face model folder in --output_dir"}
    )
    resume_training: bool = field(
        default=False,
        metadata={"help": "continue from the newest complete checkpoint in --output_dir, if there is one"},
    )

    def __post_init__(self) -> None:
        if not self.output_dir:
            raise ConfigError("--output_dir is needed: the folder of the run, such as runs/baseline")
        if self.max_steps < 1:
            raise ConfigError("--max_steps is needed: the length of the run in optimizer steps, such as 10000")
        if self.train_sampling_strategy != "sequential":
            raise ConfigError(
                f"--train_sampling_strategy {self.train_sampling_strategy} would shuffle what the mixture has ordered; "
                "leave it at sequential"
            )
        if not self.gather_weights and self.save_strategy in ("no", SaveStrategy.NO):
            raise ConfigError("--gather_weights False with --save_strategy no would leave nothing; change one of them")
        if self.label_smoothing_factor:
            raise ConfigError("--label_smoothing_factor has no effect on our loss; leave it at 0")
        if self.resume_training and not self.deepspeed:
            raise ConfigError(
                "--resume_training True needs --deepspeed: without it transformers 5.23 starts with a fresh output "
                "head; add --deepspeed configs/ds/zero2.json"
            )
        if isinstance(self.deepspeed, str):
            check_deepspeed_json(Path(self.deepspeed))
        super().__post_init__()
        if self.deepspeed and self.use_cpu and torch.distributed.is_initialized():
            # transformers 5.23 tells DeepSpeed of the ranks on GPUs only; ZeRO-3 asks for them when a model is made.
            deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)

    @property
    def order_seed(self) -> int:
        """Names the order of the windows: --data_seed, or --seed where that is not given."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def windows_per_step(self) -> int:
        """The global batch, in windows."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size


@dataclass(frozen=True)
class Settings:
    """All that a run was asked for."""

    model: ModelArguments
    data: DataArguments
    run: RunArguments


def parse_arguments(argv: list[str], description: str = "") -> Settings:
    """The settings that command-line flags ask for. Raises ConfigError, or SystemExit(2) for an unknown flag."""
    parser = HfArgumentParser(
        (ModelArguments, DataArguments, RunArguments),
        usage="deepspeed [--include localhost:0-7] train/pretrain.py FLAGS",
        description=description,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    try:
        return Settings(*parser.parse_args_into_dataclasses(argv, look_for_args_file=False))
    except (ValueError, ImportError, RuntimeError) as error:
        raise ConfigError(_our_words(str(error))) from None


class _HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Every flag with its default, below a description that keeps its lines."""


def _our_words(message: str) -> str:
    """transformers' complaint about a flag, with the fix where it is known."""
    if re.search(r"bf16", message) and re.search(r"gpu|GPU|cpu", message):
        return f"{message.strip()} On a machine without a GPU, add --use_cpu True"
    return message.strip()
