"""Progress for people: a bar in tokens, and a line for each log."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerState, TrainingArguments


class Progress(TrainerCallback):
    """On rank 0, a bar of the tokens trained on (without an end where steps differ), and a `log_line` for each log."""

    def __init__(self, tokens_seen: Callable[[TrainerState], int], tokens_per_step: int | None) -> None:
        self._tokens_seen = tokens_seen
        self._tokens_per_step = tokens_per_step
        self._bar: tqdm | None = None
        self._first: tuple[int, float] | None = None  # the first step of this process, and when it ended

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
        self._first = self._first or (state.global_step, time.monotonic())
        if self._bar is not None:
            self._bar.update(self._tokens_seen(state) - self._bar.n)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: Any, logs: dict[str, float], **kwargs: Any
    ) -> None:
        """Writes the line of a log."""
        line = log_line(logs, state.global_step, state.max_steps, seconds_left=self._seconds_left(state))
        if self._bar is not None and line:
            self._bar.write(line)

    def _seconds_left(self, state: TrainerState) -> float | None:
        """At the speed since the first step, with evaluations and checkpoints; None before the second."""
        if self._first is None or state.global_step == self._first[0]:
            return None
        seconds_per_step = (time.monotonic() - self._first[1]) / (state.global_step - self._first[0])
        return seconds_per_step * (state.max_steps - state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()


def log_line(logs: dict[str, float], step: int, max_steps: int, *, seconds_left: float | None = None) -> str:
    """A log in one line, empty for one that holds neither a training loss nor an evaluated one.

    >>> log_line({"loss": 4.523, "tokens_per_second": 1200.0}, 100, 1000, seconds_left=750)
    'step 100/1000 | loss 4.523 | ppl 92.1 | 1,200 tok/s | eta 0:12:30'
    >>> log_line({"loss": float("nan"), "mfu": 0.412, "nan_steps": 2}, 100, 1000)
    'step 100/1000 | loss nan | ppl nan | mfu 41.2% | nan_steps 2'
    >>> log_line({"loss": 300.0}, 100, 1000), log_line({"loss": 1000.0}, 100, 1000)
    ('step 100/1000 | loss 300.000 | ppl 1.94e+130', 'step 100/1000 | loss 1000.000 | ppl inf')
    >>> log_line({"eval_wiki_loss": 3.0, "eval_wiki_perplexity": 20.0855, "eval_wiki_bits_per_byte": 1.25}, 100, 1000)
    'step 100/1000 | eval wiki | loss 3.0000 | ppl 20.1 | 1.2500 bits/byte'
    >>> log_line({"eval_copies_loss": 2.0, "eval_copies_perplexity": 7.389, "eval_copies_exact_match": 0.5}, 100, 1000)
    'step 100/1000 | eval copies | loss 2.0000 | ppl 7.4 | exact match 50.0%'
    >>> log_line({"eval_loss": 2.5, "eval_perplexity": 12.1825}, 100, 1000)
    'step 100/1000 | eval | loss 2.5000 | ppl 12.2'
    """
    parts = _trained(logs, seconds_left) if "loss" in logs else _evaluated(logs)
    return " | ".join([f"step {step}/{max_steps}", *parts]) if parts else ""


def _trained(logs: dict[str, float], seconds_left: float | None) -> list[str]:
    parts = [f"loss {logs['loss']:.3f}", f"ppl {_perplexity(logs['loss'])}"]
    parts += [f"{logs['tokens_per_second']:,.0f} tok/s"] if "tokens_per_second" in logs else []
    parts += [f"mfu {logs['mfu']:.1%}"] if "mfu" in logs else []
    parts += [f"nan_steps {logs['nan_steps']:,}"] if logs.get("nan_steps") else []
    parts += [f"eta {timedelta(seconds=round(seconds_left))}"] if seconds_left is not None else []
    return parts


def _evaluated(logs: dict[str, float]) -> list[str]:
    """What was measured of a source, or of all together; the Trainer logs one at a time."""
    measured = [key for key in logs if key.startswith("eval_") and key.endswith("_loss")]
    if not measured:
        return []
    name = measured[0].removesuffix("loss")  # eval_wiki_
    parts = ["eval " + name[5:-1] if name != "eval_" else "eval", f"loss {logs[name + 'loss']:.4f}"]
    parts += [f"ppl {_perplexity(logs[name + 'loss'])}"]
    parts += [f"{logs[name + 'bits_per_byte']:.4f} bits/byte"] if name + "bits_per_byte" in logs else []
    parts += [f"exact match {logs[name + 'exact_match']:.1%}"] if name + "exact_match" in logs else []
    return parts


def _perplexity(loss: float) -> str:
    perplexity = math.inf if loss >= 700 else math.exp(loss)
    return f"{perplexity:.3g}" if perplexity >= 1e9 else f"{perplexity:,.1f}"
