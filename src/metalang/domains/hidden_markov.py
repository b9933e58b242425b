"""Mixtures of hidden Markov models whose hidden state is a value and a slot.

Xie et al. 2022, "An Explanation of In-context Learning as Implicit Bayesian Inference", arXiv 2111.02080 (GINC), with
its code and the figures of its data set: 10 values, 10 slots, 50 symbols (100 and 150 too), 5 of 10 concepts trained
on, a value kept with weight 0.9, temperatures 0.1 (transitions) and 10 (start), documents of 10,240 symbols. Rows of
1,024 are our default. Its transition matrix of pairs is a Kronecker product, so values and slots are two chains that
know nothing of each other.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream
from metalang.domains.structures import structure_draws
from metalang.domains.transitions import Transitions, next_symbol
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range

_UNIT = 2**40


class Concepts(NamedTuple):
    """`memory` (values, slots): the symbol of a pair; `value` and `slot` as whole weights: starts (size,) for each
    concept, transitions (size, size), those of slots for each concept."""

    memory: np.ndarray
    value_starts: list[list[int]]
    slot_starts: list[list[int]]
    value: list[list[int]]
    slot: list[list[list[int]]]


class Ginc(Stream):
    """Symbol = memory[value, slot]; each moves by a chain of its own, the slot by that of the concept of the row.

    A chain is a mixture of `size` random permutations, its weights softmax((U - 1/2) / temperature); that of values
    keeps its value with weight `keep_value` besides. Slot 0 holds symbol 0, the delimiter, whatever the value.

    >>> Ginc(sequence_length=12).sample(0, 3, 1).symbols.tolist()
    [81, 65, 34, 43, 69, 74, 43, 32, 69, 64, 43, 74]
    >>> Ginc(sequence_length=12).drawn(1)
    '⟦36 24 2 36 12 22 33 30 2 2 36 24⟧'
    """

    type: Literal["ginc"] = "ginc"
    paper: ClassVar[str] = "Xie et al. 2022"
    num_values: int = Field(default=10, ge=1, le=256)
    num_slots: int = Field(default=10, ge=1, le=256)
    num_content: int = Field(default=50, ge=2, le=2**15)
    num_concepts: int = Field(default=5, ge=1, le=1024)
    keep_value: float = Field(default=0.9, ge=0.0, le=1.0)
    transition_temperature: float = Field(default=0.1, gt=0.0)
    start_temperature: float = Field(default=10.0, gt=0.0)
    sequence_length: Range = Range(min=1024, max=1024)
    structure_seed: int = 0

    @model_validator(mode="after")
    def _is_small_enough(self):
        if self.num_concepts * self.num_slots**2 > 2**20:
            raise ValueError(
                f"num_concepts {self.num_concepts} and num_slots {self.num_slots} make "
                f"{self.num_concepts * self.num_slots**2:,} transitions; lower one of the two, to {2**20:,} at most"
            )
        return self

    @property
    def content(self) -> range:
        """The symbols of the language, the delimiter first."""
        return content_range(self.num_content)

    @property
    def concepts(self) -> Concepts:
        """Memory and chains, drawn from `structure_seed`."""
        return _concepts(self)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_documents(key, start, ends, self.concepts.memory, *_chains(self), symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that no concept can give behind all before it."""
        value, slot = self.concepts.value, self.concepts.slot
        holders: dict[int, list[tuple[int, int]]] = {}
        for place, symbol in np.ndenumerate(self.concepts.memory):
            holders.setdefault(int(symbol), []).append(place)
        states: set[tuple[int, int, int]] = set()
        for place, symbol in enumerate(row):
            pairs = holders.get(symbol - NUM_CONTROL, [])
            if place == 0:
                states = {(concept, *pair) for concept in range(self.num_concepts) for pair in pairs}
            else:
                states = {
                    (concept, *pair)
                    for concept, old_value, old_slot in states
                    for pair in pairs
                    if value[old_value][pair[0]] and slot[concept][old_slot][pair[1]]
                }
            if not states:
                return place, f"symbol {symbol} follows by no concept that gives all before it"
        return None

    def predictive(self, row: Sequence[int]) -> list[list[float]]:
        """p(symbol | what stands before it) at each position of a row, (n, num_content), by the forward algorithm."""
        symbols = self.concepts.memory
        value_starts, slot_starts, value, slot = (_normalised(part) for part in self.concepts[1:])
        belief = value_starts[:, :, None] * slot_starts[:, None, :] / self.num_concepts
        laws = []
        for symbol in row:
            laws.append(np.bincount(symbols.ravel(), belief.sum(axis=0).ravel(), self.num_content).tolist())
            belief = belief * (symbols == symbol - NUM_CONTROL)
            belief = np.einsum("cvs,vw,cst->cwt", belief, value, slot) / belief.sum()
        return laws


def _normalised(weights) -> np.ndarray:
    weights = np.array(weights, dtype=np.float64)
    return weights / weights.sum(axis=-1, keepdims=True)


@lru_cache(maxsize=8)
def _concepts(domain: Ginc) -> Concepts:
    draws = structure_draws("concepts", domain.model_dump(mode="json", exclude={"sequence_length"}))
    values, slots = domain.num_values, domain.num_slots
    memory = np.array([[1 + next(draws) % (domain.num_content - 1) for _ in range(slots)] for _ in range(values)])
    memory[:, 0] = 0
    value = _mixture(draws, values, domain.transition_temperature)
    keep = round(_UNIT * domain.keep_value)
    for place, row in enumerate(value):
        total = sum(row)
        value[place] = [
            weight * (_UNIT - keep) + (keep * total if other == place else 0) for other, weight in enumerate(row)
        ]
    concepts = range(domain.num_concepts)
    return Concepts(
        memory,
        [_softmax(draws, values, domain.start_temperature) for _ in concepts],
        [_softmax(draws, slots, domain.start_temperature) for _ in concepts],
        value,
        [_mixture(draws, slots, domain.transition_temperature) for _ in concepts],
    )


def _softmax(draws: Iterator[int], size: int, temperature: float) -> list[int]:
    """softmax((U - 1/2) / temperature) as whole weights; none is 0."""
    logits = [(next(draws) / 2**64 - 0.5) / temperature for _ in range(size)]
    return [max(1, int(_UNIT * math.exp(logit - max(logits)))) for logit in logits]


def _mixture(draws: Iterator[int], size: int, temperature: float) -> list[list[int]]:
    """A mixture of `size` random permutations, (size, size) whole weights, all rows of one sum."""
    matrix = [[0] * size for _ in range(size)]
    for weight in _softmax(draws, size, temperature):
        for place, other in enumerate(sorted(range(size), key=[next(draws) for _ in range(size)].__getitem__)):
            matrix[place][other] += weight
    return matrix


@lru_cache(maxsize=8)
def _chains(domain: Ginc) -> tuple[Transitions, Transitions, Transitions, Transitions]:
    """Starts and transitions of values and slots; contexts of slots are numbered concept by concept."""
    concepts = domain.concepts
    slot = [row for matrix in concepts.slot for row in matrix]
    parts = (concepts.value_starts, concepts.slot_starts, concepts.value, slot)
    return tuple(Transitions.of_weights(part) for part in parts)


@njit(cache=True)
def _fill_documents(key, start, ends, memory, value_starts, slot_starts, value_chain, slot_chain, symbols):
    concepts, slots = slot_starts.thresholds.shape
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        concept = int64(below(mix64(state), uint64(concepts)))
        state += GOLDEN_GAMMA
        value = next_symbol(mix64(state), value_starts, concept)
        state += GOLDEN_GAMMA
        slot = next_symbol(mix64(state), slot_starts, concept)
        for place in range(begin, ends[index]):
            symbols[place] = NUM_CONTROL + memory[value, slot]
            state += GOLDEN_GAMMA
            value = next_symbol(mix64(state), value_chain, value)
            state += GOLDEN_GAMMA
            slot = next_symbol(mix64(state), slot_chain, concept * slots + slot)
        begin = ends[index]
