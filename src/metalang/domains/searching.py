"""Searches: whether, where, how often a string stands in another, and what is left when it is taken out.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
how x of 10 to 220 symbols is drawn. Jiang, Shinnick et al. 2026, "Procedural Pretraining", arXiv 2601.21725: Delete of
one symbol. Yes and no are the digits 1 and 0, and "nowhere" is EMPTY: both ours, for the words and the -1 of the first.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.queries import draw_absent, draw_present, find_first, stands_at
from metalang.domains.strings import Request, SizedFunction, between, close_row, digits_of, write_number
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.errors import CorpusError
from metalang.ids import Control
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit

_ARG, _EMPTY, _DIGIT_0 = int(Control.ARG), int(Control.EMPTY), int(Control.DIGIT_0)
_DELETE, _FILTER, _SEARCH, _GET_INDEX = 0, 1, 2, 3


class _Query(SizedFunction):
    """x = w ARG q. `query` "string": q stands in w in the share `present` of the rows. Let |x| go from L to H.

    Present: |q| ~ U{1..(H-1)/3}, |w| ~ U{2|q|..H-1-|q|}; w has q at n ~ U{1..|w|/|q|} places, and independent
    symbols in gaps of multinomial sizes. Absent: |w| ~ U{l..H}, |q| ~ U{l..|w|}, or in one row of a hundred
    |q| ~ U{l+1..H}, |w| ~ U{0..|q|-1}; both are drawn again while q stands in w. l is L, H/4 at most. Lengths of x
    outside of L to H are drawn again; the authors choose between present and absent anew when they do, so that q is
    present more often.

    `query` "symbol": w and the one symbol of q are independent, and `present` must be left out.
    """

    num_parts: ClassVar[int] = 2
    shortest_source: ClassVar[int] = 4
    task: ClassVar[int]

    query: Literal["string", "symbol"] = "string"
    present: float = Field(default=0.75, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _query_can_be_absent(self):
        if self.query == "symbol" and self.present != type(self).model_fields["present"].default:
            raise ValueError(f"present {self.present} has no effect where query is 'symbol'; leave it out")
        if self.query == "string" and self.present < 1.0 and self.vocabulary.size < 2:
            raise ValueError(
                f"present {self.present} needs strings without the query and vocabulary.size is 1; "
                f"raise vocabulary.size, or set present to 1"
            )
        return self

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        size = len(self.parts(source)[1])
        if size == 0 or (size > 1 and self.query == "symbol"):
            raise CorpusError(
                f"position {len(source)}: the query has {size} symbols and should have "
                f"{'1' if self.query == 'symbol' else '1 or more'}"
            )

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_queries(
            request, self.vocabulary.tables, self.task, self.query == "symbol", self.present, symbols, predicted, ends
        )

    def _find(self, source: Sequence[int]) -> int | None:
        text, query = self.parts(source)
        starts = range(len(text) - len(query) + 1)
        return next((start for start in starts if text[start : start + len(query)] == query), None)


class Delete(_Query):
    """y = w without its leftmost occurrence of q; all of w where there is none; EMPTY where nothing is left.

    >>> Delete(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 33, 40, 33, 4, 40, 33])
    [40, 33]
    >>> Delete(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '3 8 6 8 8 ARG 8 SEP ⟦3 6 8 8 EOS⟧'
    """

    type: Literal["delete"] = "delete"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    task: ClassVar[int] = _DELETE

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: all of w is deleted, or nothing; one symbol where `query` is "symbol", or none."""
        return (size - 3 if self.query == "symbol" else 1), size - 2

    def solve(self, source: Sequence[int]) -> list[int]:
        """The first part without the first occurrence of the second."""
        text, query = self.parts(source)
        start = self._find(source)
        left = text if start is None else text[:start] + text[start + len(query) :]
        return left or [_EMPTY]


class Filter(_Query):
    """y = w after the leftmost q has been deleted until there is none, those that deletion forms included.

    >>> Filter(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 40, 33, 33, 32, 4, 40, 33])
    [32]
    >>> Filter(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '5 5 7 5 5 ARG 5 5 SEP ⟦7 EOS⟧'
    """

    type: Literal["filter"] = "filter"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    task: ClassVar[int] = _FILTER

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: all of w is deleted, or nothing."""
        return 1, size - 2

    def solve(self, source: Sequence[int]) -> list[int]:
        """The first part without any occurrence of the second."""
        text, query = self.parts(source)
        while (start := self._find([*text, _ARG, *query])) is not None:
            text = text[:start] + text[start + len(query) :]
        return text or [_EMPTY]


class Search(_Query):
    """y = 1 where q stands in w, else 0, as a digit.

    >>> Search(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 33, 32, 4, 33, 32])
    [11]
    >>> Search(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '5 5 7 7 4 2 6 ARG 7 3 4 5 6 4 SEP ⟦d0 EOS⟧'
    """

    type: Literal["search"] = "search"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    task: ClassVar[int] = _SEARCH
    present: float = Field(default=0.5, ge=0.0, le=1.0)

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: one digit."""
        return 1, 1

    def solve(self, source: Sequence[int]) -> list[int]:
        """1 or 0."""
        return digits_of(0 if self._find(source) is None else 1)


class GetIndex(_Query):
    """y = i, the first place, from 0, at which q stands in w; EMPTY where it stands nowhere.

    >>> GetIndex(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 33, 32, 4, 33, 32])
    [11]
    >>> GetIndex(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '7 4 5 7 3 4 5 7 3 ARG 4 5 7 3 SEP ⟦d1 EOS⟧'
    """

    type: Literal["get_index"] = "get_index"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    task: ClassVar[int] = _GET_INDEX

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: one digit, or those of the last place."""
        return 1, len(str(size))

    def solve(self, source: Sequence[int]) -> list[int]:
        """The place in digits, or EMPTY."""
        start = self._find(source)
        return [_EMPTY] if start is None else digits_of(start)


@njit(cache=True)
def _write_queries(request, tables, task, one_symbol, present, symbols, predicted, ends):
    """Rows of a `_Query`."""
    query, gaps = np.empty(request.high, dtype=symbols.dtype), np.empty(request.high, dtype=np.int64)
    scratch = np.empty(0, dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, room = discourse_of(tables, state), symbols[begin : begin + request.high]
        if one_symbol:
            size, query_size = between(state, request.low, request.high) - 2, 1
            state = draw_row(state, tables, room[:size], scratch, discourse)
            draw_row(state, tables, query[:1], scratch, discourse)
        elif unit(mix64(state)) < present:
            size, query_size = draw_present(state, request, tables, discourse, room, query, gaps)
        else:
            size, query_size = draw_absent(state, request, tables, discourse, room, query)
        divider, separator = begin + size, begin + size + 1 + query_size
        symbols[divider] = _ARG
        symbols[divider + 1 : separator] = query[:query_size]
        place = _write_answer(task, symbols, begin, divider, separator, query[:query_size])
        begin = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = begin


@njit(cache=True)
def _write_answer(task, symbols, begin, divider, separator, query):
    """Writes y behind `separator`; the place behind it."""
    place, size = separator + 1, len(query)
    if task == _FILTER:
        for position in range(begin, divider):  # as the leftmost q is also the first to be complete, one pass suffices
            symbols[place] = symbols[position]
            place += 1
            if place - separator > size and stands_at(symbols, place - size, query):
                place -= size
    else:
        start = find_first(symbols[begin:divider], query)
        if task == _SEARCH:
            symbols[place] = _DIGIT_0 + (1 if start >= 0 else 0)
            return place + 1
        if task == _GET_INDEX:
            if start >= 0:
                return write_number(symbols, place, start)
        else:
            for position in range(begin, divider):
                if start < 0 or position < begin + start or position >= begin + start + size:
                    symbols[place] = symbols[position]
                    place += 1
    if place == separator + 1:
        symbols[place] = _EMPTY
        place += 1
    return place
