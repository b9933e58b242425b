"""Three of the context-sensitive tasks: sums, products and roots of binary numbers.

Delétang et al. 2022, arXiv 2207.02098, and their generators `tasks/cs`.
"""

from collections.abc import Sequence
from math import isqrt
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit
from pydantic import model_validator

from metalang.domains.chomsky import ChomskyTask, codes_of, symbols_of
from metalang.domains.rows import Kernel, draw_codes, fault, open_row
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA

_JOIN = 2  # the code between two numbers
_MOST_BITS = 120  # remainders of the digit-by-digit root then lie below 2**62


class _BinaryOperation(ChomskyTask):
    """x = a, code 2, b in binary, least significant bit first; a and b uniform from 1 on in what |x| leaves them.

    |a| is uniform; y has no zeros at its end.
    """

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return 3

    def shapes(self) -> range:
        """The lengths that x can have at all: from one bit and one bit on."""
        return range(3, self.sequence_length.max)

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        codes = codes_of(source)
        if codes.count(_JOIN) != 1:
            raise fault(len(codes), f"x has {codes.count(_JOIN) + 1} numbers and should have 2")
        if 1 not in codes[: codes.index(_JOIN)]:
            raise fault(codes.index(_JOIN), "the first number is 0")
        if 1 not in codes[codes.index(_JOIN) :]:
            raise fault(len(codes), "the second number is 0")

    def operands(self, source: Sequence[int]) -> tuple[int, int]:
        """The two numbers of x."""
        codes = codes_of(source)
        text = "".join(str(bit) for bit in reversed(codes))
        second, first = text.split(str(_JOIN))
        return int(first, 2), int(second, 2)


class BinaryAddition(_BinaryOperation):
    """The sum of two binary numbers, least significant bit first.

    >>> BinaryAddition(sequence_length={"min": 9, "max": 20}).solve([32, 32, 33, 34, 32, 33, 33, 32, 33])  # 4 + 22
    [32, 33, 32, 33, 33]
    >>> BinaryAddition(sequence_length={"min": 9, "max": 20}).drawn(1)
    '1 0 2 0 0 1 1 1 0 SEP ⟦1 0 1 1 1 EOS⟧'
    """

    type: Literal["chomsky_binary_addition"] = "chomsky_binary_addition"
    paper: ClassVar[str] = "Delétang et al. 2022"

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: of 1 + 1, of two longest numbers."""
        return 2 if size == 3 else 1, max(2, size - 1)

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_binary_sums

    def solve(self, source: Sequence[int]) -> list[int]:
        """The sum."""
        return symbols_of([int(bit) for bit in reversed(f"{sum(self.operands(source)):b}")])


class BinaryMultiplication(_BinaryOperation):
    """The product of two binary numbers, least significant bit first.

    >>> BinaryMultiplication(sequence_length={"min": 9, "max": 20}).solve([32, 32, 33, 34, 32, 33, 33])  # 4 * 6
    [32, 32, 32, 33, 33]
    >>> BinaryMultiplication(sequence_length={"min": 9, "max": 20}).drawn(1)
    '0 1 0 1 1 2 1 SEP ⟦0 1 0 1 1 EOS⟧'
    """

    type: Literal["chomsky_binary_multiplication"] = "chomsky_binary_multiplication"
    paper: ClassVar[str] = "Delétang et al. 2022"

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: of 1 * 1, of two longest numbers."""
        return 1, size - 1

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_products

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return (self.sizes[-1],)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The product."""
        first, second = self.operands(source)
        return symbols_of([int(bit) for bit in reversed(f"{first * second:b}")])


class ComputeSqrt(ChomskyTask):
    """The integer part of the root of a binary number from 1 on, most significant bit first, in half its bits.

    >>> ComputeSqrt(sequence_length={"min": 9, "max": 20}).solve([33, 32, 32, 33, 32, 33])  # 37
    [33, 33, 32]
    >>> ComputeSqrt(sequence_length={"min": 9, "max": 20}).drawn(1)
    '1 0 1 1 0 1 1 SEP ⟦1 0 0 1 EOS⟧'
    """

    type: Literal["chomsky_compute_sqrt"] = "chomsky_compute_sqrt"
    paper: ClassVar[str] = "Delétang et al. 2022"

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: half the bits of x."""
        return (size + 1) // 2, (size + 1) // 2

    @model_validator(mode="after")
    def _fits_into_a_word(self):
        if self.sizes[-1] > _MOST_BITS:
            raise ValueError(
                f"sequence_length up to {self.sequence_length.max} holds numbers of {self.sizes[-1]} bits; "
                f"chomsky_compute_sqrt works on at most {_MOST_BITS}"
            )
        return self

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_roots

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        if 1 not in codes_of(source):
            raise fault(len(source), "x is 0")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The root, with leading zeros."""
        number = int("".join(str(code) for code in codes_of(source)), 2)
        return symbols_of([int(bit) for bit in f"{isqrt(number):b}".zfill((len(source) + 1) // 2)])


@njit(cache=True)
def _draw_positive(state, out):
    """Fills `out` (n,) with the bits of a number from 1 on; the state behind the last draw."""
    while True:
        state = draw_codes(state, 2, NUM_CONTROL, out)
        for symbol in out:
            if symbol != NUM_CONTROL:
                return state


@njit(cache=True)
def _draw_operands(state, source):
    """Fills x (n,) with two numbers; |a|."""
    state += GOLDEN_GAMMA
    first = between(state, 1, len(source) - 2)
    state = _draw_positive(state, source[:first])
    source[first] = NUM_CONTROL + _JOIN
    _draw_positive(state, source[first + 1 :])
    return first


@njit(cache=True)
def _write_binary_sums(request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        first = _draw_operands(state, source)
        second = size - 1 - first
        carry, place, behind = 0, begin + size + 1, begin + size + 1
        for position in range(max(first, second) + 1):
            if position < first:
                carry += source[position] - NUM_CONTROL
            if position < second:
                carry += source[first + 1 + position] - NUM_CONTROL
            symbols[place] = NUM_CONTROL + carry % 2
            place += 1
            if carry % 2 == 1:
                behind = place
            carry //= 2
        end = close_row(request, symbols, predicted, begin, begin + size, behind)
        ends[index] = end


@njit(cache=True)
def _write_products(longest, request, symbols, predicted, ends):
    end, total = 0, np.zeros(longest + 1, dtype=np.int64)
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        first = _draw_operands(state, source)
        total[: size - 1] = 0
        for left in range(first):
            if source[left] != NUM_CONTROL:
                for right in range(size - 1 - first):
                    total[left + right] += source[first + 1 + right] - NUM_CONTROL
        carry, place, behind = 0, begin + size + 1, begin + size + 1
        for position in range(size - 1):
            carry += total[position]
            symbols[place] = NUM_CONTROL + carry % 2
            place += 1
            if carry % 2 == 1:
                behind = place
            carry //= 2
        end = close_row(request, symbols, predicted, begin, begin + size, behind)
        ends[index] = end


@njit(cache=True)
def _write_roots(request, symbols, predicted, ends):
    """The schoolbook root, two bits of x for one of y."""
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        _draw_positive(state, source)
        root, rest, place = int64(0), int64(0), begin + size + 1
        for position in range(-(size % 2), size, 2):
            high = source[position] - NUM_CONTROL if position >= 0 else 0
            rest = 4 * rest + 2 * high + source[position + 1] - NUM_CONTROL
            bit = rest >= 4 * root + 1
            if bit:
                rest -= 4 * root + 1
            root = 2 * root + bit
            symbols[place] = NUM_CONTROL + bit
            place += 1
        end = close_row(request, symbols, predicted, begin, begin + size, place)
        ends[index] = end
