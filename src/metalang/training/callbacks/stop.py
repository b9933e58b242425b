"""All ranks stop at one step, with a checkpoint, when one of them is asked to."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerState, TrainingArguments

from metalang.training.ranks import wait_at_most
from metalang.training.stopping import asked


class StopTogether(TrainerCallback):
    """Shares, before the first step and behind each, whether a rank was asked; all read the answer behind the next
    step, so that none waits.

    `step`: where the run was stopped; None for one that ran to its end. `leave_log_open` is called before a checkpoint
    that is there for the stop alone, so this callback comes behind those that ask for one.
    """

    def __init__(self, leave_log_open: Callable[[], None]) -> None:
        self._leave_log_open = leave_log_open
        self.step: int | None = None
        self._shared: torch.Tensor | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Has --ddp_timeout hold for the process groups of DeepSpeed too, which are there by now; shares."""
        wait_at_most(args.ddp_timeout_delta)
        self._share(args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Stops behind an evaluation that is due, or shares."""
        stop = self._shared is not None and bool(self._shared.item())
        if stop and state.global_step < state.max_steps:
            self.step = state.global_step
            if not control.should_save:  # the run that is not stopped would have no checkpoint here, and no log
                self._leave_log_open()
            control.should_save = control.should_training_stop = True
            return
        self._share(args)

    def _share(self, args: TrainingArguments) -> None:
        self._shared = torch.tensor(int(asked() is not None), dtype=torch.int32, device=args.device)
        if dist.is_initialized():
            dist.all_reduce(self._shared, op=dist.ReduceOp.MAX)
