"""Steps on a cycle that the row describes: Depo.

Allen-Zhu 2025, "Physics of Language Models 4.1", and its generator: up to N = 375 nodes, p(n) proportional to
1 / (n + sqrt(N)), shuffled edges, names of several symbols, up to K = 8 or 16 steps, 10 questions. Ours: a name's
last symbol is of a block of its own, names of 1 or 2 symbols of 50, and at least 3 nodes.
"""

from math import sqrt
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences
from metalang.domains.rows import Replayed, fault, written
from metalang.domains.strings import between, shuffle
from metalang.domains.vocabulary import Vocabulary, Zipf, draw_one
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state
from metalang.specs import Range, Size

_EOS = int(Control.EOS)
_MOST_NAMES = 2**22


class Depo(Replayed):
    """The edges `u v` of one cycle, shuffled, then questions `k-steps u w` with w k edges behind u; w is predicted.

    Codes, with A = `alphabet_size`: 0 to A - 1 inside of a name, A to 2 A - 1 at its end, then 1 to `num_steps` steps.
    A name has `name_length` symbols, each length as likely; the names of a row differ.

    >>> row = Depo(num_nodes=3, alphabet_size=9, name_length=1, num_questions=1).sample(0, 0, 1)
    >>> row.symbols.tolist(), row.predicted.tolist().index(True)
    ([42, 43, 41, 42, 43, 41, 56, 42, 43, 2], 8)
    """

    type: Literal["depo"] = "depo"
    paper: ClassVar[str] = "Allen-Zhu 2025"
    num_nodes: Size = Field(default=375, ge=1, le=100_000)
    least_nodes: int = Field(default=3, ge=1)
    alphabet_size: Size = Field(default=50, ge=1, le=2**20)
    name_length: Range = Range(min=1, max=2)
    num_steps: int = Field(default=8, ge=1, le=10_000)
    num_questions: int = Field(default=10, ge=1, le=10_000)
    mask: Literal["all", "output"] = "output"

    @property
    def num_names(self) -> int:
        """How many names there are."""
        return sum(self.alphabet_size**length for length in range(self.name_length.min, self.name_length.max + 1))

    @model_validator(mode="after")
    def _has_names(self):
        if not 1 <= self.name_length.min <= self.name_length.max <= 22:
            raise ValueError("name_length should lie in 1 to 22")
        if not 2 * self.num_nodes <= self.num_names <= _MOST_NAMES:
            raise ValueError(
                f"alphabet_size {self.alphabet_size} and name_length give {self.num_names} names; "
                f"{self.num_nodes} nodes need {2 * self.num_nodes} to {_MOST_NAMES}"
            )
        if self.least_nodes > self.num_nodes:
            raise ValueError(f"least_nodes {self.least_nodes} is more than num_nodes {self.num_nodes}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + 2 * self.alphabet_size + self.num_steps

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        sizes = Vocabulary(size=self.num_nodes, distribution=Zipf(alpha=1.0, beta=sqrt(self.num_nodes))).tables
        longest = self.name_length.max
        return written(
            _write_cycles, np.uint64(key), start, sizes, self.least_nodes, self.alphabet_size,
            (self.name_length.min, longest), self.num_steps, self.num_questions, self.mask == "all",
            count=count, longest_row=2 * longest * self.num_nodes + self.num_questions * (2 * longest + 1) + 1,
            num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        ends, steps = NUM_CONTROL + self.alphabet_size, NUM_CONTROL + 2 * self.alphabet_size
        following: dict[tuple[int, ...], tuple[int, ...]] = {}
        mask: list[bool] = []

        def name() -> tuple[int, ...]:
            begin = position = len(mask)
            while position < len(row) and NUM_CONTROL <= row[position] < ends:
                position += 1
            length = position + 1 - begin
            if position == len(row) or not ends <= row[position] < steps or not self._is_length(length):
                raise fault(min(position, len(row)), f"a name should end here, and have {self.name_length} symbols")
            mask.extend([False] * length)
            return tuple(row[begin : position + 1])

        while len(mask) < len(row) and row[len(mask)] < steps and row[len(mask)] != _EOS:
            begin = len(mask)
            node = name()
            if node in following:
                raise fault(begin, "a second edge leaves this node")
            following[node] = name()
        self._check_cycle(following, len(mask))
        for _ in range(self.num_questions):
            begin = len(mask)
            if begin == len(row) or not steps <= row[begin] < self.num_symbols:
                raise fault(begin, "a number of steps should stand here")
            mask.append(False)
            node = name()
            if node not in following:
                raise fault(begin + 1, "the row has no such node")
            for _ in range(row[begin] - steps + 1):
                node = following[node]
            place = len(mask)
            for position, (theirs, ours) in enumerate(zip(name(), node, strict=False), start=place):
                if theirs != ours:
                    raise fault(position, f"symbol is {theirs} and should be {ours}")
            mask[place:] = [True] * (len(mask) - place)
        if row[len(mask) :] != [_EOS]:
            raise fault(len(mask), "EOS should end the row here")
        return [self.mask == "all" or flag for flag in [*mask, False]]

    def _is_length(self, length: int) -> bool:
        return self.name_length.min <= length <= self.name_length.max

    def _check_cycle(self, following: dict[tuple[int, ...], tuple[int, ...]], place: int) -> None:
        node, seen = next(iter(following), None), 0
        while node in following and seen <= len(following):
            node, seen = following[node], seen + 1
            if node == next(iter(following)):
                break
        is_closed = node == next(iter(following), None)
        if not is_closed or seen != len(following) or not self.least_nodes <= seen <= self.num_nodes:
            nodes = f"{self.least_nodes} to {self.num_nodes} nodes"
            raise fault(place, f"the {len(following)} edges form no cycle of {nodes}")


@njit(cache=True)
def _write_cycles(
    key, start, sizes, least, alphabet_size, lengths, num_steps, num_questions, mask_input, symbols, predicted, ends
):  # fmt: skip
    """A name is a length and a number below alphabet_size ** length; `taken` holds the row that uses it."""
    offsets, powers, total = np.zeros(lengths[1] + 1, np.int64), np.empty(lengths[1] + 1, np.int64), 0
    for length in range(lengths[0], lengths[1] + 1):
        offsets[length], powers[length] = total, alphabet_size**length
        total += powers[length]
    taken, names = np.full(total, -1, np.int64), np.empty((2, sizes.size), np.int64)
    order, place = np.empty(sizes.size, np.int64), 0
    for index in range(len(ends)):
        begin, state, size = place, row_state(key, uint64(start + index)), 0
        while size < least:
            state += GOLDEN_GAMMA
            size = 1 + draw_one(mix64(state), sizes)
        for node in range(size):
            order[node] = node
            while True:
                state += GOLDEN_GAMMA
                length = between(state, lengths[0], lengths[1])
                state += GOLDEN_GAMMA
                number = between(state, 0, powers[length] - 1)
                if taken[offsets[length] + number] != index:
                    break
            taken[offsets[length] + number] = index
            names[0, node], names[1, node] = length, number
        state = shuffle(state, order[:size])
        for node in order[:size]:
            place = _write_name(symbols, place, names[0, node], names[1, node], alphabet_size)
            after = node + 1 if node + 1 < size else 0
            place = _write_name(symbols, place, names[0, after], names[1, after], alphabet_size)
        predicted[begin:place] = mask_input
        for _ in range(num_questions):
            state += GOLDEN_GAMMA
            steps = between(state, 1, num_steps)
            state += GOLDEN_GAMMA
            node, begin = between(state, 0, size - 1), place
            symbols[place] = NUM_CONTROL + 2 * alphabet_size + steps - 1
            place = _write_name(symbols, place + 1, names[0, node], names[1, node], alphabet_size)
            predicted[begin:place] = mask_input
            begin = place
            after = (node + steps) % size
            place = _write_name(symbols, place, names[0, after], names[1, after], alphabet_size)
            predicted[begin:place] = True
        symbols[place], predicted[place] = _EOS, mask_input
        place += 1
        ends[index] = place


@njit(cache=True)
def _write_name(symbols, place, length, number, alphabet_size):
    """Writes a name from `place` on; the place behind it."""
    for position in range(length - 1, -1, -1):
        symbols[place + position] = NUM_CONTROL + number % alphabet_size
        number //= alphabet_size
    symbols[place + length - 1] += alphabet_size
    return place + length
