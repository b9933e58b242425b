"""The sums of a log that a run was stopped in the middle of: they go on behind a resume.

`stateful_callbacks.OpenLog` of such a checkpoint's `trainer_state.json`: {"steps": 2, "sources": ["wiki"], "sums":
[[...], ...]}, the steps that are summed, and of each rank the sum of losses and those of `LossParts`.
"""

from typing import Any

from accelerate.utils import gather_object
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from metalang.training.loss_parts import LossParts

_STATE = "OpenLog"


class OpenLog(TrainerCallback):
    """Keeps what was summed since the last log in a checkpoint, and takes it up, so that the next row is of all of it.

    On another number of ranks each takes its share of the sum. A plan with other sources begins a row of its own.
    """

    def __init__(self, trainer: Trainer, parts: LossParts) -> None:
        self._trainer = trainer
        self._parts = parts

    def keep(self, state: TrainerState) -> None:
        """Leaves the sums where a checkpoint takes them along. All ranks call it."""
        state.stateful_callbacks.pop(_STATE, None)
        steps = state.global_step - self._trainer._globalstep_last_logged
        if steps:
            sums = gather_object([[self._trainer._tr_loss.item(), *self._parts.sums]])
            state.stateful_callbacks[_STATE] = {"steps": steps, "sources": self._parts.names, "sums": sums}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called behind the loading; transformers 5.23 has begun its own sums anew."""
        kept = state.stateful_callbacks.pop(_STATE, None)
        if kept is None or kept["sources"] != self._parts.names:
            return
        loss, *parts = _share(kept["sums"], args.process_index, args.world_size)
        self._trainer._tr_loss.fill_(loss)
        self._trainer._globalstep_last_logged -= kept["steps"]
        self._parts.take_up(parts, args.device)


def _share(sums: list[list[float]], rank: int, num_ranks: int) -> list[float]:
    """What a rank takes up: the loss is logged as a mean over ranks, its parts as sums.

    >>> _share([[4.0, 10.0], [6.0, 20.0]], 0, 1), _share([[4.0, 10.0], [6.0, 20.0]], 1, 2)
    ([5.0, 30.0], [6.0, 20.0])
    """
    if len(sums) == num_ranks:
        return sums[rank]
    loss, *parts = map(sum, zip(*sums, strict=True))
    return [loss / len(sums), *(part / num_ranks for part in parts)]
