"""The recall tasks of mad-lab: pairs of keys and values that stand in the row or, for memorization, in no row.

Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures", arXiv 2403.17844, and its generators, in
their form with many queries. Its compression task stands here too; its fuzzy recall is in `motifs`, its selective
copying is `selective_copy`.
"""

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences
from metalang.domains.copying import Identity
from metalang.domains.rows import Replayed, fault, written
from metalang.domains.strings import between
from metalang.domains.vocabulary import Vocabulary, draw_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, key_for, mix64, row_state, unit
from metalang.specs import Range, Size


class MadRecall(Replayed):
    """In-context recall: pairs of independent keys, each key with one value throughout the row; `mad_recall`.

    Codes: the keys are 0 to V/2 - 1, the values behind them, then the noise. A pair is noise, two symbols of it, with
    probability `noise`, but for one pair of the row, and for the last, whose key was there before. Predicted are all
    symbols, as in training, or (`mask` "seen") the values of keys that were there before, as in evaluation.

    >>> MadRecall(sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [32, 47, 34, 41, 33, 47, 33, 47]
    >>> MadRecall(sequence_length=8).drawn(1)
    '⟦1 12 1 12 3 9 1 12⟧'
    """

    type: Literal["mad_recall"] = "mad_recall"
    paper: ClassVar[str] = "Poli et al. 2024"
    vocabulary_size: Size = Field(default=16, ge=2, le=2**30)
    sequence_length: Size = Field(default=128, ge=4)
    num_noise_symbols: Size = Field(default=0, ge=0, le=2**30)
    noise: float = Field(default=0.0, ge=0.0, lt=1.0)
    mask: Literal["all", "seen"] = "all"

    @model_validator(mode="after")
    def _has_pairs(self):
        if self.sequence_length % 2:
            raise ValueError(f"sequence_length {self.sequence_length} holds no whole pairs; an even number does")
        if (self.noise > 0) != (self.num_noise_symbols > 0):
            raise ValueError(
                f"noise {self.noise} and num_noise_symbols {self.num_noise_symbols} do not fit; give both, or neither"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary_size + self.num_noise_symbols

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        return written(
            _write_pairs, np.uint64(key), start, self.vocabulary_size, self.num_noise_symbols, self.noise,
            self.sequence_length // 2, self.mask == "all",
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        half, noise = NUM_CONTROL + self.vocabulary_size // 2, NUM_CONTROL + self.vocabulary_size
        values: dict[int, int] = {}
        mask = []
        for position, symbol in enumerate(row):
            before = row[position - 1]
            if not NUM_CONTROL <= symbol < self.num_symbols:
                raise fault(position, f"symbol {symbol} is not content of {self.type}")
            if position % 2 == 0:
                if half <= symbol < noise:
                    raise fault(position, f"symbol {symbol} is a value and should be a key or noise")
                if position == self.sequence_length - 2 and symbol not in values:
                    raise fault(position, "the last key was not there before")
            elif (before >= noise) != (symbol >= noise) or symbol < half:
                raise fault(position, f"symbol {symbol} cannot stand behind {before}")
            elif values.get(before, symbol) != symbol:
                raise fault(position, f"symbol is {symbol} and should be {values[before]}")
            mask.append(self.mask == "all" or (position % 2 == 1 and before in values))
            if position % 2 and before < noise:
                values[before] = symbol
        if len(row) != self.sequence_length:
            raise fault(len(row), f"the row has {len(row)} symbols and should have {self.sequence_length}")
        return mask


class MadNoisyRecall(MadRecall):
    """In-context recall among noise: `MadRecall` with 16 noise symbols and a fifth of the pairs.

    >>> MadNoisyRecall().num_symbols
    64
    >>> MadNoisyRecall(vocabulary_size=4, num_noise_symbols=2, noise=0.5, sequence_length=16).drawn(1)
    '⟦0 3 4 5 1 2 5 4 4 4 5 5 5 5 0 3⟧'
    """

    type: Literal["mad_noisy_recall"] = "mad_noisy_recall"
    paper: ClassVar[str] = "Poli et al. 2024"
    num_noise_symbols: Size = Field(default=16, ge=0, le=2**30)
    noise: float = Field(default=0.2, ge=0.0, lt=1.0)


class MadMemorization(Replayed):
    """Pairs of independent keys and their values, by a map that no row shows and all rows share; values are predicted.

    Codes: the keys are 0 to V/2 - 1, the values V/2 to V - 1, in an order drawn from `structure_seed`. The generator
    shows a marker in place of a value, whose label is the value; here the value stands there.

    >>> MadMemorization(sequence_length=6).sample(0, 0, 1).predicted.tolist()
    [False, True, False, True, False, True]
    >>> MadMemorization(sequence_length=6).drawn(1)
    '85 ⟦201⟧ 113 ⟦155⟧ 70 ⟦205⟧'
    """

    type: Literal["mad_memorization"] = "mad_memorization"
    paper: ClassVar[str] = "Poli et al. 2024"
    vocabulary_size: Size = Field(default=254, ge=2, le=2**24)
    sequence_length: Size = Field(default=32, ge=2)
    structure_seed: int = 0

    @model_validator(mode="after")
    def _has_pairs(self):
        if self.sequence_length % 2 or self.vocabulary_size % 2:
            raise ValueError(
                f"sequence_length {self.sequence_length} and vocabulary_size {self.vocabulary_size} should be even"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary_size

    @property
    def values(self) -> np.ndarray:
        """The value symbol of each key, (V / 2,) int64."""
        return _fixed_values(self)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        return written(
            _write_memorized, np.uint64(key), start, self.values, self.sequence_length // 2,
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        of_key = {NUM_CONTROL + key: int(value) for key, value in enumerate(self.values)}
        for position, symbol in enumerate(row):
            if position % 2 == 0 and symbol not in of_key:
                raise fault(position, f"symbol {symbol} is no key")
            if position % 2 == 1 and symbol != of_key[row[position - 1]]:
                raise fault(position, f"symbol is {symbol} and should be {of_key[row[position - 1]]}")
        if len(row) != self.sequence_length:
            raise fault(len(row), f"the row has {len(row)} symbols and should have {self.sequence_length}")
        return [position % 2 == 1 for position in range(len(row))]


class MadCompress(Identity):
    """y = x behind one symbol, SEP, that the published autoencoder has to put all of x into; `mad_compress`.

    The generator gives 31 independent symbols of 15 and the symbol that compresses them; its decoder makes x from that
    symbol's state alone. That x is written behind it, for a causal model, is ours: a state of fixed size has to hold
    x, while attention over the whole row may copy, so that there this is `identity` with these numbers.

    >>> MadCompress(sequence_length=9).sample(0, 0, 1).symbols.tolist()
    [38, 32, 46, 33, 3, 38, 32, 46, 33]
    >>> MadCompress(sequence_length=9).drawn(1)
    '4 3 7 13 SEP ⟦4 3 7 13⟧'
    """

    type: Literal["mad_compress"] = "mad_compress"
    paper: ClassVar[str] = "Poli et al. 2024"
    vocabulary: Vocabulary = Vocabulary(size=15)
    sequence_length: Range = Range(min=63, max=63)
    eos: bool = False


@lru_cache(maxsize=16)
def _fixed_values(domain: MadMemorization) -> np.ndarray:
    half = domain.vocabulary_size // 2
    values, tables = np.empty(half, dtype=np.int64), Vocabulary(size=half, replacement=False).tables
    draw_row(np.uint64(key_for("map", domain.fingerprint)), tables, values, np.arange(2 * half))
    return values + half


@njit(cache=True)
def _write_pairs(key, start, size, num_noise, noise, num_pairs, mask_all, symbols, predicted, ends):
    half, place = size // 2, 0
    value_of, seen = np.full(half, -1, np.int64), np.empty(half, np.int64)
    for index in range(len(ends)):
        state, num_seen = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, 0
        quiet = between(state, 0, num_pairs - 2)
        for pair in range(num_pairs):
            state += GOLDEN_GAMMA
            noisy = num_noise > 0 and pair != quiet and pair < num_pairs - 1 and unit(mix64(state)) < noise
            state += GOLDEN_GAMMA
            if noisy:
                first = size + between(state, 0, num_noise - 1)
                state += GOLDEN_GAMMA
                second, known = size + between(state, 0, num_noise - 1), False
            else:
                first = seen[between(state, 0, num_seen - 1)] if pair == num_pairs - 1 else between(state, 0, half - 1)
                known = value_of[first] >= 0
                if not known:
                    state += GOLDEN_GAMMA
                    value_of[first] = half + between(state, 0, size - half - 1)
                    seen[num_seen] = first
                    num_seen += 1
                second = value_of[first]
            symbols[place], symbols[place + 1] = NUM_CONTROL + first, NUM_CONTROL + second
            predicted[place], predicted[place + 1] = mask_all, mask_all or known
            place += 2
        for position in range(num_seen):
            value_of[seen[position]] = -1
        ends[index] = place


@njit(cache=True)
def _write_memorized(key, start, values, num_pairs, symbols, predicted, ends):
    place = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index))
        for _ in range(num_pairs):
            state += GOLDEN_GAMMA
            which = between(state, 0, len(values) - 1)
            symbols[place], symbols[place + 1] = NUM_CONTROL + which, values[which]
            predicted[place], predicted[place + 1] = False, True
            place += 2
        ends[index] = place
