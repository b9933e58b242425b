"""Fuzzy recall of mad-lab: keys and values that are short words, of which nothing but their symbols shows the borders.

Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures", arXiv 2403.17844, and its generator, in its
form with many queries: 16 symbols, padding among them, rows of 128 inputs, hence 129 symbols, motifs of 1 to 3. Ours
are the pair that is asked for, any of the row (there it is drawn first), and the padding, which is not predicted.
"""

from itertools import zip_longest
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences
from metalang.domains.rows import Replayed, fault, written
from metalang.domains.strings import between
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, row_state
from metalang.specs import Range, Size

_PAD = int(Control.PAD)
_MOST_MOTIFS = 2**20  # a kernel's table has an entry for each key


class _Motifs(NamedTuple):
    """One side of a pair as kernels read it: its symbols are [first, first + count), its sizes low to high."""

    first: int
    count: int
    low: int
    high: int


class MadFuzzy(Replayed):
    """In-context recall of motifs: pairs of a key and a value, each key with one value throughout the row; `mad_fuzzy`.

    Codes: the symbols of keys are 0 to V/2 - 1, those of values stand behind them. A motif has different symbols of its
    side; its size is uniform over `key_size` or `value_size`. Pairs are drawn while two of the longest would fit into
    `sequence_length`; then one of these pairs, each as likely, stands again, and PAD fills the left. Predicted are all
    symbols but PAD, as in training, or (`mask` "seen") the values of keys that were there before, as in evaluation,
    where the published keys have the greatest size.

    >>> MadFuzzy(sequence_length=16).sample(0, 0, 1).symbols.tolist()
    [0, 0, 0, 0, 0, 35, 33, 38, 41, 38, 43, 44, 35, 33, 38, 41]
    >>> MadFuzzy(sequence_length=16).drawn(1)
    'PAD PAD PAD PAD ⟦2 6 3 13 11 12 2 6 3 13 11 12⟧'
    """

    type: Literal["mad_fuzzy"] = "mad_fuzzy"
    paper: ClassVar[str] = "Poli et al. 2024"
    vocabulary_size: Size = Field(default=15, ge=2, le=2**24)
    sequence_length: Size = Field(default=129, ge=4)
    key_size: Range = Range(min=1, max=3)
    value_size: Range = Range(min=1, max=3)
    mask: Literal["all", "seen"] = "all"

    @model_validator(mode="after")
    def _has_motifs(self):
        for name, side in (("key_size", self._keys), ("value_size", self._values)):
            if not 1 <= side.low <= side.high <= side.count:
                raise ValueError(
                    f"{name} {side.low} to {side.high} does not lie in 1 to {side.count}, the symbols that "
                    f"vocabulary_size {self.vocabulary_size} leaves such motifs"
                )
        if (self._keys.count + 1) ** self._keys.high > _MOST_MOTIFS:
            raise ValueError(
                f"key_size up to {self._keys.high} of {self._keys.count} symbols makes more than {_MOST_MOTIFS:,} "
                f"keys; lower vocabulary_size or key_size"
            )
        if self._room < 0:
            least = self.sequence_length - self._room
            raise ValueError(f"sequence_length {self.sequence_length} is too short for two pairs; they need {least}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary_size

    @property
    def _keys(self) -> _Motifs:
        return _Motifs(NUM_CONTROL, self.vocabulary_size // 2, self.key_size.min, self.key_size.max)

    @property
    def _values(self) -> _Motifs:
        half = self.vocabulary_size // 2
        return _Motifs(NUM_CONTROL + half, self.vocabulary_size - half, self.value_size.min, self.value_size.max)

    @property
    def _room(self) -> int:
        """So many symbols, PAD aside, may stand before a pair that is not the last."""
        return self.sequence_length - 2 * (self.key_size.max + self.value_size.max)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        return written(
            _write_motifs, np.uint64(key), start, self._keys, self._values, self._room, self.sequence_length,
            self.mask == "all",
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        pads = next((place for place, symbol in enumerate(row) if symbol != _PAD), len(row))
        mask, known, place, last = [False] * pads, {}, pads, False
        while not last:
            last = place - pads > self._room
            key = self._motif(row, place, self._keys, "key")
            if last and key not in known:
                raise fault(place, "the last key was not there before")
            value = self._motif(row, place + len(key), self._values, "value")
            expected = known.get(key, value)
            for index, (theirs, ours) in enumerate(zip_longest(value, expected)):
                if theirs != ours:
                    raise fault(place + len(key) + index, f"the value of this key was {list(expected)} before")
            mask += [self.mask == "all"] * len(key) + [self.mask == "all" or key in known] * len(value)
            known[key] = value
            place += len(key) + len(value)
        if not place == len(row) == self.sequence_length:
            raise fault(place, f"the last pair ends here; the row has {len(row)} symbols, of {self.sequence_length}")
        return mask

    def _motif(self, row: list[int], place: int, side: _Motifs, name: str) -> tuple[int, ...]:
        """The longest motif of a side that stands at a place. Raises CorpusError where none does."""
        size = 0
        while (
            size < side.high
            and place + size < len(row)
            and side.first <= row[place + size] < side.first + side.count
            and row[place + size] not in row[place : place + size]
        ):
            size += 1
        if size < side.low:
            raise fault(place + size, f"a {name} has {size} symbols; it should have {side.low} to {side.high}")
        return tuple(row[place : place + size])


@njit(cache=True)
def _write_motifs(key, start, keys, values, room, length, mask_all, symbols, predicted, ends):
    text, swaps = np.empty(length, symbols.dtype), np.empty(max(keys.high, values.high), np.int64)
    begins, middles, numbers = np.empty(length + 1, np.int64), np.empty(length, np.int64), np.empty(length, np.int64)
    pair_of, first_of = np.full((keys.count + 1) ** keys.high, -1), np.empty(length, np.int64)
    for index in range(len(ends)):
        state, place, num_pairs = row_state(key, uint64(start + index)), 0, 0
        while place <= room:
            begins[num_pairs] = place
            state, place, number = _draw_motif(state, keys, swaps, text, place)
            middles[num_pairs] = place
            first = pair_of[number]
            if first < 0:
                pair_of[number] = num_pairs
                state, place, _ = _draw_motif(state, values, swaps, text, place)
            else:
                place = _repeat(text, place, middles[first], begins[first + 1])
            numbers[num_pairs], first_of[num_pairs] = number, first
            num_pairs += 1
            begins[num_pairs] = place
        asked = between(state + GOLDEN_GAMMA, 0, num_pairs - 1)
        middles[num_pairs], first_of[num_pairs] = place + middles[asked] - begins[asked], asked
        end = _repeat(text, place, begins[asked], begins[asked + 1])
        begins[num_pairs + 1], ends[index] = end, (index + 1) * length
        content = ends[index] - end
        symbols[index * length : content], predicted[index * length : content] = _PAD, False
        symbols[content : ends[index]], predicted[content : ends[index]] = text[:end], mask_all
        for pair in range(num_pairs + 1):
            for position in range(middles[pair], begins[pair + 1] if first_of[pair] >= 0 else 0):
                predicted[content + position] = True
        for pair in range(num_pairs):
            pair_of[numbers[pair]] = -1


@njit(cache=True, inline="always")
def _draw_motif(state, side, swaps, text, place):
    """Writes a motif of the greatest size from `place` on; the state behind its last draw, where the motif should end,
    and its number in [0, (count + 1) ** high), which no other has.

    The first steps of a Fisher-Yates shuffle, of which only the swaps are kept: no branch depends on a draw.
    """
    state += GOLDEN_GAMMA
    size, number = between(state, side.low, side.high), 0
    for step in range(side.high):
        state += GOLDEN_GAMMA
        swaps[step] = between(state, step, side.count - 1)
        code = swaps[step]
        for earlier in range(step - 1, -1, -1):
            code = earlier if code == swaps[earlier] else code
        text[place + step] = side.first + code
        number = number * (side.count + 1) + (code + 1 if step < size else 0)
    return state, place + size, number


@njit(cache=True, inline="always")
def _repeat(text, place, begin, end):
    """Writes text[begin:end] again from `place` on; where it ends."""
    for position in range(begin, end):
        text[place] = text[position]
        place += 1
    return place
