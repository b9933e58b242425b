"""Repetition: of a segment, of its residues, or of single symbols at a constant distance.

Papadimitriou & Jurafsky 2023, "Injecting structural hints", arXiv 2304.13060, with its generators: segments of 10
symbols, mod 10, one symbol in ten that recurs 10 places on, lines of 512 symbols. (With its flag "zipf" the code of
plain repetition draws uniformly; Zipf, as its other languages have it, is the default here.)
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field

from metalang.domains.streams import Fault, PairedStream, VocabularyStream
from metalang.domains.vocabulary import Vocabulary, discourse_of, draw_one
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, key_for, mix64, row_state, unit
from metalang.specs import Size


class Repetition(PairedStream):
    """Segments of `num_repeated` heads, each followed by their tails in the same order; the last may be cut off.

    >>> Repetition(num_repeated=3, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [33, 45, 83, 33, 45, 83, 85, 195]
    >>> Repetition(num_repeated=3, sequence_length=8).drawn(1)
    '⟦8 346 2 8 346 2 127 428⟧'
    """

    type: Literal["repetition"] = "repetition"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2023"
    num_repeated: Size = Field(default=10, ge=1)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_repeated(key, start, ends, self.vocabulary.tables, self.num_repeated, self.tail_offset, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol of a second half that is not the tail of its head, or tail in a first half."""
        for position, symbol in enumerate(row):
            if position // self.num_repeated % 2 == 0:
                if self.is_tail(symbol):
                    return position, f"tail {symbol} stands among the heads of a segment"
            elif symbol != (expected := row[position - self.num_repeated] + self.tail_offset):
                return position, f"symbol is {symbol} and should be {expected}"
        return None


class ModRepetition(VocabularyStream):
    """Segments of `num_repeated` symbols, each followed by as many of the same residues modulo `mod`.

    Symbol 32 + v has residue v mod m; the second half redraws the quotient by p(quotient | residue). Which symbol has
    which rank is a permutation that `structure_seed` draws, or each residue would have a share of its own by rank.

    >>> ModRepetition(num_repeated=3, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [260, 431, 32, 150, 301, 142, 364, 193]
    >>> ModRepetition(num_repeated=3, sequence_length=8).drawn(1)
    '⟦424 363 249 254 443 489 181 496⟧'
    """

    type: Literal["mod_repetition"] = "mod_repetition"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2023"
    num_repeated: Size = Field(default=10, ge=1)
    mod: Size = Field(default=10, ge=1)
    structure_seed: int = 0

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        values, thresholds, guide = _residue_tables(self.vocabulary, self.mod, self.structure_seed)
        _fill_residues(
            key, start, ends, self.vocabulary.tables, values, thresholds, guide, self.num_repeated, self.mod, symbols
        )  # fmt: skip

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol of a second half whose residue is another than its partner's."""
        for position, symbol in enumerate(row):
            if position // self.num_repeated % 2 == 0:
                continue
            residue, expected = (
                (each - NUM_CONTROL) % self.mod for each in (symbol, row[position - self.num_repeated])
            )
            if residue != expected:
                return position, f"symbol {symbol} has residue {residue} and should have {expected}"
        return None


@lru_cache(maxsize=16)
def _residue_tables(vocabulary: Vocabulary, mod: int, structure_seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The value of each rank, (size,) int64; p(quotient up to q | residue) in 2**53rds, (num_discourses, residues,
    quotients) uint64; the least quotient of a draw by its first 8 bits, (num_discourses, residues, 256) int64 (a guide
    table: Chen & Asau 1974)."""
    size, key = vocabulary.size, key_for("mod_repetition values", structure_seed)
    values = sorted(range(size), key=lambda rank: row_state(np.uint64(key), np.uint64(rank)))
    thresholds = np.array([_quotient_bounds(weights, values, mod) for weights in vocabulary.laws])
    firsts = np.arange(256, dtype=np.uint64) << np.uint64(45)
    guide = [[np.searchsorted(each, firsts, side="right") for each in bounds] for bounds in thresholds]
    return np.array(values, dtype=np.int64), thresholds, np.array(guide, dtype=np.int64)


def _quotient_bounds(weights: list[int], values: list[int], mod: int) -> np.ndarray:
    size, weight_of = len(values), dict(zip(values, weights, strict=True))
    bounds = np.full((min(mod, size), -(-size // mod)), 2**53, dtype=np.uint64)
    for residue in range(min(mod, size)):
        total, sum_so_far = sum(weight_of[value] for value in range(residue, size, mod)), 0
        for quotient, value in enumerate(range(residue, size, mod)):
            sum_so_far += weight_of[value]
            bounds[residue, quotient] = (sum_so_far << 53) // total
    return bounds


class SparseConstant(PairedStream):
    """Heads, of which a share of `match_prob` has its tail `distance` places on, where the row goes so far.

    >>> SparseConstant(match_prob=0.5, distance=2, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [33, 83, 33, 83, 195, 44, 195, 44]
    >>> SparseConstant(match_prob=0.5, distance=2, sequence_length=8).drawn(1)
    '⟦87 88 87 315 77 18 248 279⟧'
    """

    type: Literal["sparse_constant"] = "sparse_constant"
    paper: ClassVar[str] = "Papadimitriou & Jurafsky 2023"
    match_prob: float = Field(default=0.1, ge=0.0, le=1.0)
    distance: Size = Field(default=10, ge=1)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_sparse(
            key, start, ends, self.vocabulary.tables, self.match_prob, self.distance, self.tail_offset, symbols
        )  # fmt: skip

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first tail whose head does not stand `distance` places before it."""
        for position, symbol in enumerate(row):
            before = position - self.distance
            if self.is_tail(symbol) and (before < 0 or row[before] != symbol - self.tail_offset):
                return position, f"tail {symbol} has no head {self.distance} places before it"
        return None


@njit(cache=True)
def _fill_repeated(key, start, ends, tables, num_repeated, tail_offset, symbols):
    begin = 0
    for index in range(len(ends)):
        state, end = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, ends[index]
        discourse = discourse_of(tables, state)
        for segment in range(begin, end, 2 * num_repeated):
            middle = min(segment + num_repeated, end)
            for position in range(segment, middle):
                state += GOLDEN_GAMMA
                symbols[position] = NUM_CONTROL + int64(draw_one(mix64(state), tables, discourse))
            for position in range(middle, min(middle + num_repeated, end)):
                symbols[position] = symbols[position - num_repeated] + tail_offset
        begin = end


@njit(cache=True)
def _fill_residues(key, start, ends, tables, values, thresholds, guide, num_repeated, mod, symbols):
    begin = 0
    for index in range(len(ends)):
        state, end = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, ends[index]
        discourse = discourse_of(tables, state)
        bounds, least = thresholds[discourse], guide[discourse]
        for segment in range(begin, end, 2 * num_repeated):
            middle = min(segment + num_repeated, end)
            for position in range(segment, middle):
                state += GOLDEN_GAMMA
                symbols[position] = NUM_CONTROL + values[int64(draw_one(mix64(state), tables, discourse))]
            for position in range(middle, min(middle + num_repeated, end)):
                state += GOLDEN_GAMMA
                residue = (int64(symbols[position - num_repeated]) - NUM_CONTROL) % mod
                draw = mix64(state) >> uint64(11)
                quotient = least[residue, draw >> uint64(45)]
                while bounds[residue, quotient] <= draw:
                    quotient += 1
                symbols[position] = NUM_CONTROL + quotient * mod + residue
        begin = end


@njit(cache=True)
def _fill_sparse(key, start, ends, tables, match_prob, distance, tail_offset, symbols):
    begin = 0
    for index in range(len(ends)):
        state, end = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, ends[index]
        discourse = discourse_of(tables, state)
        for position in range(begin, end):
            if symbols[position] != 0:
                continue
            state += GOLDEN_GAMMA
            symbols[position] = NUM_CONTROL + int64(draw_one(mix64(state), tables, discourse))
            state += GOLDEN_GAMMA
            if unit(mix64(state)) < match_prob and position + distance < end:
                symbols[position + distance] = symbols[position] + tail_offset
        begin = end
