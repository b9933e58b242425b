"""Multi-query associative recall.

Arora et al. 2023, "Zoology", arXiv 2312.04927, and its generator: 8,192 symbols, rows of 64 to 512, 4 to 64 pairs,
power 0.01. It gives the value of a query as a label and a random symbol in its place; here the value stands there, as
the symbol that is predicted, and no key is asked for twice.
"""

from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences
from metalang.domains.rows import Replayed, fault, written
from metalang.domains.strings import between
from metalang.domains.vocabulary import Tables, Vocabulary, Zipf, draw_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, row_state
from metalang.specs import Size


class MQAR(Replayed):
    """Multi-query associative recall: `num_pairs` pairs of a key and a value, then each key again and its value.

    Codes: 0 is the filler, the keys are 1 to V/2 - 1, the values V/2 to V - 1; both are drawn without replacement. Of
    the (L - 2 N) / 2 pairs of positions behind the first N, N are drawn without replacement with p(g) proportional to
    g ** (power - 1), in the order of the keys. Other positions hold the filler or (`random_non_queries`) any symbol.
    The values of queries are predicted.

    >>> domain = MQAR(vocabulary_size=12, sequence_length=16, num_pairs=2, random_non_queries=False)
    >>> domain.sample(0, 0, 1).symbols.tolist()
    [37, 38, 35, 43, 37, 38, 35, 43, 32, 32, 32, 32, 32, 32, 32, 32]
    """

    type: Literal["mqar"] = "mqar"
    paper: ClassVar[str] = "Arora et al. 2023"
    vocabulary_size: Size = Field(default=8192, ge=4, le=2**30)
    sequence_length: Size = Field(default=64, ge=4)
    num_pairs: int = Field(default=8, ge=1)
    power: float = Field(default=0.01, ge=0.0, le=1.0)
    random_non_queries: bool = True

    @model_validator(mode="after")
    def _has_room(self):
        length, pairs = self.sequence_length, self.num_pairs
        if length % 2 or 4 * pairs > length:
            raise ValueError(
                f"sequence_length {length} should be even and 4 * num_pairs or more, {4 * pairs} for {pairs} pairs"
            )
        if pairs >= self.vocabulary_size // 2:
            raise ValueError(
                f"num_pairs {pairs} needs as many keys and vocabulary_size {self.vocabulary_size} has "
                f"{self.vocabulary_size // 2 - 1}; raise it to {2 * pairs + 2}"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary_size

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        half = self.vocabulary_size // 2
        places = Vocabulary(
            size=self.sequence_length // 2 - self.num_pairs,
            distribution=Zipf(alpha=1.0 - self.power, beta=0.0),
            replacement=False,
        )
        return written(
            _write_queries, np.uint64(key), start, self.num_pairs, _distinct(half - 1),
            _distinct(self.vocabulary_size - half), places.tables, self.vocabulary_size * self.random_non_queries,
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have: as it is, where each key is asked for once; a query looks like fillers."""
        half, values, asked = NUM_CONTROL + self.vocabulary_size // 2, {}, set()
        for position, symbol in enumerate(row):
            before = row[position - 1]
            if position < 2 * self.num_pairs:
                block = range(half, self.num_symbols) if position % 2 else range(NUM_CONTROL + 1, half)
                used = values.values() if position % 2 else values
                if symbol not in block or symbol in used:
                    raise fault(position, f"symbol {symbol} is no new {'value' if position % 2 else 'key'}")
                values.update({before: symbol} if position % 2 else {})
            elif predicted[position]:
                if position % 2 == 0 or before not in values or before in asked:
                    raise fault(position, "no key that was not asked for yet stands before this position")
                if symbol != values[before]:
                    raise fault(position, f"symbol is {symbol} and should be {values[before]}")
                asked.add(before)
            elif not NUM_CONTROL <= symbol < self.num_symbols:
                raise fault(position, f"symbol {symbol} is not content of mqar")
            elif not self.random_non_queries and symbol != NUM_CONTROL and not (symbol in values and position % 2 == 0):
                raise fault(position, f"symbol is {symbol} and should be {NUM_CONTROL}")
        if len(row) != self.sequence_length or len(asked) != self.num_pairs:
            raise fault(len(row), f"the row has {len(row)} symbols and {len(asked)} queries")
        return [position >= 2 * self.num_pairs and flag for position, flag in enumerate(predicted)]


def _distinct(size: int) -> Tables:
    return Vocabulary(size=size, replacement=False).tables


@njit(cache=True)
def _write_queries(key, start, num_pairs, keys, values, places, num_random, symbols, predicted, ends):
    """Rows of MQAR; `num_random` symbols fill the rest, 0 of them: the filler."""
    drawn, place = np.empty((3, num_pairs), np.int64), 0
    key_scratch, value_scratch = np.arange(keys.size + num_pairs), np.arange(values.size + num_pairs)
    scratch = np.arange(places.size + num_pairs)
    for index in range(len(ends)):
        state = draw_row(row_state(key, uint64(start + index)), keys, drawn[0], key_scratch)
        state = draw_row(state, values, drawn[1], value_scratch)
        state = draw_row(state, places, drawn[2], scratch)
        end = place + 2 * (num_pairs + places.size)
        row, mask, place = symbols[place:end], predicted[place:end], end
        mask[:] = False
        for position in range(2 * num_pairs, len(row)):
            state += GOLDEN_GAMMA
            row[position] = NUM_CONTROL + between(state, 0, max(0, num_random - 1))
        for pair in range(num_pairs):
            row[2 * pair], row[2 * pair + 1] = drawn[0, pair] + 1, drawn[1, pair] + keys.size + 1
            query = 2 * (num_pairs + drawn[2, pair] - NUM_CONTROL)
            row[query], row[query + 1] = row[2 * pair], row[2 * pair + 1]
            mask[query + 1] = True
        ends[index] = place
