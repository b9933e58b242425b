"""Heads and tails: nested, crossing, or some of each.

Papadimitriou & Jurafsky 2020, "Learning Music Helps You Read", arXiv 2004.14601, and 2023, "Injecting structural
hints", arXiv 2304.13060, with the generators that go with them. Rows of 512 symbols out of 500, open_prob 0.49 (the
flag of their mixing script; the one for nesting has no default) and a displacement of 2 at most are those of 2023; the
share of crossing heads in a mixture has no default there, 0.01 is ours. In 2020 one stack ran through the whole corpus,
a displacement had no bound, and half of the positions opened: the 0.4 in that code is never used. Rows are independent
here, so each begins with an empty stack.
Lengths of dependencies: short-uniform, long-uniform and uniform30 of 2023 are ranges. The default is our
Zipf-Mandelbrot fit (greatest likelihood, exponents to one decimal) of their counts for English.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field

from metalang.domains.streams import Fault, PairedStream
from metalang.domains.vocabulary import Distribution, Tables, Uniform, Vocabulary, Zipf, discourse_of, draw_one
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit
from metalang.specs import Range, Size


class DependencyLength(Range):
    """How far a tail is meant to lie behind its head: `min` to `max`; `min` is the most frequent where Zipf.

    >>> DependencyLength(min=1, max=5)
    DependencyLength(min=1, max=5, distribution=Uniform(type='uniform'))
    """

    max: Size = Field(le=2**20)
    distribution: Distribution = Uniform()

    @property
    def tables(self) -> Tables:
        """The lengths above `min`, as kernels read a vocabulary."""
        return Vocabulary(size=self.max - self.min + 1, distribution=self.distribution).tables


ENGLISH = DependencyLength(min=1, max=155, distribution=Zipf(alpha=3.5, beta=3.9))


class _Dependencies(PairedStream):
    """A mixture: at each free place a crossing head or a step of nesting; alone, either is a mixture of one kind."""

    @property
    @abstractmethod
    def _shares(self) -> tuple[float, float]:
        """`open_prob` of the nesting, `mix_prob` of the crossing heads."""

    @property
    def _reach(self) -> tuple[DependencyLength, int]:
        """The law of d and the greatest displacement; of no effect where nothing crosses."""
        return ENGLISH, 0

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        length, max_displacement = self._reach
        _fill_dependencies(
            key, start, ends, self.vocabulary.tables, self.tail_offset, *self._shares,
            length.tables, length.min, max_displacement, np.empty(self.row_lengths[-1], np.int64), symbols,
        )  # fmt: skip


class _Crossing(_Dependencies):
    """`max_displacement`: how far from a place that is taken a tail may go; None lets it go as far as it must.

    Nearer places come first, and the left one of two. A head whose tail finds no place, or would stand behind the
    row, has none.
    """

    dependency_length: DependencyLength = ENGLISH
    max_displacement: int | None = Field(default=2, ge=0)

    @property
    def _reach(self) -> tuple[DependencyLength, int]:
        bound = self.row_lengths[-1] if self.max_displacement is None else self.max_displacement
        return self.dependency_length, bound


class NestedParens(_Dependencies):
    """A head with probability `open_prob`, or where none is open; else the tail of the last open head.

    s_t = match(pop) or a fresh head, pushed; match(x) = x, or x + size where `paired`. A row may end with open heads.

    >>> NestedParens(paired=True, vocabulary={"size": 3}, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [32, 35, 32, 34, 34, 34, 37, 37]
    >>> NestedParens(paired=True, vocabulary={"size": 3}, sequence_length=8).drawn(1)
    '⟦2 2 5 2 0 3 5 2⟧'
    """

    type: Literal["nested_parens"] = "nested_parens"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2020"
    open_prob: float = Field(default=0.49, ge=0.0, le=1.0)

    @property
    def _shares(self) -> tuple[float, float]:
        return self.open_prob, 0.0

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first tail that is not the tail of the last open head."""
        heads = []
        for position, symbol in enumerate(row):
            if not self.is_tail(symbol):
                heads.append(symbol)
            elif not heads:
                return position, f"tail {symbol} stands where no head is open"
            elif symbol != (expected := heads.pop() + self.vocabulary.size):
                return position, f"tail is {symbol} and should be {expected}"
        return None


class FlatParens(_Crossing):
    """Heads and tails that may cross: the tail of the head at i goes to i + d, d drawn, or to a free place near it.

    >>> FlatParens(paired=True, vocabulary={"size": 3}, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [33, 34, 32, 35, 36, 34, 37, 34]
    >>> FlatParens(paired=True, vocabulary={"size": 3}, sequence_length=8).drawn(1)
    '⟦0 1 4 1 2 1 4 5⟧'
    """

    type: Literal["flat_parens"] = "flat_parens"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2020"

    @property
    def _shares(self) -> tuple[float, float]:
        return 0.0, 1.0

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first tail for which no head of its own lies in reach.

        Heads of one symbol take tails in their order: with a window of one width for all, that leaves none out which
        some other order would serve.
        """
        bound = len(row) if self.max_displacement is None else self.max_displacement
        nearest, farthest = max(1, self.dependency_length.min - bound), self.dependency_length.max + bound
        return _unmatched_tail(self, row, nearest, farthest)


class MixedParens(_Crossing):
    """At each free place, with probability `mix_prob` a head of FlatParens, else a step of NestedParens.

    >>> MixedParens(paired=True, vocabulary={"size": 3}, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [32, 35, 32, 34, 34, 34, 37, 37]
    >>> MixedParens(paired=True, vocabulary={"size": 3}, sequence_length=8).drawn(1)
    '⟦2 1 0 3 4 2 2 5⟧'
    """

    type: Literal["mixed_parens"] = "mixed_parens"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2023"
    open_prob: float = Field(default=0.49, ge=0.0, le=1.0)
    mix_prob: float = Field(default=0.01, ge=0.0, le=1.0)

    @property
    def _shares(self) -> tuple[float, float]:
        return self.open_prob, self.mix_prob

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first tail with no open head of its own before it."""
        return _unmatched_tail(self, row, 1, len(row))


def _unmatched_tail(domain: PairedStream, row: Sequence[int], nearest: int, farthest: int) -> Fault | None:
    heads: dict[int, deque[int]] = {}
    for position, symbol in enumerate(row):
        if not domain.is_tail(symbol):
            heads.setdefault(symbol, deque()).append(position)
            continue
        waiting = heads.get(symbol - domain.vocabulary.size, deque())
        while waiting and waiting[0] < position - farthest:
            waiting.popleft()
        if not waiting or waiting[0] > position - nearest:
            return position, f"tail {symbol} has no head {nearest} to {farthest} places before it"
        waiting.popleft()
    return None


@njit(cache=True)
def _fill_dependencies(
    key, start, ends, tables, tail_offset, open_prob, mix_prob,
    length_tables, shortest, max_displacement, stack, symbols,
):  # fmt: skip
    """mix_prob 0 nests, 1 crosses; `stack` (longest row,) int64 is scratch."""
    head_share = mix_prob + (1.0 - mix_prob) * open_prob
    begin = 0
    for index in range(len(ends)):
        row = symbols[begin : ends[index]]
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        depth, discourse = 0, discourse_of(tables, state)
        for position in range(len(row)):
            if row[position] != 0:
                continue
            share = 0.0
            if mix_prob < 1.0:
                state += GOLDEN_GAMMA
                share = unit(mix64(state))
            if depth > 0 and share >= head_share:
                depth -= 1
                row[position] = stack[depth] + tail_offset
                continue
            state += GOLDEN_GAMMA
            head = NUM_CONTROL + int64(draw_one(mix64(state), tables, discourse))
            row[position] = head
            if share < mix_prob:
                state += GOLDEN_GAMMA
                target = position + shortest + int64(draw_one(mix64(state), length_tables))
                _place_tail(row, position, target, max_displacement, head + tail_offset)
            else:
                stack[depth] = head
                depth += 1
        begin = ends[index]


@njit(cache=True)
def _place_tail(row, position, target, max_displacement, tail):
    """Writes a tail at `target` or the free place next to it; every place up to `position` is taken."""
    if target >= len(row):
        return
    for displacement in range(max_displacement + 1):
        left, right = target - displacement, target + displacement
        if left > position and row[left] == 0:
            row[left] = tail
            return
        if right < len(row) and row[right] == 0:
            row[right] = tail
            return
        if left <= position and right >= len(row):
            return
