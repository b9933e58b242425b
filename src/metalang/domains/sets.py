"""Operations on two sets of symbols, in order of first occurrence.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
x of 10 to 220 symbols, drawn from a pool half as large. Jiang, Shinnick et al. 2026, "Procedural Pretraining", arXiv
2601.21725: Union of two halves of 32 independent symbols of 99. The former leave the order of y open; the latter use
first occurrence, and so do all four here.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.strings import Request, SizedFunction, between, close_row
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, row_state

_ARG, _EMPTY = int(Control.ARG), int(Control.EMPTY)


class _Operation(SizedFunction):
    """x = a ARG b, t = |a| + |b| uniform. Symbols come from a pool of max(1, floor(t * pool_ratio)) different ones.

    `pool_ratio` null: from the whole vocabulary. `division` "uniform": |a| ~ U{0..t}; "halves": |a| = floor(t / 2).
    An empty result is EMPTY.
    """

    num_parts: ClassVar[int] = 2
    shortest_source: ClassVar[int] = 2
    keeps: ClassVar[tuple[bool, bool, bool]]  # whether symbols of a alone, of b alone, of both are kept

    pool_ratio: float | None = Field(default=0.5, gt=0.0, le=1.0)
    division: Literal["uniform", "halves"] = "uniform"

    @model_validator(mode="after")
    def _pool_fits(self):
        pool = self._pool(self.source_length[-1] - 1) if self.pool_ratio is not None else 0
        if pool > self.vocabulary.size:
            raise ValueError(
                f"pool_ratio {self.pool_ratio} needs up to {pool} different symbols and vocabulary.size is "
                f"{self.vocabulary.size}; raise it, lower pool_ratio, or set pool_ratio to null"
            )
        return self

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: EMPTY alone, or every symbol of a and b."""
        return 1, max(1, size - 1)

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        tables, ratio = self.vocabulary.tables, -1.0
        if self.pool_ratio is not None:
            tables, ratio = tables._replace(replacement=False), self.pool_ratio
        _write_operations(
            request, tables, ratio, self.division == "halves", self._kept_by_marks, symbols, predicted, ends
        )  # fmt: skip

    @property
    def _kept_by_marks(self) -> np.ndarray:
        kept = np.zeros(8, dtype=np.int64)  # by 1: in a, plus 2: in b, plus 4: written before
        kept[1:4] = self.keeps
        return kept

    def _pool(self, total: int) -> int:
        return max(1, int(total * self.pool_ratio))


class Union(_Operation):
    """y = a ∪ b.

    >>> Union(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 32, 4, 33, 40])
    [40, 32, 33]
    >>> Union(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '0 2 2 ARG 0 0 7 SEP ⟦0 2 7 EOS⟧'
    """

    type: Literal["union"] = "union"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    keeps: ClassVar[tuple[bool, bool, bool]] = (True, True, True)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The symbols of a, then those that b adds."""
        first, second = self.parts(source)
        return list(dict.fromkeys(first + second)) or [_EMPTY]


class Intersect(_Operation):
    """y = a ∩ b.

    >>> Intersect(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 32, 4, 33, 40])
    [40]
    >>> Intersect(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '1 1 3 ARG 3 1 SEP ⟦1 3 EOS⟧'
    """

    type: Literal["intersect"] = "intersect"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    keeps: ClassVar[tuple[bool, bool, bool]] = (False, False, True)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The symbols of a that stand in b too."""
        first, second = self.parts(source)
        return [symbol for symbol in dict.fromkeys(first) if symbol in second] or [_EMPTY]


class SetDiffAB(_Operation):
    """y = a minus b.

    >>> SetDiffAB(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 32, 4, 33, 40])
    [32]
    >>> SetDiffAB(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '8 ARG 2 2 0 2 2 SEP ⟦8 EOS⟧'
    """

    type: Literal["set_diff_a_b"] = "set_diff_a_b"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    keeps: ClassVar[tuple[bool, bool, bool]] = (True, False, False)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The symbols of a that b has not."""
        first, second = self.parts(source)
        return [symbol for symbol in dict.fromkeys(first) if symbol not in second] or [_EMPTY]


class SetDiffBA(_Operation):
    """y = b minus a.

    >>> SetDiffBA(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 32, 4, 33, 40])
    [33]
    >>> SetDiffBA(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '6 4 6 ARG 5 4 5 SEP ⟦5 EOS⟧'
    """

    type: Literal["set_diff_b_a"] = "set_diff_b_a"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    keeps: ClassVar[tuple[bool, bool, bool]] = (False, True, False)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The symbols of b that a has not."""
        first, second = self.parts(source)
        return [symbol for symbol in dict.fromkeys(second) if symbol not in first] or [_EMPTY]


@njit(cache=True)
def _write_operations(request, tables, pool_ratio, halves, keeps, symbols, predicted, ends):
    """Rows of a set operation; `keeps` (8,) int64: 1 for the marks of symbols that y has."""
    scratch = np.arange(0 if pool_ratio < 0 else tables.size + request.high)
    pool = np.empty(request.high, dtype=symbols.dtype)
    held = np.zeros(tables.size, dtype=np.int64)  # 8 * (row + 1), plus 1: in a, 2: in b, 4: in y
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, total = discourse_of(tables, state), between(state, request.low, request.high) - 1
        state += GOLDEN_GAMMA
        first = total // 2 if halves else between(state, 0, total)
        source = symbols[begin : begin + total]
        if pool_ratio < 0:
            draw_row(state, tables, source, scratch, discourse)
        else:
            size = max(1, int(total * pool_ratio))
            state = draw_row(state, tables, pool[:size], scratch, discourse)
            for position in range(total):
                state += GOLDEN_GAMMA
                source[position] = pool[between(state, 0, size - 1)]
        for position in range(begin + total, begin + first, -1):
            symbols[position] = symbols[position - 1]
        symbols[begin + first] = _ARG
        place = _write_kept(symbols, begin, begin + first, begin + total + 1, 8 * (index + 1), held, keeps)
        begin = close_row(request, symbols, predicted, begin, begin + total + 1, place)
        ends[index] = begin


@njit(cache=True)
def _write_kept(symbols, begin, divider, separator, row, held, keeps):
    """Writes y behind `separator`; the place behind it."""
    for position in range(begin, divider):
        held[symbols[position] - NUM_CONTROL] = row | 1
    for position in range(divider + 1, separator):
        rank = symbols[position] - NUM_CONTROL
        held[rank] = max(held[rank], row) | 2
    place = _keep(symbols, begin, divider, separator + 1, row, held, keeps)
    place = _keep(symbols, divider + 1, separator, place, row, held, keeps)
    if place == separator + 1:
        symbols[place] = _EMPTY
        place += 1
    return place


@njit(cache=True)
def _keep(symbols, begin, end, place, row, held, keeps):
    """Writes what is kept of [begin, end) from `place` on, without a branch: each is written, and counts if kept."""
    for position in range(begin, end):
        symbol = symbols[position]
        marks = held[symbol - NUM_CONTROL] - row
        held[symbol - NUM_CONTROL] |= 4
        symbols[place] = symbol
        place += keeps[marks]
    return place
