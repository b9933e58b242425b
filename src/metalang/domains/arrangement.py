"""Rows in another order: gathered from what several calls have sampled."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from metalang.domains.contract import Sequences


def take_rows(parts: Sequence[Sequences], order: np.ndarray) -> Sequences:
    """The rows `order` (n,) of all parts, numbered one part after the other.

    >>> rows = Sequences(np.array([5, 6, 7], np.uint16), np.array([1, 3]), np.array([False, True, True]))
    >>> take_rows([rows], np.array([1, 0])).symbols.tolist()
    [6, 7, 5]
    """
    symbols = np.concatenate([part.symbols for part in parts])
    predicted = np.concatenate([part.predicted for part in parts])
    lengths = np.concatenate([np.diff(part.ends, prepend=0) for part in parts])
    return Sequences(*_gather(symbols, predicted, lengths, order))


@njit(cache=True)
def _gather(symbols, predicted, lengths, order):
    starts = np.cumsum(lengths) - lengths
    ends = np.cumsum(lengths[order])
    size = ends[-1] if len(ends) else 0
    gathered, flags = np.empty(size, dtype=symbols.dtype), np.empty(size, dtype=np.bool_)
    for index in range(len(order)):
        start, length, end = starts[order[index]], lengths[order[index]], ends[index]
        gathered[end - length : end] = symbols[start : start + length]
        flags[end - length : end] = predicted[start : start + length]
    return gathered, ends, flags
