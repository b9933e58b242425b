"""Saves at chosen steps, before the first one too, and the end of a run before its schedule's."""

from typing import Any

from transformers import Trainer, TrainerCallback

from metalang.training.flags import ScheduleArguments


class SaveAt(TrainerCallback):
    """Saves at chosen steps, those of --save_steps beside them."""

    def __init__(self, steps: frozenset[int], trainer: Trainer) -> None:
        self._steps = steps
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Saves what has seen nothing: transformers 5.23 saves behind a step only."""
        if state.global_step == 0 and 0 in self._steps:
            trainer = self._trainer
            trainer._save_checkpoint(trainer.model_wrapped, trial=None)
            trainer.callback_handler.on_save(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Has the Trainer save behind a chosen step."""
        if state.global_step in self._steps:
            control.should_save = True


class HardStop(TrainerCallback):
    """Saves and ends a run behind a step; the schedule is that of all its steps."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Has the Trainer save and end."""
        if state.global_step == self._step:
            control.should_save = control.should_training_stop = True


def schedule_callbacks(schedule: ScheduleArguments, trainer: Trainer) -> list[TrainerCallback]:
    """What --save_at_steps and --hard_stop ask for."""
    saves: list[TrainerCallback] = [SaveAt(schedule.saves, trainer)] if schedule.saves else []
    return saves if schedule.hard_stop is None else [*saves, HardStop(schedule.hard_stop)]
