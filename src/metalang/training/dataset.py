"""Windows as the Trainer reads them: `input_ids` (L,) and `labels` (L,), already shifted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from metalang.corpus import Corpus
from metalang.errors import MetalangError
from metalang.mixing import Plan, Source
from metalang.mixing.skips import SkippedSteps
from metalang.training.objectives.cross_entropy import IGNORED

Window = dict[str, torch.Tensor]
Boundaries = Literal["ignore", "reset_positions", "mask"]


class PlanDataset(Dataset):
    """The first `num_windows` windows of a plan, in its order, each with the number of its `source`, ().

    Windows of `skipped` steps (of `windows_per_step`) are left out: as many are read behind them. `ahead`: windows that
    the run had read already where steps of this size would begin. `boundaries`: see `with_boundaries`.
    """

    def __init__(
        self,
        plan: Plan,
        num_windows: int,
        boundaries: Boundaries = "ignore",
        *,
        skipped: SkippedSteps | None = None,
        windows_per_step: int = 1,
        ahead: int = 0,
    ) -> None:
        self._plan = plan
        self._num_windows = num_windows
        self._boundaries = boundaries
        self._skipped = skipped or SkippedSteps()
        self._windows_per_step = windows_per_step
        self._ahead = ahead

    def __len__(self) -> int:
        return self._num_windows

    def __getitem__(self, index: int) -> Window:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Window]:
        """The windows of a batch, located and read together."""
        places = self._skipped.windows(np.asarray(indices, dtype=np.int64) + self._ahead, self._windows_per_step)
        ids, predicted, sources = self._plan.read(places)
        windows = as_windows(ids, predicted)
        if self._boundaries != "ignore":
            windows = with_boundaries(windows, self._plan.document_starts(places), self._boundaries)
        return [window | {"source": source} for window, source in zip(windows, torch.from_numpy(sources), strict=True)]


class EvaluationDataset(Dataset):
    """Every id of a source once: its windows in order, the last one padded with ids that are not predicted."""

    def __init__(self, source: Source, *, length: int, boundaries: Boundaries = "ignore") -> None:
        self._source = source
        self._length = length
        self._boundaries = boundaries

    @property
    def content_hash(self) -> str:
        """Names the tokens that are evaluated on."""
        return self._source.content_hash

    @property
    def corpus(self) -> Corpus:
        """The corpus that is evaluated on."""
        return self._source.corpus

    def __len__(self) -> int:
        return self._source.num_windows + (self._source.num_left_over > 0)

    def __getitem__(self, index: int) -> Window:
        windows = self._full(index) if index < self._source.num_windows else self._last()
        if self._boundaries == "ignore":
            return windows[0]
        return with_boundaries(windows, self._document_starts(index), self._boundaries)[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Window]:
        """The windows of a batch."""
        return [self[int(index)] for index in indices]

    def _full(self, index: int) -> list[Window]:
        return as_windows(*self._source.read([index]))

    def _last(self) -> list[Window]:
        rest, is_predicted = self._source.rest()
        ids, predicted = np.zeros(self._length + 1, dtype=np.int64), np.zeros(self._length + 1, dtype=bool)
        ids[: len(rest)], predicted[: len(rest)] = rest, is_predicted
        return as_windows(ids[None], predicted[None])

    def _document_starts(self, index: int) -> np.ndarray:
        """(1, L + 1) bool; padding belongs to the last document."""
        starts = self._source.document_starts([index])
        if index == self._source.num_windows:
            starts[0, self._source.num_left_over + 1 :] = False
        return starts


def as_windows(ids: np.ndarray, predicted: np.ndarray) -> list[Window]:
    """`ids` (n, L + 1) and which of them are predicted, as inputs and labels, (L,) each.

    >>> (window,) = as_windows(np.array([[2, 5, 6]]), np.array([[False, True, False]]))
    >>> window["input_ids"].tolist(), window["labels"].tolist()
    ([2, 5], [5, -100])
    """
    inputs = torch.from_numpy(ids[:, :-1])
    labels = torch.from_numpy(np.where(predicted[:, 1:], ids[:, 1:], IGNORED))
    return [{"input_ids": row, "labels": wanted} for row, wanted in zip(inputs, labels, strict=True)]


def with_boundaries(windows: list[Window], starts: np.ndarray, boundaries: Boundaries) -> list[Window]:
    """Windows with `position_ids` (L,) that begin anew at each document; `starts` (n, L + 1) as a plan gives them.

    "reset_positions": an `attention_mask` of ones lets attention reach over all of the window. "mask": without one,
    models of transformers (`masking_utils.find_packed_sequence_indices`, 5.23) let no id attend to another document.

    >>> (window,) = as_windows(np.array([[2, 5, 6, 7]]), np.array([[False, True, True, True]]))
    >>> starts = np.array([[False, True, False, True]])
    >>> with_boundaries([window], starts, "mask")[0]["position_ids"].tolist()
    [0, 0, 1]
    """
    places = np.arange(starts.shape[1] - 1)
    begins = np.maximum.accumulate(np.where(starts[:, :-1], places, 0), axis=1)
    for window, positions in zip(windows, torch.from_numpy(places - begins), strict=True):
        window["position_ids"] = positions
        if boundaries == "reset_positions":
            window["attention_mask"] = torch.ones_like(positions)
    return windows


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
