"""Two of the deterministic context-free tasks: the value of an expression with brackets, and an unknown in one.

Delétang et al. 2022, arXiv 2207.02098, and their generators `tasks/dcf`: an expression is d, -d, (d), (-d) or (e o e),
with the length of the left e uniform; the generator allows `multiplication` and leaves it off.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field

from metalang.domains.chomsky import ChomskyTask, codes_of, symbols_of
from metalang.domains.rows import Kernel, fault, open_row
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA

_PLUS, _MINUS, _TIMES, _OPEN, _CLOSE, _UNKNOWN, _EQUALS = range(7)  # codes behind those of the numbers


class _Bracketed(ChomskyTask):
    """Expressions with brackets over the numbers mod `modulus`; codes: the numbers, then + - * ( ) x =."""

    modulus: int = Field(default=5, ge=2, le=1000)

    @property
    def output_codes(self) -> int:
        """Number of the symbols that y is made of."""
        return self.modulus

    def value(self, codes: Sequence[int]) -> int:
        """The value of an expression. Raises CorpusError with the first position at which it is none."""
        value, end = self._parse(codes, 0)
        if end < len(codes):
            raise fault(end, "the expression ends before this symbol")
        return value

    def _parse(self, codes: Sequence[int], begin: int) -> tuple[int, int]:
        """The value of the expression from `begin` on, and the position behind it."""
        first = self._operator(codes, begin)
        if first == _MINUS:
            return -self._number(codes, begin + 1) % self.modulus, begin + 2
        if first != _OPEN:
            return self._number(codes, begin), begin + 1
        value, end = self._parse(codes, begin + 1)
        if self._operator(codes, end) in self._joining:
            right, behind = self._parse(codes, end + 1)
            left, operator, end = value, self._operator(codes, end), behind
            value = {_PLUS: left + right, _MINUS: left - right, _TIMES: left * right}[operator] % self.modulus
        if self._operator(codes, end) != _CLOSE:
            raise fault(end, "a closing bracket should stand here")
        return value, end + 1

    @property
    def _joining(self) -> tuple[int, ...]:
        return (_PLUS, _MINUS)

    def _operator(self, codes: Sequence[int], position: int) -> int:
        return codes[position] - self.modulus if position < len(codes) else -1

    def _number(self, codes: Sequence[int], position: int) -> int:
        if position >= len(codes) or codes[position] >= self.modulus:
            raise fault(position, "a number should stand here")
        return codes[position]


class ModularArithmeticBrackets(_Bracketed):
    """The value mod `modulus` of an expression with brackets.

    >>> ModularArithmeticBrackets(sequence_length=8).solve([40, 34, 38, 38, 35, 41])  # (2--3) mod 5
    [32]
    >>> ModularArithmeticBrackets(sequence_length=8).drawn(1)
    '8 0 6 2 9 SEP ⟦3 EOS⟧'
    """

    type: Literal["chomsky_modular_arithmetic_brackets"] = "chomsky_modular_arithmetic_brackets"
    paper: ClassVar[str] = "Delétang et al. 2022"
    multiplication: bool = False

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return self.modulus + 5

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_expressions

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return self.modulus, 2 + self.multiplication, self.sizes[-1]

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        self.value(codes_of(source))

    def solve(self, source: Sequence[int]) -> list[int]:
        """The value of x."""
        return symbols_of([self.value(codes_of(source))])

    @property
    def _joining(self) -> tuple[int, ...]:
        return (_PLUS, _MINUS, _TIMES) if self.multiplication else (_PLUS, _MINUS)


class SolveEquation(_Bracketed):
    """The number that the unknown of `expression = value` stands for; + and - alone, so there is exactly one.

    The unknown replaces the number at a uniform position or, where none stands there, the next one, cyclically.

    >>> SolveEquation(sequence_length=11).solve([40, 42, 38, 35, 41, 43, 36])  # (x-3)=4 mod 5
    [34]
    >>> SolveEquation(sequence_length=11).drawn(1)
    '8 6 10 5 1 9 11 3 SEP ⟦3 EOS⟧'
    """

    type: Literal["chomsky_solve_equation"] = "chomsky_solve_equation"
    paper: ClassVar[str] = "Delétang et al. 2022"

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return self.modulus + 7

    def shapes(self) -> range:
        """The lengths that x can have at all: from `x=d` on."""
        return range(3, self.sequence_length.max)

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_equations

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return self.modulus, self.sizes[-1]

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        codes = codes_of(source)
        unknown, equals = self.modulus + _UNKNOWN, self.modulus + _EQUALS
        if codes.count(unknown) != 1:
            raise fault(len(codes), f"the unknown stands {codes.count(unknown)} times and should stand once")
        if codes.index(unknown) > len(codes) - 3:
            raise fault(codes.index(unknown), "the unknown should stand before =")
        self.value([0 if code == unknown else code for code in codes[:-2]])
        if codes[-2] != equals:
            raise fault(len(codes) - 2, "= should stand here")
        self._number(codes, len(codes) - 1)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The number that makes the equation true."""
        codes, unknown = codes_of(source), self.modulus + _UNKNOWN
        tried = ([number if code == unknown else code for code in codes[:-2]] for number in range(self.modulus))
        return symbols_of([number for number, left in enumerate(tried) if self.value(left) == codes[-1]])


@njit(cache=True)
def _write_expressions(modulus, num_operators, longest, request, symbols, predicted, ends):
    scratch, end = np.empty((3, longest + 1), dtype=np.int64), 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size]
        _draw_expression(state, modulus, num_operators, source, scratch)
        symbols[begin + size + 1] = NUM_CONTROL + _evaluate(modulus, source, scratch)
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end


@njit(cache=True)
def _write_equations(modulus, longest, request, symbols, predicted, ends):
    scratch, end, zero = np.empty((3, longest + 1), dtype=np.int64), 0, NUM_CONTROL + modulus
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source = symbols[begin : begin + size - 2]
        state = _draw_expression(state, modulus, 2, source, scratch) + GOLDEN_GAMMA
        value = _evaluate(modulus, source, scratch)
        place = between(state, 0, size - 3)
        while source[place] >= zero:
            place = (place + 1) % (size - 2)
        symbols[begin + size + 1] = source[place]
        source[place] = zero + _UNKNOWN
        symbols[begin + size - 2] = zero + _EQUALS
        symbols[begin + size - 1] = NUM_CONTROL + value
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 2)
        ends[index] = end


@njit(cache=True)
def _draw_expression(state, modulus, num_operators, out, scratch):
    """Fills `out` (n,) with an expression; the state behind the last draw. `scratch` (3, n + 1) holds what is to do."""
    begins, ends, zero, waiting = scratch[0], scratch[1], NUM_CONTROL + modulus, 1
    begins[0], ends[0] = 0, len(out)
    while waiting > 0:
        waiting -= 1
        begin, end = begins[waiting], ends[waiting]
        length = end - begin
        state += GOLDEN_GAMMA
        if length >= 3:
            out[begin], out[end - 1] = zero + _OPEN, zero + _CLOSE
        if length < 5:
            place = end - 1 if length < 3 else end - 2
            out[place] = NUM_CONTROL + between(state, 0, modulus - 1)
            if length % 2 == 0:
                out[place - 1] = zero + _MINUS
            continue
        middle = begin + 1 + between(state, 1, length - 4)
        state += GOLDEN_GAMMA
        out[middle] = zero + between(state, 0, num_operators - 1)
        begins[waiting], ends[waiting] = middle + 1, end - 1
        begins[waiting + 1], ends[waiting + 1] = begin + 1, middle
        waiting += 2
    return state


@njit(cache=True)
def _evaluate(modulus, source, scratch):
    """The value of an expression (n,); `scratch` (3, n + 1) holds, of each open bracket, value, operator and sign."""
    values, operators, signs, depth = scratch[0], scratch[1], scratch[2], 0
    values[0], operators[0], signs[0] = 0, _PLUS, 1
    operand = True  # whether an operand comes next
    for symbol in source:
        code = symbol - NUM_CONTROL - modulus
        if code == _OPEN:
            depth += 1
            values[depth], operators[depth], signs[depth] = 0, _PLUS, 1
            continue
        if 0 <= code < _OPEN:
            if operand:
                signs[depth] = -1
            else:
                operators[depth], operand = code, True
            continue
        number = values[depth] if code == _CLOSE else symbol - NUM_CONTROL
        depth -= code == _CLOSE
        number *= signs[depth]
        if operators[depth] == _TIMES:
            values[depth] = values[depth] * number % modulus
        else:
            values[depth] = (values[depth] + (number if operators[depth] == _PLUS else -number)) % modulus
        signs[depth], operand = 1, False
    return values[0]
