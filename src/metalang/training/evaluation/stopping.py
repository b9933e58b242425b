"""Early stopping, by the metric of a whole evaluation."""

from typing import Any

from transformers import EarlyStoppingCallback


class EarlyStopping(EarlyStoppingCallback):
    """Ends a run after `early_stopping_patience` evaluations in turn without a better --metric_for_best_model.

    transformers 5.23 calls its own for every source, and forgets its count at a resume.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes up the count of a checkpoint."""
        super().on_train_begin(args, state, control, **kwargs)
        kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.early_stopping_patience_counter = kept["attributes"]["early_stopping_patience_counter"]

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Counts an evaluation, once all its sources are measured."""
        if "eval_loss" in metrics:
            super().on_evaluate(args, state, control, metrics, **kwargs)
