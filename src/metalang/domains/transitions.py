"""Laws of the next symbol that kernels read, chains drawn by name, and their stationary laws.

A point of Dirichlet(1) is the gaps between sorted uniform draws: transitions are whole numbers, without logarithms.
"""

from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numba import int64, njit, uint64

from metalang.domains.vocabulary import Distribution
from metalang.seeds import GOLDEN_GAMMA, key_for, mix64, row_state

_END = 2**64


class Transitions(NamedTuple):
    """p(symbol | context) as kernels read it.

    `thresholds` (contexts, size) uint64: 2**64 times the cumulated law, the last unread. `guide` (contexts, 256) int32:
    where a search begins, by the upper 8 bits of a draw.
    """

    thresholds: np.ndarray
    guide: np.ndarray

    @staticmethod
    def of_weights(rows: list[list[int]]) -> "Transitions":
        """The law that is proportional to whole weights, (contexts, size)."""
        thresholds = np.array([_thresholds(weights) for weights in rows], dtype=np.uint64)
        lower = np.arange(256, dtype=np.uint64) << np.uint64(56)
        guide = [np.searchsorted(row[:-1], lower, side="right") for row in thresholds]
        return Transitions(thresholds, np.array(guide, dtype=np.int32))


@lru_cache(maxsize=16)
def chain_of(size: int, ngram_size: int, distribution: Distribution, structure_seed: int) -> Transitions:
    """The chain of these names: each context's law is proportional to (weight of a symbol) x (exponential draw)."""
    key = np.uint64(key_for("transitions", size, ngram_size, structure_seed))
    bounds = np.empty((size ** (ngram_size - 1), size - 1), dtype=np.uint64)
    draw_bounds(np.uint64(row_state(key, np.uint64(0))), bounds)  # a plain int below 2**63 would be taken as signed
    weights = distribution.weights(size)
    laws = [
        [weight * (high - low) for weight, low, high in zip(weights, [0, *row], [*row, _END], strict=True)]
        for row in bounds.tolist()
    ]
    return Transitions.of_weights(laws)


@lru_cache(maxsize=16)
def stationary_of(size: int, ngram_size: int, distribution: Distribution, structure_seed: int) -> np.ndarray:
    """The stationary law of that chain, over contexts, (size ** (ngram_size - 1),) float64."""
    bounds = chain_of(size, ngram_size, distribution, structure_seed).thresholds[:, :-1]
    law = np.empty(len(bounds))
    write_stationary(bounds, np.empty((len(bounds), len(bounds))), law)
    return law


def _thresholds(weights: list[int]) -> list[int]:
    total = sum(weights)
    return [min((sum_ << 64) // total, _END - 1) for sum_ in accumulate(weights)]


@njit(cache=True)
def draw_bounds(state, bounds):
    """Fills each row of `bounds` (contexts, size - 1) uint64 with sorted draws; the state behind the last."""
    for context in range(bounds.shape[0]):
        for place in range(bounds.shape[1]):
            state += GOLDEN_GAMMA
            draw = mix64(state)
            other = place
            while other > 0 and bounds[context, other - 1] > draw:
                bounds[context, other] = bounds[context, other - 1]
                other -= 1
            bounds[context, other] = draw
    return state


@njit(cache=True, inline="always")
def next_symbol(draw, transitions, context):
    """A symbol in [0, size) from one 64-bit draw."""
    last = transitions.thresholds.shape[1] - 1
    symbol = transitions.guide[context, draw >> uint64(56)]
    while symbol < last and draw >= transitions.thresholds[context, symbol]:
        symbol += 1
    return int64(symbol)


@njit(cache=True)
def write_stationary(bounds, scratch, out):
    """Writes the stationary law, (contexts,), of the chain with `bounds` (contexts, size - 1) into `out`.

    Elimination without subtraction (Grassmann, Taksar & Heyman 1985); `scratch` is (contexts, contexts).
    """
    contexts, size = len(bounds), bounds.shape[1] + 1
    scratch[:] = 0.0
    for context in range(contexts):
        low = uint64(0)
        for symbol in range(size):
            high = bounds[context, symbol] if symbol < size - 1 else uint64(0xFFFFFFFFFFFFFFFF)
            scratch[context, (context * size + symbol) % contexts] += float(high - low)
            low = high
    for last in range(contexts - 1, 0, -1):
        leaving = 0.0
        for target in range(last):
            leaving += scratch[last, target]
        for source in range(last):
            share = scratch[source, last] / leaving
            scratch[source, last] = share
            for target in range(last):
                scratch[source, target] += share * scratch[last, target]
    total = 1.0
    out[0] = 1.0
    for context in range(1, contexts):
        out[context] = 0.0
        for source in range(context):
            out[context] += out[source] * scratch[source, context]
        total += out[context]
    for context in range(contexts):
        out[context] /= total
