"""Early stopping, by the metric of a whole evaluation."""

from typing import Any

from transformers import EarlyStoppingCallback


class EarlyStopping(EarlyStoppingCallback):
    """Ends a run after `early_stopping_patience` evaluations in turn without a better --metric_for_best_model.

    transformers 5.23 calls its own for every source and for the evaluation that --eval_on_start repeats at a resume,
    and forgets at a resume what it had counted. A run that had stopped ends again, behind its next step.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes up the count of a checkpoint."""
        super().on_train_begin(args, state, control, **kwargs)
        kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.early_stopping_patience_counter = kept["attributes"]["early_stopping_patience_counter"]
        self._first_step = state.global_step
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Counts an evaluation, once all its sources are measured."""
        if "eval_loss" in metrics and state.global_step > self._first_step:
            super().on_evaluate(args, state, control, metrics, **kwargs)
