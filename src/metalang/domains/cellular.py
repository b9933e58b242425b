"""Elementary cellular automata: a ring of cells, each renewed from itself and its two neighbours.

Wolfram 1983, "Statistical mechanics of cellular automata"; as a source to train on: Zhang et al. 2025, "Intelligence at
the Edge of Chaos", arXiv 2410.02536 (ring of 1,000 cells, 60 states in a row, windows of 100 columns, the next state or
a later one). Their model reads a state as one vector; states as symbols, and the default ring of 64 cells, are ours.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences, content_range
from metalang.domains.streams import Fault, Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range


class Evolution(Stream):
    """States, each of `state_length` symbols and made of the one before; the first is random and not predicted."""

    @property
    @abstractmethod
    def state_length(self) -> int:
        """Symbols of a state."""

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        rows = super().sample(key, start, count)
        starts = rows.ends - np.diff(rows.ends, prepend=0)
        rows.predicted[(starts[:, None] + np.arange(self.state_length)).ravel()] = False
        return rows

    def expected_mask(self, row: Sequence[int]) -> list[bool]:
        """Which positions of a row are predicted: all behind the first state."""
        return [place >= self.state_length for place in range(len(row))]


class BinaryEvolution(Evolution):
    """Whole states of binary cells, `cells_per_symbol` of them to a symbol, the first in its lowest bit."""

    length_rule: ClassVar[str] = "a row holds whole states"
    cells_per_symbol: Literal[1, 2, 4, 8, 16] = 8

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(2**self.cells_per_symbol)

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that hold whole states."""
        each = self.state_length
        return range(max(1, -(-self.sequence_length.min // each)) * each, self.sequence_length.max + 1, each)

    def states_of(self, row: Sequence[int]) -> list[list[int]]:
        """The cells of each state of a row; the last state may be cut off."""
        starts = range(0, len(row), self.state_length)
        return [self._cells(row[place : place + self.state_length]) for place in starts]

    def _cells(self, symbols: Sequence[int]) -> list[int]:
        return [symbol - NUM_CONTROL >> bit & 1 for symbol in symbols for bit in range(self.cells_per_symbol)]


class Eca(BinaryEvolution):
    """States of a ring of `width` cells from a random one on, one rule of `rules` for each row.

    A cell becomes bit (4 x left + 2 x itself + right) of the rule: new(l, c, r) = rule >> (4l + 2c + r) & 1. Every
    `stride`-th state is written, its first `window` cells (None: all) by `cells_per_symbol`, the first cell in the
    lowest bit. The first state is random and not predicted.

    >>> Eca(rules=[110], width=8, sequence_length=4).sample(0, 0, 1).symbols.tolist()
    [111, 265, 93, 199]
    >>> Eca(rules=[110], width=8, sequence_length=4).drawn(1)
    '255 ⟦0 0 0⟧'
    """

    type: Literal["eca"] = "eca"
    paper: ClassVar[str] = "Zhang et al. 2025"
    rules: tuple[int, ...] | Literal["all"] = (110,)
    width: int = Field(default=64, ge=3, le=2**16)
    window: int | None = Field(default=None, ge=1)
    stride: int = Field(default=1, ge=1)
    sequence_length: Range = Range(min=480, max=480)

    @model_validator(mode="after")
    def _has_rows(self):
        if not self.rule_numbers or not set(self.rule_numbers) <= set(range(256)):
            raise ValueError(f"rules {list(self.rule_numbers)} are no rules; name numbers from 0 to 255, or 'all'")
        if self.num_cells > self.width:
            raise ValueError(f"window {self.num_cells} is wider than the ring of width {self.width}; lower it")
        if self.num_cells % self.cells_per_symbol:
            raise ValueError(
                f"{self.num_cells} cells are no multiple of cells_per_symbol {self.cells_per_symbol}; "
                "change width or window until they are"
            )
        return super()._has_rows()

    @property
    def rule_numbers(self) -> tuple[int, ...]:
        """The rules that a row may follow."""
        return tuple(range(256)) if self.rules == "all" else self.rules

    @property
    def num_cells(self) -> int:
        """Cells of a state that are written."""
        return self.window or self.width

    @property
    def state_length(self) -> int:
        """Symbols of a state."""
        return self.num_cells // self.cells_per_symbol

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        rules = np.array(self.rule_numbers, dtype=np.int64)
        fill = _fill_narrow if self.width <= 64 else _fill_wide
        fill(key, start, ends, rules, self.width, self.num_cells, self.stride, self.cells_per_symbol, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that no rule of `rules` gives, where one rule gave all before it.

        Where a window hides neighbours, its `stride` outermost cells at both ends may be anything.
        """
        states = self.states_of(row)
        faults = [self._first_fault(states, rule) for rule in self.rule_numbers]
        if None in faults:
            return None
        place = max(fault for fault in faults if fault is not None)
        named = f"rule {self.rule_numbers[0]}" if len(self.rule_numbers) == 1 else "any one rule"
        return place, f"symbol {row[place]} does not follow from the state before by {named}"

    def _first_fault(self, states: list[list[int]], rule: int) -> int | None:
        """Position of the first symbol that `rule` does not give; None where there is none."""
        hidden = self.stride if self.num_cells < self.width else 0
        for index in range(1, len(states)):
            cells, found = states[index - 1], states[index]
            for _ in range(self.stride):
                trios = zip([cells[-1], *cells[:-1]], cells, [*cells[1:], cells[0]], strict=True)
                cells = [rule >> (4 * left + 2 * cell + right) & 1 for left, cell, right in trios]
            for place in range(hidden, min(len(found), len(cells) - hidden)):
                if found[place] != cells[place]:
                    return index * self.state_length + place // self.cells_per_symbol
        return None


@njit(cache=True)
def _fill_narrow(key, start, ends, rules, width, num_cells, stride, cells_per_symbol, symbols):
    """A state in one word, the first cell in its lowest bit."""
    bits, last_bit, one = uint64(cells_per_symbol), uint64(width - 1), uint64(1)
    inside, mask = ~uint64(0) >> (uint64(63) - last_bit), (uint64(1) << bits) - uint64(1)
    state_length = num_cells // cells_per_symbol
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        rule = uint64(rules[int64(below(mix64(state), uint64(len(rules))))])
        state += GOLDEN_GAMMA
        cells = mix64(state) & inside
        by_left, by_right = _halves(rule, uint64(0)), _halves(rule, uint64(4))
        for place in range(begin, ends[index], state_length):
            if place > begin:
                for _ in range(stride):
                    left = (cells << one) | (cells >> last_bit)
                    right = (cells >> one) | (cells << last_bit)
                    low, high = _fates(cells, right, by_left), _fates(cells, right, by_right)
                    cells = choose(left, low, high) & inside
            for number in range(state_length):
                symbols[place + number] = NUM_CONTROL + int64((cells >> (uint64(number) * bits)) & mask)
        begin = ends[index]


@njit(cache=True, inline="always")
def _halves(rule, first):
    """The four bits of a rule from `first` on, each as a word of it."""
    one = uint64(1)
    return (
        -(rule >> first & one), -(rule >> (first + one) & one), -(rule >> (first + uint64(2)) & one),
        -(rule >> (first + uint64(3)) & one),
    )  # fmt: skip


@njit(cache=True, inline="always")
def _fates(cells, right, bits):
    """What cells become under the four bits of a rule that one left neighbour leaves, 64 cells at a time."""
    return choose(cells, choose(right, bits[0], bits[1]), choose(right, bits[2], bits[3]))


@njit(cache=True)
def _fill_wide(key, start, ends, rules, width, num_cells, stride, cells_per_symbol, symbols):
    """64 cells to a word, the first in the lowest bit; the last word holds `width` - 64 x (words - 1) of them."""
    words = (width + 63) // 64
    ring, last_bit = np.empty(words, dtype=np.uint64), uint64((width - 1) % 64)
    bits = uint64(cells_per_symbol)
    mask, state_length = (uint64(1) << bits) - uint64(1), num_cells // cells_per_symbol
    per_word = 64 // cells_per_symbol
    minterm = np.empty(8, dtype=np.uint64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        rule = rules[int64(below(mix64(state), uint64(len(rules))))]
        for number in range(8):
            minterm[number] = -uint64(rule >> number & 1)
        for word in range(words):
            state += GOLDEN_GAMMA
            ring[word] = mix64(state)
        ring[words - 1] &= ~uint64(0) >> (uint64(63) - last_bit)
        for place in range(begin, ends[index], state_length):
            if place > begin:
                for _ in range(stride):
                    _step(ring, last_bit, minterm)
            for first in range(0, state_length, per_word):
                cells = ring[first // per_word]
                for number in range(min(per_word, state_length - first)):
                    symbols[place + first + number] = NUM_CONTROL + int64((cells >> (uint64(number) * bits)) & mask)
        begin = ends[index]


@njit(cache=True, inline="always")
def _step(ring, last_bit, minterm):
    """The next state; the new cell is chosen from the eight bits of the rule, 64 cells at a time."""
    words, one = len(ring), uint64(1)
    first, carry = ring[0], (ring[words - 1] >> last_bit) & one
    for word in range(words):
        cell = ring[word]
        left = (cell << one) | carry
        if word < words - 1:
            right = (cell >> one) | (ring[word + 1] << uint64(63))
        else:
            right = (cell >> one) | ((first & one) << last_bit)
        carry = cell >> uint64(63)
        low = choose(cell, choose(right, minterm[0], minterm[1]), choose(right, minterm[2], minterm[3]))
        high = choose(cell, choose(right, minterm[4], minterm[5]), choose(right, minterm[6], minterm[7]))
        ring[word] = choose(left, low, high)
    ring[words - 1] &= ~uint64(0) >> (uint64(63) - last_bit)


@njit(cache=True, inline="always")
def choose(which, zero, one):
    """Bits of `one` where `which` has a 1, else of `zero`."""
    return zero ^ ((zero ^ one) & which)
