"""The regular tasks: four questions that a finite automaton answers.

Delétang et al. 2022, arXiv 2207.02098, and their generators `tasks/regular`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from numba import njit
from pydantic import Field

from metalang.domains.chomsky import ChomskyTask, codes_of, symbols_of
from metalang.domains.rows import Kernel, draw_codes, fault, open_row
from metalang.domains.strings import close_row
from metalang.ids import NUM_CONTROL


class EvenPairs(ChomskyTask):
    """Whether the pairs 01 and 10 in a binary x are an odd number, 0 or 1: whether its ends differ.

    >>> EvenPairs(sequence_length=8).solve([32, 33, 33, 32, 33])
    [33]
    >>> EvenPairs(sequence_length=8).drawn(1)
    '0 0 0 1 0 SEP ⟦0 EOS⟧'
    """

    type: Literal["chomsky_even_pairs"] = "chomsky_even_pairs"
    paper: ClassVar[str] = "Delétang et al. 2022"

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_even_pairs

    def solve(self, source: Sequence[int]) -> list[int]:
        """The parity of the number of unequal neighbours."""
        return symbols_of([sum(left != right for left, right in pairwise(source)) % 2])


class Parity(ChomskyTask):
    """The number of ones in a binary x, mod 2.

    >>> Parity(sequence_length=8).solve([33, 33, 32, 33, 32])
    [33]
    >>> Parity(sequence_length=8).drawn(1)
    '0 1 1 1 0 SEP ⟦1 EOS⟧'
    """

    type: Literal["chomsky_parity"] = "chomsky_parity"
    paper: ClassVar[str] = "Delétang et al. 2022"

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_parities

    def solve(self, source: Sequence[int]) -> list[int]:
        """The parity of x."""
        return symbols_of([codes_of(source).count(1) % 2])


class CycleNavigation(ChomskyTask):
    """Where a walk on a cycle of `cycle_length` places ends that began at 0: codes 0, 1, 2 go back, stay, go on.

    >>> CycleNavigation(sequence_length=8).solve([34, 32, 33, 32, 32])
    [35]
    >>> CycleNavigation(sequence_length=8).drawn(1)
    '0 2 1 2 1 SEP ⟦1 EOS⟧'
    """

    type: Literal["chomsky_cycle_navigation"] = "chomsky_cycle_navigation"
    paper: ClassVar[str] = "Delétang et al. 2022"
    cycle_length: int = Field(default=5, ge=2, le=1000)

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return 3

    @property
    def output_codes(self) -> int:
        """Number of the symbols that y is made of."""
        return self.cycle_length

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_walks

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return (self.cycle_length,)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The last place of the walk."""
        place = 0
        for code in codes_of(source):
            place = (place + {0: -1, 1: 0, 2: 1}[code]) % self.cycle_length
        return symbols_of([place])


class ModularArithmetic(ChomskyTask):
    """The value mod `modulus` of numbers joined by + - *, where * binds first; there are no brackets.

    Codes: the numbers, then + - *. |x| is odd.

    >>> ModularArithmetic(sequence_length=8).solve([33, 37, 34, 39, 35])  # 1 + 2 * 3 mod 5
    [34]
    >>> ModularArithmetic(sequence_length=8).drawn(1)
    '0 5 0 5 3 SEP ⟦3 EOS⟧'
    """

    type: Literal["chomsky_modular_arithmetic"] = "chomsky_modular_arithmetic"
    paper: ClassVar[str] = "Delétang et al. 2022"
    modulus: int = Field(default=5, ge=2, le=1000)

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return self.modulus + 3

    @property
    def output_codes(self) -> int:
        """Number of the symbols that y is made of."""
        return self.modulus

    def shapes(self) -> range:
        """The lengths that x can have at all: the odd ones."""
        return range(1, self.sequence_length.max, 2)

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_sums

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return (self.modulus,)

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        for position, code in enumerate(codes_of(source)):
            if (code < self.modulus) != (position % 2 == 0):
                raise fault(position, "numbers stand at even and operators at odd positions")
        if len(source) % 2 == 0:
            raise fault(len(source), f"x has {len(source)} symbols and should have an odd number")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The value of x."""
        operators = {self.modulus: "+", self.modulus + 1: "-", self.modulus + 2: "*"}
        text = " ".join(operators.get(code, str(code)) for code in codes_of(source))
        total = 0
        for term in text.replace("- ", "+ -").split("+"):
            product = 1
            for factor in term.split("*"):
                product *= int(factor)
            total += product
        return symbols_of([total % self.modulus])


@njit(cache=True)
def _write_even_pairs(request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        draw_codes(state, 2, NUM_CONTROL, symbols[begin : begin + size])
        symbols[begin + size + 1] = NUM_CONTROL + (symbols[begin] != symbols[begin + size - 1])
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end


@njit(cache=True)
def _write_parities(request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        draw_codes(state, 2, NUM_CONTROL, source)
        ones = 0
        for symbol in source:
            ones += symbol - NUM_CONTROL
        symbols[begin + size + 1] = NUM_CONTROL + ones % 2
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end


@njit(cache=True)
def _write_walks(cycle_length, request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        draw_codes(state, 3, NUM_CONTROL, source)
        steps = 0
        for symbol in source:
            steps += symbol - NUM_CONTROL
        symbols[begin + size + 1] = NUM_CONTROL + (steps - size) % cycle_length
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end


@njit(cache=True)
def _write_sums(modulus, request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, half) = end, open_row(request, index)
        size = 2 * half + 1
        source = symbols[begin : begin + size]
        state = draw_codes(state, modulus, NUM_CONTROL, source[::2])
        draw_codes(state, 3, NUM_CONTROL + modulus, source[1::2])
        total, term = 0, source[0] - NUM_CONTROL
        for position in range(1, size, 2):
            operator, number = source[position] - NUM_CONTROL - modulus, source[position + 1] - NUM_CONTROL
            if operator == 2:
                term = term * number % modulus
            else:
                total += term
                term = number if operator == 0 else modulus - number
        symbols[begin + size + 1] = NUM_CONTROL + (total + term) % modulus
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end
