"""Alias tables of a vocabulary, and the draws of kernels from them.

A draw costs O(1), by Walker's alias method in the form of Vose 1991; the tables come from whole-number weights, so they
are the same on every machine. A vocabulary may have several laws, one a discourse; a row has one of them.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint32, uint64

from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, unit

_RACE_BELOW = 0.125  # mass of the symbols not yet drawn under which rejection gives way to a race
_DISCOURSE = np.uint64(0xD15C0D15C0D15C0D)  # takes the draw of a discourse out of the stream of the row


class Tables(NamedTuple):
    """A vocabulary as kernels read it: `size`; `replacement`; alias tables and p, (num_discourses, size) each, or
    (num_discourses, 0) where all is uniform."""

    size: int
    replacement: bool
    threshold: np.ndarray
    alias: np.ndarray
    probability: np.ndarray


def tables_of(laws: list[list[int]], *, replacement: bool = True) -> Tables:
    """The tables of whole-number weights, (num_discourses, size)."""
    size, shape = len(laws[0]), (len(laws), len(laws[0]))
    if all(len(set(weights)) == 1 for weights in laws):
        shape, laws = (len(laws), 0), []
    threshold, alias = np.empty(shape, np.uint32), np.empty(shape, np.int32)
    probability = np.empty(shape)
    for discourse, weights in enumerate(laws):
        total = sum(weights)
        threshold[discourse], alias[discourse] = _alias_tables(weights)
        probability[discourse] = [weight / total for weight in weights]
    return Tables(size, replacement, threshold, alias, probability)


def _alias_tables(weights: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Vose's tables: slot i keeps itself where a 32-bit draw is below threshold[i], else it gives alias[i]."""
    size, total = len(weights), sum(weights)
    scaled = [weight * size for weight in weights]  # a slot is full at `total`
    threshold, alias = np.full(size, 2**32 - 1, np.uint32), np.arange(size, dtype=np.int32)
    small = [slot for slot in range(size) if scaled[slot] < total]
    large = [slot for slot in range(size) if scaled[slot] >= total]
    while small and large:
        less, more = small.pop(), large[-1]
        threshold[less], alias[less] = (scaled[less] << 32) // total, more
        scaled[more] -= total - scaled[less]
        if scaled[more] < total:
            small.append(large.pop())
    return threshold, alias


@njit(cache=True, inline="always")
def discourse_of(tables, state):
    """The discourse of a row; `state` is that behind the row's first draw, and no draw is taken."""
    return below(mix64(state ^ _DISCOURSE), uint64(tables.threshold.shape[0]))


@njit(cache=True, inline="always")
def draw_one(draw, tables, discourse=0):
    """A content rank in [0, size) from one 64-bit draw; `discourse`: of the row."""
    slot = below(draw, uint64(tables.size))
    if tables.threshold.size == 0:
        return slot
    other = uint64(tables.alias[discourse, slot])  # read at all events: a chosen value is no branch to guess wrong
    keeps = uint32(draw & uint64(0xFFFFFFFF)) < tables.threshold[discourse, slot]
    return slot if keeps else other


@njit(cache=True)
def draw_row(state, tables, out, scratch, discourse=0):
    """Fills `out` (n,) with content symbols of one row, of its `discourse`; the state behind its last draw.

    `scratch` (size + n or more,) int64 is kept between rows: ranks 0 ... size - 1 in order, then room for n.
    """
    if tables.replacement:
        for position in range(len(out)):
            state += GOLDEN_GAMMA
            out[position] = NUM_CONTROL + draw_one(mix64(state), tables, discourse)
        return state
    if tables.threshold.size == 0:
        return _shuffle_some(state, tables.size, out, scratch)
    return _draw_distinct(state, tables, discourse, out)


@njit(cache=True)
def _shuffle_some(state, size, out, scratch):
    """The first n steps of a Fisher-Yates shuffle, undone behind it: O(n), whatever the size."""
    for position in range(len(out)):
        state += GOLDEN_GAMMA
        other = position + below(mix64(state), uint64(size - position))
        scratch[position], scratch[other] = scratch[other], scratch[position]
        scratch[size + position] = other
        out[position] = NUM_CONTROL + scratch[position]
    for position in range(len(out) - 1, -1, -1):
        other = scratch[size + position]
        scratch[position], scratch[other] = scratch[other], scratch[position]
    return state


@njit(cache=True)
def _draw_distinct(state, tables, discourse, out):
    """Draws again whatever was drawn; when little mass is left, an exponential race of the rest (Efraimidis & Spirakis
    2006) gives the same law in bounded time."""
    drawn, probability = np.zeros(tables.size, dtype=np.bool_), tables.probability[discourse]
    left, position = 1.0, 0
    while position < len(out) and left > _RACE_BELOW:
        state += GOLDEN_GAMMA
        rank = draw_one(mix64(state), tables, discourse)
        if not drawn[rank]:
            drawn[rank] = True
            left -= probability[rank]
            out[position] = NUM_CONTROL + rank
            position += 1
    if position < len(out):
        rest = np.flatnonzero(~drawn)
        arrival = np.empty(len(rest))
        for index in range(len(rest)):
            state += GOLDEN_GAMMA
            arrival[index] = -np.log(1.0 - unit(mix64(state))) / probability[rest[index]]
        order = np.argsort(arrival)
        for index in range(len(out) - position):
            out[position + index] = NUM_CONTROL + rest[order[index]]
    return state
