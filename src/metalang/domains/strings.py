"""What the string functions share: y = f(x) where x has parts and the length of y is known only when y is.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139, give the lengths of
x: 10 to 220 symbols, delimiters included. Here `sequence_length` bounds whole rows, and the lengths of x are those
whose every row fits; so the rows of their x have lengths that can be written out, and the presets do. An empty y is
written EMPTY, as theirs is. The layout of two parts, `a ARG b SEP y EOS`, has their order.
"""

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numba import int64, njit, uint64
from pydantic import model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.vocabulary import Vocabulary
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control, id_dtype
from metalang.seeds import GOLDEN_GAMMA, below, mix64
from metalang.specs import Range

_SEP, _EOS, _DIGIT_0 = int(Control.SEP), int(Control.EOS), int(Control.DIGIT_0)


class Request(NamedTuple):
    """Rows as kernels are asked for them: their stream, |x| from `low` to `high`, and what is predicted."""

    key: np.uint64
    start: int
    low: int
    high: int
    mask_input: bool
    mask_eos: bool
    eos: bool


class StringFunction(Mapping):
    """y = f(x). x has `num_parts` parts, with ARG between them."""

    num_parts: ClassVar[int] = 1

    vocabulary: Vocabulary

    @property
    @abstractmethod
    def source_length(self) -> range:
        """The lengths of x, delimiters included."""

    @property
    @abstractmethod
    def longest_row(self) -> int:
        """No row has more symbols."""

    @abstractmethod
    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for, end to end: (count * longest_row,) each, and `ends` (count,) int64."""

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary.size

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return content_range(self.vocabulary.size)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        sizes, room = self.source_length, count * self.longest_row
        request = Request(
            np.uint64(key), start, sizes[0], sizes[-1], self.mask == "all", self.mask != "output_no_eos", self.eos
        )
        symbols, predicted = np.empty(room, dtype=id_dtype(self.num_symbols)), np.empty(room, dtype=np.bool_)
        ends = np.zeros(count, dtype=np.int64)
        self.write_rows(request, symbols, predicted, ends)
        total = int(ends[-1]) if count else 0
        return Sequences(symbols[:total], ends, predicted[:total])

    def parts(self, source: Sequence[int]) -> list[list[int]]:
        """The parts of x."""
        return split_at(source, Control.ARG)

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        parts = 1
        for position, symbol in enumerate(source):
            if symbol == Control.ARG and parts < self.num_parts:
                parts += 1
            elif symbol not in self.content:
                raise CorpusError(f"position {position}: symbol {symbol} is not content of {self.type}")
        if parts < self.num_parts:
            raise CorpusError(f"position {len(source)}: x has {parts} parts and should have {self.num_parts}")
        if not source:
            raise CorpusError("position 0: x has no symbol and should have 1 or more")


class SizedFunction(StringFunction):
    """`sequence_length`: symbols of a whole row; x has every length whose rows all lie within it."""

    shortest_source: ClassVar[int] = 1

    sequence_length: Range

    @abstractmethod
    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y| where |x| is `size`, delimiters included; |x| + |y| falls nowhere as |x| grows."""

    @property
    def draws_independently(self) -> bool:
        """Whether the symbols of x are drawn as `vocabulary` says and nothing else is done to them."""
        return False

    @property
    def source_length(self) -> range:
        """The lengths of x, delimiters included, whose every row lies within `sequence_length`."""
        sizes = range(self.shortest_source, self.sequence_length.max + 1)
        first = bisect_left(sizes, self.sequence_length.min, key=lambda size: self._row_length(size)[0])
        last = bisect_right(sizes, self.sequence_length.max, key=lambda size: self._row_length(size)[1])
        return sizes[first:last]

    @property
    def longest_row(self) -> int:
        """No row has more symbols."""
        return self._row_length(self.source_length[-1])[1]

    @model_validator(mode="after")
    def _has_rows(self):
        low, high, lengths = self.sequence_length.min, self.sequence_length.max, self.source_length
        if not lengths:
            size = max(self.shortest_source, high // 2)
            shortest, longest = self._row_length(size)
            raise ValueError(
                f"sequence_length {low} to {high} holds no length of x whose every row `x SEP y` is within it; "
                f"{self.type} of {size} symbols has rows of {shortest} to {longest}"
            )
        if not self.vocabulary.replacement and not self.draws_independently:
            raise ValueError(
                f"vocabulary.replacement false does not suit {self.type}, whose x repeats symbols by its definition; "
                f"leave it true"
            )
        if not self.vocabulary.replacement and lengths[-1] > self.vocabulary.size:
            raise ValueError(
                f"sequence_length up to {high} needs {lengths[-1]} different symbols and vocabulary.size is "
                f"{self.vocabulary.size}; raise it, or set vocabulary.replacement to true"
            )
        return self

    def _row_length(self, size: int) -> tuple[int, int]:
        fewest, most = self.output_length(size)
        return size + 1 + fewest + self.eos, size + 1 + most + self.eos


def split_at(symbols: Sequence[int], delimiter: int) -> list[list[int]]:
    """The runs between delimiters.

    >>> split_at([40, 6, 41, 42], 6)
    [[40], [41, 42]]
    """
    runs: list[list[int]] = [[]]
    for symbol in symbols:
        if symbol == delimiter:
            runs.append([])
        else:
            runs[-1].append(symbol)
    return runs


def digits_of(number: int) -> list[int]:
    """A whole number in symbols, the most significant digit first.

    >>> digits_of(207)
    [12, 10, 17]
    """
    return [_DIGIT_0 + int(digit) for digit in str(number)]


@njit(cache=True, inline="always")
def between(state, low, high):
    """A whole number in [low, high] from a state, int64."""
    return int64(low) + int64(below(mix64(state), uint64(high - low + 1)))


@njit(cache=True)
def shuffle(state, out):
    """Puts `out` (n,) into an order drawn uniformly (Fisher & Yates); the state behind the last draw."""
    for position in range(len(out) - 1, 0, -1):
        state += GOLDEN_GAMMA
        other = between(state, 0, position)
        out[position], out[other] = out[other], out[position]
    return state


@njit(cache=True)
def draw_partition(state, balls, sizes):
    """Throws `balls` into the parts `sizes` (k,), each as likely; the state behind the last draw."""
    for _ in range(balls):
        state += GOLDEN_GAMMA
        sizes[between(state, 0, len(sizes) - 1)] += 1
    return state


@njit(cache=True)
def write_number(symbols, place, number):
    """Writes a whole number in digits from `place` on; the place behind it."""
    power = 1
    while number // power >= 10:
        power *= 10
    while power > 0:
        symbols[place] = _DIGIT_0 + number // power % 10
        place += 1
        power //= 10
    return place


@njit(cache=True)
def close_row(request, symbols, predicted, begin, separator, end):
    """Writes SEP, EOS and the mask of the row that has x from `begin` and y up to `end`; where the next row begins."""
    symbols[separator] = _SEP
    predicted[begin : separator + 1] = request.mask_input
    predicted[separator + 1 : end] = True
    if request.eos:
        symbols[end] = _EOS
        predicted[end] = request.mask_eos
        end += 1
    return end
