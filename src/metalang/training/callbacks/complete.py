"""Marks a checkpoint as complete when every rank has written its part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback, TrainingArguments

from metalang.training.checkpoints import checkpoint_folder, mark_complete


class CompleteMarker(TrainerCallback):
    """After each save, rank 0 writes the marker, with what a resume at that step must find unchanged.

    `leave(folder, step)` is called before, on all ranks: what else a checkpoint holds.
    """

    def __init__(self, unchanged: Callable[[int], dict[str, Any]], leave: Callable[[Path, int], None]) -> None:
        self._unchanged = unchanged
        self._leave = leave

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Waits for all ranks, then marks."""
        folder = checkpoint_folder(args.output_dir, state.global_step)
        self._leave(folder, state.global_step)
        if dist.is_initialized():
            dist.barrier()
        if state.is_world_process_zero:
            mark_complete(folder, self._unchanged(state.global_step))
