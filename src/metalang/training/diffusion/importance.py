"""How important an id is, and which importance a run masks when.

The importance of an id is the rank of its unigram surprisal among all tokens counted: the share of tokens that surprise
less, plus half of those that surprise equally. It is 0.5 for a mean token, near 0 for the commonest id, and 1 for an id
that was not counted. `estimator` has another measure, which looks at an id's neighbours.

A run goes through three stages. In each a predicted id has the weight 1 if its importance lies in the range of the
stage, edges included, else `OUTSIDE`. How many ids of a window are masked does not depend on the weights, only which:
ids are drawn one after the other without replacement, each with a chance in proportion to its weight. With such a draw
the weighted training loss is no bound on the likelihood any more; evaluation draws without weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

OUTSIDE = 0.1


def importance_of(counts: np.ndarray) -> np.ndarray:
    """Importance of each id in [0, 1], (V,) float64, from how often each occurs, (V,) int64.

    >>> importance_of(np.array([6, 3, 1, 0])).tolist()
    [0.3, 0.75, 0.95, 1.0]
    >>> importance_of(np.array([2, 2])).tolist()
    [0.5, 0.5]
    """
    distinct, which, num_ids = np.unique(-counts, return_inverse=True, return_counts=True)
    tokens = -distinct * num_ids
    total = int(tokens.sum())
    assert total > 0, "counts of some tokens"
    return ((np.cumsum(tokens) - tokens / 2) / total)[which]


class Importance(Protocol):
    """Says how important the ids of a window are."""

    def of(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Importance in [0, 1] of those at `places` (n,) among the ids (L,) of a window, (n,) float64."""


@dataclass(frozen=True)
class OfIds:
    """An importance that each id has wherever it stands, `table` (V,)."""

    table: np.ndarray

    def of(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        return self.table[ids[places]]


@dataclass(frozen=True)
class Curriculum:
    """Which ids are masked more often in which part of a run.

    `ends`: where the first and the second of three stages end, as shares of the run; `ranges`: least and greatest
    importance of each stage.
    """

    importance: Importance
    ends: tuple[float, float]
    ranges: Sequence[tuple[float, float]]

    def weights(self, ids: np.ndarray, places: np.ndarray, progress: float) -> np.ndarray:
        """Weights (n,) of those at `places` (n,) among ids (L,), when a share `progress` in [0, 1) of a run is done.

        >>> importance = OfIds(np.array([0.3, 0.75]))
        >>> curriculum = Curriculum(importance, (0.5, 0.8), [(0.0, 0.4), (0.3, 0.7), (0.6, 1.0)])
        >>> ids, places = np.array([0, 1, 1]), np.array([0, 2])
        >>> [curriculum.weights(ids, places, progress).tolist() for progress in (0.0, 0.5, 0.8)]
        [[1.0, 0.1], [1.0, 0.1], [0.1, 1.0]]
        """
        least, greatest = self.ranges[sum(progress >= end for end in self.ends)]
        importance = self.importance.of(ids, places)
        return np.where((least <= importance) & (importance <= greatest), 1.0, OUTSIDE)
