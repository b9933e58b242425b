"""Replacement: every occurrence of a symbol becomes another.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
x of 10 to 220 symbols, one pair or 2 to 73.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import model_validator

from metalang.domains.strings import Request, SizedFunction, between, close_row, shuffle
from metalang.domains.vocabulary import discourse_of, draw_one, draw_row
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state

_ARG = int(Control.ARG)


class _Replacing(SizedFunction):
    """x = w ARG k v k v ...: each k is one of the different symbols of w, as likely as the others, and occurs once."""

    num_parts: ClassVar[int] = 2
    fewest_pairs: ClassVar[int]

    @property
    @abstractmethod
    def most_pairs(self) -> int:
        """The largest number of pairs that a row of the longest x holds."""

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        text, pairs = self.parts(source)
        behind = len(text) + 1
        if len(pairs) % 2 or len(pairs) < 2 * self.fewest_pairs:
            raise CorpusError(
                f"position {len(source)}: {len(pairs)} symbols follow ARG, where pairs stand, "
                f"{self.fewest_pairs} or more"
            )
        for index in range(0, len(pairs), 2):
            if pairs[index] not in text:
                raise CorpusError(f"position {behind + index}: symbol {pairs[index]} is replaced and is not in w")
            if pairs[index] in pairs[:index:2]:
                raise CorpusError(f"position {behind + index}: symbol {pairs[index]} is replaced twice")

    def solve(self, source: Sequence[int]) -> list[int]:
        """w with each k turned into its v."""
        text, pairs = self.parts(source)
        table = dict(zip(pairs[::2], pairs[1::2], strict=True))
        return [table.get(symbol, symbol) for symbol in text]

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_replaced(
            request, self.vocabulary.tables, self.vocabulary.tables._replace(replacement=False),
            self.fewest_pairs, self.most_pairs, symbols, predicted, ends,
        )  # fmt: skip


class Replace(_Replacing):
    """x = w ARG k v, y = w with every k turned into v. w and v are independent.

    >>> Replace(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 32, 40, 4, 40, 35])
    [35, 32, 35]
    >>> Replace(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '2 7 6 3 ARG 6 8 SEP ⟦2 7 8 3 EOS⟧'
    """

    type: Literal["replace"] = "replace"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    shortest_source: ClassVar[int] = 4
    fewest_pairs: ClassVar[int] = 1

    @property
    def most_pairs(self) -> int:
        """One."""
        return 1

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y| = |w|."""
        return size - 3, size - 3


class ReplaceMany(_Replacing):
    """x = w ARG k v k v ..., y = w with every k turned into its v, all at once.

    With |x| up to H: p ~ U{2..(H-1)/3} pairs; w has p different symbols and others that are independent, shuffled; the
    k are p of its different symbols, as likely as any others; the v are independent.

    >>> domain = ReplaceMany(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18})
    >>> domain.solve([40, 32, 40, 33, 4, 40, 32, 32, 40])
    [32, 40, 32, 33]
    """

    type: Literal["replace_many"] = "replace_many"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    shortest_source: ClassVar[int] = 7
    fewest_pairs: ClassVar[int] = 2

    @property
    def most_pairs(self) -> int:
        """The largest number of pairs that a row of the longest x holds."""
        return (self.source_length[-1] - 1) // 3

    @model_validator(mode="after")
    def _symbols_suffice(self):
        if self.most_pairs > self.vocabulary.size:
            raise ValueError(
                f"sequence_length up to {self.sequence_length.max} needs up to {self.most_pairs} different symbols and "
                f"vocabulary.size is {self.vocabulary.size}; raise it, or lower sequence_length.max"
            )
        return self

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y| = |w|: with as many pairs as |w| allows, or with two."""
        return size - 1 - 2 * ((size - 1) // 3), size - 5


@njit(cache=True)
def _write_replaced(request, tables, distinct, fewest, most, symbols, predicted, ends):
    """Rows of `Replace` (`most` 1) or `ReplaceMany`."""
    scratch = np.arange(0 if most == 1 else tables.size + request.high)
    seen = np.zeros(tables.size, dtype=np.int64)  # the last row, from 1, that held a symbol
    value = np.zeros(tables.size, dtype=symbols.dtype)
    keys = np.empty(request.high, dtype=symbols.dtype)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse = discourse_of(tables, state)
        pairs = between(state, fewest, most)
        state += GOLDEN_GAMMA
        size = between(state, max(pairs, request.low - 1 - 2 * pairs), request.high - 1 - 2 * pairs)
        divider, separator = begin + size, begin + size + 1 + 2 * pairs
        text = symbols[begin:divider]
        if most == 1:
            state = draw_row(state, tables, text, scratch, discourse)
        else:
            state = draw_row(state, distinct, text[:pairs], scratch, discourse)
            state = draw_row(state, tables, text[pairs:], scratch, discourse)
            state = shuffle(state, text)
        count = 0
        for symbol in text:
            rank = symbol - NUM_CONTROL
            if seen[rank] != index + 1:
                seen[rank] = index + 1
                value[rank] = symbol
                keys[count] = symbol
                count += 1
        symbols[divider] = _ARG
        for pair in range(pairs):
            state += GOLDEN_GAMMA
            other = between(state, pair, count - 1)
            keys[pair], keys[other] = keys[other], keys[pair]
            state += GOLDEN_GAMMA
            key, new = keys[pair], NUM_CONTROL + draw_one(mix64(state), tables, discourse)
            symbols[divider + 1 + 2 * pair] = key
            symbols[divider + 2 + 2 * pair] = new
            value[key - NUM_CONTROL] = new
        place = separator + 1
        for symbol in text:
            symbols[place] = value[symbol - NUM_CONTROL]
            place += 1
        begin = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = begin
