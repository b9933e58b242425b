"""Outputs of random programs on a universal machine.

BrainPhoque: Grau-Moya et al. 2024, "Learning Universal Predictors", arXiv 2401.14953; defaults are those of the
published training script (alphabet 9, 10 cells, 100 steps, programs of up to 100 instructions, outputs of 256 symbols).

A program is drawn while it runs, each of the seven instructions as likely as any other, so that no part of it stands
unused. A head stands at one of a ring of cells, all 0 at first, which count modulo the alphabet.

    + -  one more, one less in the cell        < >  one cell to the left, to the right
    .    the cell is put out                   [ ]  while the cell is not 0

`[` costs a step each time that its cell is tested, `]` one each time that it leads back; a `]` without `[` is a step
that does nothing. The run ends after `max_steps`, at a full row, or where the longest program is at its end.

Outputs follow the universal distribution: simple ones come again and again. Of the published rows, one in four or so
is the copy of another; the rows of different seeds and splits are drawn apart and yet may be equal.
"""

from collections import deque
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field

from metalang.domains.contract import Domain, Sequences, content_range
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control, id_dtype
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Size

_PAD, _EOS = int(Control.PAD), int(Control.EOS)
_INSTRUCTIONS = "+-<>.[]"
# As codes; SKIPPED is an OPEN that was first met at a cell of 0.
_PLUS, _MINUS, _LEFT, _RIGHT, _PRINT, _OPEN, _CLOSE, _SKIPPED = range(8)


class BrainphoqueUtm(Domain):
    """The output of a random program; cell value v is the symbol NUM_CONTROL + v.

    A row has `sequence_length` symbols. What an output leaves of it is PAD and not predicted (the published machine
    pads with its symbol 0, masked likewise); or else, `packed`, which is ours, programs follow until the row is full,
    with an EOS, not predicted, behind each output that is not empty.

    >>> machine = BrainphoqueUtm(sequence_length=12)
    >>> machine.programs(7, 1), machine.run("[.>.<-]]]-]>+-][]<<]+[.>[.]")
    (['[.>.<-]]]-]>+-][]<<]+[.>[.]'], [32, 32, 33, 39, 39, 39, 39, 39, 39, 39, 39, 39])
    >>> machine.sample(7, 4, 1).symbols.tolist()
    [32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """

    type: Literal["brainphoque_utm"] = "brainphoque_utm"
    paper: ClassVar[str] = "Grau-Moya et al. 2024"
    alphabet_size: int = Field(default=9, ge=2, le=2**16)
    memory_size: int = Field(default=10, ge=1, le=2**20)
    max_steps: Size = Field(default=100, ge=1)
    max_program_length: Size = Field(default=100, ge=1)
    sequence_length: Size = Field(default=256, ge=1)
    packed: bool = False

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the alphabet."""
        return NUM_CONTROL + self.alphabet_size

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        symbols = np.full((count, self.sequence_length), _PAD, dtype=id_dtype(self.num_symbols))
        _run_rows(np.uint64(key), start, self.alphabet_size, self.max_steps, self.packed, *self._scratch, symbols)
        ends = np.arange(1, count + 1) * self.sequence_length
        return Sequences(symbols.reshape(-1), ends, symbols.reshape(-1) >= NUM_CONTROL)

    def programs(self, key: int, row: int) -> list[str]:
        """The programs behind a row, one or (`packed`) as many as it took; `run` gives their outputs."""
        cells, jumps, unmatched, program = self._scratch
        output, room, found = np.empty(self.sequence_length, np.int64), self.sequence_length, []
        state = row_state(np.uint64(key), np.uint64(row))
        while room > 0 and (self.packed or not found):
            state, size, written = _run(
                np.uint64(state), self.alphabet_size, self.max_steps, cells, jumps, unmatched, program, output[:room]
            )
            found.append("".join((*_INSTRUCTIONS, "[")[code] for code in program[:size]))
            room -= written + (written > 0)
        return found

    @property
    def _scratch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        longest = min(self.max_program_length, self.max_steps)
        cells, jumps = np.empty(self.memory_size, np.int64), np.empty(longest, np.int64)
        return cells, jumps, np.empty(longest, np.int64), np.empty(longest, np.uint8)

    def run(self, program: str) -> list[int]:
        """What a program puts out, in slow and plain Python: a tree of loops that grows as the program is read.

        Raises CorpusError for an instruction that is none.
        """
        if set(program) - set(_INSTRUCTIONS):
            raise CorpusError(f"program {program!r} holds more than the instructions {' '.join(_INSTRUCTIONS)}")
        unread, tape, output = iter(program), _Tape([0] * self.memory_size, self.alphabet_size), []
        stack = [(_Block(), 0)]  # what is being run, and how far; below its top stand the loops around it
        for _ in range(self.max_steps):
            block, place = stack.pop()
            if place == len(block.parts) and block.is_closed:
                continue  # this step was its `]`
            if place == len(block.parts):
                instruction = next(unread, None)
                if instruction is None or len(output) == self.sequence_length:
                    break
                if instruction == "]" and stack:
                    block.is_closed = True
                    continue
                block.parts.append(_Block() if instruction == "[" else instruction)
            part = block.parts[place]
            if isinstance(part, _Block) and tape.cells[0] != 0:
                stack += [(block, place), (part, 0)]
                continue
            stack.append((block, place + 1))
            if part == ".":
                output.append(NUM_CONTROL + tape.cells[0])
            elif not isinstance(part, _Block):
                tape.do(part)
        return output[: self.sequence_length]

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition.

        A row alone does not show its programs: `programs` and `run` compare the two.
        """
        row, content = [int(symbol) for symbol in symbols], content_range(self.alphabet_size)
        if len(row) != self.sequence_length:
            raise CorpusError(f"position {len(row)}: a row has {self.sequence_length} symbols, not {len(row)}")
        size = 0  # of the output that is being read; None behind the one output of a row that is not packed
        for position, symbol in enumerate(row):
            is_output = symbol in content and size is not None and size < self.max_steps
            if not is_output and (symbol != (_EOS if self.packed else _PAD) or (self.packed and size == 0)):
                raise CorpusError(f"position {position}: symbol {symbol} is no output of this machine, nor its end")
            size = size + 1 if is_output else 0 if self.packed else None
            if bool(predicted[position]) != is_output:
                raise CorpusError(f"position {position}: mask is {bool(predicted[position])}, should be {is_output}")


class _Block:
    """The body of a loop, or the whole program: instructions and loops, as far as they have been read."""

    def __init__(self) -> None:
        self.parts: list[str | _Block] = []
        self.is_closed = False


class _Tape:
    """A ring of cells, turned so that the head is at cell 0."""

    def __init__(self, cells: list[int], alphabet_size: int) -> None:
        self.cells = deque(cells)
        self.alphabet_size = alphabet_size

    def do(self, instruction: str) -> None:
        """Changes the cell or turns the ring; `]` does nothing."""
        self.cells.rotate({"<": 1, ">": -1}.get(instruction, 0))
        self.cells[0] = (self.cells[0] + {"+": 1, "-": -1}.get(instruction, 0)) % self.alphabet_size


@njit(cache=True)
def _run_rows(key, start, alphabet_size, max_steps, packed, cells, jumps, unmatched, program, symbols):
    """Writes outputs into rows, (count, sequence_length), that are all PAD."""
    length = symbols.shape[1]
    for row in range(len(symbols)):
        state, place, is_done = row_state(key, uint64(start + row)), 0, False
        while place < length and not is_done:
            state, _, written = _run(
                state, alphabet_size, max_steps, cells, jumps, unmatched, program, symbols[row, place:]
            )
            place += written
            is_done = not packed
            if packed and written > 0 and place < length:
                symbols[row, place] = _EOS
                place += 1


@njit(cache=True)
def _run(state, alphabet_size, max_steps, cells, jumps, unmatched, program, output):
    """Draws a program and runs it: state, size of the program, size of the output.

    `jumps`: where a bracket leads, -1 where that code is not drawn yet. A body that is first entered late, and what
    follows a body, are written at the end of the program; so are the instructions in the order of their first steps.
    """
    cells[:] = 0
    size, at, head, num_unmatched, written = 0, 0, 0, 0, 0
    for _ in range(max_steps):
        is_new = at == size
        if is_new:
            if size == len(program):
                break
            state += GOLDEN_GAMMA
            drawn = below(mix64(state), uint64(7))
            program[size] = _SKIPPED if drawn == _OPEN and cells[head] == 0 else drawn
            jumps[size] = -1
            size += 1
        code, value = program[at], cells[head]
        if code == _PLUS:
            cells[head] = value + 1 if value + 1 < alphabet_size else 0
        elif code == _MINUS:
            cells[head] = value - 1 if value > 0 else alphabet_size - 1
        elif code == _LEFT:
            head = head - 1 if head > 0 else len(cells) - 1
        elif code == _RIGHT:
            head = head + 1 if head + 1 < len(cells) else 0
        elif code == _PRINT:
            output[written] = NUM_CONTROL + value
            written += 1
            if written == len(output):
                break
        elif code == _CLOSE:
            if is_new and num_unmatched > 0:
                num_unmatched -= 1
                jumps[at] = unmatched[num_unmatched]
            if jumps[at] >= 0:
                at = jumps[at] - 1
        elif is_new:
            if code == _OPEN:
                unmatched[num_unmatched] = at
                num_unmatched += 1
        elif (code == _OPEN) == (value == 0):
            if jumps[at] < 0:
                jumps[at] = size - 1
                if code == _SKIPPED:
                    unmatched[num_unmatched] = at
                    num_unmatched += 1
            at = jumps[at]
        at += 1
    return state, size, written
