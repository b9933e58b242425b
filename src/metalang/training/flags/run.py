"""Flags: the run, all of `transformers.TrainingArguments` and ours."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import deepspeed
import torch
from deepspeed.accelerator import get_accelerator
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy
from transformers.training_args import OptimizerNames

from metalang.errors import ConfigError
from metalang.training.deepspeed_json import check_deepspeed_json
from metalang.training.flags.optimizer import require_optimizer
from metalang.training.flags.report_to import require_trackers
from metalang.training.flags.unfit import refuse_unfit, require_checkpointing
from metalang.training.ranks import forget_shared_buffers

_MAX_SEED = 2**32 - 1  # numpy's
_MAX_STEPS = 10**12  # windows are numbered in 64 bits


@dataclass
class RunArguments(TrainingArguments):
    """transformers' flags with a few defaults of ours (the order is the mixture's, a NaN is shown), and three flags."""

    _argument_group_name = "the run: three flags of ours and all of transformers.TrainingArguments"

    train_sampling_strategy: str = field(
        default="sequential", metadata={"help": "sequential: the mixture decides the order, nothing shuffles it again"}
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "of no use here: a loss that is NaN is logged as such (see --on_nan)"}
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "of no use here: windows have no other columns"}
    )
    num_train_epochs: float = field(
        default=0.0,
        metadata={
            "help": "length of a run of --architecture seq2seq, instead of --max_steps: how often each pair is read, "
            "whole steps of it, such as 4; where --max_steps is given, that is the length"
        },
    )
    gather_weights: bool = field(
        default=True, metadata={"help": "end with a complete Hugging Face model folder in --output_dir"}
    )
    report_to: list[str] = field(
        default_factory=lambda: ["none"],
        metadata={
            "help": "trackers, one or several: wandb (offline without a key), tensorboard, trackio, ...; all: those "
            "that are installed. Without: none"
        },
    )
    project: str = field(
        default="metalang", metadata={"help": "what wandb (without WANDB_PROJECT) and trackio file the run under"}
    )
    torch_compile: bool = field(
        default=False,
        metadata={
            "help": "compile the steps of training by torch.compile: minutes at the start, then faster steps. Losses "
            "are those of a plain run to rounding, and equal bit for bit from run to run, resumed or not, on CPUs. "
            "Evaluation, samples and the loss in the output layer run as they are"
        },
    )
    optim: OptimizerNames | str = field(
        default="adamw_torch_fused",
        metadata={"help": "PyTorch's AdamW in one kernel, under ZeRO too; any other of transformers' by its name"},
    )
    rebase_data: bool = field(
        default=False,
        metadata={
            "help": "with --resume_training or --branch_from: go on although the plan of the data differs from the "
            "one of the checkpoint; what differs is logged"
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
        refuse_unfit(self)
        if self.label_smoothing_factor:
            raise ConfigError("--label_smoothing_factor has no effect on our loss; leave it at 0")
        if self.logging_nan_inf_filter:
            raise ConfigError(
                "--logging_nan_inf_filter True would make a NaN step look like a better loss; leave it out"
            )
        if isinstance(self.deepspeed, str):
            check_deepspeed_json(Path(self.deepspeed), gather_weights=self.gather_weights)
        super().__post_init__()
        require_optimizer(self)
        require_checkpointing(self)
        if self.deepspeed and self.fp16 and not get_accelerator().is_fp16_supported():
            raise ConfigError("--fp16 True under DeepSpeed needs a GPU, which is not here; give --bf16 True")
        require_one_gpu(self.n_gpu)
        require_trackers(self.report_to)
        self._check_best_model()
        if self.deepspeed and self.use_cpu and torch.distributed.is_initialized():
            # transformers 5.23 tells DeepSpeed of the ranks on GPUs only; ZeRO-3 asks for them when a model is made.
            deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)
        forget_shared_buffers()

    def _check_sizes(self) -> None:
        if self.max_steps < 1 and not 0 < self.num_train_epochs < math.inf:
            raise ConfigError("--max_steps is needed: the length of the run in optimizer steps, such as 10000")
        if self.max_steps > _MAX_STEPS:
            raise ConfigError(f"--max_steps {self.max_steps} is no length of a run; give at most {_MAX_STEPS:,}")
        for flag, count in (
            ("per_device_train_batch_size", self.per_device_train_batch_size),
            ("per_device_eval_batch_size", self.per_device_eval_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("eval_accumulation_steps", self.eval_accumulation_steps),
            ("dataloader_prefetch_factor", self.dataloader_prefetch_factor),
            ("ddp_timeout", self.ddp_timeout),
        ):
            if count is not None and count < 1:
                raise ConfigError(f"--{flag} {count} is no count; give 1 or more, such as 8")
        for flag in ("logging_steps", "save_steps", "eval_steps"):
            steps = getattr(self, flag)
            if steps is not None and not 0 < steps < math.inf:
                raise ConfigError(f"--{flag} {steps:g} is no interval; give 1 or more, such as 100")
        if self.warmup_steps < 0:
            raise ConfigError(
                f"--warmup_steps {self.warmup_steps:g} is no number of steps; give 0 or more, such as 100"
            )
        if self.dataloader_num_workers < 0:
            raise ConfigError(f"--dataloader_num_workers {self.dataloader_num_workers} is no count; give 0 or more")
        if self.dataloader_persistent_workers and not self.dataloader_num_workers:
            raise ConfigError(
                "--dataloader_persistent_workers True needs --dataloader_num_workers 1 or more; leave it out without"
            )
        if self.fsdp:
            raise ConfigError(
                "--fsdp shares weights out in another way than --deepspeed, which is used here; leave it out"
            )
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
        saved, evaluated = SaveStrategy(self.save_strategy), IntervalStrategy(self.eval_strategy)
        if self.load_best_model_at_end and saved not in (SaveStrategy.BEST, evaluated.value):
            raise ConfigError(
                f"--load_best_model_at_end True with --eval_strategy {evaluated.value} and --save_strategy "
                f"{saved.value}: the best evaluation would have no checkpoint; give steps for both, or "
                "--save_strategy best"
            )
        if self.metric_for_best_model is None and self.save_strategy in ("best", SaveStrategy.BEST):
            self.metric_for_best_model = "loss"
        if self.metric_for_best_model is not None and self.greater_is_better is None:
            # transformers 5.23 takes the larger for the better in all that does not end in "loss", perplexity too.
            self.greater_is_better = self.metric_for_best_model.endswith("exact_match")

    def _check_best_model(self) -> None:
        """transformers 5.23 would end with an older checkpoint, without a word, where the best evaluation has none."""
        if (
            self.load_best_model_at_end
            and self.save_strategy == SaveStrategy.STEPS
            and self.save_steps != self.eval_steps
        ):
            raise ConfigError(
                f"--load_best_model_at_end True with --eval_steps {self.eval_steps:g} and --save_steps "
                f"{self.save_steps:g}: the best evaluation may have no checkpoint; give both the same, or "
                "--save_strategy best"
            )

    @property
    def order_seed(self) -> int:
        """Names the order of the windows: --data_seed, or --seed where that is not given."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def windows_per_step(self) -> int:
        """The global batch, in windows."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size


def require_one_gpu(num_gpus: int) -> None:
    """Raises ConfigError for a process that has several GPUs: DataParallel would split no data, but repeat it."""
    if num_gpus > 1:
        slots = ",".join(str(slot) for slot in range(num_gpus))
        raise ConfigError(
            f"one process has {num_gpus} GPUs and would repeat data on them; start one process a GPU, "
            f"deepspeed --include localhost:{slots} train/pretrain.py FLAGS, or set CUDA_VISIBLE_DEVICES=0"
        )
