"""Two of the deterministic context-free tasks, which a stack solves; those with brackets are in `chomsky_brackets`.

Delétang et al. 2022, arXiv 2207.02098, and their generators `tasks/dcf`.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from numba import njit
from pydantic import Field

from metalang.domains.chomsky import ChomskyTask, codes_of, symbols_of
from metalang.domains.rows import Kernel, draw_codes, fault, open_row
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA

_EMPTY = int(Control.EMPTY)


class ReverseString(ChomskyTask):
    """x backwards.

    >>> ReverseString(sequence_length=8).solve([32, 33, 33])
    [33, 33, 32]
    >>> ReverseString(sequence_length=8).drawn(1)
    '0 0 0 SEP ⟦0 0 0 EOS⟧'
    """

    type: Literal["chomsky_reverse_string"] = "chomsky_reverse_string"
    paper: ClassVar[str] = "Delétang et al. 2022"
    alphabet_size: int = Field(default=2, ge=2, le=1000)

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return self.alphabet_size

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: that of x."""
        return size, size

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_reverses

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the kernel needs to know of the description."""
        return (self.alphabet_size,)

    def solve(self, source: Sequence[int]) -> list[int]:
        """x from its last symbol to its first."""
        return list(reversed(source))


class StackManipulation(ChomskyTask):
    """A binary stack, bottom first, then actions on it; y is the last stack, top first.

    Codes of actions: 2 pops (nothing, where the stack is empty), 3 pushes 0, 4 pushes 1. The first stack has 1 to
    |x| - 1 symbols, each number as likely; |x| = 1 is a stack alone.

    >>> StackManipulation(sequence_length={"min": 4, "max": 9}).solve([32, 33, 33, 32, 36, 34, 34])
    [33, 33, 32]
    >>> StackManipulation(sequence_length={"min": 4, "max": 9}).drawn(1)
    '1 4 SEP ⟦1 1 EOS⟧'
    """

    type: Literal["chomsky_stack_manipulation"] = "chomsky_stack_manipulation"
    paper: ClassVar[str] = "Delétang et al. 2022"

    @property
    def source_codes(self) -> int:
        """Number of the symbols that x is made of."""
        return 5

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: EMPTY alone, or all that x can push."""
        return 1, size

    @property
    def kernel(self) -> Kernel:
        """Writes the rows of a request."""
        return _write_stacks

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        acts = False
        for position, code in enumerate(codes_of(source)):
            if position == 0 and code >= 2:
                raise fault(0, "x begins with an action and should begin with a stack")
            if acts and code < 2:
                raise fault(position, "a stack symbol stands behind an action")
            acts = code >= 2
        if len(source) > 1 and not acts:
            raise fault(len(source), "x has no action")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The last stack, top first, or EMPTY."""
        stack: list[int] = []
        for code in codes_of(source):
            if code != 2:
                stack.append(code % 3)
            elif stack:
                stack.pop()
        return symbols_of(stack[::-1]) or [_EMPTY]


@njit(cache=True)
def _write_reverses(alphabet_size, request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        draw_codes(state, alphabet_size, NUM_CONTROL, symbols[begin : begin + size])
        for position in range(size):
            symbols[begin + size + 1 + position] = symbols[begin + size - 1 - position]
        end = close_row(request, symbols, predicted, begin, begin + size, begin + 2 * size + 1)
        ends[index] = end


@njit(cache=True)
def _write_stacks(request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        state += GOLDEN_GAMMA
        held = between(state, 1, max(1, size - 1))
        state = draw_codes(state, 2, NUM_CONTROL, symbols[begin : begin + held])
        draw_codes(state, 3, NUM_CONTROL + 2, symbols[begin + held : begin + size])
        stack = symbols[begin + size + 1 : begin + 2 * size + 1]
        stack[:held] = symbols[begin : begin + held]
        for position in range(begin + held, begin + size):
            action = symbols[position] - NUM_CONTROL - 2
            if action > 0:
                stack[held] = NUM_CONTROL + action - 1
                held += 1
            elif held > 0:
                held -= 1
        for position in range(held // 2):
            stack[position], stack[held - 1 - position] = stack[held - 1 - position], stack[position]
        if held == 0:
            stack[0] = _EMPTY
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 1 + max(1, held))
        ends[index] = end
