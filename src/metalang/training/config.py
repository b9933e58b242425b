"""What a run was asked for: its flags, read and checked against each other."""

import re
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from transformers.trainer_utils import IntervalStrategy

from metalang.errors import ConfigError
from metalang.training.attention import check_place
from metalang.training.compiling import prepare_compiler
from metalang.training.flag_parser import FlagParser
from metalang.training.flags import (
    DataArguments,
    DryRunArguments,
    ElasticArguments,
    EvaluationArguments,
    FileArguments,
    HealthArguments,
    LossArguments,
    ModelArguments,
    ObjectiveArguments,
    RunArguments,
    SampleArguments,
    ScheduleArguments,
    StartArguments,
)
from metalang.training.flags.idle import require_effect
from metalang.training.run_file import with_file
from metalang.training.schedule import settle


@dataclass(frozen=True)
class Settings:
    """All that a run was asked for, a field for each group of flags."""

    model: ModelArguments
    start: StartArguments
    data: DataArguments
    objective: ObjectiveArguments
    loss: LossArguments
    schedule: ScheduleArguments
    evaluation: EvaluationArguments
    samples: SampleArguments
    health: HealthArguments
    elastic: ElasticArguments
    dry: DryRunArguments
    file: FileArguments
    run: RunArguments

    def record(self) -> dict[str, dict[str, Any]]:
        """JSON of all flags, by group; keys and tokens left out."""
        groups = {name: getattr(self, name) for name in get_type_hints(Settings)}
        return {name: asdict(group) for name, group in groups.items() if name != "run"} | {
            "run": self.run.to_sanitized_dict()
        }


def parse_arguments(argv: list[str], description: str = "") -> Settings:
    """The settings that command-line flags ask for. Raises ConfigError."""
    kinds = tuple(get_type_hints(Settings).values())
    parser = FlagParser(
        kinds,
        usage="deepspeed [--include localhost:0-7] train/pretrain.py FLAGS",
        description=description,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    argv = with_file(argv, [flag.name for kind in kinds for flag in fields(kind)], parser.takes_several)
    parser.require_known(argv)
    try:
        settings = Settings(*parser.parse_args_into_dataclasses(argv, look_for_args_file=False))
    except (ValueError, ImportError, RuntimeError) as error:
        raise ConfigError(_our_words(str(error))) from None
    _require_evaluation_data(settings)
    _settle_early_stopping(settings)
    _require_one_reader(settings)
    _require_length(settings)
    if settings.run.max_steps > 0:  # else `epochs` does, once the pairs are counted
        settle(settings.schedule, settings.run)
    _require_fresh(settings)
    check_place(settings.model.attn_implementation, settings.run)
    prepare_compiler(settings.run)
    require_effect(settings)
    return settings


def _require_length(settings: Settings) -> None:
    architecture, epochs = settings.model.architecture, settings.run.num_train_epochs
    if epochs and architecture != "seq2seq":
        raise ConfigError(
            f"--num_train_epochs {epochs:g} counts pairs, and --architecture {architecture} reads none; give "
            "--max_steps, such as 10000"
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


def _settle_early_stopping(settings: Settings) -> None:
    """--early_stopping_patience watches the loss where no metric is named."""
    run, patience = settings.run, settings.evaluation.early_stopping_patience
    if patience is None:
        return
    if run.eval_strategy == IntervalStrategy.NO:
        raise ConfigError(
            f"--early_stopping_patience {patience} counts evaluations, and there are none; give --eval_strategy steps"
        )
    if run.metric_for_best_model is None:
        run.metric_for_best_model, run.greater_is_better = "loss", False


def _require_fresh(settings: Settings) -> None:
    start, asked = settings.start, None
    if start.init_from is not None:
        asked = f"--init_from {start.init_from}"
    elif start.init != "hf":
        asked = f"--init {start.init}"
    if asked and not settings.model.random_initialize:
        raise ConfigError(
            f"{asked} needs --random_initialize True: what it does not give is fresh, not that of --model_name_or_path"
        )
    if start.init_from is not None and settings.schedule.branch_from is not None:
        raise ConfigError("--init_from begins anew and --branch_from goes on; give one of them")


def _require_one_reader(settings: Settings) -> None:
    num_workers = settings.run.dataloader_num_workers
    if settings.data.streaming and num_workers > 1:
        raise ConfigError(
            f"--dataloader_num_workers {num_workers} would read and encode all of a stream {num_workers} times, and be "
            "no faster; give 1 to read ahead of the training, or 0"
        )


class _HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Every flag with its default, below a description that keeps its lines."""


def _our_words(message: str) -> str:
    """transformers' complaint about a flag, with the fix where it is known."""
    if re.search(r"bf16", message) and re.search(r"gpu|GPU|cpu", message):
        return f"{message.strip()} On a machine without a GPU, add --use_cpu True"
    return message.strip()
