"""How fast the steps are, evaluation and saving left out."""

import time
from typing import Any

from transformers import TrainerCallback


class Throughput(TrainerCallback):
    """Clocks optimizer steps from begin to end. The first is left out: it holds compilations and allocations."""

    def __init__(self, tokens_per_step: int) -> None:
        self._tokens_per_step = tokens_per_step
        self._begun: float | None = None
        self._warm = False
        self._seconds, self._steps = 0.0, 0
        self.all_seconds, self.all_steps = 0.0, 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock, after the batch of the step was fetched."""
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops the clock."""
        if self._warm and self._begun is not None:
            self._seconds += time.perf_counter() - self._begun
            self._steps += 1
        self._warm = True

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
