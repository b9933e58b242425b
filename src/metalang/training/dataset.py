"""Windows as the Trainer reads them: `input_ids` (L,) and `labels` (L,), already shifted."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from metalang.mixing import Mixture, Source
from metalang.training.objectives.cross_entropy import IGNORED

Window = dict[str, torch.Tensor]


class MixtureDataset(Dataset):
    """The first `num_windows` windows of a mixture, in its order."""

    def __init__(self, mixture: Mixture, num_windows: int) -> None:
        self._mixture = mixture
        self._num_windows = num_windows

    def __len__(self) -> int:
        return self._num_windows

    def __getitem__(self, index: int) -> Window:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Window]:
        """The windows of a batch, located together."""
        sources, windows = self._mixture.locate(indices)
        return [
            as_window(*self._mixture.sources[source].read(int(window)), length=self._mixture.length)
            for source, window in zip(sources, windows, strict=True)
        ]


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
        return as_window(*self._source.read(index), length=self._length)


def as_window(ids: np.ndarray, predicted: np.ndarray, *, length: int) -> Window:
    """`ids` (n + 1,) and which of them are predicted, as inputs and labels of `length`, n at most.

    >>> window = as_window(np.array([2, 5, 6]), np.array([False, True, False]), length=3)
    >>> window["input_ids"].tolist(), window["labels"].tolist()
    ([2, 5, 0], [5, -100, -100])
    """
    num_predicted = len(ids) - 1
    inputs = torch.zeros(length, dtype=torch.int64)
    labels = torch.full((length,), IGNORED, dtype=torch.int64)
    inputs[:num_predicted] = torch.from_numpy(ids[:-1])
    labels[:num_predicted] = torch.from_numpy(np.where(predicted[1:], ids[1:], IGNORED))
    return {"input_ids": inputs, "labels": labels}
