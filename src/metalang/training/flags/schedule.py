"""Flags: how the learning rate ends, where a run stops and branches off, and when it saves."""

from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from metalang.errors import ConfigError
from metalang.sizes import parse_percent, parse_size

PYTHIA_SAVES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""The early checkpoints of Pythia (`extra-save-iters` of its pythia-14m.yml)."""


@dataclass
class ScheduleArguments:
    """How the learning rate ends, where a run stops and branches off, and when it saves."""

    _argument_group_name = "the schedule, beside --lr_scheduler_type, --warmup_steps and --max_steps"

    decay_steps: str | None = field(
        default=None,
        metadata={
            "help": "with --lr_scheduler_type warmup_stable_decay: the last steps, in which the learning rate falls "
            'to 0 (or as --lr_scheduler_kwargs \'{"decay_type": "1-sqrt", "min_lr_ratio": 0.1}\' says); a count '
            "such as 2000, or a part of --max_steps such as 20%%. Default: 20%%, and with --branch_from all of its "
            "steps"
        },
    )
    hard_stop: int | None = field(
        default=None,
        metadata={
            "help": "save and end after that step, under the schedule of all --max_steps; a resume with a later "
            "--hard_stop, or none, is the run that was never stopped"
        },
    )
    save_at_steps: list[str] = field(
        default_factory=list,
        metadata={
            "help": "save at these steps too, such as 0 1 2 4 8 (0: before the first step); 'pythia' means 0, 1, 2, 4, "
            "... 512, to which --save_steps 1000 adds the rest of Pythia's"
        },
    )
    branch_from: str | None = field(
        default=None,
        metadata={
            "help": "begin from a checkpoint of another run, such as runs/a/checkpoint-500: with its weights, "
            "optimizer and place in the data; where the learning rate goes on without a jump, as from the stable phase "
            "of warmup_stable_decay"
        },
    )

    def __post_init__(self) -> None:
        if self.decay_steps is not None:
            self.num_decay_steps(100)  # raises for what is neither a count nor a percentage
        _ = self.saves
        if self.hard_stop is not None and self.hard_stop < 1:
            raise ConfigError(f"--hard_stop {self.hard_stop} trains nothing; give 1 or more, or leave it out")
        if self.branch_from is not None:
            self.branch_step  # noqa: B018 - raises for what names no checkpoint

    def num_decay_steps(self, max_steps: int) -> int:
        """Steps of the decay in a run of `max_steps`, part of a step rounded up.

        >>> ScheduleArguments("20%").num_decay_steps(1001), ScheduleArguments("2K").num_decay_steps(10_000)
        (201, 2000)
        """
        if self.decay_steps is None:
            return -(-max_steps // 5) if self.branch_from is None else max_steps - self.branch_step
        try:
            if self.decay_steps.endswith("%"):
                return ceil(round(parse_percent(self.decay_steps) * max_steps, 6))
            count = parse_size(self.decay_steps)
        except ConfigError:
            count = 0
        if count < 1:
            raise ConfigError(
                f"--decay_steps {self.decay_steps} is no number of steps; give a count such as 2000, or a part of "
                "--max_steps such as 20%"
            )
        return count

    @property
    def saves(self) -> frozenset[int]:
        """The steps of --save_at_steps.

        >>> sorted(ScheduleArguments(save_at_steps=["0,1", "2", "4"]).saves)
        [0, 1, 2, 4]
        """
        words = [word for each in self.save_at_steps for word in each.split(",") if word]
        if words == ["pythia"]:
            return frozenset(PYTHIA_SAVES)
        try:
            if self.save_at_steps and not words:
                raise ConfigError("no step")
            return frozenset(map(parse_size, words))
        except ConfigError:
            raise ConfigError(
                f"--save_at_steps {' '.join(self.save_at_steps)} names no steps; give numbers such as 0 1 2 4 8, or "
                "'pythia' alone"
            ) from None

    @property
    def branch_step(self) -> int:
        """The step of --branch_from."""
        assert self.branch_from is not None
        kind, _, step = Path(self.branch_from).name.partition("-")
        if kind != "checkpoint" or not step.isdecimal():
            raise ConfigError(
                f"--branch_from {self.branch_from} names no checkpoint; give one such as runs/a/checkpoint-500"
            )
        return int(step)
