"""Brackets of k types: nested (k-Dyck), and k independent bracket languages interleaved (k-Shuffle-Dyck).

Hu et al. 2025, "Between Circuits and Chomsky", arXiv 2502.19249, and Jiang, Shinnick et al. 2026, "Procedural
Pretraining", arXiv 2601.21725, with the generators that go with them; rows of 2,048 symbols in both. The defaults of
k_dyck are procedural, those of k_shuffle_dyck are Hu's; configs/domains/ holds both of each.
Opening i is the i-th content symbol, closing i the (k + i)-th.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range, Size

_LOW = np.uint64(2**32 - 1)  # of one draw, the low half says whether a bracket opens, the high half its type


class _Brackets(Stream):
    """`num_types`: k; `open_prob`: how often a bracket opens where it could close as well."""

    num_types: Size = Field(default=64, ge=1, le=2**30 - NUM_CONTROL)
    open_prob: float = Field(ge=0.0, le=1.0)
    sequence_length: Range = Range(min=2048, max=2048)

    @property
    def content(self) -> range:
        """The symbols of the language: the opening brackets, then the closing ones."""
        return content_range(2 * self.num_types)

    @property
    def _opens_below(self) -> np.uint64:
        return np.uint64(round(self.open_prob * 2**32))

    def _opens(self, symbol: int) -> bool:
        return symbol < NUM_CONTROL + self.num_types


class KDyck(_Brackets):
    """Strings whose every closing bracket closes the last that is open; the type of an opening one is uniform over k.

    D -> empty | (_i D )_i D. With `exact_balance` a row is a whole word: it opens only while the rest of the row can
    close it. Without, it is words end to end, cut off at the end of the row, and a word of `max_word_length` - 1
    symbols or more opens no further bracket, so that one is longer by what it has left to close.

    >>> KDyck(num_types=2, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [32, 34, 33, 32, 32, 34, 34, 35]
    >>> KDyck(num_types=2, sequence_length=8).drawn(1)
    '⟦0 1 1 3 1 3 3 2⟧'
    """

    length_rule: ClassVar[str] = "with exact_balance the length of a row is even"
    type: Literal["k_dyck"] = "k_dyck"
    paper: ClassVar[str] = "Hu et al. 2025"
    open_prob: float = Field(default=0.49, ge=0.0, le=1.0)
    exact_balance: bool = True
    max_depth: int | None = Field(default=None, ge=1)
    max_word_length: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _words_need_room(self):
        if self.exact_balance and self.max_word_length is not None:
            raise ValueError(
                f"max_word_length {self.max_word_length} is for words end to end; set exact_balance to false, "
                f"or leave max_word_length out"
            )
        return self

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that rows have, in ascending order."""
        low, high = max(1, self.sequence_length.min), self.sequence_length.max
        return range(low + low % 2, high + 1, 2) if self.exact_balance else range(low, high + 1)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        longest = self.row_lengths[-1]
        _fill_nested(
            key, start, ends, self.num_types, self._opens_below, self.exact_balance,
            self.max_depth or longest, self.max_word_length or longest + 1, np.empty(longest, np.int64), symbols,
        )  # fmt: skip

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first bracket that the stack, the depth or the length of its word forbids, or an end with open ones."""
        expected: list[int] = []
        word_begin = 0
        for position, symbol in enumerate(row):
            if not expected:
                word_begin = position
            if self._opens(symbol):
                if self.max_depth is not None and len(expected) == self.max_depth:
                    return position, f"bracket {symbol} opens at depth {len(expected)}, the greatest"
                length = position - word_begin
                if expected and self.max_word_length is not None and length >= self.max_word_length - 1:
                    return position, f"bracket {symbol} opens in a word of {length} symbols already"
                expected.append(symbol + self.num_types)
            elif not expected:
                return position, f"bracket {symbol} closes where none is open"
            elif symbol != expected[-1]:
                return position, f"bracket {symbol} closes and should be {expected[-1]}"
            else:
                expected.pop()
        if self.exact_balance and expected:
            return len(row), f"the row ends with {len(expected)} open brackets and should end with none"
        return None


class KShuffleDyck(_Brackets):
    """Strings in which no prefix holds more closing than opening brackets of a type, `max_depth` open at most.

    A closing bracket is uniform over the types that have an open one, not over the open ones. A row is cut off at its
    length and may end with open brackets.

    >>> KShuffleDyck(num_types=2, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [32, 32, 33, 32, 32, 32, 35, 32]
    >>> KShuffleDyck(num_types=2, sequence_length=8).drawn(1)
    '⟦1 3 0 2 0 0 2 0⟧'
    """

    type: Literal["k_shuffle_dyck"] = "k_shuffle_dyck"
    paper: ClassVar[str] = "Hu et al. 2025"
    open_prob: float = Field(default=0.51, ge=0.0, le=1.0)
    max_depth: int = Field(default=8, ge=1, le=2**31)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        counts, place = np.zeros(self.num_types, np.int64), np.empty(self.num_types, np.int64)
        room = min(self.num_types, self.row_lengths[-1])
        _fill_shuffled(
            key, start, ends, self.num_types, self._opens_below, self.max_depth, counts, place,
            np.empty(room, np.int64), symbols,
        )  # fmt: skip

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first bracket that closes what is not open, or opens one too many."""
        open_now: list[int] = []
        for position, symbol in enumerate(row):
            if self._opens(symbol):
                if len(open_now) == self.max_depth:
                    return position, f"bracket {symbol} opens while {self.max_depth} are open, the greatest number"
                open_now.append(symbol)
            elif symbol - self.num_types not in open_now:
                return position, f"bracket {symbol} closes where none of its type is open"
            else:
                open_now.remove(symbol - self.num_types)
        return None


@njit(cache=True)
def _fill_nested(
    key, start, ends, num_types, opens_below, exact_balance, max_depth, max_word_length, stack, symbols
):  # fmt: skip
    """`stack` (longest row,) int64 is scratch: the closing brackets to come."""
    begin = 0
    for index in range(len(ends)):
        end = ends[index]
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        depth, word_end = 0, end
        for position in range(begin, end):
            if depth == 0 and not exact_balance:
                word_end = position + max_word_length
            opens = depth == 0
            reserved = depth if exact_balance else 0
            state += GOLDEN_GAMMA
            draw = mix64(state)
            if not opens and depth < max_depth and position + 1 + reserved < word_end:
                opens = (draw & _LOW) < opens_below
            if opens:
                symbols[position] = NUM_CONTROL + int64(below(draw, uint64(num_types)))
                stack[depth] = symbols[position] + num_types
                depth += 1
            else:
                depth -= 1
                symbols[position] = stack[depth]
        begin = end


@njit(cache=True)
def _fill_shuffled(key, start, ends, num_types, opens_below, max_depth, counts, place, active, symbols):
    """`counts` (k,) holds zeros; `active` lists the types with an open bracket, `place` (k,) where each stands in it:
    a type leaves by a swap with the last, so that a draw among them costs O(1)."""
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        depth, num_active = 0, 0
        for position in range(begin, ends[index]):
            opens = depth == 0
            state += GOLDEN_GAMMA
            draw = mix64(state)
            if 0 < depth < max_depth:
                opens = (draw & _LOW) < opens_below
            if opens:
                kind = int64(below(draw, uint64(num_types)))
                if counts[kind] == 0:
                    active[num_active], place[kind] = kind, num_active
                    num_active += 1
                counts[kind] += 1
                depth += 1
                symbols[position] = NUM_CONTROL + kind
            else:
                kind = active[int64(below(draw, uint64(num_active)))]
                counts[kind] -= 1
                depth -= 1
                symbols[position] = NUM_CONTROL + num_types + kind
                if counts[kind] == 0:
                    num_active -= 1
                    last = active[num_active]
                    active[place[kind]], place[last] = last, place[kind]
        for each in range(num_active):
            counts[active[each]] = 0
        begin = ends[index]
