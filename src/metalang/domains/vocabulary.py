"""The content symbols that rows are made of, and how often each is drawn.

Zipf-Mandelbrot: p(r) is proportional to (r + beta) ** -alpha for rank r = 1 ... size (Mandelbrot 1953; alpha 1 and
beta 2.7 are our defaults; Papadimitriou & Jurafsky 2023, arXiv 2304.13060, count ranks from 0, so theirs is beta 1.7).
The symbol of rank r is NUM_CONTROL + r - 1. Draws cost O(1), by Walker's alias method in the form of Vose 1991; weights
are whole numbers, so that the tables are the same on every machine.
"""

from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numba import njit, uint32, uint64
from pydantic import BeforeValidator, Field

from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, unit
from metalang.specs import Size, Spec

_UNIT = 2**128  # weight of the most frequent symbol: none of 2**31 symbols weighs 0, even at alpha 4
_RACE_BELOW = 0.125  # mass of the symbols not yet drawn under which rejection gives way to a race


class Uniform(Spec):
    """Every symbol is as likely as any other."""

    type: Literal["uniform"] = "uniform"

    def weights(self, size: int) -> list[int]:
        """Relative frequencies by rank, (size,)."""
        return [_UNIT] * size


class Zipf(Spec):
    """p(rank r) is proportional to (r + beta) ** -alpha.

    >>> Zipf(alpha=1.0, beta=0.0).weights(4)[1] / Zipf(alpha=1.0, beta=0.0).weights(4)[3]
    2.0
    """

    type: Literal["zipf"] = "zipf"
    alpha: float = Field(default=1.0, ge=0.0, le=4.0)
    beta: float = Field(default=2.7, ge=0.0, le=1e6)

    def weights(self, size: int) -> list[int]:
        """Relative frequencies by rank, (size,), as whole numbers, equal on every machine."""
        alpha, beta = Decimal(repr(self.alpha)), Decimal(repr(self.beta))
        with localcontext(Context(prec=40)):
            return [int(_UNIT * ((1 + beta) / (rank + beta)) ** alpha) for rank in range(1, size + 1)]


def _by_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


Distribution = Annotated[Uniform | Zipf, Field(discriminator="type"), BeforeValidator(_by_name)]


class Tables(NamedTuple):
    """A vocabulary as kernels read it: `size`; `replacement`; alias tables (size,), empty where uniform; p (size,)."""

    size: int
    replacement: bool
    threshold: np.ndarray
    alias: np.ndarray
    probability: np.ndarray


class Vocabulary(Spec):
    """`size` content symbols, drawn independently, or (`replacement` false) each at most once in a row.

    Without replacement means one after the other from what is left, with the probabilities of what is left.
    """

    size: Size = Field(ge=1, le=2**31 - NUM_CONTROL)
    distribution: Distribution = Uniform()
    replacement: bool = True

    @property
    def tables(self) -> Tables:
        """The vocabulary as kernels read it."""
        return _tables(self)


def tables_of(weights: list[int], *, replacement: bool = True) -> Tables:
    """Ranks as kernels draw them, rank r with a probability proportional to weights[r]."""
    uniform = len(set(weights)) == 1
    threshold, alias = (np.zeros(0, np.uint32), np.zeros(0, np.int32)) if uniform else _alias_tables(weights)
    total = sum(weights)
    probability = np.zeros(0) if uniform else np.array([weight / total for weight in weights])
    return Tables(len(weights), replacement, threshold, alias, probability)


@lru_cache(maxsize=64)
def _tables(vocabulary: Vocabulary) -> Tables:
    return tables_of(vocabulary.distribution.weights(vocabulary.size), replacement=vocabulary.replacement)


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
def draw_one(draw, tables):
    """A content rank in [0, size) from one 64-bit draw."""
    slot = below(draw, uint64(tables.size))
    if len(tables.threshold) == 0:
        return slot
    other = uint64(tables.alias[slot])  # read at all events: a chosen value is no branch to be guessed wrong
    keeps = uint32(draw & uint64(0xFFFFFFFF)) < tables.threshold[slot]
    return slot if keeps else other


@njit(cache=True)
def draw_row(state, tables, out, scratch):
    """Fills `out` (n,) with content symbols of one row; the state behind its last draw.

    `scratch` (size + n or more,) int64 is kept between rows: ranks 0 ... size - 1 in order, then room for n.
    """
    if tables.replacement:
        for position in range(len(out)):
            state += GOLDEN_GAMMA
            out[position] = NUM_CONTROL + draw_one(mix64(state), tables)
        return state
    if len(tables.threshold) == 0:
        return _shuffle_some(state, tables.size, out, scratch)
    return _draw_distinct(state, tables, out)


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
def _draw_distinct(state, tables, out):
    """Draws again whatever was drawn; when little mass is left, an exponential race of the rest (Efraimidis & Spirakis
    2006) gives the same law in bounded time."""
    drawn = np.zeros(tables.size, dtype=np.bool_)
    left, position = 1.0, 0
    while position < len(out) and left > _RACE_BELOW:
        state += GOLDEN_GAMMA
        rank = draw_one(mix64(state), tables)
        if not drawn[rank]:
            drawn[rank] = True
            left -= tables.probability[rank]
            out[position] = NUM_CONTROL + rank
            position += 1
    if position < len(out):
        rest = np.flatnonzero(~drawn)
        arrival = np.empty(len(rest))
        for index in range(len(rest)):
            state += GOLDEN_GAMMA
            arrival[index] = -np.log(1.0 - unit(mix64(state))) / tables.probability[rest[index]]
        order = np.argsort(arrival)
        for index in range(len(out) - position):
            out[position + index] = NUM_CONTROL + rest[order[index]]
    return state
