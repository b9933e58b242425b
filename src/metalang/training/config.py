"""The flags of a run: ours, beside all of `transformers.TrainingArguments`."""

import re
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import deepspeed
import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from metalang.building.text_mixture import holds_out
from metalang.building.token_mixture import is_token_mixture, read_token_mixture
from metalang.errors import ConfigError
from metalang.training.deepspeed_json import check_deepspeed_json

_MAX_SEED = 2**32 - 1  # numpy's


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
        default_factory=list,
        metadata={
            "help": "what is trained on: corpora, raw text (.txt, .jsonl, .csv, .parquet, hub dataset), mixtures of "
            "texts (.yaml), folders of generate_tiny_dataset.py; NAME=PATH allowed"
        },
    )
    data_ratios: list[str] = field(
        default_factory=list, metadata={"help": "share of the tokens of each of --data_paths; they sum to 1"}
    )
    data_config: str | None = field(
        default=None,
        metadata={
            "help": "a mixture (.yaml), made on the way where it is not; its validation part is evaluated on. With "
            "unit: tokens corpora, texts and domains, in stages (docs/order.md); else texts (docs/data.md)"
        },
    )
    prepared_data: str | None = field(
        default=None, metadata={"help": "a prepared .jsonl: short for --data_paths FILE --data_ratios 1"}
    )
    nl_eval_data_path: list[str] = field(
        default_factory=list,
        metadata={
            "help": "natural language to evaluate on (.yaml: the validation part; in --phase sft: conversations); "
            "NAME=PATH allowed"
        },
    )
    phase: Literal["pretrain", "sft"] = field(
        default="pretrain",
        metadata={
            "help": "pretrain: windows of a mixture; sft: one .jsonl of conversations as --data_paths, loss on what "
            "the assistant says"
        },
    )
    max_length: int = field(default=1024, metadata={"help": "predicted ids in a window"})
    document_boundaries: Literal["ignore", "reset_positions", "mask"] = field(
        default="ignore",
        metadata={
            "help": "ignore: a window is one text; reset_positions: positions begin anew at each document; mask: and "
            "no id sees another document"
        },
    )
    max_epochs: float = field(
        default=4.0,
        metadata={
            "help": "a source may be read at most that often; up to 4 epochs are nearly as good as new data "
            "(Muennighoff et al. 2023, arXiv 2305.16264, abstract)"
        },
    )
    skip_steps: list[str] = field(
        default_factory=list,
        metadata={"help": "steps of the plan that are left out, such as 1200-1250 1300; the other ones follow in turn"},
    )
    skip_documents: str | None = field(
        default=None,
        metadata={
            "help": "file that names documents, SOURCE ROW a line, whose ids are read and not predicted; "
            "inspect_corpus.py --run shows what to write"
        },
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "encode raw text of --data_paths (files, http addresses, hub datasets) while the run reads it, in "
            "its order, without a copy on disk; every rank reads all of it. Left out, it is tokenized first: then its "
            "windows are permuted, and a resume costs nothing"
        },
    )
    verify_reads: bool = field(
        default=False,
        metadata={
            "help": "compare each 16 MiB of a corpus with its hash when they are first read; a run ends at a fault"
        },
    )
    text_field: str = field(default="text", metadata={"help": "field of raw .jsonl and .parquet that holds the text"})
    sample_by: Literal["document", "paragraph", "line"] = field(
        default="document",
        metadata={"help": "what a document of a raw .txt file is: the file, a blank-line separated part, a line"},
    )
    on_bad_line: Literal["error", "skip"] = field(
        default="error", metadata={"help": "what a damaged line of raw text does; skip: count them"}
    )
    tokenizer_backend: Literal["auto", "reference"] = field(
        default="auto",
        metadata={
            "help": "auto: raw text goes through gigatoken where a check finds the same ids; reference: tokenizers"
        },
    )

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"--max_length {self.max_length} holds no token; give 1 or more, such as 1024")
        if not self.max_epochs > 0:
            raise ConfigError(f"--max_epochs {self.max_epochs} reads nothing; give more than 0, such as 1")
        if self.phase != "pretrain" and (self.skip_steps or self.skip_documents):
            raise ConfigError(
                f"--phase {self.phase} reads rows, and --skip_steps and --skip_documents are of windows; leave them out"
            )
        given = [bool(self.data_paths), self.data_config is not None, self.prepared_data is not None]
        if sum(given) != 1:
            raise ConfigError(
                f"{sum(given)} of --data_paths, --data_config and --prepared_data are given; give one of them "
                "(--data_paths may name a mixture's .yaml among others)"
            )
        if short := self.data_config or self.prepared_data:
            self.data_paths, self.data_ratios = [short], ["1"]
        if self.data_config and _holds_out(self.data_config):
            self.nl_eval_data_path = [*self.nl_eval_data_path, self.data_config]


def _holds_out(path: str) -> bool:
    """Whether a mixture has a validation part."""
    if is_token_mixture(path):
        return read_token_mixture(path).validation.ratio > 0
    return holds_out(path)


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
    rebase_data: bool = field(
        default=False,
        metadata={
            "help": "with --resume_training: go on although the plan of the data differs from the one of the "
            "checkpoint; what differs is logged"
        },
    )
    resume_training: bool = field(
        default=False,
        metadata={"help": "continue from the newest complete checkpoint in --output_dir, if there is one"},
    )

    def __post_init__(self) -> None:
        self._check_sizes()
        self._check_data_order()
        self._check_checkpoints()
        if self.label_smoothing_factor:
            raise ConfigError("--label_smoothing_factor has no effect on our loss; leave it at 0")
        if isinstance(self.deepspeed, str):
            check_deepspeed_json(Path(self.deepspeed), gather_weights=self.gather_weights)
        super().__post_init__()
        require_one_gpu(self.n_gpu)
        if self.deepspeed and self.use_cpu and torch.distributed.is_initialized():
            # transformers 5.23 tells DeepSpeed of the ranks on GPUs only; ZeRO-3 asks for them when a model is made.
            deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)

    def _check_sizes(self) -> None:
        if self.max_steps < 1:
            raise ConfigError("--max_steps is needed: the length of the run in optimizer steps, such as 10000")
        for flag, count in (
            ("per_device_train_batch_size", self.per_device_train_batch_size),
            ("per_device_eval_batch_size", self.per_device_eval_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ):
            if count < 1:
                raise ConfigError(f"--{flag} {count} is no count; give 1 or more, such as 8")
        if self.auto_find_batch_size:
            raise ConfigError(
                "--auto_find_batch_size True would change the batch, and with it the data, under way; leave it at "
                "False and lower --per_device_train_batch_size until it fits"
            )

    def _check_data_order(self) -> None:
        for flag, seed in (("seed", self.seed), ("data_seed", self.data_seed)):
            if seed is not None and not 0 <= seed <= _MAX_SEED:
                raise ConfigError(f"--{flag} {seed} is no seed; give 0 to {_MAX_SEED}, such as 42")
        if self.train_sampling_strategy != "sequential":
            raise ConfigError(
                f"--train_sampling_strategy {self.train_sampling_strategy} would shuffle what the mixture has ordered; "
                "leave it at sequential"
            )
        if self.ignore_data_skip:
            raise ConfigError(
                "--ignore_data_skip True would train again on the first windows after a resume; leave it at False"
            )

    def _check_checkpoints(self) -> None:
        if not self.output_dir:
            raise ConfigError("--output_dir is needed: the folder of the run, such as runs/baseline")
        if not self.gather_weights and self.save_strategy in ("no", SaveStrategy.NO):
            raise ConfigError("--gather_weights False with --save_strategy no would leave nothing; change one of them")
        if self.resume_training and not self.deepspeed:
            raise ConfigError(
                "--resume_training True needs --deepspeed: without it transformers 5.23 starts with a fresh output "
                "head; add --deepspeed configs/ds/zero2.json"
            )
        if self.save_total_limit is not None and self.save_total_limit < 2:
            raise ConfigError(
                f"--save_total_limit {self.save_total_limit} would leave no complete checkpoint between two saves; "
                "give 2 or more, or leave it out to keep all"
            )
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            raise ConfigError(
                "--load_best_model_at_end True needs --metric_for_best_model: there is no loss of all evaluations "
                "together; give <eval name>_loss, such as wikitext-2_loss for --nl_eval_data_path wikitext-2"
            )

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
    """The settings that command-line flags ask for. Raises ConfigError, or SystemExit(2) for a flag that is missing."""
    kinds = (ModelArguments, DataArguments, RunArguments)
    parser = HfArgumentParser(
        kinds,
        usage="deepspeed [--include localhost:0-7] train/pretrain.py FLAGS",
        description=description,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    unknown = parser.parse_known_args(argv)[1]
    if unknown:
        raise ConfigError(_unknown(unknown[0], [f"--{flag.name}" for kind in kinds for flag in fields(kind)]))
    try:
        settings = Settings(*parser.parse_args_into_dataclasses(argv, look_for_args_file=False))
    except (ValueError, ImportError, RuntimeError) as error:
        raise ConfigError(_our_words(str(error))) from None
    _require_evaluation_data(settings)
    _require_one_reader(settings)
    return settings


def require_one_gpu(num_gpus: int) -> None:
    """Raises ConfigError for a process that has several GPUs: DataParallel would split no data, but repeat it."""
    if num_gpus > 1:
        slots = ",".join(str(slot) for slot in range(num_gpus))
        raise ConfigError(
            f"one process has {num_gpus} GPUs and would repeat data on them; start one process a GPU, "
            f"deepspeed --include localhost:{slots} train/pretrain.py FLAGS, or set CUDA_VISIBLE_DEVICES=0"
        )


def _require_evaluation_data(settings: Settings) -> None:
    run = settings.run
    if settings.data.nl_eval_data_path:
        return
    if run.eval_strategy != IntervalStrategy.NO:
        raise ConfigError(
            f"--eval_strategy {IntervalStrategy(run.eval_strategy).value} has nothing to evaluate on; give "
            "--nl_eval_data_path, or leave --eval_strategy at no"
        )
    if run.eval_on_start:
        raise ConfigError(
            "--eval_on_start has nothing to evaluate on; give --nl_eval_data_path, or leave --eval_on_start out"
        )


def _require_one_reader(settings: Settings) -> None:
    num_workers = settings.run.dataloader_num_workers
    if settings.data.streaming and num_workers > 1:
        raise ConfigError(
            f"--dataloader_num_workers {num_workers} would read and encode all of a stream {num_workers} times, and be "
            "no faster; give 1 to read ahead of the training, or 0"
        )


def _unknown(word: str, known: list[str]) -> str:
    flag = word.partition("=")[0]
    if not flag.startswith("--"):
        return f"{word!r} belongs to no flag; give flags as --max_steps 10000, a value with spaces in quotes"
    matches = get_close_matches(flag, known, n=1)
    return f"{flag} is no flag; {f'did you mean {matches[0]}?' if matches else '--help names them all'}"


class _HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Every flag with its default, below a description that keeps its lines."""


def _our_words(message: str) -> str:
    """transformers' complaint about a flag, with the fix where it is known."""
    if re.search(r"bf16", message) and re.search(r"gpu|GPU|cpu", message):
        return f"{message.strip()} On a machine without a GPU, add --use_cpu True"
    return message.strip()
