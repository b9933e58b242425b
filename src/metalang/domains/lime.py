"""LIME: what its tasks share. A row declares symbols of its own, then asks for a string that obeys a rule over them.

Wu, Rabe, Li, Ba, Grosse & Szegedy 2021, "LIME: Learning Inductive Bias for Primitives of Mathematical Reasoning", arXiv
2101.06223, section 3; all numbers are the defaults of its published generator, the vocabulary of 1,000 is that of the
scripts beside it. The tasks stand in `lime_reasoning` and `lime_rewrite`.

A row draws 68 different symbols: 24 UPPER (variables of rules), 24 LOWER and 20 MATH. Its source begins with them:

    <UPPER> A B <LOWER> x y z ... <MATH> + = ... <space> source SEP target EOS

Published rows list the variables in the order of a hash set; ours list them in the order in which they were drawn,
which says as little about their places in the rule.
"""

from abc import abstractmethod
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from metalang.domains.contract import Domain, Mask
from metalang.domains.vocabulary import Vocabulary
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control


class Mark(IntEnum):
    """The content symbols that stand in every row, right behind the control block."""

    UPPER = NUM_CONTROL
    LOWER = NUM_CONTROL + 1
    MATH = NUM_CONTROL + 2
    SPACE = NUM_CONTROL + 3
    COLON = NUM_CONTROL + 4
    OPEN = NUM_CONTROL + 5
    CLOSE = NUM_CONTROL + 6
    COMMA = NUM_CONTROL + 7
    ARROW = NUM_CONTROL + 8


NUM_MARKS = len(Mark)
_SEP, _EOS = int(Control.SEP), int(Control.EOS)


class RowError(CorpusError):
    """A row that breaks its definition at `position`."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"position {position}: {message}")
        self.position = position


class Piece(NamedTuple):
    """A part of a row between two SPACE marks: its first position, its symbols."""

    start: int
    symbols: list[int]

    @property
    def end(self) -> int:
        """The position behind its last symbol."""
        return self.start + len(self.symbols)

    def require(self, allowed: list[int], what: str) -> None:
        """Raises RowError at the first symbol that is not allowed here."""
        for position, symbol in enumerate(self.symbols, start=self.start):
            if symbol not in allowed:
                raise RowError(position, f"symbol {symbol} is not {what}")


class Names(NamedTuple):
    """The symbols that a row declares, each group in order."""

    upper: list[int]
    lower: list[int]
    math: list[int]

    @property
    def constants(self) -> list[int]:
        """The symbols that are no variables."""
        return [*self.lower, *self.math]


class LimeTask(Domain):
    """A relation between source and target over symbols that each row declares: several targets may be right.

    `eos` false leaves EOS out.
    """

    vocabulary: Vocabulary = Vocabulary(size=1000, replacement=False)
    num_upper: int = Field(default=24, ge=1)
    num_lower: int = Field(default=24, ge=1)
    num_math: int = Field(default=20, ge=1)
    mask: Mask = "output"
    eos: bool = True

    @model_validator(mode="after")
    def _has_names(self):
        if self.vocabulary.replacement:
            raise ValueError("vocabulary.replacement is true and a row declares different symbols; set it to false")
        if self.num_names > self.vocabulary.size:
            raise ValueError(
                f"vocabulary.size {self.vocabulary.size} is less than the {self.num_names} symbols of a row; "
                f"raise it, or lower num_upper, num_lower or num_math"
            )
        return self

    @property
    def num_names(self) -> int:
        """How many symbols a row draws."""
        return self.num_upper + self.num_lower + self.num_math

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block, the marks and the vocabulary."""
        return NUM_CONTROL + NUM_MARKS + self.vocabulary.size

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        row = [int(symbol) for symbol in symbols]
        if _SEP not in row:
            raise RowError(len(row), "the row has no SEP")
        separator, end = row.index(_SEP), len(row) - self.eos
        names, source = self._read_names(row[:separator])
        if self.eos and row[-1] != _EOS:
            raise RowError(len(row), f"the row should end with EOS, {_EOS}")
        self.check_target(names, _split(row, source, separator), _split(row, separator + 1, end))
        last = end if self.mask == "output_no_eos" else len(row)
        expected = [self.mask == "all" or separator < position < last for position in range(len(row))]
        for position, (flag, ours) in enumerate(zip(predicted, expected, strict=True)):
            if bool(flag) != ours:
                raise RowError(position, f"mask is {bool(flag)} and should be {ours}")

    @abstractmethod
    def check_target(self, names: Names, source: list[Piece], target: list[Piece]) -> None:
        """Raises CorpusError with the first position at which a target does not answer its source."""

    def _read_names(self, row: list[int]) -> tuple[Names, int]:
        """What a source declares, and the position behind it."""
        place, groups = 0, []
        for mark in (Mark.UPPER, Mark.LOWER, Mark.MATH):
            _require_mark(row, place, mark)
            place = begin = place + 1
            while place < len(row) and row[place] >= NUM_CONTROL + NUM_MARKS:
                if row[place] in row[:place]:
                    raise RowError(place, f"symbol {row[place]} is declared twice")
                place += 1
            groups.append(row[begin:place])
            wanted = {Mark.LOWER: self.num_lower, Mark.MATH: self.num_math}.get(mark, len(groups[-1]))
            if len(groups[-1]) != wanted:
                raise RowError(place, f"{len(groups[-1])} symbols follow {mark.name} and should be {wanted}")
        _require_mark(row, place, Mark.SPACE)
        return Names(*groups), place + 1


def _require_mark(row: list[int], place: int, mark: Mark) -> None:
    if row[place : place + 1] != [mark]:
        raise RowError(place, f"here should stand {mark.name}, {int(mark)}")


def _split(row: list[int], begin: int, end: int) -> list[Piece]:
    """The parts of [begin, end) between the SPACE marks."""
    pieces = [Piece(begin, [])]
    for position in range(begin, end):
        if row[position] == Mark.SPACE:
            pieces.append(Piece(position + 1, []))
        else:
            pieces[-1].symbols.append(row[position])
    return pieces
