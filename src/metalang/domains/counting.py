"""Numbers of symbols: how many x has, how many of them are a given one; in decimal digits.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
x of 10 to 220 symbols.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64

from metalang.domains.strings import Request, SizedFunction, between, close_row, digits_of, shuffle, write_number
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.errors import CorpusError
from metalang.ids import Control
from metalang.seeds import GOLDEN_GAMMA, row_state

_ARG = int(Control.ARG)


class Count(SizedFunction):
    """x = w ARG q with one symbol q; y = how often it stands in w.

    |w| uniform, m ~ U{0..|w|} copies of q and |w| - m independent symbols, which may be q too, shuffled.

    >>> Count(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 33, 40, 4, 40])
    [12]
    >>> Count(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '0 3 8 4 6 ARG 2 SEP ⟦d0 EOS⟧'
    """

    type: Literal["count"] = "count"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    num_parts: ClassVar[int] = 2
    shortest_source: ClassVar[int] = 2

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: one digit, or those of |w|."""
        return 1, len(str(size - 2))

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        size = len(self.parts(source)[1])
        if size != 1:
            raise CorpusError(f"position {len(source)}: the query has {size} symbols and should have 1")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The number in digits."""
        text, query = self.parts(source)
        return digits_of(text.count(query[0]))

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_counts(request, self.vocabulary.tables, symbols, predicted, ends)


class Length(SizedFunction):
    """y = |x|; the symbols of x are independent.

    >>> Length(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40] * 12)
    [11, 12]
    >>> Length(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '4 2 3 2 8 0 SEP ⟦d6 EOS⟧'
    """

    type: Literal["length"] = "length"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    @property
    def draws_independently(self) -> bool:
        """Whether the symbols of x are drawn as `vocabulary` says and nothing else is done to them."""
        return True

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: the digits of |x|."""
        return len(str(size)), len(str(size))

    def solve(self, source: Sequence[int]) -> list[int]:
        """The number in digits."""
        return digits_of(len(source))

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_lengths(request, self.vocabulary.tables, symbols, predicted, ends)


@njit(cache=True)
def _write_counts(request, tables, symbols, predicted, ends):
    """Rows of `Count`."""
    scratch = np.empty(0, dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, size = discourse_of(tables, state), between(state, request.low, request.high) - 2
        divider = begin + size
        symbols[divider] = _ARG
        state = draw_row(state, tables, symbols[divider + 1 : divider + 2], scratch, discourse)
        query, text = symbols[divider + 1], symbols[begin:divider]
        state += GOLDEN_GAMMA
        copies = between(state, 0, size)
        text[:copies] = query
        state = draw_row(state, tables, text[copies:], scratch, discourse)
        shuffle(state, text)
        number = 0
        for symbol in text:
            number += symbol == query
        place = write_number(symbols, divider + 3, number)
        begin = close_row(request, symbols, predicted, begin, divider + 2, place)
        ends[index] = begin


@njit(cache=True)
def _write_lengths(request, tables, symbols, predicted, ends):
    """Rows of `Length`."""
    scratch = np.arange(0 if tables.replacement else tables.size + request.high)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        size = between(state, request.low, request.high)
        draw_row(state, tables, symbols[begin : begin + size], scratch, discourse_of(tables, state))
        place = write_number(symbols, begin + size + 1, size)
        begin = close_row(request, symbols, predicted, begin, begin + size, place)
        ends[index] = begin
