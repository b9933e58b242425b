"""How fast the steps are, evaluation and saving left out."""

import time
from typing import Any

from transformers import TrainerCallback


class Throughput(TrainerCallback):
    """Clocks from the end of a step to the end of the next, fetching of data included.

    The first step is left out: it holds compilations and allocations.
    """

    def __init__(self, tokens_per_step: int) -> None:
        self._tokens_per_step = tokens_per_step
        self._mark: float | None = None
        self._seconds, self._steps = 0.0, 0
        self.all_seconds, self.all_steps = 0.0, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes the time since the last step, or since what came between."""
        if self._mark is not None:
            self._seconds += time.perf_counter() - self._mark
            self._steps += 1
        self._mark = time.perf_counter()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves an evaluation out."""
        if self._mark is not None:
            self._mark = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves a checkpoint out."""
        if self._mark is not None:
            self._mark = time.perf_counter()

    def take(self) -> dict[str, float]:
        """`tokens_per_second`, of all ranks together, since the last call; nothing where no step was clocked."""
        if not self._steps:
            return {}
        speed = self._tokens_per_step * self._steps / self._seconds
        self.all_seconds, self.all_steps = self.all_seconds + self._seconds, self.all_steps + self._steps
        self._seconds, self._steps = 0.0, 0
        return {"tokens_per_second": round(speed, 1)}

    @property
    def tokens_per_second(self) -> float:
        """Of the whole run, all ranks together; 0 before the second step."""
        seconds, steps = self.all_seconds + self._seconds, self.all_steps + self._steps
        return self._tokens_per_step * steps / seconds if steps else 0.0
