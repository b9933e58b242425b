"""Random numbers of a run whose ranks are others than those that wrote its checkpoint."""

from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments, set_seed

from metalang.seeds import key_for


class FreshRandomness(TrainerCallback):
    """Has each rank draw from a stream of its own, named by --seed, step and rank, from the first step on.

    A checkpoint keeps one state of the generators a rank. The Trainer restores those whose number it finds, behind the
    first batch and before the step begins, and would leave the other ranks alike.
    """

    def __init__(self) -> None:
        self._is_seeded = False

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Seeds Python, NumPy, torch and its devices, once."""
        if not self._is_seeded:
            set_seed(key_for("resume", args.seed, state.global_step, args.process_index) % 2**32)
        self._is_seeded = True
