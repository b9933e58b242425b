"""The learning rate of a run, step by step, by transformers' own schedulers."""

import json
from typing import Any

import torch
from transformers import get_scheduler
from transformers.trainer_utils import SaveStrategy, SchedulerType

from metalang.errors import ConfigError
from metalang.text.names import first_line
from metalang.training.flags import RunArguments, ScheduleArguments
from metalang.training.flags.schedule import PYTHIA_SAVES

_WITHOUT_SETTINGS = (SchedulerType.CONSTANT, SchedulerType.CONSTANT_WITH_WARMUP)
_BY_LOSS = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)


def settle(schedule: ScheduleArguments, run: RunArguments) -> None:
    """Writes --decay_steps into `run.lr_scheduler_kwargs`. Raises ConfigError for flags that would have no effect."""
    kind, settings = run.lr_scheduler_type, run.lr_scheduler_kwargs or {}
    if not isinstance(settings, dict):
        raise ConfigError(f"--lr_scheduler_kwargs {settings!r} is no JSON object; give '{{\"min_lr_ratio\": 0.1}}'")
    if settings and kind in _WITHOUT_SETTINGS:
        raise ConfigError(f"--lr_scheduler_kwargs have no effect on --lr_scheduler_type {kind.value}; leave them out")
    if run.warmup_steps and kind == SchedulerType.CONSTANT:
        raise ConfigError(
            f"--warmup_steps {run.warmup_steps:g} have no effect on --lr_scheduler_type constant; leave them out, or "
            "take constant_with_warmup"
        )
    if kind == SchedulerType.WARMUP_STABLE_DECAY:
        run.lr_scheduler_kwargs = _with_decay(schedule, run, settings)
    elif schedule.decay_steps is not None:
        raise ConfigError(
            f"--decay_steps {schedule.decay_steps} have no effect on --lr_scheduler_type {kind.value}; leave them out, "
            "or take warmup_stable_decay"
        )
    rate_at(run, 0)  # raises for settings that the schedule does not take
    _check_steps(schedule, run)


def _with_decay(schedule: ScheduleArguments, run: RunArguments, settings: dict[str, Any]) -> dict[str, Any]:
    for name, flag in (("num_decay_steps", "--decay_steps"), ("num_stable_steps", "--max_steps and --decay_steps")):
        if name in settings:
            raise ConfigError(f"--lr_scheduler_kwargs has {name}; leave it out, and say it by {flag}")
    decay, warmup = schedule.num_decay_steps(run.max_steps), run.get_warmup_steps(run.max_steps)
    if decay + warmup > run.max_steps:
        raise ConfigError(
            f"{warmup:,} --warmup_steps and {decay:,} --decay_steps are more than the {run.max_steps:,} --max_steps; "
            "lower one of them"
        )
    return {**settings, "num_decay_steps": decay}


def _check_steps(schedule: ScheduleArguments, run: RunArguments) -> None:
    if schedule.hard_stop is not None and schedule.hard_stop > run.max_steps:
        raise ConfigError(
            f"--hard_stop {schedule.hard_stop} is past the last step, --max_steps {run.max_steps}; give less, or leave "
            "it out"
        )
    if schedule.branch_from is not None and schedule.branch_step >= run.max_steps:
        raise ConfigError(
            f"--branch_from {schedule.branch_from} has {schedule.branch_step:,} steps behind it and --max_steps counts "
            f"them too; give more than {schedule.branch_step}"
        )
    if schedule.branch_from is not None and not run.deepspeed:
        raise ConfigError("--branch_from needs --deepspeed, as --resume_training does; add configs/ds/zero2.json")
    past = max(schedule.saves, default=0)
    if past > run.max_steps and schedule.saves != set(PYTHIA_SAVES):
        raise ConfigError(
            f"--save_at_steps {past} is past the last step, --max_steps {run.max_steps}; leave out what is never "
            "reached"
        )
    if schedule.saves and run.save_total_limit is not None:
        raise ConfigError(
            f"--save_total_limit {run.save_total_limit} would remove the checkpoints of --save_at_steps; leave one out"
        )
    if schedule.saves and run.save_strategy not in (SaveStrategy.STEPS, SaveStrategy.NO):
        raise ConfigError(
            f"--save_at_steps goes with --save_strategy steps, or no for these alone, not {run.save_strategy.value}"
        )


def rate_at(run: RunArguments, step: int) -> float | None:
    """The learning rate of the step behind `step` done ones; None where it depends on the loss.

    Raises ConfigError for --lr_scheduler_kwargs that the schedule does not take.
    """
    if run.lr_scheduler_type in _BY_LOSS:
        return None
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=run.learning_rate)
    try:
        scheduler = get_scheduler(
            run.lr_scheduler_type,
            optimizer,
            num_warmup_steps=run.get_warmup_steps(run.max_steps),
            num_training_steps=run.max_steps,
            scheduler_specific_kwargs=run.lr_scheduler_kwargs,
        )
        return run.learning_rate * scheduler.lr_lambdas[0](step)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"--lr_scheduler_kwargs {json.dumps(run.lr_scheduler_kwargs or {})!r} do not fit --lr_scheduler_type "
            f"{run.lr_scheduler_type.value}: {first_line(error)}; mend them"
        ) from None


def schedule_lines(schedule: ScheduleArguments, run: RunArguments) -> tuple[str, ...]:
    """Lines of the banner."""
    lines = []
    if run.lr_scheduler_type == SchedulerType.WARMUP_STABLE_DECAY:
        decay = run.lr_scheduler_kwargs["num_decay_steps"]
        lines.append(f"decay of   the learning rate: the last {decay:,} steps, behind step {run.max_steps - decay:,}")
    if schedule.saves:
        lines.append(f"saves      at {', '.join(f'{step:,}' for step in sorted(schedule.saves))} too")
    if schedule.hard_stop is not None:
        lines.append(f"hard stop  behind step {schedule.hard_stop:,} of {run.max_steps:,}")
    return tuple(lines)
