"""Windows as the Trainer reads them: `input_ids` (L,) and `labels` (L,), already shifted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Dataset

from metalang.errors import MetalangError
from metalang.mixing import Plan, Source
from metalang.training.objectives.cross_entropy import IGNORED

Window = dict[str, torch.Tensor]


class PlanDataset(Dataset):
    """The first `num_windows` windows of a plan, in its order."""

    def __init__(self, plan: Plan, num_windows: int) -> None:
        self._plan = plan
        self._num_windows = num_windows

    def __len__(self) -> int:
        return self._num_windows

    def __getitem__(self, index: int) -> Window:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Window]:
        """The windows of a batch, located and read together."""
        ids, predicted, _ = self._plan.read(indices)
        return as_windows(ids, predicted)


class EvaluationDataset(Dataset):
    """Every id of a source once: its windows in order, the last one padded with ids that are not predicted."""

    def __init__(self, source: Source, *, length: int) -> None:
        self._source = source
        self._length = length

    @property
    def content_hash(self) -> str:
        """Names the tokens that are evaluated on."""
        return self._source.content_hash

    def __len__(self) -> int:
        return self._source.num_windows + (self._source.num_left_over > 0)

    def __getitem__(self, index: int) -> Window:
        if index < self._source.num_windows:
            return as_windows(*self._source.read(np.array([index])))[0]
        rest, is_predicted = self._source.rest()
        ids, predicted = np.zeros(self._length + 1, dtype=np.int64), np.zeros(self._length + 1, dtype=bool)
        ids[: len(rest)], predicted[: len(rest)] = rest, is_predicted
        return as_windows(ids[None], predicted[None])[0]


def as_windows(ids: np.ndarray, predicted: np.ndarray) -> list[Window]:
    """`ids` (n, L + 1) and which of them are predicted, as inputs and labels, (L,) each.

    >>> (window,) = as_windows(np.array([[2, 5, 6]]), np.array([[False, True, False]]))
    >>> window["input_ids"].tolist(), window["labels"].tolist()
    ([2, 5], [5, -100])
    """
    inputs = torch.from_numpy(ids[:, :-1])
    labels = torch.from_numpy(np.where(predicted[:, 1:], ids[:, 1:], IGNORED))
    return [{"input_ids": row, "labels": wanted} for row, wanted in zip(inputs, labels, strict=True)]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raises an error of ours that a worker of a DataLoader met as it was, without the traceback torch puts before it.

    >>> with plain_errors():
    ...     raise MetalangError("Caught CorpusError in ...\\nmetalang.errors.CorpusError: 00000.bin is damaged\\n")
    Traceback (most recent call last):
    metalang.errors.MetalangError: 00000.bin is damaged
    """
    try:
        yield
    except MetalangError as error:
        last = str(error).rstrip().rsplit("\n", 1)[-1]
        if str(error).startswith("Caught ") and last.startswith("metalang.errors."):
            raise type(error)(last.partition(": ")[2]) from None
        raise
