"""Leveled context-free grammars: every symbol of a level is rewritten in symbols of the next.

Allen-Zhu & Li 2023, "Physics of Language Models: Part 1", arXiv 2305.13673, and the grammars cfg3b to cfg3k that go
with it: levels of 1, 3, 3, 3, 3, 3, 3 symbols, two or three symbols to a rule, 3 or 4 rules to a symbol (cfg3f), every
rule of a symbol as likely. The rules are drawn from `structure_seed`: the published ones are not shipped here. Rows of
512 are our default.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import int64, njit, uint64
from pydantic import model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream
from metalang.domains.structures import structure_draws
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range

_BOS, _EOS = int(Control.BOS), int(Control.EOS)

Rules = tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
"""For each level but the last, for each of its symbols, its rules: strings over the next level, counted from 0."""


class PcfgLevels(Stream):
    """Sentences of a grammar, each between BOS and EOS, packed into rows that end where they are full.

    No two rules of a level have one right side. `rule_length`: symbols of a right side; `num_rules`: rules of a symbol.

    >>> domain = PcfgLevels(level_sizes=[1, 2, 3], num_rules=2, rule_length=2, sequence_length=8)
    >>> domain.rules
    ((((1, 1), (0, 1)),), (((2, 1), (2, 0)), ((0, 0), (1, 0))))
    >>> domain.sample(0, 0, 1).symbols.tolist()
    [1, 32, 32, 33, 32, 2, 1, 32]
    """

    type: Literal["pcfg_levels"] = "pcfg_levels"
    paper: ClassVar[str] = "Allen-Zhu & Li 2023"
    level_sizes: tuple[int, ...] = (1, 3, 3, 3, 3, 3, 3)
    num_rules: Range = Range(min=3, max=4)
    rule_length: Range = Range(min=2, max=3)
    sequence_length: Range = Range(min=512, max=512)
    structure_seed: int = 0

    @model_validator(mode="after")
    def _has_rules(self):
        sizes = self.level_sizes
        if len(sizes) < 2 or sizes[0] != 1 or min(sizes) < 1 or len(sizes) > 16 or max(sizes) > 2**12:
            raise ValueError(
                f"level_sizes {list(sizes)} are no levels; 2 to 16 numbers are, from 1 to 4096, the first of them 1"
            )
        if self.num_rules.min < 1 or not 1 <= self.rule_length.min <= self.rule_length.max <= 16:
            raise ValueError(
                f"num_rules from {self.num_rules.min} and rule_length {self.rule_length.min} to {self.rule_length.max} "
                "give no rules; at least 1 rule of 1 to 16 symbols is needed"
            )
        for upper, lower in pairwise(sizes):
            sides = sum(lower**length for length in range(self.rule_length.min, self.rule_length.max + 1))
            if 2 * upper * self.num_rules.max > sides:
                raise ValueError(
                    f"{upper} symbols of {self.num_rules.max} rules need {2 * upper * self.num_rules.max} "
                    f"right sides to draw from and {lower} symbols give {sides}; "
                    "lower num_rules, or raise rule_length or level_sizes"
                )
        return self

    @property
    def rules(self) -> Rules:
        """The grammar."""
        return _rules(self.level_sizes, self.num_rules, self.rule_length, self.structure_seed)

    @property
    def content(self) -> range:
        """The terminals."""
        return content_range(self.level_sizes[-1])

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_sentences(key, start, ends, _tables(self.rules), symbols)

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        row = [int(symbol) for symbol in symbols]
        faults = [self.language_fault(row)]
        if len(row) not in self.row_lengths:
            faults.append((len(row), f"the row has {len(row)} symbols; {self._lengths_in_words()}"))
        faults += [(place, "mask is False and should be True") for place in np.flatnonzero(~predicted)[:1].tolist()]
        found = min((fault for fault in faults if fault), default=None)
        if found:
            raise CorpusError(f"position {found[0]}: {found[1]}")

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol with which the row begins no row of the grammar."""
        begin = 0
        while begin < len(row):
            if row[begin] != Control.BOS:
                return begin, f"symbol {row[begin]} stands where BOS should begin a sentence"
            end = next((place for place in range(begin, len(row)) if row[place] == Control.EOS), len(row))
            sentence = [symbol - NUM_CONTROL for symbol in row[begin + 1 : end]]
            if not self.derives(sentence, whole=end < len(row)):
                size = _first(range(len(sentence) + 1), lambda size, string=sentence: not self.derives(string[:size]))
                if size is None:
                    return end, "EOS stands where the sentence is not complete"
                return begin + size, f"symbol {row[begin + size]} continues no sentence of the grammar"
            begin = end + 1
        return None

    def derives(self, terminals: Sequence[int], *, whole: bool = False) -> bool:
        """Whether a string of terminals, counted from 0, begins a sentence, or (`whole`) is one."""
        return bool(_Parse(self.rules, terminals, whole=whole).ends(0, 0, 0))


class _Parse:
    """Where a symbol of the grammar may end, by the place where it begins; n + 1 stands for anywhere behind the end."""

    def __init__(self, rules: Rules, terminals: Sequence[int], *, whole: bool):
        self.rules, self.terminals, self.whole = rules, list(terminals), whole
        self.known: dict[tuple[int, int, int], frozenset[int]] = {}

    def ends(self, level: int, symbol: int, begin: int) -> frozenset[int]:
        """The ends of a symbol that begins at `begin`; of the root only those that the string as a whole allows."""
        size = len(self.terminals)
        if level == len(self.rules):
            return self._ends_of_terminal(symbol, begin)
        place = (level, symbol, begin)
        if place not in self.known:
            found: set[int] = set()
            for rule in self.rules[level][symbol]:
                reached = {begin}
                for part in rule:
                    reached = set().union(*(self.ends(level + 1, part, each) for each in reached))
                found |= reached
            allowed = found if level else found & ({size} if self.whole else {size, size + 1})
            self.known[place] = frozenset(allowed)
        return self.known[place]

    def _ends_of_terminal(self, symbol: int, begin: int) -> frozenset[int]:
        size = len(self.terminals)
        if begin >= size:
            return frozenset() if self.whole else frozenset((size + 1,))
        return frozenset((begin + 1,)) if self.terminals[begin] == symbol else frozenset()


def _first(sizes: range, fails) -> int | None:
    """The first size that fails, by halving: whatever is longer fails too."""
    low, high = sizes.start, sizes.stop
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle + 1, high)
    return low if low < sizes.stop else None


@lru_cache(maxsize=16)
def _rules(level_sizes: tuple[int, ...], num_rules: Range, rule_length: Range, structure_seed: int) -> Rules:
    names = (list(level_sizes), num_rules.model_dump(), rule_length.model_dump(), structure_seed)
    draws = (draw >> 32 for draw in structure_draws("grammar", *names))
    levels = []
    for upper, lower in pairwise(level_sizes):
        taken: set[tuple[int, ...]] = set()
        symbols = []
        for _ in range(upper):
            wanted, own = num_rules.min + next(draws) % (num_rules.max - num_rules.min + 1), []
            while len(own) < wanted:
                length = rule_length.min + next(draws) % (rule_length.max - rule_length.min + 1)
                side = tuple(next(draws) % lower for _ in range(length))
                if side not in taken:
                    taken.add(side)
                    own.append(side)
            symbols.append(tuple(own))
        levels.append(tuple(symbols))
    return tuple(levels)


class _Tables(NamedTuple):
    """Symbols of all levels counted through: `first` (symbols + 1,) is where the rules of one begin, and
    `begins` (rules + 1,) where the right side of one begins in `sides`; a number from
    `num_nonterminals` on is a terminal."""

    first: np.ndarray
    begins: np.ndarray
    sides: np.ndarray
    num_nonterminals: int


@lru_cache(maxsize=16)
def _tables(rules: Rules) -> _Tables:
    offsets = np.cumsum([0, *(len(level) for level in rules)])
    first, begins, sides = [0], [0], []
    for level, symbols in enumerate(rules):
        for own in symbols:
            for side in own:
                sides += [int(offsets[level + 1]) + symbol for symbol in side]
                begins.append(len(sides))
            first.append(len(begins) - 1)
    return _Tables(np.array(first), np.array(begins), np.array(sides), int(offsets[-1]))


@njit(cache=True)
def _fill_sentences(key, start, ends, tables, symbols):
    """Leftmost derivation: what is left to write lies on a stack, of 16 symbols a level at most."""
    stack = np.empty(256 + 16, dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        row = symbols[begin : ends[index]]
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        place, height = 0, 0
        while place < len(row):
            if height == 0:
                row[place] = _BOS
                place += 1
                stack[0], stack[1] = -1, 0
                height = 2
                continue
            height -= 1
            symbol = stack[height]
            if symbol < 0:
                row[place] = _EOS
                place += 1
            elif symbol >= tables.num_nonterminals:
                row[place] = NUM_CONTROL + symbol - tables.num_nonterminals
                place += 1
            else:
                state += GOLDEN_GAMMA
                first = tables.first[symbol]
                rule = first + int64(below(mix64(state), uint64(tables.first[symbol + 1] - first)))
                for part in range(tables.begins[rule + 1] - 1, tables.begins[rule] - 1, -1):
                    stack[height] = tables.sides[part]
                    height += 1
        begin = ends[index]
