"""Rows as our Trainer reads them: in the order of a run, or each once to evaluate on; padded to the longest of a batch.

Labels stand where they are predicted, as in the windows of a mixture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from metalang.training.phases.collators import shifted_rows
from metalang.training.phases.order import RowOrder
from metalang.training.phases.unified import UnifiedDataset

Shifted = dict[str, torch.Tensor]


class RunRows(Dataset):
    """The first `num_places` places of a run: `input_ids`, `labels` and `attention_mask` of the row that each reads."""

    def __init__(self, dataset: UnifiedDataset, order: RowOrder, num_places: int) -> None:
        self._dataset = dataset
        self._order = order
        self._num_places = num_places

    def __len__(self) -> int:
        return self._num_places

    def __getitem__(self, index: int) -> Shifted:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Shifted]:
        """The rows of a batch."""
        return shifted_rows([self._dataset[row] for row in self._order.rows(indices)])


class EvaluationRows(Dataset):
    """Every row once, the longest first: batches pad little, and one too large for the memory fails at once."""

    def __init__(self, dataset: UnifiedDataset) -> None:
        self._dataset = dataset
        self._rows = np.argsort(-dataset.sizes, kind="stable")

    @property
    def content_hash(self) -> str:
        """Names the file that is evaluated on."""
        return self._dataset.content_hash

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Shifted:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Shifted]:
        """The rows of a batch."""
        return shifted_rows([self._dataset[int(self._rows[index])] for index in indices])
