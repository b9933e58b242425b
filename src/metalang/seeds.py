"""Names to 64-bit keys, and keys to random streams that can be entered at any row.

A key is the head of a SHA-256 over canonical JSON, so it is the same in every process and on every machine. A stream is
splitmix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", section 5): a counter that is
mixed, so row r begins at a state of its own and can be made alone.
"""

from typing import Any

import numpy as np
from numba import float64, njit, uint64

from metalang.digests import digest_of
from metalang.kernels import keep_kernels

keep_kernels()

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def key_for(*names: Any) -> int:
    """Key of the stream that bears these names: an integer in [0, 2**64). Seed 0 is a seed like any other.

    >>> key_for("order", 0) == key_for("order", 0), key_for("order", 0) == key_for("order", 1)
    (True, False)
    """
    return int(digest_of(list(names))[:16], 16)


@njit(uint64(uint64), cache=True, inline="always")
def mix64(state: int) -> int:
    """The finalizer of splitmix64: a bijection of 64-bit integers, (uint64) -> uint64."""
    state = (state ^ (state >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> uint64(27))) * uint64(0x94D049BB133111EB)
    return state ^ (state >> uint64(31))


@njit(uint64(uint64, uint64), cache=True, inline="always")
def row_state(key: int, row: int) -> int:
    """State at which the stream of a row begins; a draw is `state += GOLDEN_GAMMA; mix64(state)`."""
    return mix64(key + row * GOLDEN_GAMMA)


@njit(float64(uint64), cache=True, inline="always")
def unit(draw: int) -> float:
    """A draw brought into [0, 1), with 53 bits."""
    return float(draw >> uint64(11)) * 2.0**-53


@njit(uint64(uint64, uint64), cache=True, inline="always")
def below(draw: int, bound: int) -> int:
    """A draw brought into [0, bound), for bound up to 2**32 (Lemire 2019; bias at most bound / 2**32)."""
    return ((draw >> uint64(32)) * bound) >> uint64(32)
