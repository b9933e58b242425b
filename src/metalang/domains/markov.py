"""Markov chains: one for each row, which is learned in context, or one for all rows.

In-context chains: Edelman et al. 2024, "The Evolution of Statistical Induction Heads", arXiv 2402.11004, with its code:
2 symbols (3, 4 and 8 too), bigrams or trigrams, rows of 101, transitions from Dirichlet(1), start from the stationary
law. The figures of `ngram` are ours, but for those that it shares with them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Stream
from metalang.domains.transitions import (
    Transitions,
    chain_of,
    draw_bounds,
    next_symbol,
    stationary_of,
    write_stationary,
)
from metalang.domains.vocabulary import Distribution, Uniform
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit
from metalang.specs import Range

_MAX_TRANSITIONS = 2**20
_END = 2**64


class _Chain(Stream):
    """p(s_t | s_1 ... s_{t-1}) = p(s_t | the last `ngram_size` - 1 symbols), over `num_states` symbols.

    The first `ngram_size` - 1 are drawn as one, from the stationary law or uniformly.
    """

    num_states: int = Field(default=2, ge=2, le=1024)
    ngram_size: int = Field(default=2, ge=1, le=16)
    sequence_length: Range = Range(min=101, max=101)
    start: Literal["stationary", "uniform"] = "stationary"
    max_stationary_contexts: ClassVar[int]

    @abstractmethod
    def predictive(self, row: Sequence[int]) -> list[list[float]]:
        """p(symbol | what stands before it) at each position of a row, (n, num_states)."""

    @property
    def num_contexts(self) -> int:
        """Contexts of `ngram_size` - 1 symbols."""
        return self.num_states ** (self.ngram_size - 1)

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.num_states)

    @model_validator(mode="after")
    def _is_small_enough(self):
        if (transitions := self.num_contexts * self.num_states) > _MAX_TRANSITIONS:
            raise ValueError(
                f"num_states {self.num_states} and ngram_size {self.ngram_size} make {transitions:,} transitions; "
                f"lower one of the two until there are {_MAX_TRANSITIONS:,} at most"
            )
        if self.start == "stationary" and self.num_contexts > self.max_stationary_contexts:
            raise ValueError(
                f"start 'stationary' is solved for {self.max_stationary_contexts} contexts at most, and num_states "
                f"{self.num_states} and ngram_size {self.ngram_size} make {self.num_contexts:,}; set start to 'uniform'"
            )
        return self

    def _contexts(self, row: Sequence[int]) -> list[tuple[int, ...] | None]:
        """What the law of each symbol depends on; None where fewer than `ngram_size` - 1 symbols stand before it."""
        width = self.ngram_size - 1
        return [tuple(row[place - width : place]) if place >= width else None for place in range(len(row))]


class IclMarkov(_Chain):
    """A chain for each row, each context's law from Dirichlet(1): only the row itself tells what it is.

    >>> IclMarkov(sequence_length=12).sample(0, 1, 1).symbols.tolist()
    [33, 33, 32, 33, 32, 32, 32, 32, 32, 32, 32, 32]
    >>> IclMarkov(sequence_length=4).predictive([32, 33, 32, 33])
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.3333333333333333, 0.6666666666666666]]
    """

    type: Literal["icl_markov"] = "icl_markov"
    paper: ClassVar[str] = "Edelman et al. 2024"
    max_stationary_contexts: ClassVar[int] = 64

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_chains(key, start, ends, self.num_states, self.num_contexts, self.start == "stationary", symbols)

    def predictive(self, row: Sequence[int]) -> list[list[float]]:
        """The Bayes predictor, (n, num_states): (count of context and symbol + 1) / (count of context + num_states).

        Where no whole context stands before a position it is uniform. What the start tells of the law is left out.
        """
        counts: dict = {}
        laws = []
        for context, symbol in zip(self._contexts(row), row, strict=True):
            seen = counts.setdefault(context, [0] * self.num_states)
            laws.append([(count + 1) / (sum(seen) + self.num_states) for count in seen])
            if context is not None:
                seen[symbol - NUM_CONTROL] += 1
        return laws


class Ngram(_Chain):
    """One chain for all rows: p(s | context) is proportional to (weight of s in `distribution`) x (exponential draw).

    The uniform distribution makes that Dirichlet(1). `structure_seed` draws another chain.

    >>> Ngram(num_states=50, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [53, 33, 80, 36, 50, 43, 71, 44]
    >>> Ngram(num_states=50, sequence_length=8).drawn(1)
    '⟦4 49 3 10 43 38 25 11⟧'
    """

    type: Literal["ngram"] = "ngram"
    paper: ClassVar[str] = "ours"
    distribution: Distribution = Uniform()
    structure_seed: int = 0
    max_stationary_contexts: ClassVar[int] = 512

    @property
    def transitions(self) -> Transitions:
        """The chain as kernels read it."""
        return chain_of(self.num_states, self.ngram_size, self.distribution, self.structure_seed)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        names = self.num_states, self.ngram_size, self.distribution, self.structure_seed
        law = stationary_of(*names) if self.start == "stationary" else np.full(self.num_contexts, 1 / self.num_contexts)
        _fill_ngrams(key, start, ends, chain_of(*names), np.cumsum(law), symbols)

    def predictive(self, row: Sequence[int]) -> list[list[float]]:
        """The law that the row was drawn from, (n, num_states); uniform where no whole context stands before."""
        laws = []
        for context in self._contexts(row):
            index = 0
            for symbol in context or ():
                index = index * self.num_states + symbol - NUM_CONTROL
            bounds = [0, *self.transitions.thresholds[index, :-1].tolist(), _END]
            law = [(high - low) / _END for low, high in pairwise(bounds)]
            laws.append(law if context is not None else [1 / self.num_states] * self.num_states)
        return laws


@njit(cache=True)
def _write_context(context, width, size, row):
    """Writes the `width` symbols of a context, or as many as the row has room for."""
    for place in range(width):
        if place < len(row):
            row[place] = NUM_CONTROL + context // size ** (width - 1 - place) % size


@njit(cache=True)
def _fill_ngrams(key, start, ends, transitions, cumulated, symbols):
    contexts, size = transitions.thresholds.shape
    width = 0
    while size**width < contexts:
        width += 1
    begin = 0
    for index in range(len(ends)):
        row = symbols[begin : ends[index]]
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        context = min(int64(np.searchsorted(cumulated, unit(mix64(state)), side="right")), contexts - 1)
        _write_context(context, width, size, row)
        for place in range(width, len(row)):
            state += GOLDEN_GAMMA
            symbol = next_symbol(mix64(state), transitions, context)
            row[place] = NUM_CONTROL + symbol
            context = (context * size + symbol) % contexts
        begin = ends[index]


@njit(cache=True)
def _fill_chains(key, start, ends, size, contexts, stationary, symbols):
    bounds = np.empty((contexts, size - 1), dtype=np.uint64)
    side = contexts if stationary else 1
    scratch, law = np.empty((side, side)), np.full(contexts, 1.0 / contexts)
    width = 0
    while size**width < contexts:
        width += 1
    begin = 0
    for index in range(len(ends)):
        state = draw_bounds(row_state(key, uint64(start + index)) + GOLDEN_GAMMA, bounds)
        if stationary:
            write_stationary(bounds, scratch, law)
        state += GOLDEN_GAMMA
        left, context = unit(mix64(state)), 0
        while context < contexts - 1 and left >= law[context]:
            left -= law[context]
            context += 1
        row = symbols[begin : ends[index]]
        _write_context(context, width, size, row)
        walk(state, bounds, context, row[width:])
        begin = ends[index]


@njit(cache=True)
def walk(state, bounds, context, row):
    """Fills a row with the chain of `bounds` (contexts, size - 1), from a context on."""
    contexts, size = len(bounds), bounds.shape[1] + 1
    for place in range(len(row)):
        state += GOLDEN_GAMMA
        draw = mix64(state)
        symbol = 0
        for other in range(size - 1):
            symbol += draw >= bounds[context, other]
        row[place] = NUM_CONTROL + symbol
        context = (context * size + symbol) % contexts
