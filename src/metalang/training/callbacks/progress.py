"""Progress for people: a bar in tokens, and a line for each log."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerState, TrainingArguments


class Progress(TrainerCallback):
    """On rank 0, a bar of the tokens trained on (without an end where steps differ), and a `log_line` for each log."""

    def __init__(self, tokens_seen: Callable[[TrainerState], int], tokens_per_step: int | None) -> None:
        self._tokens_seen = tokens_seen
        self._tokens_per_step = tokens_per_step
        self._bar: tqdm | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Opens the bar, where the run begins."""
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=self._tokens_per_step and self._tokens_seen(replace(state, global_step=state.max_steps)),
                initial=self._tokens_seen(state),
                desc="training",
                unit=" tokens",
                unit_scale=True,
                dynamic_ncols=True,
                mininterval=1.0,
                disable=args.disable_tqdm,
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(self._tokens_seen(state) - self._bar.n)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: Any, logs: dict[str, float], **kwargs: Any
    ) -> None:
        """Writes the line of a log."""
        if self._bar is not None and (line := log_line(logs, state.global_step, state.max_steps)):
            self._bar.write(line)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()


def log_line(logs: dict[str, float], step: int, max_steps: int) -> str:
    """A log in one line, empty for one that holds neither a training loss nor an evaluated one.

    >>> log_line({"loss": 4.5, "grad_norm": 0.7, "learning_rate": 4.5e-4, "tokens_per_second": 20652.0}, 100, 1000)
    'step 100/1,000 | loss 4.5000 | grad_norm 0.70 | learning_rate 4.5e-04 | 20,652 tokens/s'
    >>> log_line({"eval_wiki_loss": 3.0, "eval_wiki_perplexity": 20.0855, "eval_wiki_tokens": 9}, 100, 1000)
    'step 100/1,000 | eval_wiki_loss 3.0000 | perplexity 20.09'
    """
    parts = [f"step {step:,}/{max_steps:,}"]
    if "loss" in logs:
        parts.append(f"loss {logs['loss']:.4f}")
        parts += [f"grad_norm {logs['grad_norm']:.2f}"] if "grad_norm" in logs else []
        parts += [f"learning_rate {logs['learning_rate']:.1e}"] if "learning_rate" in logs else []
        parts += [f"{logs['tokens_per_second']:,.0f} tokens/s"] if "tokens_per_second" in logs else []
    for key in logs:
        if key.startswith("eval_") and key.endswith("_loss"):
            parts.append(f"{key} {logs[key]:.4f}")
            parts.append(f"perplexity {logs[key.removesuffix('loss') + 'perplexity']:.2f}")
    return " | ".join(parts) if len(parts) > 1 else ""
