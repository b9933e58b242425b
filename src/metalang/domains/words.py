"""Words: the longest of several, the one that holds a string.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, and their generator:
longest word, x of 10 to 220 symbols, up to 110 words. FindArrayElement and its sizes are ours, after an unfinished
task of the seqthetic generator.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import model_validator

from metalang.domains.strings import (
    Request,
    SizedFunction,
    StringFunction,
    between,
    close_row,
    draw_partition,
    split_at,
)
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, row_state
from metalang.specs import Range

_ARG, _WORD = int(Control.ARG), int(Control.WORD)
_TRIES = 64  # draws of a substring before it is made unique by hand: tiny vocabularies alone come to that


class LongestWord(SizedFunction):
    """x = words with WORD between them, y = the first word of the greatest length.

    With |x| from L to H: k ~ U{1..H/2} words, |x| ~ U{max(L, 2k-1)..H}, the sizes of the words 1 + multinomial, their
    symbols independent.

    >>> LongestWord(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([40, 6, 33, 32, 6, 40, 40])
    [33, 32]
    >>> LongestWord(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '7 2 7 7 5 3 5 SEP ⟦7 2 7 7 5 3 5 EOS⟧'
    """

    type: Literal["longest_word"] = "longest_word"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: one symbol, or all."""
        return 1, size

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        _check_words(self, source)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The longest word; `max` gives the first."""
        return max(split_at(source, _WORD), key=len)

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_longest(request, self.vocabulary.tables, symbols, predicted, ends)


class FindArrayElement(StringFunction):
    """x = e_1 WORD e_2 ... ARG s, y = the one element e_j that s stands in.

    `num_elements` elements of `element_length` independent symbols; j, |s| from 1 to |e_j|, and the place of s in e_j
    (anywhere, at its beginning or at its end, as `substring` says) are drawn until s stands in no other element.

    >>> FindArrayElement(vocabulary={"size": 9}).solve([40, 33, 32, 6, 33, 40, 36, 6, 32, 32, 32, 4, 33, 40])
    [33, 40, 36]
    >>> FindArrayElement(vocabulary={"size": 9}).drawn(4)
    '3 5 5 1 WORD 7 6 6 8 WORD 5 1 6 0 4 3 4 WORD 5 3 6 3 ARG 3 5 5 1 SEP ⟦3 5 5 1 EOS⟧'
    """

    type: Literal["find_array_element"] = "find_array_element"
    paper: ClassVar[str] = "ours"
    num_parts: ClassVar[int] = 2

    num_elements: Range = Range(min=4, max=16)
    element_length: Range = Range(min=3, max=8)
    substring: Literal["anywhere", "prefix", "suffix"] = "anywhere"

    @model_validator(mode="after")
    def _elements_differ(self):
        if self.num_elements.min < 1 or self.element_length.min < 1:
            raise ValueError(
                f"num_elements.min {self.num_elements.min} and element_length.min {self.element_length.min} leave x "
                f"empty; both are 1 or more"
            )
        if self.vocabulary.size < 2:
            raise ValueError("vocabulary.size 1 leaves find_array_element no different elements; give it 2 or more")
        if not self.vocabulary.replacement:
            raise ValueError(
                "vocabulary.replacement false does not suit find_array_element, whose elements share symbols; "
                "leave it true"
            )
        return self

    @property
    def source_length(self) -> range:
        """The lengths of x, delimiters included."""
        fewest, most = self.num_elements.min, self.num_elements.max
        low = fewest * (self.element_length.min + 1) + 1
        return range(low, most * (self.element_length.max + 1) + self.element_length.max + 1)

    @property
    def longest_row(self) -> int:
        """No row has more symbols."""
        return self.source_length[-1] + 1 + self.element_length.max + self.eos

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        divider = source.index(Control.ARG) if Control.ARG in source else len(source)
        _check_words(self, source[:divider])
        found = source[divider + 1 :]
        for position, symbol in enumerate(found, divider + 1):
            if symbol not in self.content:
                raise CorpusError(f"position {position}: symbol {symbol} is not content of {self.type}")
        holders = self._holders(source)
        if not found or len(holders) != 1:
            raise CorpusError(
                f"position {len(source)}: the string behind ARG has {len(found)} symbols and stands in "
                f"{len(holders)} elements; it should have 1 or more and stand in one"
            )
        at_edge = {"anywhere": found, "prefix": holders[0][: len(found)], "suffix": holders[0][-len(found) :]}
        if list(at_edge[self.substring]) != list(found):
            raise CorpusError(f"position {divider + 1}: the string behind ARG is no {self.substring} of its element")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The element that holds the string."""
        return self._holders(source)[0]

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        number, length = self.num_elements, self.element_length
        edge = {"anywhere": 0, "prefix": -1, "suffix": 1}[self.substring]
        _write_found(
            request, self.vocabulary.tables, (number.min, number.max), (length.min, length.max), edge, symbols,
            predicted, ends,
        )  # fmt: skip

    def _holders(self, source: Sequence[int]) -> list[list[int]]:
        array, found = [*self.parts(source), []][:2]
        size = len(found)
        return [
            element
            for element in split_at(array, _WORD)
            if any(element[start : start + size] == found for start in range(len(element) - size + 1))
        ]


def _check_words(domain: SizedFunction, source: Sequence[int]) -> None:
    """Raises CorpusError with the first position at which words of content, with WORD between them, end."""
    for position, symbol in enumerate(source):
        if symbol == _WORD and (position == 0 or source[position - 1] == _WORD):
            raise CorpusError(f"position {position}: a word without symbols ends")
        if symbol != _WORD and symbol not in domain.content:
            raise CorpusError(f"position {position}: symbol {symbol} is not content of {domain.type}")
    if not source or source[-1] == _WORD:
        raise CorpusError(f"position {len(source)}: a word without symbols ends")


@njit(cache=True)
def _write_longest(request, tables, symbols, predicted, ends):
    """Rows of `LongestWord`."""
    scratch = np.empty(0, dtype=np.int64)
    sizes = np.empty(request.high, dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, words = discourse_of(tables, state), between(state, 1, max(1, request.high // 2))
        state += GOLDEN_GAMMA
        size = between(state, max(request.low, 2 * words - 1), request.high)
        separator = begin + size
        state = draw_row(state, tables, symbols[begin:separator], scratch, discourse)
        sizes[:words] = 1
        draw_partition(state, size - 2 * words + 1, sizes[:words])
        place, longest, longest_size = begin, begin, 0
        for word in range(words):
            if sizes[word] > longest_size:
                longest, longest_size = place, sizes[word]
            place += sizes[word]
            if word < words - 1:
                symbols[place] = _WORD
                place += 1
        for position in range(longest_size):
            symbols[separator + 1 + position] = symbols[longest + position]
        begin = close_row(request, symbols, predicted, begin, separator, separator + 1 + longest_size)
        ends[index] = begin


@njit(cache=True)
def _write_found(request, tables, number, length, edge, symbols, predicted, ends):
    """Rows of `FindArrayElement`; `edge` -1: s is a prefix, 1: a suffix, 0: any substring."""
    scratch = np.empty(0, dtype=np.int64)
    bounds = np.empty(number[1] + 1, dtype=np.int64)  # where each element begins, and one past the WORD of the last
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, count = discourse_of(tables, state), between(state, number[0], number[1])
        bounds[0] = begin
        for element in range(count):
            state += GOLDEN_GAMMA
            bounds[element + 1] = bounds[element] + between(state, length[0], length[1]) + 1
        divider = bounds[count] - 1
        state = draw_row(state, tables, symbols[begin:divider], scratch, discourse)
        for element in range(1, count):
            symbols[bounds[element] - 1] = _WORD
        chosen, first, size = _draw_unique(state, symbols, bounds[: count + 1], edge, tables.size)
        symbols[divider] = _ARG
        place = divider + 1
        for position in range(first, first + size):
            symbols[place] = symbols[position]
            place += 1
        separator = place
        place += 1
        for position in range(bounds[chosen], bounds[chosen + 1] - 1):
            symbols[place] = symbols[position]
            place += 1
        begin = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = begin


@njit(cache=True)
def _draw_unique(state, symbols, bounds, edge, num_symbols):
    """An element, and where a substring of it begins that stands in no other, and its size.

    After `_TRIES` draws that stand elsewhere too, the first symbol of the last one's element (its last, for suffixes)
    is taken out of all others; so it ends for two symbols as well.
    """
    chosen, first, size = 0, 0, 0
    for _ in range(_TRIES):
        state += uint64(3) * GOLDEN_GAMMA
        chosen = between(state - uint64(2) * GOLDEN_GAMMA, 0, len(bounds) - 2)
        begin, end = bounds[chosen], bounds[chosen + 1] - 1
        size = between(state - GOLDEN_GAMMA, 1, end - begin)
        first = begin if edge < 0 else end - size if edge > 0 else between(state, begin, end - size)
        if not _stands_elsewhere(symbols, bounds[0], begin, end, bounds[-1] - 1, first, size):
            return chosen, first, size
    begin, end = bounds[chosen], bounds[chosen + 1] - 1
    own = symbols[end - 1 if edge > 0 else begin]
    for position in range(bounds[0], bounds[-1] - 1):
        if symbols[position] == own and (position < begin or position >= end):
            symbols[position] = NUM_CONTROL + (own - NUM_CONTROL + 1) % num_symbols
    return chosen, end - size if edge > 0 else begin, size


@njit(cache=True)
def _stands_elsewhere(symbols, low, begin, end, high, first, size):
    """Whether symbols[first : first + size] stands in [low, high) outside of its own element, [begin, end)."""
    for start in range(low, high - size + 1):
        if symbols[start] == symbols[first] and not begin <= start < end:
            same = 1
            while same < size and symbols[start + same] == symbols[first + same]:
                same += 1
            if same == size:
                return True
    return False
