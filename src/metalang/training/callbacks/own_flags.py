"""What a run that goes on takes from its own flags and folder, where transformers 5.23 takes it from the checkpoint."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from metalang.training.checkpoints import checkpoint_folder
from metalang.training.evaluation.stopping import EarlyStopping


class OwnFlags(TrainerCallback):
    """Gives a resumed state --logging_steps, --eval_steps and --save_steps of now, and the best checkpoint's place.

    The state of a checkpoint brings those of then, which would silently hold; and it names the best checkpoint as
    --output_dir was spelled then: of a folder that was moved it would be forgotten, and removed with the old ones. A
    run that branches off has no best checkpoint yet, and has not waited for one.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called behind the loading, before the first step."""
        state.compute_steps(args, state.max_steps)
        if self._checkpoint.parent != Path(args.output_dir):
            state.best_metric = state.best_global_step = state.best_model_checkpoint = None
            state.stateful_callbacks.pop(EarlyStopping.__name__, None)
        if state.best_global_step:
            best = checkpoint_folder(args.output_dir, state.best_global_step)
            if best.is_dir():
                state.best_model_checkpoint = str(best)
