"""Sums and products of decimal numbers.

Downstream tasks of Jiang, Shinnick et al. 2026, "Procedural Pretraining", arXiv 2601.21725 (operands of exactly 5
digits; 10, reversed). Their mask leaves out the first digit of the result; ours predicts it all.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import model_validator

from metalang.domains.contract import Mapping, Sequences
from metalang.domains.rows import Kernel, draw_codes, fault, open_row, request_for, written
from metalang.domains.strings import between, close_row, digits_of, split_at
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA
from metalang.specs import Range

_ARG, _DIGIT_0 = int(Control.ARG), int(Control.DIGIT_0)


class _Decimal(Mapping):
    """x = a ARG b, two numbers of equally many digits, the first of which is not 0; y = their result.

    `reversed_digits` writes all three numbers with the least significant digit first.
    """

    num_digits: Range = Range(min=5, max=5)
    reversed_digits: bool = False

    @model_validator(mode="after")
    def _has_digits(self):
        if not 1 <= self.num_digits.min <= self.num_digits.max <= 1000:
            raise ValueError(
                f"num_digits {self.num_digits.min} to {self.num_digits.max} is no number of digits; 1 to 1000 are"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the digits are control symbols."""
        return NUM_CONTROL

    @property
    def content(self) -> range:
        """The symbols that the numbers are made of: the digits."""
        return range(_DIGIT_0, _DIGIT_0 + 10)

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """Writes the rows of a request, behind `reversed_digits`."""

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        low, high = self.num_digits.min, self.num_digits.max
        request = request_for(self, key, start, low, high)
        return written(
            self.kernel, self.reversed_digits, request,
            count=count, longest_row=4 * high + 3, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        numbers = split_at(source, _ARG)
        place = 0
        for number in numbers[:2]:
            for position, symbol in enumerate(number, start=place):
                if symbol not in self.content:
                    raise fault(position, f"symbol {symbol} is no digit")
            leading = len(number) - 1 if self.reversed_digits else 0
            if number and number[leading] == _DIGIT_0:
                raise fault(place + leading, "the most significant digit is 0")
            place += len(number) + 1
        if len(numbers) != 2 or len(numbers[0]) != len(numbers[1]):
            lengths = " and ".join(str(len(number)) for number in numbers)
            raise fault(len(source), f"x has numbers of {lengths} digits and should have two of equally many")
        if not self.num_digits.min <= len(numbers[0]) <= self.num_digits.max:
            raise fault(len(numbers[0]), f"a number of {len(numbers[0])} digits lies outside num_digits")

    def operands(self, source: Sequence[int]) -> tuple[int, int]:
        """The two numbers of x."""
        order = slice(None, None, -1 if self.reversed_digits else 1)
        first, second = ("".join(str(digit - _DIGIT_0) for digit in part[order]) for part in split_at(source, _ARG))
        return int(first), int(second)

    def written_out(self, number: int) -> list[int]:
        """A number in the symbols of y."""
        return digits_of(number)[:: -1 if self.reversed_digits else 1]


class Addition(_Decimal):
    """y = a + b.

    >>> Addition(num_digits=2).solve([17, 15, 4, 14, 16])  # 75 + 46
    [11, 12, 11]
    >>> Addition(num_digits=2).drawn(1)
    'd7 d3 ARG d8 d7 SEP ⟦d1 d6 d0 EOS⟧'
    """

    type: Literal["addition"] = "addition"
    paper: ClassVar[str] = "Jiang, Shinnick et al. 2026"

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_sums

    def solve(self, source: Sequence[int]) -> list[int]:
        """The sum."""
        return self.written_out(sum(self.operands(source)))


class Multiplication(_Decimal):
    """y = a * b.

    >>> Multiplication(num_digits=2).solve([17, 15, 4, 14, 16])  # 75 * 46
    [13, 14, 15, 10]
    >>> Multiplication(num_digits=2).drawn(1)
    'd4 d1 ARG d3 d6 SEP ⟦d1 d4 d7 d6 EOS⟧'
    """

    type: Literal["multiplication"] = "multiplication"
    paper: ClassVar[str] = "Jiang, Shinnick et al. 2026"

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_products

    def solve(self, source: Sequence[int]) -> list[int]:
        """The product."""
        first, second = self.operands(source)
        return self.written_out(first * second)


@njit(cache=True)
def _draw_digits(state, out):
    """Fills `out` (n,) with the digits of a number, least significant first; the state behind the last draw."""
    state = draw_codes(state, 10, 0, out) + GOLDEN_GAMMA
    out[len(out) - 1] = between(state, 1, 9)
    return state


@njit(cache=True)
def _put(symbols, place, digits, backwards):
    """Writes digits (n,), least significant first, from `place` on; the place behind them."""
    for position in range(len(digits)):
        digit = digits[position] if backwards else digits[len(digits) - 1 - position]
        symbols[place + position] = _DIGIT_0 + digit
    return place + len(digits)


@njit(cache=True)
def _write_sums(backwards, request, symbols, predicted, ends):
    first, second, end = np.empty(request.high + 1, np.int64), np.empty(request.high + 1, np.int64), 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        _draw_digits(_draw_digits(state, first[:size]), second[:size])
        place = _put(symbols, begin, first[:size], backwards)
        symbols[place] = _ARG
        separator = _put(symbols, place + 1, second[:size], backwards)
        carry = 0
        for position in range(size):
            carry += first[position] + second[position]
            first[position] = carry % 10
            carry //= 10
        first[size] = carry
        place = _put(symbols, separator + 1, first[: size + carry], backwards)
        end = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = end


@njit(cache=True)
def _write_products(backwards, request, symbols, predicted, ends):
    first, second, end = np.empty(request.high, np.int64), np.empty(request.high, np.int64), 0
    total = np.empty(2 * request.high, np.int64)
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        _draw_digits(_draw_digits(state, first[:size]), second[:size])
        place = _put(symbols, begin, first[:size], backwards)
        symbols[place] = _ARG
        separator = _put(symbols, place + 1, second[:size], backwards)
        total[: 2 * size] = 0
        for left in range(size):
            for right in range(size):
                total[left + right] += first[left] * second[right]
        for position in range(2 * size - 1):
            total[position + 1] += total[position] // 10
            total[position] %= 10
        length = 2 * size if total[2 * size - 1] > 0 else 2 * size - 1
        place = _put(symbols, separator + 1, total[:length], backwards)
        end = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = end
