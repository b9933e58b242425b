"""What a domain is: a frozen description that samples rows, solves them slowly, and checks them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from metalang.domains.drawing import drawn_row
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import key_for
from metalang.specs import Range, Spec, as_spec

Mask = Literal["all", "output", "output_no_eos"]
"""Which symbols are predicted: all, the output with its EOS, or the output alone."""


@dataclass(frozen=True)
class Sequences:
    """Rows, end to end: `symbols` (T,) uint16 or int32, `ends` (count,) int64, `predicted` (T,) bool."""

    symbols: np.ndarray
    ends: np.ndarray
    predicted: np.ndarray


class Domain(Spec):
    """An artificial language. Row r depends on (description, seed, split, r) alone."""

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"mask"})  # it changes no symbol of a row

    type: str
    paper: ClassVar[str]
    """Authors and year of its definition, "seqthetic" for that of the generator, "ours" where none is published."""

    @property
    @abstractmethod
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64.

        A domain that knows them without a sample overrides this: a build asks for the lengths of all its rows first.
        """
        return np.diff(self.sample(key, start, count).ends, prepend=0)

    @abstractmethod
    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""

    @abstractmethod
    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""

    def drawn(self, row: int, *, seed: int = 0) -> str:
        """A row of the training stream as text; see `drawn_row`."""
        sample = self.sample(self.key(seed, "train"), row, 1)
        return drawn_row(sample.symbols, sample.predicted)

    def key(self, seed: int, split: str) -> int:
        """Key of the stream of rows of a seed and a split ("train", "validation", "test"), different for each."""
        return key_for(self.type, self.fingerprint, seed, split)


class Mapping(Domain):
    """A function from strings to strings, written as `x SEP y EOS`; the model learns y = f(x).

    `eos` false leaves EOS out, as some published layouts do. x may hold control symbols that separate its parts.
    """

    mask: Mask = "output"
    eos: bool = True

    @abstractmethod
    def solve(self, source: Sequence[int]) -> list[int]:
        """f(x), in slow and plain Python that shares no code with the kernel."""

    @property
    @abstractmethod
    def content(self) -> range:
        """The symbols that x is made of."""

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        row = [int(symbol) for symbol in symbols]
        separator = row.index(Control.SEP) if Control.SEP in row else len(row)
        self.check_source(row[:separator])
        end = [Control.EOS] if self.eos else []
        expected = [*row[:separator], Control.SEP, *self.solve(row[:separator]), *end]
        _require_equal(row, [int(symbol) for symbol in expected], "symbol")
        _require_equal([bool(flag) for flag in predicted], self.expected_mask(separator, len(row)), "mask")
        self._require_length(len(row))

    def _require_length(self, length: int) -> None:
        """Raises CorpusError where `sequence_length`, if the domain has one, does not hold a row of so many symbols."""
        if "sequence_length" not in type(self).model_fields:
            return
        limits = as_spec(Range, self.sequence_length, "sequence_length")
        if not limits.min <= length <= limits.max:
            raise CorpusError(
                f"position {min(length, limits.max)}: the row has {length} symbols and should have "
                f"{limits.min} to {limits.max}"
            )

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none; overridden where x has parts."""
        for position, symbol in enumerate(source):
            if symbol not in self.content:
                raise CorpusError(f"position {position}: symbol {symbol} is not content of {self.type}")

    def expected_mask(self, separator: int, length: int) -> list[bool]:
        """Which positions of a row are predicted, where SEP stands at `separator`."""
        last = length - 1 if self.eos and self.mask == "output_no_eos" else length
        return [self.mask == "all" or separator < position < last for position in range(length)]


def content_range(size: int) -> range:
    """The content symbols of a vocabulary of `size`: behind the control block, so no delimiter collides with one."""
    return range(NUM_CONTROL, NUM_CONTROL + size)


def _require_equal(found: list, expected: list, what: str) -> None:
    for position, (theirs, ours) in enumerate(zip(found, expected)):  # noqa: B905 - lengths are compared below
        if theirs != ours:
            raise CorpusError(f"position {position}: {what} is {theirs} and should be {ours}")
    if len(found) != len(expected):
        end = min(len(found), len(expected))
        raise CorpusError(f"position {end}: the row has {len(found)} {what}s and should have {len(expected)}")
