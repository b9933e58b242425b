"""Copying what stands among blanks.

SelectiveCopy: Gu & Dao 2023, "Mamba", arXiv 2312.00752, 16 symbols, of 14, among 4,096 blanks; the same in `mad-lab`
(arXiv 2403.17844): among 223. There each marker at the end is one symbol of the output; here SEP stands for them all.
CopyMemory: the same with the symbols in front.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.rows import draw_codes, fault, open_row, request_for, written
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA
from metalang.specs import Size

_BLANK = int(Control.WORD)


class _CopyAmongBlanks(Mapping):
    """x = `num_copied` independent symbols among blanks (WORD); y = these symbols in their order."""

    scattered: ClassVar[bool]

    sequence_length: Size = Field(default=4130, ge=4)
    num_copied: int = Field(default=16, ge=1)
    alphabet_size: Size = Field(default=14, ge=1, le=2**30)

    @property
    def source_length(self) -> int:
        """Symbols of x, blanks included."""
        return self.sequence_length - 1 - self.num_copied - self.eos

    @model_validator(mode="after")
    def _has_room(self):
        if self.source_length < self.num_copied:
            raise ValueError(
                f"sequence_length {self.sequence_length} is too short; {self.num_copied} copied symbols need "
                f"{2 * self.num_copied + 1 + self.eos}"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.alphabet_size

    @property
    def content(self) -> range:
        """The symbols that are copied."""
        return content_range(self.alphabet_size)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        return written(
            _write_blanks, self.scattered, self.num_copied, self.alphabet_size,
            request_for(self, key, start, self.source_length, self.source_length),
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        for position, symbol in enumerate(source):
            if symbol != _BLANK and symbol not in self.content:
                raise fault(position, f"symbol {symbol} is neither blank nor content of {self.type}")
            if not self.scattered and (symbol == _BLANK) != (position >= self.num_copied):
                raise fault(position, f"the {self.num_copied} copied symbols should stand in front")
        copied = len(source) - list(source).count(_BLANK)
        if (len(source), copied) != (self.source_length, self.num_copied):
            raise fault(len(source), f"x has {len(source)} symbols, {copied} of them no blanks")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The symbols that are no blanks."""
        return [symbol for symbol in source if symbol != _BLANK]


class SelectiveCopy(_CopyAmongBlanks):
    """x = symbols at different uniform places among blanks; y = the symbols in their order.

    >>> SelectiveCopy(sequence_length=10, num_copied=2).solve([6, 33, 6, 6, 40, 6])
    [33, 40]
    >>> SelectiveCopy(sequence_length=10, num_copied=2).drawn(1)
    '4 WORD WORD WORD WORD 10 SEP ⟦4 10 EOS⟧'
    """

    type: Literal["selective_copy"] = "selective_copy"
    paper: ClassVar[str] = "Gu & Dao 2023"
    scattered: ClassVar[bool] = True


class CopyMemory(_CopyAmongBlanks):
    """x = symbols, then blanks; y = the symbols.

    >>> CopyMemory(sequence_length=10, num_copied=2).solve([33, 40, 6, 6, 6, 6])
    [33, 40]
    >>> CopyMemory(sequence_length=10, num_copied=2).drawn(1)
    '7 8 WORD WORD WORD WORD SEP ⟦7 8 EOS⟧'
    """

    type: Literal["copy_memory"] = "copy_memory"
    paper: ClassVar[str] = "Gu & Dao 2023"
    scattered: ClassVar[bool] = False


@njit(cache=True)
def _write_blanks(scattered, num_copied, alphabet_size, request, symbols, predicted, ends):
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        source, copy = symbols[begin : begin + size], symbols[begin + size + 1 : begin + size + 1 + num_copied]
        source[:] = _BLANK
        state = draw_codes(state, alphabet_size, NUM_CONTROL, copy)
        for copied in range(num_copied):
            place = copied
            while scattered:
                state += GOLDEN_GAMMA
                place = between(state, 0, size - 1)
                if source[place] == _BLANK:
                    break
            source[place] = copy[copied]
        copied = 0
        for symbol in source:
            if symbol != _BLANK:
                copy[copied] = symbol
                copied += 1
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 1 + num_copied)
        ends[index] = end
