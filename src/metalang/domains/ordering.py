"""Orders: symbols sorted by a list that is given, symbols sorted by number, a stack from its top to its bottom.

Wu, Li & Liang 2022, arXiv 2206.10139, and their generator: sorting by a list (x of 10 to 220 symbols). Jiang, Shinnick
et al. 2026, "Procedural Pretraining", arXiv 2601.21725, and their generator: Sort (64 symbols of 99) and Stack (64
steps, 99 symbols). Their stack marks a pop by symbol 0; here it is EMPTY.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.strings import Request, SizedFunction, between, close_row, shuffle
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit

_ARG, _EMPTY = int(Control.ARG), int(Control.EMPTY)


class SortBySequence(SizedFunction):
    """x = w ARG o, y = w sorted by place in o; where o repeats a symbol, its last place counts.

    With |x| from L to H: |o| ~ U{L/2..(H-1)/2}, |w| ~ U{|o|..H-1-|o|}; w holds |o| parts of symbols drawn from o, their
    counts 1 + multinomial, and is shuffled.

    >>> SortBySequence(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).solve([32, 40, 32, 4, 40, 32])
    [40, 32, 32]
    >>> SortBySequence(vocabulary={"size": 9}, sequence_length={"min": 9, "max": 18}).drawn(1)
    '5 1 1 7 ARG 0 7 5 1 SEP ⟦7 5 1 1 EOS⟧'
    """

    type: Literal["sort_by_sequence"] = "sort_by_sequence"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    num_parts: ClassVar[int] = 2
    shortest_source: ClassVar[int] = 3

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y| = |w|: half of the symbols, or all but one."""
        return size // 2, size - 2

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        super().check_source(source)
        unsorted, order = self.parts(source)
        for position, symbol in enumerate(unsorted):
            if symbol not in order:
                raise CorpusError(f"position {position}: symbol {symbol} is not in the order behind ARG")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The first part, sorted by the second."""
        unsorted, order = self.parts(source)
        place = {symbol: index for index, symbol in enumerate(order)}
        return sorted(unsorted, key=place.__getitem__)

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_by_sequence(request, self.vocabulary.tables, symbols, predicted, ends)


class SortNumbers(SizedFunction):
    """y = x in ascending order of its symbols, which are independent.

    >>> SortNumbers(vocabulary={"size": 9}, sequence_length=8).solve([40, 32, 40])
    [32, 40, 40]
    >>> SortNumbers(vocabulary={"size": 9}, sequence_length=8).drawn(1)
    '6 5 1 SEP ⟦1 5 6 EOS⟧'
    """

    type: Literal["sort_numbers"] = "sort_numbers"
    paper: ClassVar[str] = "Jiang, Shinnick et al. 2026"

    @property
    def draws_independently(self) -> bool:
        """Whether the symbols of x are drawn as `vocabulary` says and nothing else is done to them."""
        return True

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y| = |x|."""
        return size, size

    def solve(self, source: Sequence[int]) -> list[int]:
        """x in ascending order."""
        return sorted(source)

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_sorted(request, self.vocabulary.tables, symbols, predicted, ends)


class Stack(SizedFunction):
    """x = steps, each a symbol pushed or EMPTY, a pop; y = the stack behind them, from its top to its bottom.

    A stack of one symbol or none is pushed to. Else the last step pops; the first 2/3 of the steps push with
    probability `push`, the others pop with probability `pop`. What is pushed is uniform among the symbols not on the
    stack; a stack that holds them all is popped.

    >>> Stack(vocabulary={"size": 9}, sequence_length={"min": 8, "max": 12}).solve([33, 35, 7, 40, 32, 7])
    [40, 33]
    >>> Stack(vocabulary={"size": 9}, sequence_length={"min": 8, "max": 12}).drawn(1)
    '4 8 7 3 EMPTY EMPTY SEP ⟦8 4 EOS⟧'
    """

    type: Literal["stack"] = "stack"
    paper: ClassVar[str] = "Jiang, Shinnick et al. 2026"
    push: float = Field(default=0.75, ge=0.0, le=1.0)
    pop: float = Field(default=0.75, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _pushes_uniformly(self):
        if self.vocabulary.noise is not None:
            raise ValueError("vocabulary.noise does not suit stack, whose pushes are uniform; leave it out")
        if self.vocabulary.distribution.type != "uniform":
            raise ValueError(
                f"vocabulary.distribution {self.vocabulary.distribution.type!r} does not suit stack, which pushes any "
                f"symbol not on it with the same probability; set it to 'uniform'"
            )
        if self.vocabulary.size < 2:
            raise ValueError(f"vocabulary.size {self.vocabulary.size} is too small for stack; give it 2 or more")
        return self

    def output_length(self, size: int) -> tuple[int, int]:
        """Bounds of |y|: 1, or one push in each step but the last, which pops."""
        return 1, size if size <= 2 else size - 2

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        stack: list[int] = []
        for position, symbol in enumerate(source):
            if symbol == _EMPTY:
                if len(stack) < 2:
                    raise CorpusError(f"position {position}: a stack of {len(stack)} symbols is popped, below 2")
                stack.pop()
            elif symbol not in self.content:
                raise CorpusError(f"position {position}: symbol {symbol} is not content of {self.type}")
            elif symbol in stack:
                raise CorpusError(f"position {position}: symbol {symbol} is pushed and is on the stack")
            elif position == len(source) - 1 and len(stack) > 1:
                raise CorpusError(f"position {position}: the last step pushes onto a stack of {len(stack)} symbols")
            else:
                stack.append(symbol)

    def solve(self, source: Sequence[int]) -> list[int]:
        """The stack behind the last step, from its top to its bottom."""
        stack: list[int] = []
        for symbol in source:
            stack = stack[1:] if symbol == _EMPTY else [symbol, *stack]
        return stack

    def write_rows(self, request: Request, symbols: np.ndarray, predicted: np.ndarray, ends: np.ndarray) -> None:
        """Writes the rows asked for."""
        _write_stack(request, self.vocabulary.size, self.push, self.pop, symbols, predicted, ends)


@njit(cache=True)
def _write_by_sequence(request, tables, symbols, predicted, ends):
    """Rows of `SortBySequence`, by counting."""
    scratch = np.empty(0, dtype=np.int64)
    place_of = np.zeros(tables.size, dtype=np.int64)
    counts = np.zeros(request.high, dtype=np.int64)
    most = (request.high - 1) // 2
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        discourse, count = discourse_of(tables, state), between(state, max(1, min(request.low // 2, most)), most)
        state += GOLDEN_GAMMA
        size = between(state, max(count, request.low - 1 - count), request.high - 1 - count)
        divider, separator = begin + size, begin + size + 1 + count
        symbols[divider] = _ARG
        order, unsorted = symbols[divider + 1 : separator], symbols[begin:divider]
        state = draw_row(state, tables, order, scratch, discourse)
        for position in range(count):
            state += GOLDEN_GAMMA
            unsorted[position] = order[between(state, 0, count - 1)]
            place_of[order[position] - NUM_CONTROL] = position
            counts[position] = 0
        for position in range(count, size):  # every further symbol goes to a part drawn uniformly: multinomial counts
            state += GOLDEN_GAMMA
            unsorted[position] = unsorted[between(state, 0, count - 1)]
        shuffle(state, unsorted)
        for symbol in unsorted:
            counts[place_of[symbol - NUM_CONTROL]] += 1
        place = separator + 1
        for position in range(count):
            for _ in range(counts[position]):
                symbols[place] = order[position]
                place += 1
        begin = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = begin


@njit(cache=True)
def _write_sorted(request, tables, symbols, predicted, ends):
    """Rows of `SortNumbers`, by counting where the vocabulary is small."""
    scratch = np.arange(0 if tables.replacement else tables.size + request.high)
    counting = tables.size <= 4 * request.high
    counts = np.zeros(tables.size if counting else 0, dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        size = between(state, request.low, request.high)
        separator = begin + size
        draw_row(state, tables, symbols[begin:separator], scratch, discourse_of(tables, state))
        place = separator + 1
        if counting:
            counts[:] = 0
            for position in range(begin, separator):
                counts[symbols[position] - NUM_CONTROL] += 1
            for rank in range(tables.size):
                for _ in range(counts[rank]):
                    symbols[place] = NUM_CONTROL + rank
                    place += 1
        else:
            place += size
            symbols[separator + 1 : place] = np.sort(symbols[begin:separator])
        begin = close_row(request, symbols, predicted, begin, separator, place)
        ends[index] = begin


@njit(cache=True)
def _write_stack(request, num_symbols, push, pop, symbols, predicted, ends):
    """Rows of `Stack`. ranks[:depth] is the stack, ranks[depth:] what is not on it."""
    ranks = np.arange(num_symbols)
    swaps = np.empty((request.high, 2), dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
        size = between(state, request.low, request.high)
        depth, pushes = 0, 0
        for step in range(size):
            state += GOLDEN_GAMMA
            chance = push if 3 * (step + 1) <= 2 * size else 1.0 - pop
            pushed = depth < num_symbols and step < size - 1 and unit(mix64(state)) < chance
            if depth <= 1 or pushed:
                state += GOLDEN_GAMMA
                other = between(state, depth, num_symbols - 1)
                ranks[depth], ranks[other] = ranks[other], ranks[depth]
                swaps[pushes, 0], swaps[pushes, 1] = depth, other
                symbols[begin + step] = NUM_CONTROL + ranks[depth]
                depth += 1
                pushes += 1
            else:
                depth -= 1
                symbols[begin + step] = _EMPTY
        place = begin + size + 1
        for position in range(depth - 1, -1, -1):
            symbols[place] = NUM_CONTROL + ranks[position]
            place += 1
        for swap in range(pushes - 1, -1, -1):
            low, high = swaps[swap, 0], swaps[swap, 1]
            ranks[low], ranks[high] = ranks[high], ranks[low]
        begin = close_row(request, symbols, predicted, begin, begin + size, place)
        ends[index] = begin
