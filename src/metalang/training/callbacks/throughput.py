"""How fast the steps are, evaluation and saving left out."""

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState

from metalang.training.speed import Yardstick


class Throughput(TrainerCallback):
    """Clocks from the end of a step to the end of the next, fetching of data included.

    The first step is left out: it holds compilations and allocations. `yardstick`: None where FLOPs are not known.
    """

    def __init__(self, tokens_seen: Callable[[TrainerState], int], yardstick: Yardstick | None = None) -> None:
        self._tokens_seen = tokens_seen
        self._yardstick = yardstick
        self._mark: float | None = None
        self._seen = 0
        self._waited = 0.0
        self._seconds, self._tokens, self._waiting = 0.0, 0, 0.0
        self._all_seconds, self._all_tokens = 0.0, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes the time since the last step, or since what came between."""
        seen = self._tokens_seen(state)
        if self._mark is not None:
            self._seconds += time.perf_counter() - self._mark
            self._tokens += seen - self._seen
            self._waiting += self._waited
        self._mark, self._seen, self._waited = time.perf_counter(), seen, 0.0

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches, and the time that each is waited for is counted."""
        while True:
            start = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited += time.perf_counter() - start
            yield batch

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves an evaluation out."""
        self.leave_out()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves a checkpoint out."""
        self.leave_out()

    def leave_out(self) -> None:
        """Leaves out the time since the end of the last step."""
        if self._mark is not None:
            self._mark = time.perf_counter()

    def take(self, worst: Callable[[list[float]], list[float]]) -> dict[str, float]:
        """What a log says of the steps since the last one. All ranks call it; `worst` gives the maxima over them.

        `tokens_per_second` of all ranks together and `data_wait`, the share of the time in which a step waits for its
        data, on the rank that waits longest (no steps were clocked: neither); `peak_memory_bytes` of the fullest rank
        since the start, of its GPU's tensors or of its whole process; and what the yardstick says.
        """
        waiting, memory = worst([self._waiting, peak_memory_bytes()])
        taken = {"peak_memory_bytes": memory}
        if self._tokens:
            speed = self._tokens / self._seconds
            taken |= {"tokens_per_second": round(speed, 1), "data_wait": min(1.0, waiting / self._seconds)}
            taken |= self._yardstick.measured(speed) if self._yardstick else {}
        self._all_seconds, self._all_tokens = self._all_seconds + self._seconds, self._all_tokens + self._tokens
        self._seconds, self._tokens, self._waiting = 0.0, 0, 0.0
        return taken

    @property
    def tokens_per_second(self) -> float:
        """Of the whole run, all ranks together; 0 before the second step."""
        seconds, tokens = self._all_seconds + self._seconds, self._all_tokens + self._tokens
        return tokens / seconds if tokens else 0.0


def peak_memory_bytes() -> int:
    """The most that this process has held: on its GPU, in tensors; without one, resident in main memory."""
    if torch.cuda.is_initialized():  # with --use_cpu it is not
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
