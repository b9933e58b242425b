"""A keyed permutation of 0 ... size - 1 that needs no memory.

A balanced Feistel network over the smallest even number of bits that holds `size` (6 at least), ten rounds, walking on
while it lands outside (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", section 4).
"""

import numpy as np
from numba import njit, uint64

from metalang.seeds import mix64

_ROUNDS = 10
_MIN_HALF_BITS = 3  # smaller halves mix badly, however many rounds


@njit(cache=True)
def permuted(places: np.ndarray, size: int, key: int) -> np.ndarray:
    """Where each of `places` (n,) int64 in [0, size) goes, (n,) int64.

    >>> sorted(permuted(np.arange(5), 5, np.uint64(7)).tolist())
    [0, 1, 2, 3, 4]
    """
    half = uint64(_MIN_HALF_BITS)
    while (uint64(1) << (half * uint64(2))) < uint64(size):
        half += uint64(1)
    low = (uint64(1) << half) - uint64(1)
    out = np.empty(len(places), dtype=np.int64)
    for index in range(len(places)):
        value = uint64(places[index])
        while True:
            left, right = value >> half, value & low
            for number in range(_ROUNDS):
                left, right = right, left ^ (mix64(key + uint64(number + 1) * mix64(right + uint64(1))) & low)
            value = (left << half) | right
            if value < uint64(size):
                break
        out[index] = value
    return out
