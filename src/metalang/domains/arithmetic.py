"""Equations and prefix expressions modulo a number.

ModularArithmetic: Power et al. 2022, "Grokking", arXiv 2201.02177 (p = 97, one equation to a row). Mano: Allen-Zhu
2025, "Physics of Language Models 4.1" (mod 23, up to 10, 13 or 16 operations); without the marker of the length.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.rows import Replayed, fault, open_row, request_for, written
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, row_state
from metalang.specs import Range

_SEP, _EOS, _EQ = int(Control.SEP), int(Control.EOS), int(Control.EQ)


class Mano(Mapping):
    """The value mod `modulus` of an expression in prefix form; the operations + - * are codes `modulus` and on.

    The number of operations is uniform over `num_operations`; of n operations one stands at the root, and its left
    operand has U{0..n-1} of the rest.

    >>> Mano().solve([55, 57, 34, 35, 36])  # + * 2 3 4
    [42]
    >>> Mano().drawn(1)
    '23 21 24 23 6 24 6 23 25 14 11 9 1 SEP ⟦7 EOS⟧'
    """

    type: Literal["mano"] = "mano"
    paper: ClassVar[str] = "Allen-Zhu 2025"
    modulus: int = Field(default=23, ge=2, le=10_000)
    num_operations: Range = Range(min=1, max=10)

    @model_validator(mode="after")
    def _has_operations(self):
        low, high = self.num_operations.min, self.num_operations.max
        if not 1 <= low <= high <= 10_000:
            raise ValueError(f"num_operations {low} to {high} is no number of operations; 1 to 10000 are")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.modulus + 3

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return content_range(self.modulus + 3)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        low, high = self.num_operations.min, self.num_operations.max
        request = request_for(self, key, start, low, high)
        return written(
            _write_prefix, self.modulus, request, count=count, longest_row=2 * high + 4, num_symbols=self.num_symbols
        )

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        wanted = 1  # operands still to come
        for position, symbol in enumerate(source):
            if wanted == 0:
                raise fault(position, "the expression ends before this symbol")
            wanted += 1 if symbol >= NUM_CONTROL + self.modulus else -1
        if wanted or len(source) // 2 not in range(self.num_operations.min, self.num_operations.max + 1):
            raise fault(len(source), f"x has {len(source) // 2} operations and {wanted} operands too few")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The value of x."""
        rest = iter(source)

        def value() -> int:
            code = next(rest) - NUM_CONTROL
            if code < self.modulus:
                return code
            left, right = value(), value()
            return [left + right, left - right, left * right][code - self.modulus]

        return [NUM_CONTROL + value() % self.modulus]


Operation = Literal["add", "subtract", "multiply", "divide", "sum_of_squares", "quadratic", "cubic"]
"""x + y, x - y, x y, x / y, x² + y², x² + x y + y², x³ + x y."""


class ModularArithmetic(Replayed):
    """`num_equations` equations `a op b EQ c` mod `modulus`, SEP between them; c is predicted, or all.

    Codes: the numbers, then the operations in their order. a and b are uniform, the operation too; a / b is made of a
    uniform c and b from 1 on, as a = b * c. One equation of one operation has only `modulus` ** 2 rows.

    >>> row = ModularArithmetic(num_equations=1).sample(0, 0, 1).symbols
    >>> len(row), int(row[1]), int(row[3])
    (6, 129, 8)
    """

    type: Literal["mod_arith"] = "mod_arith"
    paper: ClassVar[str] = "Power et al. 2022"
    modulus: int = Field(default=97, ge=2, le=30_000)
    operations: tuple[Operation, ...] = ("add",)
    num_equations: int = Field(default=1, ge=1, le=100_000)
    mask: Literal["all", "output"] = "output"

    @model_validator(mode="after")
    def _divides(self):
        if not self.operations or len(set(self.operations)) < len(self.operations):
            raise ValueError(f"operations {list(self.operations)} should name at least one, and none twice")
        divisors = [each for each in range(2, self.modulus) if self.modulus % each == 0]
        if "divide" in self.operations and divisors:
            raise ValueError(f"modulus {self.modulus} is not prime, so divide is not defined; 97 is")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block, the numbers and the operations."""
        return NUM_CONTROL + self.modulus + len(self.operations)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        kinds = np.array([get_args(Operation).index(operation) for operation in self.operations])
        return written(
            _write_equations, np.uint64(key), start, self.modulus, kinds, self.num_equations, self.mask == "all",
            count=count, longest_row=6 * self.num_equations, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        zero, end = NUM_CONTROL, NUM_CONTROL + self.modulus
        numbers, operations = range(zero, end), range(end, self.num_symbols)
        for position, symbol in enumerate(row[: 6 * self.num_equations]):
            begin = position - position % 6
            last = position == 6 * self.num_equations - 1
            allowed = [numbers, operations, numbers, [_EQ], numbers, [_EOS] if last else [_SEP]][position % 6]
            if symbol not in allowed:
                raise fault(position, f"symbol {symbol} cannot stand here")
            if position % 6 == 4:
                left, right, result = row[begin] - zero, row[begin + 2] - zero, symbol - zero
                if not self._holds(self.operations[row[begin + 1] - end], left, right, result):
                    raise fault(position, f"{result} does not make the equation true")
        if len(row) != 6 * self.num_equations:
            end = min(len(row), 6 * self.num_equations)
            raise fault(end, f"the row has {len(row)} symbols and should have {6 * self.num_equations}")
        return [self.mask == "all" or position % 6 == 4 for position in range(len(row))]

    def _holds(self, operation: str, left: int, right: int, result: int) -> bool:
        if operation == "divide":
            return right != 0 and result * right % self.modulus == left
        made = {
            "add": left + right,
            "subtract": left - right,
            "multiply": left * right,
            "sum_of_squares": left**2 + right**2,
            "quadratic": left**2 + left * right + right**2,
            "cubic": left**3 + left * right,
        }
        return made[operation] % self.modulus == result


@njit(cache=True)
def _write_prefix(modulus, request, symbols, predicted, ends):
    waiting, end = np.empty(request.high + 2, np.int64), 0
    for index in range(len(ends)):
        begin, (state, waiting[0]) = end, open_row(request, index)
        depth, place = 1, begin
        while depth > 0:
            depth -= 1
            inner = waiting[depth]
            state += GOLDEN_GAMMA
            if inner == 0:
                symbols[place] = NUM_CONTROL + between(state, 0, modulus - 1)
            else:
                symbols[place] = NUM_CONTROL + modulus + between(state, 0, 2)
                state += GOLDEN_GAMMA
                left = between(state, 0, inner - 1)
                waiting[depth], waiting[depth + 1] = inner - 1 - left, left
                depth += 2
            place += 1
        for position in range(place - 1, begin - 1, -1):
            code = symbols[position] - NUM_CONTROL
            if code < modulus:
                waiting[depth] = code
                depth += 1
                continue
            depth -= 1
            left, right = waiting[depth], waiting[depth - 1]
            if code == modulus:
                waiting[depth - 1] = (left + right) % modulus
            elif code == modulus + 1:
                waiting[depth - 1] = (left - right) % modulus
            else:
                waiting[depth - 1] = left * right % modulus
        symbols[place + 1] = NUM_CONTROL + waiting[0]
        end = close_row(request, symbols, predicted, begin, place, place + 2)
        ends[index] = end


@njit(cache=True)
def _write_equations(key, start, modulus, kinds, num_equations, mask_input, symbols, predicted, ends):
    place = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index))
        for _ in range(num_equations):
            state += GOLDEN_GAMMA
            which = between(state, 0, len(kinds) - 1)
            state += GOLDEN_GAMMA
            left, kind = between(state, 0, modulus - 1), kinds[which]
            state += GOLDEN_GAMMA
            right = between(state, kind == 3, modulus - 1)
            if kind == 3:
                result, left = left, left * right % modulus
            else:
                result = _apply(kind, left, right) % modulus
            predicted[place : place + 6] = mask_input
            symbols[place], symbols[place + 1] = NUM_CONTROL + left, NUM_CONTROL + modulus + which
            symbols[place + 2], symbols[place + 3] = NUM_CONTROL + right, _EQ
            symbols[place + 4], symbols[place + 5] = NUM_CONTROL + result, _SEP
            predicted[place + 4] = True
            place += 6
        symbols[place - 1] = _EOS
        ends[index] = place


@njit(cache=True, inline="always")
def _apply(kind, left, right):
    """An operation, by its place among all; divide is none of them."""
    if kind == 0:
        return left + right
    if kind == 1:
        return left - right
    if kind == 2:
        return left * right
    if kind == 4:
        return left * left + right * right
    if kind == 5:
        return left * left + left * right + right * right
    return left * left * left + left * right
