"""How fast the steps are, evaluation and saving left out."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerState


class Throughput(TrainerCallback):
    """Clocks from the end of a step to the end of the next, fetching of data included.

    The first step is left out: it holds compilations and allocations.
    """

    def __init__(self, tokens_seen: Callable[[TrainerState], int]) -> None:
        self._tokens_seen = tokens_seen
        self._mark: float | None = None
        self._seen = 0
        self._seconds, self._tokens = 0.0, 0
        self._all_seconds, self._all_tokens = 0.0, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes the time since the last step, or since what came between."""
        seen = self._tokens_seen(state)
        if self._mark is not None:
            self._seconds += time.perf_counter() - self._mark
            self._tokens += seen - self._seen
        self._mark, self._seen = time.perf_counter(), seen

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves an evaluation out."""
        if self._mark is not None:
            self._mark = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves a checkpoint out."""
        if self._mark is not None:
            self._mark = time.perf_counter()

    def leave_out(self) -> None:
        """Leaves out the time since the end of the last step."""
        if self._mark is not None:
            self._mark = time.perf_counter()

    def take(self) -> dict[str, float]:
        """`tokens_per_second`, of all ranks together, since the last call; nothing where no step was clocked."""
        if not self._tokens:
            return {}
        speed = self._tokens / self._seconds
        self._all_seconds, self._all_tokens = self._all_seconds + self._seconds, self._all_tokens + self._tokens
        self._seconds, self._tokens = 0.0, 0
        return {"tokens_per_second": round(speed, 1)}

    @property
    def tokens_per_second(self) -> float:
        """Of the whole run, all ranks together; 0 before the second step."""
        seconds, tokens = self._all_seconds + self._seconds, self._all_tokens + self._tokens
        return tokens / seconds if tokens else 0.0
