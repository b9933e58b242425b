"""Rows of blocks, end to end: words that come twice, and shuffled runs of successive numbers.

ww: Hu et al. 2025, "Between Circuits and Chomsky", arXiv 2502.19249, with its generator.
Shuffle-N: Chiang & Lee 2022, arXiv 2109.03537; the sizes are our defaults.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream, VocabularyStream
from metalang.domains.vocabulary import Vocabulary, discourse_of, draw_one
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range, Size


class WWCopy(VocabularyStream):
    """Words w, each of them twice, end to end and without a delimiter; the last is cut off. |w| is uniform.

    >>> WWCopy(word_length=3, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [33, 94, 38, 33, 94, 38, 43, 81]
    >>> WWCopy(word_length=3, sequence_length=8).drawn(1)
    '⟦25 2 30 25 2 30 0 12⟧'
    """

    type: Literal["ww_copy"] = "ww_copy"
    paper: ClassVar[str] = "Hu et al. 2025"
    vocabulary: Vocabulary = Vocabulary(size=64)
    sequence_length: Range = Range(min=2048, max=2048)
    word_length: Range = Range(min=10, max=510)

    @model_validator(mode="after")
    def _words_have_symbols(self):
        if self.word_length.min < 1:
            raise ValueError("word_length.min 0 allows words without a symbol; it should be 1 or more")
        return self

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        word = self.word_length
        _fill_copies(key, start, ends, self.vocabulary.tables, word.min, word.max, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The end of the longest prefix that words twice over can make."""
        reached, longest = {0}, 0
        for begin in range(len(row)):
            if begin not in reached:
                continue
            for size in range(self.word_length.min, self.word_length.max + 1):
                end = min(begin + size, len(row))
                while end < len(row) and end < begin + 2 * size and row[end] == row[end - size]:
                    end += 1
                longest = max(longest, end)
                if end == begin + 2 * size:
                    reached.add(end)
        return None if longest == len(row) else (longest, f"symbol {row[longest]} goes on no word, nor its copy")


class ShuffleN(Stream):
    """Blocks of `block_size` successive numbers s ... s + N - 1, each in a uniformly random order, s uniform.

    >>> ShuffleN(block_size=4, vocabulary_size=100, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [75, 76, 73, 74, 49, 51, 50, 48]
    >>> ShuffleN(block_size=4, vocabulary_size=100, sequence_length=8).drawn(1)
    '⟦1 3 0 2 90 91 93 92⟧'
    """

    length_rule: ClassVar[str] = "the length of a row is a multiple of block_size"
    type: Literal["shuffle_n"] = "shuffle_n"
    paper: ClassVar[str] = "Chiang & Lee 2022"
    vocabulary_size: Size = Field(default=32_000, ge=1, le=2**31 - NUM_CONTROL)
    block_size: Size = Field(default=64, ge=1)
    sequence_length: Range = Range(min=512, max=512)

    @model_validator(mode="after")
    def _blocks_fit(self):
        if self.block_size > self.vocabulary_size:
            raise ValueError(
                f"block_size {self.block_size} is more than vocabulary_size {self.vocabulary_size}; "
                f"a block has that many different symbols"
            )
        return self

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.vocabulary_size)

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that rows have, in ascending order."""
        low, high, block = self.sequence_length.min, self.sequence_length.max, self.block_size
        return range(max(1, -(-low // block)) * block, high + 1, block)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_blocks(key, start, ends, self.vocabulary_size, self.block_size, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that its block holds already, or that lies too far from another of it."""
        for position, symbol in enumerate(row):
            before = row[position // self.block_size * self.block_size : position]
            if symbol in before:
                return position, f"symbol {symbol} stands in its block already"
            if before and max(symbol, *before) - min(symbol, *before) >= self.block_size:
                return position, f"symbol {symbol} lies {self.block_size} or more from another of its block"
        return None


@njit(cache=True)
def _fill_copies(key, start, ends, tables, shortest, longest, symbols):
    begin = 0
    for index in range(len(ends)):
        state, end = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, ends[index]
        discourse, word = discourse_of(tables, state), begin
        while word < end:
            state += GOLDEN_GAMMA
            size = shortest + int64(below(mix64(state), uint64(longest - shortest + 1)))
            middle = min(word + size, end)
            for position in range(word, middle):
                state += GOLDEN_GAMMA
                symbols[position] = NUM_CONTROL + int64(draw_one(mix64(state), tables, discourse))
            for position in range(middle, min(middle + size, end)):
                symbols[position] = symbols[position - size]
            word += 2 * size
        begin = end


@njit(cache=True)
def _fill_blocks(key, start, ends, vocabulary_size, block_size, symbols):
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        for block in range(begin, ends[index], block_size):
            state += GOLDEN_GAMMA
            first = NUM_CONTROL + int64(below(mix64(state), uint64(vocabulary_size - block_size + 1)))
            for place in range(block_size):  # a shuffle from the inside out
                state += GOLDEN_GAMMA
                other = int64(below(mix64(state), uint64(place + 1)))
                symbols[block + place] = symbols[block + other]
                symbols[block + other] = first + place
        begin = ends[index]
