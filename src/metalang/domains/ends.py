"""The ends of a string: its first symbol, its last.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
x of 10 to 220 symbols.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64

from metalang.domains.strings import Request, SizedFunction, between, close_row
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.seeds import GOLDEN_GAMMA, row_state


class _End(SizedFunction):
    """x is independent symbols, y one of its ends."""

    @property
    def draws_independently(self) -> bool:
        """Whether the symbols of x are drawn as `vocabulary` says and nothing else is done to them."""
        return True

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: one symbol."""
        return 1, 1

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_ends(request, self.vocabulary.tables, self.type == "first_token", symbols, predicted, ends)


class FirstToken(_End):
    """y = the first symbol of x.

    >>> FirstToken(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 33, 32])
    [40]
    >>> FirstToken(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '6 1 3 0 5 8 0 0 SEP ⟦6 EOS⟧'
    """

    type: Literal["first_token"] = "first_token"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def solve(self, source: Sequence[int]) -> list[int]:
        """The first symbol."""
        return [source[0]]


class LastToken(_End):
    """y = the last symbol of x.

    >>> LastToken(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 33, 32])
    [32]
    >>> LastToken(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '4 7 2 8 2 5 4 0 8 SEP ⟦8 EOS⟧'
    """

    type: Literal["last_token"] = "last_token"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def solve(self, source: Sequence[int]) -> list[int]:
        """The last symbol."""
        return [source[-1]]


@njit(cache=True)
def _write_ends(request, tables, first, symbols, predicted, ends):
    """Rows of `FirstToken` or `LastToken`."""
    scratch = np.arange(0 if tables.replacement else tables.size + request.high)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        separator = begin + between(state, request.low, request.high)
        draw_row(state, tables, symbols[begin:separator], scratch, discourse_of(tables, state))
        symbols[separator + 1] = symbols[begin if first else separator - 1]
        begin = close_row(request, symbols, predicted, begin, separator, separator + 2)
        ends[index] = begin
