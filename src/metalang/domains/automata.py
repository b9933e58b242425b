"""Regular languages by their automaton, and the flip-flop.

Tomita 1982, "Dynamic construction of finite-state automata from examples using hill-climbing", languages 1 to 7; parity
and even pairs as in Deletang et al. 2022, "Neural Networks and the Chomsky Hierarchy", arXiv 2207.02098. A string is
uniform over the accepted ones of its length, by counting them backwards from the end; row lengths are our defaults.
Flip-flop: Liu et al. 2023, "Exposing Attention Glitches with Flip-Flop Language Modeling", arXiv 2306.00946; their
FFL(0.8) in rows of 512 symbols.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import BeforeValidator, Field, field_validator, model_validator

from metalang.domains.contract import Sequences, content_range
from metalang.domains.streams import Fault, Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit
from metalang.specs import Range, Spec, nearest

_WRITE, _READ, _IGNORE, _BIT = range(NUM_CONTROL, NUM_CONTROL + 4)
_LONGEST = 8192  # the numbers of strings have as many bits as a string has letters


class Automaton(Spec):
    """A complete deterministic automaton: transitions[state][letter] is a state; it starts in state 0."""

    transitions: tuple[tuple[int, ...], ...] = Field(min_length=1)
    accepting: tuple[int, ...]

    @model_validator(mode="after")
    def _is_complete(self):
        num_states, num_letters = len(self.transitions), len(self.transitions[0])
        for state, targets in enumerate(self.transitions):
            if len(targets) != num_letters or not num_letters:
                raise ValueError(
                    f"state {state} has {len(targets)} transitions; each state needs one for each letter, "
                    f"as many as state 0 has ({num_letters}), and one at least"
                )
        for state in (*(target for targets in self.transitions for target in targets), *self.accepting):
            if not 0 <= state < num_states:
                raise ValueError(f"state {state} does not exist; transitions name the states 0 to {num_states - 1}")
        return self

    @property
    def num_letters(self) -> int:
        """Letters of the alphabet."""
        return len(self.transitions[0])


AUTOMATA = {
    "tomita_1": {"transitions": [[1, 0], [1, 1]], "accepting": [0]},  # 1*
    "tomita_2": {"transitions": [[2, 1], [0, 2], [2, 2]], "accepting": [0]},  # (10)*
    # no odd run of 1s before an odd run of 0s; states: 1s even, 1s odd, then 0s odd, then 0s even, broken
    "tomita_3": {"transitions": [[0, 1], [2, 0], [3, 4], [2, 1], [4, 4]], "accepting": [0, 1, 3]},
    "tomita_4": {"transitions": [[1, 0], [2, 0], [3, 0], [3, 3]], "accepting": [0, 1, 2]},  # no 000
    "tomita_5": {"transitions": [[2, 1], [3, 0], [0, 3], [1, 2]], "accepting": [0]},  # 0s even and 1s even
    "tomita_6": {"transitions": [[1, 2], [2, 0], [0, 1]], "accepting": [0]},  # as many 0s as 1s, modulo 3
    "tomita_7": {"transitions": [[0, 1], [2, 1], [2, 3], [4, 3], [4, 4]], "accepting": [0, 1, 2, 3]},  # 0*1*0*1*
    "parity": {"transitions": [[0, 1], [1, 0]], "accepting": [0]},  # 1s even
    # as many 01 as 10, or: ends as it began; states: empty, began and ends with 0 0, 0 1, 1 1, 1 0
    "even_pairs": {"transitions": [[1, 3], [1, 2], [1, 2], [4, 3], [4, 3]], "accepting": [0, 1, 3]},
}


def _by_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in AUTOMATA:
        raise ValueError(f"{value!r} is no automaton; {nearest(value, list(AUTOMATA))}, or write out its transitions")
    return AUTOMATA[value]


class RegexDFA(Stream):
    """Strings that an automaton accepts, each as likely as any other of its length. Letter a is content symbol a.

    A name stands for its automaton: tomita_1 ... tomita_7, parity, even_pairs.

    >>> RegexDFA(automaton="tomita_2", sequence_length=6).sample(0, 0, 1).symbols.tolist()
    [33, 32, 33, 32, 33, 32]
    >>> RegexDFA(automaton="tomita_2", sequence_length=6).drawn(1)
    '⟦1 0 1 0 1 0⟧'
    """

    length_rule: ClassVar[str] = "the automaton accepts a string of that length"
    type: Literal["regex_dfa"] = "regex_dfa"
    paper: ClassVar[str] = "Tomita 1982"
    automaton: Annotated[Automaton, BeforeValidator(_by_name, json_schema_input_type=Automaton | str)]
    sequence_length: Range = Range(min=64, max=256)

    @field_validator("sequence_length")
    @classmethod
    def _is_countable(cls, value: Range) -> Range:
        if value.max > _LONGEST:
            raise ValueError(f"max {value.max} is more than {_LONGEST}, up to which accepted strings are counted")
        return value

    @property
    def content(self) -> range:
        """The symbols of the language: a letter each."""
        return content_range(self.automaton.num_letters)

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that rows have, in ascending order."""
        counts = _num_accepted(self.automaton, self.sequence_length.max)
        low = max(1, self.sequence_length.min)
        return tuple(length for length in range(low, len(counts)) if counts[length][0])

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        thresholds = _letter_thresholds(self.automaton, self.row_lengths[-1])
        _fill_accepted(key, start, ends, np.array(self.automaton.transitions, np.int64), thresholds, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol behind which no string of any length is accepted, or the end of one that is not."""
        useful = self._states_that_lead_to_acceptance()
        state = 0
        for position, symbol in enumerate(row):
            state = self.automaton.transitions[state][symbol - NUM_CONTROL]
            if state not in useful:
                return position, f"symbol {symbol} leads to state {state}, from which nothing is accepted"
        if state not in self.automaton.accepting:
            return len(row), f"the row ends in state {state}, which does not accept"
        return None

    def _states_that_lead_to_acceptance(self) -> set[int]:
        found: set[int] = set(self.automaton.accepting)
        for _ in self.automaton.transitions:
            found |= {state for state, targets in enumerate(self.automaton.transitions) if found & set(targets)}
        return found


@lru_cache(maxsize=16)
def _num_accepted(automaton: Automaton, longest: int) -> list[list[int]]:
    """How many strings of each length lead from each state to acceptance, [longest + 1][states]."""
    counts = [[int(state in automaton.accepting) for state in range(len(automaton.transitions))]]
    for _ in range(longest):
        counts.append([sum(counts[-1][target] for target in targets) for targets in automaton.transitions])
    return counts


@lru_cache(maxsize=16)
def _letter_thresholds(automaton: Automaton, longest: int) -> np.ndarray:
    """p(letter up to a | state, symbols left) in 2**53rds, (longest + 1, states, letters) uint64."""
    counts = _num_accepted(automaton, longest)
    thresholds = np.zeros((longest + 1, len(automaton.transitions), automaton.num_letters), dtype=np.uint64)
    for left in range(1, longest + 1):
        for state, targets in enumerate(automaton.transitions):
            sum_so_far = 0
            for letter, target in enumerate(targets):
                sum_so_far += counts[left - 1][target]
                if sum_so_far:
                    thresholds[left, state, letter] = (sum_so_far << 53) // counts[left][state]
    return thresholds


class FlipFlop(Stream):
    """Pairs of an instruction and a bit: write it, read (the bit last written), ignore it. First a write, last a read.

    Symbols: 32 write, 33 read, 34 ignore, 35 and 36 the bits 0 and 1. Ignore has probability `ignore_prob`, write and
    read share the rest; bits that are not read are uniform. `mask` "reads" predicts the bits behind a read alone.

    >>> FlipFlop(sequence_length=10).sample(0, 0, 1).symbols.tolist()
    [32, 35, 32, 35, 34, 35, 34, 35, 33, 35]
    >>> FlipFlop(sequence_length=10).drawn(1)
    '0 3 1 ⟦3⟧ 2 3 2 4 1 ⟦3⟧'
    """

    length_rule: ClassVar[str] = "the length of a row is even, and 4 at least"
    type: Literal["flipflop"] = "flipflop"
    paper: ClassVar[str] = "Liu et al. 2023"
    ignore_prob: float = Field(default=0.8, ge=0.0, le=1.0)
    sequence_length: Range = Range(min=512, max=512)
    mask: Literal["all", "reads"] = "reads"

    @property
    def content(self) -> range:
        """The symbols of the language: three instructions and two bits."""
        return content_range(5)

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that rows have, in ascending order."""
        low = max(4, self.sequence_length.min)
        return range(low + low % 2, self.sequence_length.max + 1, 2)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_flipflops(key, start, ends, self.ignore_prob, symbols)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        rows = super().sample(key, start, count)
        if self.mask == "reads":
            rows.predicted[0::2] = False  # rows are even: instructions stand at even places of them all
            rows.predicted[1::2] = rows.symbols[0::2] == _READ
        return rows

    def expected_mask(self, row: Sequence[int]) -> list[bool]:
        """Which positions of a row are predicted: all, or the bits behind a read."""
        return [self.mask == "all" or (place % 2 == 1 and row[place - 1] == _READ) for place in range(len(row))]

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol out of place, or bit that is read and was not written last."""
        written = None
        for position, symbol in enumerate(row):
            is_bit, instruction = symbol >= _BIT, row[position - 1] if position % 2 else symbol
            if is_bit != (position % 2 == 1):
                found, wanted = ("a bit", "an instruction") if is_bit else ("an instruction", "a bit")
                return position, f"symbol {symbol} is {found} where {wanted} should stand"
            if position == 0 and symbol != _WRITE:
                return position, f"the first instruction is {symbol} and should be {_WRITE}, write"
            if position == len(row) - 2 and symbol != _READ:
                return position, f"the last instruction is {symbol} and should be {_READ}, read"
            if is_bit and instruction == _READ and symbol != written:
                return position, f"bit {symbol} is read and {written} was written last"
            if is_bit and instruction == _WRITE:
                written = symbol
        return None


@njit(cache=True)
def _fill_accepted(key, start, ends, transitions, thresholds, symbols):
    begin = 0
    for index in range(len(ends)):
        key_state, end = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, ends[index]
        state = 0
        for position in range(begin, end):
            key_state += GOLDEN_GAMMA
            draw, letter = mix64(key_state) >> uint64(11), 0
            while thresholds[end - position, state, letter] <= draw:
                letter += 1
            symbols[position] = NUM_CONTROL + letter
            state = transitions[state, letter]
        begin = end


@njit(cache=True)
def _fill_flipflops(key, start, ends, ignore_prob, symbols):
    begin = 0
    for index in range(len(ends)):
        state, end = row_state(key, uint64(start + index)) + GOLDEN_GAMMA, ends[index]
        written = _BIT
        for position in range(begin, end, 2):
            state += GOLDEN_GAMMA
            share = unit(mix64(state))
            instruction = _READ if share < 0.5 + 0.5 * ignore_prob else _WRITE
            if share < ignore_prob:
                instruction = _IGNORE
            if position == begin:
                instruction = _WRITE
            elif position == end - 2:
                instruction = _READ
            symbols[position] = instruction
            state += GOLDEN_GAMMA
            bit = _BIT + int64(mix64(state) >> uint64(63))
            if instruction == _READ:
                bit = written
            elif instruction == _WRITE:
                written = bit
            symbols[position + 1] = bit
        begin = end
