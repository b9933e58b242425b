"""Rows of a dataset, as corpora of symbols: one for each split."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from metalang.building.dataset import Dataset, SplitName
from metalang.building.rows import PartRows, count_rows
from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.domains import Domain
from metalang.domains.arrangement import take_rows
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.mixing.arrangement import draw_kinds
from metalang.mixing.permutation import permuted
from metalang.seeds import key_for

_UNIT_TOKENS = 2**24
_CHUNK_TOKENS = 2**20
_SCAN_ROWS = 2**20


@dataclass(frozen=True)
class _Unit:
    """Rows of a stretch: the places [first, last), and how many of each part are left at the first of them."""

    stretch: int
    first: int
    last: int
    left: np.ndarray


@dataclass(frozen=True)
class SyntheticBuild:
    """The rows of one split of a dataset.

    They come in stretches, all domains mixed in one or one domain in each; a stretch is cut into units of equally many
    rows, about 16 million tokens each.
    """

    dataset: Dataset
    split: SplitName
    parts: tuple[PartRows, ...] = field(repr=False)
    window_length: None = None

    @property
    def ids(self) -> IdSpace:
        """Symbols; where they lie among a model's ids is decided when they are mixed or trained on."""
        return IdSpace.of_domain(self.dataset.num_symbols)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the domains."""
        return self.dataset.sources

    @property
    def in_order(self) -> bool:
        """One domain after the other is a curriculum: training must keep it."""
        return not self.dataset.split.shuffle_dataset

    @property
    def num_tokens(self) -> int:
        """Symbols in all."""
        return sum(part.num_tokens for part in self.parts)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "synthetic",
            "dataset": self.dataset.model_dump(mode="json"),
            "split": self.split,
            "unit_tokens": _UNIT_TOKENS,
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return len(self._units)

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Writes the rows of a unit, a chunk at a time."""
        at = self._units[unit]
        parts, left = self._stretches[at.stretch], at.left.copy()
        chunk = max(1, _CHUNK_TOKENS * _num_rows(parts) // sum(part.num_tokens for part in parts))
        for first in range(at.first, at.last, chunk):
            count = min(chunk, at.last - first)
            writer.append(self._documents(at.stretch, first, left, count))
            yield {"rows": count}

    def _documents(self, stretch: int, first: int, left: np.ndarray, count: int) -> Documents:
        """The rows of the places from `first` on; takes them out of `left`."""
        parts, before = self._stretches[stretch], left.copy()
        kinds = draw_kinds(self._order_key(stretch), first, left, count)
        begins = [part.num_rows - int(rest) for part, rest in zip(parts, before, strict=True)]
        ends = [part.num_rows - int(rest) for part, rest in zip(parts, left, strict=True)]
        drawn = [part.read(*place) for part, *place in zip(parts, begins, ends, strict=True) if place[0] < place[1]]
        rows, numbers = drawn[0][0], np.concatenate([numbers for _, numbers in drawn])
        if len(parts) > 1:
            order = np.empty(count, dtype=np.int64)
            order[np.argsort(kinds, kind="stable")] = np.arange(count)
            rows, numbers = take_rows([rows for rows, _ in drawn], order), numbers[order]
        sources = np.array([part.number for part in parts])[kinds]
        return Documents(rows.symbols, rows.ends, numbers, rows.predicted, sources)

    @cached_property
    def _stretches(self) -> list[list[PartRows]]:
        """The parts of each stretch."""
        split = self.dataset.split
        if split.shuffle_dataset:
            return [list(self.parts)]
        numbers = np.arange(len(self.parts))
        if split.shuffle_domain_order:
            key = np.uint64(key_for("order of domains", self.dataset.seed))
            numbers = permuted(numbers, len(self.parts), key)
        return [[self.parts[number]] for number in numbers]

    @cached_property
    def _units(self) -> list[_Unit]:
        units = []
        for stretch, parts in enumerate(self._stretches):
            rows, num_units = _num_rows(parts), -(-sum(part.num_tokens for part in parts) // _UNIT_TOKENS)
            left = np.array([part.num_rows for part in parts])
            for unit in range(num_units):
                first, last = rows * unit // num_units, rows * (unit + 1) // num_units
                units.append(_Unit(stretch, first, last, left.copy()))
                for start in range(first, last, _SCAN_ROWS):
                    draw_kinds(self._order_key(stretch), start, left, min(_SCAN_ROWS, last - start))
        return units

    def _order_key(self, stretch: int) -> np.uint64:
        return np.uint64(key_for("order of rows", self.dataset.seed, self.split, stretch))


def synthetic_builds(dataset: Dataset) -> list[SyntheticBuild]:
    """A build for each split of a dataset that has a share of its tokens.

    Raises ConfigError for a dataset without `num_token`, or with too few for its splits and domains.
    """
    if dataset.num_token is None:
        raise ConfigError("num_token is not given; set --num_token, such as 5M, or write it into the dataset's file")
    rows = count_rows(dataset)
    return [SyntheticBuild(dataset, split, tuple(parts)) for split, parts in rows.items() if _num_rows(parts)]


def domain_build(domain: Domain, num_token: int | str, **settings: Any) -> SyntheticBuild:
    """A build of one domain, all of its tokens for training; `settings` are those of a `Dataset`."""
    split = {"split_ratio": (1.0, 0.0, 0.0)}
    return synthetic_builds(Dataset(domains=[{"domain": domain}], num_token=num_token, split=split, **settings))[0]


def _num_rows(parts: list[PartRows] | tuple[PartRows, ...]) -> int:
    return sum(part.num_rows for part in parts)
