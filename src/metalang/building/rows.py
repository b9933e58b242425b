"""Which rows a dataset has, and in which order: how many of each domain in each split, and any stretch of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from metalang.building.dataset import SPLITS, Dataset, SplitName
from metalang.domains import Sequences
from metalang.domains.arrangement import take_rows
from metalang.domains.controls import sample_control
from metalang.errors import ConfigError
from metalang.ids import id_dtype
from metalang.mixing.permutation import permuted
from metalang.mixing.shares import apportioned
from metalang.seeds import key_for

_CHUNK_TOKENS = 2**20
_BLOCK_ROWS = 2**10
_BLOCK_TOKENS = 2**21


@dataclass(frozen=True)
class PartRows:
    """The rows of a domain of a dataset in a split, marks included: so many, in their order."""

    dataset: Dataset
    number: int
    split: SplitName
    num_rows: int = 0
    num_tokens: int = 0

    def lengths(self, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), in the order of their numbers, (count,) int64."""
        return self._marks.lengths(self._domain, int(self._key), start, count)

    @cached_property
    def mean_length(self) -> float:
        """Symbols in a row, about."""
        return float(self.lengths(0, 64).mean())

    def read(self, first: int, last: int) -> tuple[Sequences, np.ndarray]:
        """The rows at the places [first, last) of the order, and their numbers (n,)."""
        if not self.dataset.split.shuffle_domain_sequence:
            return self._sample(first, last), np.arange(first, last)
        size = self._block_rows
        blocks = range(first // size, -(-last // size))
        starts, orders = zip(*(self._shuffled_block(block) for block in blocks), strict=True)
        rows = [self._sample(start, start + len(order)) for start, order in zip(starts, orders, strict=True)]
        sizes = np.cumsum([0, *map(len, orders)])
        order = np.concatenate([before + order for before, order in zip(sizes, orders, strict=False)])
        numbers = np.concatenate([start + order for start, order in zip(starts, orders, strict=True)])
        places = slice(first - blocks[0] * size, last - blocks[0] * size)
        return take_rows(rows, order[places]), numbers[places]

    def _shuffled_block(self, place: int) -> tuple[int, np.ndarray]:
        """Number of the first row of the block that comes at a place, and the order of its rows from there."""
        whole, rest = divmod(self.num_rows, self._block_rows)
        key = np.uint64(key_for("order of rows", int(self._key)))
        block = int(permuted(np.array([place]), whole, key)[0]) if place < whole else whole
        size = self._block_rows if place < whole else rest
        return block * self._block_rows, permuted(np.arange(size), size, np.uint64(key_for(int(key), block)))

    def _sample(self, first: int, last: int) -> Sequences:
        """Rows by their numbers [first, last)."""
        rows = sample_control(self._domain, self.dataset.control, int(self._key), first, last - first)
        kind = id_dtype(self.dataset.num_symbols)
        return self._marks.on(Sequences(rows.symbols.astype(kind, copy=False), rows.ends, rows.predicted))

    @cached_property
    def _block_rows(self) -> int:
        """Rows that are sampled together to be shuffled: fewer of long ones."""
        return max(1, min(_BLOCK_ROWS, int(_BLOCK_TOKENS / self.mean_length)))

    @property
    def _domain(self):
        return self.dataset.domains[self.number].domain

    @property
    def _marks(self):
        return self.dataset.marks[self.number]

    @cached_property
    def _key(self) -> np.uint64:
        return self.dataset.key(self.number, self.split)


def count_rows(dataset: Dataset) -> dict[SplitName, list[PartRows]]:
    """The rows of each domain in each split, so many that all together hold `num_token` tokens within one row.

    Splits and domains are filled one after the other, each until all so far hold what they should: what one has too
    much, by less than a row, the next has less. Raises ConfigError where one would have no row.
    """
    counted, tokens, goal = {}, 0, 0
    shares = [split * part for split in dataset.split.shares for part in dataset.shares]
    budgets = iter(apportioned(dataset.num_token, shares))
    for split, split_share in zip(SPLITS, dataset.split.shares, strict=True):
        counted[split] = []
        for number, name in enumerate(dataset.sources):
            goal += next(budgets)
            part = _filled(PartRows(dataset, number, split), goal - tokens)
            tokens += part.num_tokens
            if split_share and not part.num_rows:
                raise ConfigError(
                    f"num_token {dataset.num_token:,} is too little: {name} would have no row in {split}; "
                    f"a row of it has about {part.mean_length:,.0f} tokens; raise it, leave the "
                    f"domain out, or set the share of that split to 0"
                )
            counted[split].append(part)
    return counted


def _filled(part: PartRows, num_tokens: int) -> PartRows:
    """As many rows of a part, from the first on, as reach a number of tokens."""
    rows = tokens = 0
    chunk = max(1, int(_CHUNK_TOKENS / part.mean_length))
    while tokens < num_tokens:
        totals = tokens + np.cumsum(part.lengths(rows, chunk))
        used = min(int(np.searchsorted(totals, num_tokens)) + 1, len(totals))
        rows, tokens = rows + used, int(totals[used - 1])
    return replace(part, num_rows=rows, num_tokens=tokens)
