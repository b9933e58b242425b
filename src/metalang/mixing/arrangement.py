"""A random order of rows of several kinds, so many of each: every arrangement is as likely as any other.

Rows are drawn as from an urn that holds all of them: the kind of the next one is `kind` with the probability
left[kind] / sum(left). What is left before a row is all that must be known to go on there.
"""

import numpy as np
from numba import njit, uint64

from metalang.seeds import row_state, unit


@njit(cache=True)
def draw_kinds(key: int, start: int, left: np.ndarray, count: int) -> np.ndarray:
    """Kinds of the rows [start, start + count) of an order, (count,) int64; takes them out of `left`, (kinds,) int64.

    >>> left = np.array([2, 3])
    >>> sorted(draw_kinds(np.uint64(7), 0, left, 5).tolist()), left.tolist()
    ([0, 0, 1, 1, 1], [0, 0])
    """
    drawn = np.empty(count, dtype=np.int64)
    total = left.sum()
    for index in range(count):
        ticket = int(unit(row_state(key, uint64(start + index))) * total)
        kind = 0
        while ticket >= left[kind]:
            ticket -= left[kind]
            kind += 1
        left[kind] -= 1
        total -= 1
        drawn[index] = kind
    return drawn
