"""Four of the context-sensitive tasks, which a bounded tape solves; those on binary numbers are in `chomsky_binary`.

Delétang et al. 2022, arXiv 2207.02098, and their generators `tasks/cs`. Their code for odds-first puts the second,
fourth, ... symbols first; its docstring has it the other way round. We follow the code.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field

from metalang.domains.chomsky import ChomskyTask, codes_of, symbols_of
from metalang.domains.rows import Kernel, draw_codes, fault, open_row
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA

_PLACEHOLDER, _PADDING = 2, 3  # codes behind those of the bits


class _Rearranging(ChomskyTask):
    """x of independent symbols; y is made of the same."""

    alphabet_size: int = Field(default=2, ge=2, le=1000)

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return self.alphabet_size

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: that of x."""
        return size, size

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return (self.alphabet_size,)


class DuplicateString(_Rearranging):
    """x twice.

    >>> DuplicateString(sequence_length=11).solve([32, 33, 33])
    [32, 33, 33, 32, 33, 33]
    >>> DuplicateString(sequence_length=11).drawn(1)
    '0 0 0 SEP ⟦0 0 0 0 0 0 EOS⟧'
    """

    type: Literal["chomsky_duplicate_string"] = "chomsky_duplicate_string"
    paper: ClassVar[str] = "Delétang et al. 2022"

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: twice that of x."""
        return 2 * size, 2 * size

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_duplicates

    def solve(self, source: Sequence[int]) -> list[int]:
        """x and x."""
        return [*source, *source]


class OddsFirst(_Rearranging):
    """The symbols of x at odd positions, then those at even ones, counted from 0.

    >>> OddsFirst(sequence_length=12).solve([32, 33, 34, 35, 36])
    [33, 35, 32, 34, 36]
    >>> OddsFirst(sequence_length=12).drawn(1)
    '0 0 0 1 0 SEP ⟦0 1 0 0 0 EOS⟧'
    """

    type: Literal["chomsky_odds_first"] = "chomsky_odds_first"
    paper: ClassVar[str] = "Delétang et al. 2022"

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_odds_first

    def solve(self, source: Sequence[int]) -> list[int]:
        """The odd positions, then the even ones."""
        return [*source[1::2], *source[::2]]


class BucketSort(_Rearranging):
    """The symbols of x in ascending order.

    >>> BucketSort(sequence_length=12).solve([36, 33, 32, 33, 35])
    [32, 33, 33, 35, 36]
    >>> BucketSort(sequence_length=12).drawn(1)
    '0 1 3 2 3 SEP ⟦0 1 2 3 3 EOS⟧'
    """

    type: Literal["chomsky_bucket_sort"] = "chomsky_bucket_sort"
    paper: ClassVar[str] = "Delétang et al. 2022"
    alphabet_size: int = Field(default=5, ge=2, le=1000)

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_sorted

    def solve(self, source: Sequence[int]) -> list[int]:
        """x, sorted."""
        return sorted(source)


class MissingDuplicate(ChomskyTask):
    """A binary string twice, one of all its bits replaced by a placeholder; y is that bit.

    Codes: 2 is the placeholder; 3 stands behind the string where |x| is odd.

    >>> MissingDuplicate(sequence_length=10).solve([33, 32, 33, 33, 34, 33, 35])
    [32]
    >>> MissingDuplicate(sequence_length=10).drawn(1)
    '0 0 1 0 2 1 3 SEP ⟦0 EOS⟧'
    """

    type: Literal["chomsky_missing_duplicate"] = "chomsky_missing_duplicate"
    paper: ClassVar[str] = "Delétang et al. 2022"

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return 4

    def shapes(self) -> range:
        """The lengths that x can have at all: from two bits on."""
        return range(2, self.sequence_length.max)

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_missing

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        codes, half = codes_of(source), len(source) // 2
        for position, code in enumerate(codes):
            if (code == _PADDING) != (position == 2 * half):
                raise fault(position, "the padding stands at the end of an odd x, and nowhere else")
            if code == _PLACEHOLDER and codes.index(_PLACEHOLDER) < position:
                raise fault(position, "a second placeholder")
            if half <= position < 2 * half and _PLACEHOLDER not in (code, codes[position - half]):
                if code != codes[position - half]:
                    raise fault(position, "the two halves differ")
        if _PLACEHOLDER not in codes:
            raise fault(len(codes), "x has no placeholder")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The bit of the other half."""
        codes, half = codes_of(source), len(source) // 2
        return symbols_of([codes[(codes.index(_PLACEHOLDER) + half) % (2 * half)]])


@njit(cache=True)
def _write_duplicates(alphabet_size, request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        draw_codes(state, alphabet_size, NUM_CONTROL, source)
        symbols[begin + size + 1 : begin + 2 * size + 1] = source
        symbols[begin + 2 * size + 1 : begin + 3 * size + 1] = source
        end = close_row(request, symbols, predicted, begin, begin + size, begin + 3 * size + 1)
        ends[index] = end


@njit(cache=True)
def _write_odds_first(alphabet_size, request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source, output = symbols[begin : begin + size], symbols[begin + size + 1 : begin + 2 * size + 1]
        draw_codes(state, alphabet_size, NUM_CONTROL, source)
        output[: size // 2] = source[1::2]
        output[size // 2 :] = source[::2]
        end = close_row(request, symbols, predicted, begin, begin + size, begin + 2 * size + 1)
        ends[index] = end


@njit(cache=True)
def _write_sorted(alphabet_size, request, symbols, predicted, ends):
    end, bucket = 0, np.zeros(alphabet_size, dtype=np.int64)
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        draw_codes(state, alphabet_size, NUM_CONTROL, source)
        for symbol in source:
            bucket[symbol - NUM_CONTROL] += 1
        place = begin + size + 1
        for code in range(alphabet_size):
            for _ in range(bucket[code]):
                symbols[place] = NUM_CONTROL + code
                place += 1
            bucket[code] = 0
        end = close_row(request, symbols, predicted, begin, begin + size, place)
        ends[index] = end


@njit(cache=True)
def _write_missing(request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        half = size // 2
        state = draw_codes(state, 2, NUM_CONTROL, symbols[begin : begin + half]) + GOLDEN_GAMMA
        symbols[begin + half : begin + 2 * half] = symbols[begin : begin + half]
        if size % 2 == 1:
            symbols[begin + size - 1] = NUM_CONTROL + _PADDING
        place = begin + between(state, 0, 2 * half - 1)
        symbols[begin + size + 1] = symbols[place]
        symbols[place] = NUM_CONTROL + _PLACEHOLDER
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end
