"""The form of a checkpoint that was made for other ranks goes when nobody needs it any more."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from metalang.training.checkpoints import checkpoint_folder
from metalang.training.manifest import fault_of


class UniversalOnce(TrainerCallback):
    """Drops it once the run has a checkpoint of its own ranks that is as it was written, or ends; rank 0 does."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self._drop = drop
        self._is_there = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Reads all of the first new checkpoint."""
        is_mine = self._is_there and state.is_world_process_zero
        if is_mine and fault_of(checkpoint_folder(args.output_dir, state.global_step)) is None:
            self._drop()
            self._is_there = False

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called behind the last step, or the one at which the run was stopped."""
        if state.is_world_process_zero:
            self._drop()
