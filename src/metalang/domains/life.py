"""Life-like cellular automata: cells on a torus, renewed from themselves and from how many neighbours are alive.

Life, B3/S23, is J. H. Conway's: Gardner 1970, "Mathematical Games", Scientific American 223(4). Torus, states as
symbols and all defaults are ours.
"""

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.cellular import BinaryEvolution, choose
from metalang.domains.streams import Fault
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range

_RULE = re.compile("B([0-8]*)/S([0-8]*)")
_DENSITY_BITS = 16
_COUNTS = 9  # of living neighbours: 0 to 8


class Life(BinaryEvolution):
    """States of a torus of `height` lines of `width` cells from a random one on, one rule of `rules` for each row.

    B3/S23: a dead cell with 3 living neighbours of its 8 is born, a living one with 2 or 3 survives, all others are
    dead next. "all" stands for all 2**18 rules, each as likely as any other. A cell of the first state is alive with
    probability `density` (in steps of 2**-16). A symbol holds `cells_per_symbol` cells of a line, lines from the top.

    >>> Life(width=8, height=3, sequence_length=6).sample(0, 0, 1).symbols.tolist()
    [111, 268, 187, 32, 64, 32]
    >>> Life(width=8, height=3, sequence_length=6).drawn(1)
    '231 128 214 ⟦44 8 12⟧'
    """

    type: Literal["life"] = "life"
    paper: ClassVar[str] = "ours"
    rules: tuple[str, ...] | Literal["all"] = ("B3/S23",)
    width: int = Field(default=16, ge=3, le=64)
    height: int = Field(default=16, ge=3, le=2**12)
    density: float = Field(default=0.5, ge=2.0**-_DENSITY_BITS, le=1 - 2.0**-_DENSITY_BITS)
    sequence_length: Range = Range(min=1024, max=1024)

    @model_validator(mode="after")
    def _has_rows(self):
        wrong = [] if self.rules == "all" else [rule for rule in self.rules if not _RULE.fullmatch(rule)]
        if wrong or not self.rules:
            raise ValueError(
                f"rules {wrong} are no rules; write the neighbours that bear a cell and keep it alive as in 'B3/S23', "
                "or 'all'"
            )
        if self.width % self.cells_per_symbol:
            raise ValueError(
                f"width {self.width} is no multiple of cells_per_symbol {self.cells_per_symbol}; change one of them"
            )
        return super()._has_rows()

    @property
    def state_length(self) -> int:
        """Symbols of a state."""
        return self.height * self.width // self.cells_per_symbol

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        named = [] if self.rules == "all" else [_rule_bits(rule) for rule in self.rules]
        rules, level = np.array(named, dtype=np.int64), round(self.density * 2**_DENSITY_BITS)
        _fill_states(key, start, ends, rules, self.width, self.height, level, self.cells_per_symbol, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that no rule of `rules` gives, where one rule gave all before it.

        Under "all": the first at which a cell fares otherwise than one with as many living neighbours did before.
        """
        states = self.states_of(row)
        laws = [{}] if self.rules == "all" else [_law(rule) for rule in self.rules]
        faults = [self._first_fault(states, law) for law in laws]
        if None in faults:
            return None
        place = max(fault for fault in faults if fault is not None)
        named = f"rule {self.rules[0]}" if len(self.rules) == 1 else "any one rule"
        return place, f"symbol {row[place]} does not follow from the state before by {named}"

    def _first_fault(self, states: list[list[int]], law: dict[tuple[int, int], int]) -> int | None:
        """Position of the first symbol that breaks `law`, (cell, living neighbours) to new cell, which learns on."""
        for index in range(1, len(states)):
            before = states[index - 1]
            for place, cell in enumerate(states[index]):
                case = before[place], self._living_neighbours(before, place)
                if law.setdefault(case, cell) != cell:
                    return index * self.state_length + place // self.cells_per_symbol
        return None

    def _living_neighbours(self, cells: list[int], place: int) -> int:
        line, column = divmod(place, self.width)
        lines = [(line + down) % self.height * self.width for down in (-1, 0, 1)]
        columns = [(column + right) % self.width for right in (-1, 0, 1)]
        return sum(cells[first + other] for first in lines for other in columns) - cells[place]


def _rule_bits(rule: str) -> int:
    """A rule as a number: bit n is birth at n neighbours, bit 9 + n survival."""
    born, survives = _RULE.fullmatch(rule).groups()
    return sum({1 << int(count) for count in born} | {1 << _COUNTS + int(count) for count in survives})


def _law(rule: str) -> dict[tuple[int, int], int]:
    """What becomes of a cell, by what it is and how many neighbours live."""
    born, survives = _RULE.fullmatch(rule).groups()
    return {
        (cell, count): int(str(count) in (survives if cell else born)) for cell in (0, 1) for count in range(_COUNTS)
    }


@njit(cache=True)
def _fill_states(key, start, ends, rules, width, height, level, cells_per_symbol, symbols):
    """A line to a word, its first cell in the lowest bit. Without `rules`, any is drawn."""
    lines, sums = np.empty(height, dtype=np.uint64), np.empty((2, height + 2), dtype=np.uint64)
    born, turned = np.empty(_COUNTS, dtype=np.uint64), np.empty(_COUNTS, dtype=np.uint64)
    bits, each = uint64(cells_per_symbol), width // cells_per_symbol
    mask = (uint64(1) << bits) - uint64(1)
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        rule = int64(mix64(state) >> uint64(46))
        if len(rules):
            rule = rules[int64(below(mix64(state), uint64(len(rules))))]
        for count in range(_COUNTS):
            born[count] = -uint64(rule >> count & 1)
            turned[count] = born[count] ^ -uint64(rule >> (_COUNTS + count) & 1)
        _draw_lines(state, level, ~uint64(0) >> uint64(64 - width), lines)
        for place in range(begin, ends[index], height * each):
            if place > begin:
                _step(lines, sums, width, born, turned)
            for line in range(height):
                cells = lines[line]
                for number in range(each):
                    symbols[place + line * each + number] = NUM_CONTROL + int64(cells & mask)
                    cells >>= bits
        begin = ends[index]


@njit(cache=True, inline="always")
def _draw_lines(state, level, inside, lines):
    """Each cell is 1 with probability level / 2**16: bit by bit of `level` from its lowest 1, or for 1 and for 0."""
    lowest = 0
    while not level >> lowest & 1:
        lowest += 1
    for line in range(len(lines)):
        cells = uint64(0)
        for bit in range(lowest, _DENSITY_BITS):
            state += GOLDEN_GAMMA
            cells = cells | mix64(state) if level >> bit & 1 else cells & mix64(state)
        lines[line] = cells & inside


@njit(cache=True)
def _step(lines, sums, width, born, turned):
    """The next state, a line at a time; `sums` (2, height + 2): ones and twos of each cell and those beside it."""
    height, one, last = len(lines), uint64(1), uint64(width - 1)
    inside = ~uint64(0) >> uint64(64 - width)
    ones, twos = sums[0], sums[1]
    for line in range(height):
        cells = lines[line]
        left, right = (cells << one) | (cells >> last), (cells >> one) | (cells << last)
        side = left ^ right
        ones[line + 1], twos[line + 1] = side ^ cells, (left & right) | (side & cells)
    ones[0], twos[0] = ones[height], twos[height]
    ones[height + 1], twos[height + 1] = ones[1], twos[1]
    for line in range(height):
        cells = lines[line]
        left, right = (cells << one) | (cells >> last), (cells >> one) | (cells << last)
        above, beside, under = ones[line], left ^ right, ones[line + 2]
        either = above ^ under
        bit_0, carry = either ^ beside, (above & under) | (either & beside)
        above, beside, under = twos[line], left & right, twos[line + 2]
        first, second = above ^ under, beside ^ carry
        bit_1, low, high = first ^ second, above & under, beside & carry
        bit_2, bit_3 = low ^ high ^ (first & second), low & high
        lines[line] = inside & _renewed(cells, bit_0, bit_1, bit_2, bit_3, born, turned)


@njit(cache=True, inline="always")
def _renewed(cells, bit_0, bit_1, bit_2, bit_3, born, turned):
    """New cells by the count of living neighbours, in four bits: born[n], turned over by turned[n] where one lived."""
    low = choose(bit_1, _fates(cells, bit_0, born, turned, 0), _fates(cells, bit_0, born, turned, 2))
    high = choose(bit_1, _fates(cells, bit_0, born, turned, 4), _fates(cells, bit_0, born, turned, 6))
    return choose(bit_3, choose(bit_2, low, high), born[8] ^ (turned[8] & cells))


@njit(cache=True, inline="always")
def _fates(cells, bit_0, born, turned, count):
    """What becomes of cells with `count` or, where bit_0 is 1, `count` + 1 living neighbours."""
    return choose(bit_0, born[count] ^ (turned[count] & cells), born[count + 1] ^ (turned[count + 1] & cells))
