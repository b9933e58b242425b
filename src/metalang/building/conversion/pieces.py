"""Documents, some million ids at a time."""

from collections.abc import Iterator

import numpy as np

_PIECE_TOKENS = 2**20


def pieces(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Numbers [first, last) of documents that end at `ends`, (n,) int64, in pieces of about a million ids.

    >>> list(pieces(np.array([500_000, 900_000, 1_200_000, 5_000_000])))
    [(0, 2), (2, 3), (3, 4)]
    """
    first = 0
    while first < len(ends):
        start = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, start + _PIECE_TOKENS, side="right")))
        yield first, last
        first = last
