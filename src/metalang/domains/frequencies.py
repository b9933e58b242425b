"""The most frequent words of a row: the two aggregation tasks of RULER, in symbols.

Hsieh et al. 2024, "RULER", arXiv 2404.06654. Common words: 10 words stand 30 times each, the others 3 times. Frequent
words: word r stands N r**-2 / zeta(2) times, rounded down, of which the first is noise and the next 3 are asked for.
The sum of its law ends with rank N here. The numbers of words and symbols follow the context there and are ours.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.rows import fault, open_row, request_for, written
from metalang.domains.strings import close_row, shuffle
from metalang.domains.vocabulary import Vocabulary, Zipf, draw_row
from metalang.ids import NUM_CONTROL, Control
from metalang.specs import Size, Spec

_BLANK = int(Control.WORD)


class Tally(NamedTuple):
    """What a row holds: blanks, and words of these counts, (n,), most first; the first `num_asked` are asked for."""

    num_blanks: int
    counts: np.ndarray
    num_asked: int


class CommonWords(Spec):
    """`num_common` words, `freq_common` times each, among `num_uncommon`, `freq_uncommon` times each; no blanks."""

    type: Literal["common"] = "common"
    num_common: int = Field(default=10, ge=1, le=2**16)
    freq_common: int = Field(default=30, ge=1, le=2**16)
    num_uncommon: Size = Field(default=237, ge=0, le=2**20)
    freq_uncommon: int = Field(default=3, ge=1, le=2**16)

    @model_validator(mode="after")
    def _is_common(self):
        if self.freq_common <= self.freq_uncommon:
            raise ValueError(
                f"freq_common {self.freq_common} should be more than freq_uncommon, which is {self.freq_uncommon}"
            )
        return self

    def tally(self) -> Tally:
        """What a row holds."""
        counts = [self.freq_common] * self.num_common + [self.freq_uncommon] * self.num_uncommon
        return Tally(0, np.array(counts), self.num_common)


class ZetaWords(Spec):
    """Of `size` symbols, a share in proportion to r ** -alpha for rank r, rounded down; rank 1 is the blanks."""

    type: Literal["zeta"] = "zeta"
    alpha: float = Field(default=2.0, gt=1.0, le=4.0)
    size: Size = Field(default=1024, ge=1, le=2**16)
    num_asked: int = Field(default=3, ge=1, le=2**10)

    @model_validator(mode="after")
    def _has_no_ties(self):
        counts = [*_zeta_counts(self)[1:], *[0] * (self.num_asked + 1)]
        tied = next((count for count, after in pairwise(counts[: self.num_asked + 1]) if count == after), None)
        if tied is not None:
            raise ValueError(
                f"size {self.size} gives two of the first {self.num_asked + 1} words the same count, {tied}; raise "
                f"size, or lower num_asked {self.num_asked}"
            )
        return self

    def tally(self) -> Tally:
        """What a row holds."""
        blanks, *counts = _zeta_counts(self)
        return Tally(blanks, np.array(counts), self.num_asked)


class FreqWords(Mapping):
    """x = words of one symbol, in a uniform order; y = the most frequent, of the same count the first to occur first.

    `counts` says how often each word stands in x and how many are asked for. Which words they are is uniform, without
    replacement, over `vocabulary_size`. Blanks (WORD) are no words.

    >>> counts = {"type": "common", "num_common": 2, "freq_common": 2, "num_uncommon": 1, "freq_uncommon": 1}
    >>> FreqWords(counts=counts).solve([40, 35, 33, 33, 40])
    [40, 33]
    """

    type: Literal["freq_words"] = "freq_words"
    paper: ClassVar[str] = "Hsieh et al. 2024"
    vocabulary_size: Size = Field(default=1000, ge=1, le=2**24)
    counts: Annotated[CommonWords | ZetaWords, Field(discriminator="type")] = CommonWords()

    @model_validator(mode="after")
    def _has_words(self):
        if (needed := len(self.counts.tally().counts)) > self.vocabulary_size:
            raise ValueError(f"vocabulary_size {self.vocabulary_size} is too few; counts has {needed} different words")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary_size

    @property
    def content(self) -> range:
        """The words."""
        return content_range(self.vocabulary_size)

    @property
    def source_length(self) -> int:
        """Symbols of x, blanks included."""
        tally = self.counts.tally()
        return tally.num_blanks + int(tally.counts.sum())

    @property
    def row_length(self) -> int:
        """Symbols of a row."""
        return self.source_length + 1 + self.counts.tally().num_asked + self.eos

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.row_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        return written(
            _write_words, self.counts.tally(), Vocabulary(size=self.vocabulary_size, replacement=False).tables,
            request_for(self, key, start, self.source_length, self.source_length),
            count=count, longest_row=self.row_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        for position, symbol in enumerate(source):
            if symbol != _BLANK and symbol not in self.content:
                raise fault(position, f"symbol {symbol} is neither blank nor content of {self.type}")
        found, tally = Counter(source), self.counts.tally()
        blanks = found.pop(_BLANK, 0)
        if blanks != tally.num_blanks or sorted(found.values(), reverse=True) != tally.counts.tolist():
            raise fault(len(source), f"x has {blanks} blanks and {len(found)} words whose counts are not those wanted")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The most frequent words; a dictionary keeps the order in which words occur, and `sorted` keeps that."""
        found = Counter(symbol for symbol in source if symbol != _BLANK)
        return sorted(found, key=lambda word: -found[word])[: self.counts.tally().num_asked]


@lru_cache(maxsize=16)
def _zeta_counts(words: ZetaWords) -> list[int]:
    """How often each rank stands in a row, as long as it does."""
    weights = Zipf(alpha=words.alpha, beta=0.0).weights(words.size)
    total = sum(weights)
    return [count for weight in weights if (count := words.size * weight // total)]


@njit(cache=True)
def _write_words(tally, tables, request, symbols, predicted, ends):
    words, scratch = np.empty(len(tally.counts), np.int64), np.arange(tables.size + len(tally.counts))
    first, end = np.empty(tally.num_asked, np.int64), 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        state = draw_row(state, tables, words, scratch)
        source, answer = symbols[begin : begin + size], symbols[begin + size + 1 : begin + size + 1 + tally.num_asked]
        place = tally.num_blanks
        source[:place] = _BLANK
        for word in range(len(words)):
            for _ in range(tally.counts[word]):
                source[place] = words[word]
                place += 1
        shuffle(state, source)
        for word in range(tally.num_asked):
            place, rank = 0, word
            while source[place] != words[word]:
                place += 1
            while rank > 0 and tally.counts[rank - 1] == tally.counts[word] and first[rank - 1] > place:
                first[rank] = first[rank - 1]
                rank -= 1
            first[rank] = place
        for rank in range(tally.num_asked):
            answer[rank] = source[first[rank]]
        end = close_row(request, symbols, predicted, begin, begin + size, begin + size + 1 + tally.num_asked)
        ends[index] = end
