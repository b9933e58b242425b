"""Stream languages: rows without delimiters, every symbol predicted; and the plainest of them, random symbols.

Random symbols: the controls of Papadimitriou & Jurafsky 2020, "Learning Music Helps You Read", arXiv 2004.14601, and
2023, "Injecting structural hints", arXiv 2304.13060. Rows of 512 symbols out of 500 are those of 2023. Its code counts
ranks from 0, p(r) proportional to 1 / (r + 2.7) for r = 0, 1, ...: in our ranks, from 1, that is beta 1.7.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import model_validator

from metalang.domains.contract import Domain, Sequences, content_range
from metalang.domains.vocabulary import Vocabulary, Zipf, discourse_of, draw_one
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, id_dtype
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range

Fault = tuple[int, str]
"""A position that breaks a definition, and how."""


class Stream(Domain):
    """A language whose rows hold symbols of its own alone; their length is uniform over `row_lengths`."""

    sequence_length: Range
    length_rule: ClassVar[str] = "a row has one symbol at least"

    @property
    @abstractmethod
    def content(self) -> range:
        """The symbols of the language."""

    @abstractmethod
    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`, (count,), into `symbols`, (ends[-1],), all 0 before.

        The first draw of a row is its length: it was made already.
        """

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first fault of a row of content symbols, by slow replay; None where it lies in the language."""
        return None

    def expected_mask(self, row: Sequence[int]) -> list[bool]:
        """Which positions of a row are predicted: all."""
        return [True] * len(row)

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that rows have, in ascending order."""
        return range(max(1, self.sequence_length.min), self.sequence_length.max + 1)

    @model_validator(mode="after")
    def _has_rows(self):
        if not self.row_lengths:
            low, high = self.sequence_length.min, self.sequence_length.max
            raise ValueError(f"sequence_length {low} to {high} holds no row of {self.type}; {self.length_rule}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return self.content.stop

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return _draw_lengths(np.uint64(key), start, count, np.array(self.row_lengths, dtype=np.int64))

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        lengths = self.lengths(key, start, count)
        ends = np.cumsum(lengths)
        symbols = np.zeros(int(lengths.sum()), dtype=id_dtype(self.num_symbols))
        self.fill(np.uint64(key), start, ends, symbols)
        return Sequences(symbols, ends, np.ones(len(symbols), dtype=np.bool_))

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        row, flags = [int(symbol) for symbol in symbols], [bool(flag) for flag in predicted]
        own = next((place for place, symbol in enumerate(row) if symbol not in self.content), len(row))
        faults = [(own, f"symbol {row[own]} is not content of {self.type}")] if own < len(row) else []
        faults.append(self.language_fault(row[:own]))
        if len(row) not in self.row_lengths:
            place = min(len(row), self.row_lengths[-1])
            faults.append((place, f"the row has {len(row)} symbols; {self._lengths_in_words()}"))
        for place, (theirs, ours) in enumerate(zip(flags, self.expected_mask(row), strict=True)):
            if theirs != ours:
                faults.append((place, f"mask is {theirs} and should be {ours}"))
        found = min((fault for fault in faults if fault), key=lambda fault: fault[0], default=None)
        if found:
            raise CorpusError(f"position {found[0]}: {found[1]}")

    def _lengths_in_words(self) -> str:
        return f"it should have {self.row_lengths[0]} to {self.row_lengths[-1]}, and {self.length_rule}"


class VocabularyStream(Stream):
    """A stream over a free vocabulary, drawn with replacement."""

    vocabulary: Vocabulary = Vocabulary(size=500, distribution=Zipf(alpha=1.0, beta=1.7))
    sequence_length: Range = Range(min=512, max=512)

    @model_validator(mode="after")
    def _draws_with_replacement(self):
        if not self.vocabulary.replacement:
            raise ValueError(f"vocabulary.replacement false has no meaning for {self.type}; leave it out")
        return self

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.vocabulary.size)


class PairedStream(VocabularyStream):
    """A stream of heads and tails. The tail of a head is the same symbol, or (`paired`) one of its own behind them all.

    `vocabulary` holds the heads; a paired language has twice as many symbols. Without `paired` every tail can be read
    as a head, so any string of content lies in the language and a check finds foreign symbols only.
    """

    paired: bool = False

    @model_validator(mode="after")
    def _tails_have_symbols(self):
        if self.content.stop > 2**31:
            raise ValueError(f"vocabulary.size {self.vocabulary.size} is too much where paired; 2**30 - 16 is the most")
        return self

    @property
    def content(self) -> range:
        """The symbols of the language: the heads and, where `paired`, their tails."""
        return content_range(self.vocabulary.size * (1 + self.paired))

    @property
    def tail_offset(self) -> int:
        """What a tail lies behind its head."""
        return self.vocabulary.size * self.paired

    def is_tail(self, symbol: int) -> bool:
        """Whether a content symbol can be nothing but a tail."""
        return self.paired and symbol >= NUM_CONTROL + self.vocabulary.size


class RandomTokens(VocabularyStream):
    """Independent symbols: the control without any structure.

    >>> RandomTokens(sequence_length=6).sample(0, 0, 1).symbols.tolist()
    [33, 45, 83, 85, 195, 118]
    >>> RandomTokens(sequence_length=6).drawn(1)
    '⟦1 168 8 145 393 54⟧'
    """

    type: Literal["random_tokens"] = "random_tokens"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2020"

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_random(key, start, ends, self.vocabulary.tables, symbols)


@njit(cache=True)
def _draw_lengths(key, start, count, choices):
    """The length of each row, one of `choices`: the first draw of its stream, (count,) int64."""
    lengths = np.empty(count, dtype=np.int64)
    for index in range(count):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        lengths[index] = choices[below(mix64(state), uint64(len(choices)))]
    return lengths


@njit(cache=True)
def _fill_random(key, start, ends, tables, symbols):
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        discourse = discourse_of(tables, state)
        for position in range(begin, ends[index]):
            state += GOLDEN_GAMMA
            symbols[position] = NUM_CONTROL + int64(draw_one(mix64(state), tables, discourse))
        begin = ends[index]
