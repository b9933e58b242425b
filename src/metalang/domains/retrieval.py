"""What stood where: a value by its key, a needle in a haystack.

KVRetrieval: `condattendstream_30` of Jiang, Shinnick et al. 2026, "Procedural Pretraining", arXiv 2601.21725 (1 to 30
pairs, 30 keys, 127 values; a query has symbols of its own there and QUERY here). Needle: the form of RULER's single
needle (one key, one value, one query); its numbers are ours.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.rows import draw_codes, fault, open_row, request_for, written
from metalang.domains.strings import between, close_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA
from metalang.specs import Range, Size

_ARG, _QUERY = int(Control.ARG), int(Control.QUERY)


class KVRetrieval(Mapping):
    """x = k1 v1 ... kn vn QUERY k with different keys, k one of them; y = its value.

    >>> KVRetrieval(num_keys=4, num_values=9, num_pairs=2).solve([33, 40, 32, 37, 5, 32])
    [37]
    >>> KVRetrieval(num_keys=4, num_values=9, num_pairs=2).drawn(1)
    '2 7 1 11 QUERY 1 SEP ⟦11 EOS⟧'
    """

    type: Literal["kv_retrieval"] = "kv_retrieval"
    paper: ClassVar[str] = "Jiang, Shinnick et al. 2026"
    num_keys: Size = Field(default=30, ge=1, le=2**24)
    num_values: Size = Field(default=127, ge=1, le=2**24)
    num_pairs: Range = Range(min=1, max=30)

    @model_validator(mode="after")
    def _has_keys(self):
        low, high = self.num_pairs.min, self.num_pairs.max
        if not 1 <= low <= high <= self.num_keys:
            raise ValueError(f"num_pairs {low} to {high} does not lie in 1 to num_keys, which is {self.num_keys}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block, the keys and the values."""
        return NUM_CONTROL + self.num_keys + self.num_values

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return content_range(self.num_keys + self.num_values)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        request = request_for(self, key, start, self.num_pairs.min, self.num_pairs.max)
        longest_row = 2 * self.num_pairs.max + 5
        return written(
            _write_lookups, self.num_keys, self.num_values, request,
            count=count, longest_row=longest_row, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        keys = content_range(self.num_keys)
        size = len(source) - 2
        for position, symbol in enumerate(source[:-2]):
            if symbol not in self.content or (symbol in keys) != (position % 2 == 0):
                raise fault(position, f"symbol {symbol} is no {'value' if position % 2 else 'key'}")
            if position % 2 == 0 and symbol in source[:position:2]:
                raise fault(position, f"key {symbol} stands here again")
        if size % 2 or not self.num_pairs.min <= size // 2 <= self.num_pairs.max:
            raise fault(max(0, size), f"x has {size} symbols before its query, which num_pairs does not allow")
        if source[-2] != _QUERY or source[-1] not in source[:-2:2]:
            raise fault(size + (source[-2] == _QUERY), "QUERY and a key of x should end it")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The value of the key that is asked for."""
        return [dict(zip(source[:-2:2], source[1:-2:2], strict=True))[source[-1]]]


class Needle(Mapping):
    """x = a haystack of independent symbols, `num_needles` needles ARG key value in it, QUERY key; y = the value.

    The keys of a row differ; each value has `value_length` independent symbols. Each needle stands at a uniform place
    of the haystack. Codes: the haystack, the keys, the symbols of values.

    >>> domain = Needle(haystack_size=4, num_keys=2, num_values=4, value_length=2)
    >>> domain.solve([33, 4, 37, 38, 39, 32, 5, 37])
    [38, 39]
    """

    type: Literal["needle"] = "needle"
    paper: ClassVar[str] = "Hsieh et al. 2024"
    sequence_length: Size = Field(default=1024, ge=8)
    haystack_size: Size = Field(default=256, ge=1, le=2**24)
    num_keys: Size = Field(default=256, ge=1, le=2**24)
    num_values: Size = Field(default=256, ge=1, le=2**24)
    value_length: int = Field(default=4, ge=1)
    num_needles: int = Field(default=1, ge=1)

    @property
    def haystack_length(self) -> int:
        """The symbols of a row that belong neither to a needle nor to the question and its answer."""
        return self.sequence_length - self.num_needles * (2 + self.value_length) - 3 - self.value_length - self.eos

    @model_validator(mode="after")
    def _has_room(self):
        if self.haystack_length < 0:
            least = self.sequence_length - self.haystack_length
            raise ValueError(f"sequence_length {self.sequence_length} is too short; the needles need {least}")
        if self.num_needles > self.num_keys:
            raise ValueError(f"num_needles {self.num_needles} needs as many num_keys, which is {self.num_keys}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.haystack_size + self.num_keys + self.num_values

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return range(NUM_CONTROL, self.num_symbols)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        blocks = (self.haystack_size, self.num_keys, self.num_values)
        return written(
            _write_haystacks, blocks, self.num_needles, self.value_length,
            request_for(self, key, start, self.haystack_length, self.haystack_length),
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        first_key = NUM_CONTROL + self.haystack_size
        keys, values = range(first_key, first_key + self.num_keys), range(first_key + self.num_keys, self.num_symbols)
        seen: list[int] = []
        position, hay = 0, 0
        while position < len(source) and source[position] != _QUERY:
            needle = source[position] == _ARG
            if not needle and not NUM_CONTROL <= source[position] < first_key:
                raise fault(position, f"symbol {source[position]} is neither haystack nor the ARG of a needle")
            for place in range(position + 1, position + 2 + self.value_length if needle else position):
                allowed = keys if place == position + 1 else values
                if place >= len(source) or source[place] not in allowed or source[place] in seen:
                    raise fault(place, "this is no part of a needle")
                seen += [source[place]] if allowed is keys else []
            hay += not needle
            position += 2 + self.value_length if needle else 1
        if position != len(source) - 2 or source[-1] not in seen:
            raise fault(min(position + 1, len(source)), "QUERY and the key of a needle should end x")
        if (hay, len(seen)) != (self.haystack_length, self.num_needles):
            raise fault(len(source), f"x has {hay} symbols of haystack and {len(seen)} needles")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The value of the needle that is asked for."""
        place = source.index(source[-1]) + 1
        return list(source[place : place + self.value_length])


@njit(cache=True)
def _write_lookups(num_keys, num_values, request, symbols, predicted, ends):
    keys, end = np.arange(num_keys), 0
    swapped = np.empty(request.high, np.int64)
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        state = draw_codes(state, num_values, NUM_CONTROL + num_keys, symbols[begin + 1 : begin + 2 * size : 2])
        for pair in range(size):
            state += GOLDEN_GAMMA
            swapped[pair] = between(state, pair, num_keys - 1)
            keys[pair], keys[swapped[pair]] = keys[swapped[pair]], keys[pair]
            symbols[begin + 2 * pair] = NUM_CONTROL + keys[pair]
        for pair in range(size - 1, -1, -1):
            keys[pair], keys[swapped[pair]] = keys[swapped[pair]], keys[pair]
        place = begin + 2 * size
        asked = begin + 2 * between(state + GOLDEN_GAMMA, 0, size - 1)
        symbols[place], symbols[place + 1], symbols[place + 3] = _QUERY, symbols[asked], symbols[asked + 1]
        end = close_row(request, symbols, predicted, begin, place + 2, place + 4)
        ends[index] = end


@njit(cache=True)
def _write_haystacks(blocks, num_needles, value_length, request, symbols, predicted, ends):
    first_key, first_value = NUM_CONTROL + blocks[0], NUM_CONTROL + blocks[0] + blocks[1]
    places, keys, end = np.empty(num_needles, np.int64), np.empty(num_needles, np.int64), 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        for needle in range(num_needles):
            state += GOLDEN_GAMMA
            places[needle] = between(state, 0, size)
            fresh = False
            while not fresh:
                state += GOLDEN_GAMMA
                keys[needle] = first_key + between(state, 0, blocks[1] - 1)
                fresh = True
                for other in range(needle):
                    fresh &= keys[other] != keys[needle]
        places.sort()
        state += GOLDEN_GAMMA
        asked, place, hay, answer = between(state, 0, num_needles - 1), begin, 0, begin
        for needle in range(num_needles + 1):
            behind = places[needle] if needle < num_needles else size
            state = draw_codes(state, blocks[0], NUM_CONTROL, symbols[place : place + behind - hay])
            place += behind - hay
            hay = behind
            if needle < num_needles:
                symbols[place], symbols[place + 1] = _ARG, keys[needle]
                state = draw_codes(state, blocks[2], first_value, symbols[place + 2 : place + 2 + value_length])
                answer = place + 2 if needle == asked else answer
                place += 2 + value_length
        symbols[place], symbols[place + 1] = _QUERY, keys[asked]
        symbols[place + 3 : place + 3 + value_length] = symbols[answer : answer + value_length]
        end = close_row(request, symbols, predicted, begin, place + 2, place + 3 + value_length)
        ends[index] = end
