"""Repeats: runs of one symbol collapsed, symbols seen before left out.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
x of 10 to 220 symbols, in parts. Jiang, Shinnick et al. 2026, "Procedural Pretraining", arXiv 2601.21725: Set of 64
independent symbols of 99.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64

from metalang.domains.strings import Request, SizedFunction, between, close_row, draw_partition, shuffle
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, row_state


class _Repeats(SizedFunction):
    """`source` "parts": n uniform, k ~ U{1..n} symbols, their counts 1 + multinomial(n - k); or "independent"."""

    source: Literal["parts", "independent"] = "parts"

    @property
    def draws_independently(self) -> bool:
        """Whether the symbols of x are drawn as `vocabulary` says and nothing else is done to them."""
        return self.source == "independent"

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: one symbol, or all of them."""
        return 1, size

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_repeats(
            request, self.vocabulary.tables, self.source == "parts", self.type == "set", symbols, predicted, ends
        )


class Deduplicate(_Repeats):
    """y = x with each run of one symbol collapsed: x_i is kept where i = 0 or x_i != x_{i-1}. Parts stay in order.

    >>> Deduplicate(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 14}).solve([32, 32, 40, 40, 33, 40])
    [32, 40, 33, 40]
    >>> Deduplicate(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 14}).drawn(1)
    '2 2 8 8 8 8 SEP ⟦2 8 EOS⟧'
    """

    type: Literal["deduplicate"] = "deduplicate"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def solve(self, source: Sequence[int]) -> list[int]:
        """x without the symbols that equal the one before them."""
        kept: list[int] = []
        for symbol in source:
            if kept[-1:] != [symbol]:
                kept.append(symbol)
        return kept


class Set(_Repeats):
    """y = the different symbols of x: x_i is kept where it is none of x_0 ... x_{i-1}. Parts are shuffled.

    >>> Set(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 14}).solve([32, 32, 40, 40, 33, 40])
    [32, 40, 33]
    >>> Set(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 14}).drawn(1)
    '8 7 0 0 8 4 SEP ⟦8 7 0 4 EOS⟧'
    """

    type: Literal["set"] = "set"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def solve(self, source: Sequence[int]) -> list[int]:
        """The different symbols of x."""
        return list(dict.fromkeys(source))


@njit(cache=True)
def _write_repeats(request, tables, parts, everywhere, symbols, predicted, ends):
    """Rows of `Set` (`everywhere`) or `Deduplicate`."""
    sizes = np.zeros(request.high, dtype=np.int64)
    scratch = np.arange(0 if tables.replacement else tables.size + request.high)
    seen = np.zeros(tables.size if everywhere else 0, dtype=np.int64)  # the last row, from 1, that held a symbol
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, size = discourse_of(tables, state), between(state, request.low, request.high)
        source = symbols[begin : begin + size]
        if not parts:
            draw_row(state, tables, source, scratch, discourse)
        elif everywhere:
            _draw_shuffled_parts(state, tables, discourse, source, scratch)
        else:
            _draw_parts(state, tables, discourse, source, sizes, scratch)
        place, last = begin + size + 1, -1
        for symbol in source:
            if everywhere:
                new = seen[symbol - NUM_CONTROL] != index + 1
                seen[symbol - NUM_CONTROL] = index + 1
            else:
                new = symbol != last
                last = symbol
            if new:
                symbols[place] = symbol
                place += 1
        begin = close_row(request, symbols, predicted, begin, begin + size, place)
        ends[index] = begin


@njit(cache=True)
def _draw_parts(state, tables, discourse, source, sizes, scratch):
    """k ~ U{1..n} parts of one symbol each, one behind the other."""
    state += GOLDEN_GAMMA
    count = between(state, 1, len(source))
    sizes[:count] = 1
    state = draw_partition(state, len(source) - count, sizes[:count])
    drawn = source[len(source) - count :]  # what is written below never overtakes what is still to be read
    draw_row(state, tables, drawn, scratch, discourse)
    place = 0
    for part in range(count):
        symbol = drawn[part]
        for _ in range(sizes[part]):
            source[place] = symbol
            place += 1


@njit(cache=True)
def _draw_shuffled_parts(state, tables, discourse, source, scratch):
    """The same parts shuffled: one of each, and the others by parts drawn uniformly, which is the multinomial law."""
    state += GOLDEN_GAMMA
    count = between(state, 1, len(source))
    state = draw_row(state, tables, source[:count], scratch, discourse)
    for position in range(count, len(source)):
        state += GOLDEN_GAMMA
        source[position] = source[between(state, 0, count - 1)]
    shuffle(state, source)
