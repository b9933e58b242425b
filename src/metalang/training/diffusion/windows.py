"""Windows as masked diffusion reads them: with masks where ids are to be found.

Of a window that comes shifted (`dataset.as_windows`) the ids that it predicts and those between them are diffused; the
id before the first prediction position is left out. What stands behind the last predicted id, padding or a context
without an answer, is shown as masks that nobody predicts.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from metalang.training.diffusion.noise import Drawn
from metalang.training.objectives.cross_entropy import IGNORED

Window = dict[str, torch.Tensor]


class Noise(Protocol):
    """Decides what is masked."""

    def draw(self, place: int, ids: np.ndarray, predicted: np.ndarray) -> Drawn:
        """What is masked of the ids (L,) of the window at `place`, whose `predicted` (n,) places may be."""


class NoisyWindows(Dataset):
    """The windows of a dataset, in its order: `input_ids` (L,) with masks, `labels` (L,), `weights` (L,) float32.

    Labels stand where they are predicted and name all ids that may be masked; the weight of those that are not is 0.
    """

    def __init__(self, windows: Any, noise: Noise, mask_id: int) -> None:
        self._windows = windows
        self._noise = noise
        self._mask_id = mask_id

    @property
    def content_hash(self) -> str:
        """Names the tokens that are evaluated on."""
        return self._windows.content_hash

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Window]:
        """The windows of a batch."""
        windows = self._windows.__getitems__(indices)
        return [self._noisy(int(index), window) for index, window in zip(indices, windows, strict=True)]

    def _noisy(self, index: int, window: Window) -> Window:
        ids, labels = unshifted(window["input_ids"].numpy(), window["labels"].numpy(), self._mask_id)
        places = np.flatnonzero(labels != IGNORED)
        drawn = self._noise.draw(index, ids, places)
        weights = np.zeros(len(ids), dtype=np.float32)
        ids[places[drawn.masked]] = self._mask_id
        weights[places[drawn.masked]] = drawn.weight
        columns = {"input_ids": ids, "labels": labels, "weights": weights}
        return window | {name: torch.from_numpy(values) for name, values in columns.items()}


def unshifted(input_ids: np.ndarray, labels: np.ndarray, mask_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (L,) and labels (L,) at the same places, of inputs and labels that are one id ahead.

    >>> ids, labels = unshifted(np.array([2, 5, 6, 7]), np.array([IGNORED, 6, 7, IGNORED]), mask_id=9)
    >>> ids.tolist(), labels.tolist()
    ([5, 6, 7, 9], [-100, 6, 7, -100])
    """
    ids = np.append(input_ids[1:], labels[-1])
    last = np.flatnonzero(labels != IGNORED)[-1:]
    ids[(last[0] + 1 if len(last) else 0) :] = mask_id
    return ids, labels
