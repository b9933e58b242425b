"""Mends what DeepSpeed 0.19 does to an optimizer under ZeRO-3 that it loads from a universal checkpoint."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments


class OwnGroups(TrainerCallback):
    """Gives each group of parameters its own settings again, and its own counter of steps.

    `load_hp_checkpoint_state_from_checkpoint_dir_stage3` gives all groups those of the first: LayerNorms and biases
    would be decayed. And all states share one tensor of the steps done, which each of them then counts up: the bias
    correction of Adam would be that of a later step.
    """

    def __init__(self, universal: Path) -> None:
        self._universal = universal

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Called behind the loading, before the first step."""
        saved = torch.load(self._universal / "zero" / "optimizer_state.pt", mmap=True, weights_only=False)
        inner = optimizer.optimizer.optimizer  # within accelerate's wrapper and DeepSpeed's ZeRO
        for group, then in zip(inner.param_groups, saved["param_groups"], strict=True):
            group.update({key: value for key, value in then.items() if key != "params"})
        for states in inner.state.values():
            states["step"] = states["step"].clone()
