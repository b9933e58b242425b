"""Which lines of which pools a prepared file holds, and in which order: exact counts, duplicates once, no leak.

A text belongs to the validation split where its hash falls below `validation_ratio`, so equal texts are never on both
sides. A pool that is asked for more lines than it has is read again from its first, in another order each time.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import BinaryIO

import numpy as np

from metalang.building.pools import Pool
from metalang.errors import ConfigError
from metalang.mixing.permutation import permuted
from metalang.mixing.shares import apportioned
from metalang.seeds import key_for

_CHUNK_LINES = 2**12
_MAX_OPEN_FILES = 256


@dataclass(frozen=True)
class Chosen:
    """What a split takes from a pool: `places` (n,) int64 of its different lines, and how many lines in all."""

    name: str
    places: np.ndarray
    num_lines: int

    @property
    def epochs(self) -> float:
        """How often the lines are read on average."""
        return self.num_lines / len(self.places) if len(self.places) else 0.0


class Selection:
    """The lines of pools that a mixture takes: shares of lines, of `num_samples` in all or of all that there are."""

    def __init__(
        self,
        pools: dict[str, Pool],
        shares: Sequence[int],
        *,
        max_samples: Sequence[int | None],
        dropped: dict[str, np.ndarray],
        validation_ratio: float,
        seed: int,
    ) -> None:
        self._pools = pools
        self._seed = seed
        self._validation_ratio = validation_ratio
        self._hashes = {name: _hashes(pool) for name, pool in pools.items()}
        unique = self._first_of_equal(dropped)
        self.num_duplicates = {name: len(self._hashes[name]) - len(places) for name, places in unique.items()}
        kept = {name: unique[name][:most] for name, most in zip(pools, max_samples, strict=True)}
        total = sum(len(kept[name]) if most is None else most for name, most in zip(pools, max_samples, strict=True))
        self.train: list[Chosen] = []
        self.validation: list[Chosen] = []
        limit = np.uint64(min(int(validation_ratio * 2**64), 2**64 - 1))
        for (name, places), lines in zip(kept.items(), apportioned(total, shares), strict=True):
            held_out = self._hashes[name][places] < limit
            aside = min(round(lines * validation_ratio), int(held_out.sum()))
            self.validation.append(Chosen(name, places[held_out], aside))
            self.train.append(Chosen(name, places[~held_out], lines - round(lines * validation_ratio)))

    def require_splits(self) -> None:
        """Raises ConfigError where documents are to be held out, and one of the two splits would have no line."""
        splits = {"train": self.train, "validation": self.validation} if self._validation_ratio else {}
        for split, chosen in splits.items():
            if not any(each.num_lines for each in chosen):
                count = sum(len(each.places) for each in (*self.train, *self.validation))
                raise ConfigError(
                    f"validation.ratio {self._validation_ratio:g} of {count:,} documents leaves none for {split}; give "
                    "another ratio, such as 0.05, or more documents"
                )

    def require_epochs(self, max_epochs: float) -> None:
        """Raises ConfigError where a pool has no line, or would be read more than `max_epochs` times."""
        for chosen in self.train:
            if chosen.num_lines and not len(chosen.places):
                raise ConfigError(f"{chosen.name}: no document is left; loosen its filters, or take it out")
            if chosen.epochs > max_epochs:
                raise ConfigError(
                    f"{chosen.name} has {len(chosen.places):,} documents and is asked for {chosen.num_lines:,}, "
                    f"{chosen.epochs:.2f} epochs. At most {max_epochs:g} are allowed: set max_epochs to "
                    f"{ceil(100 * chosen.epochs) / 100:g}, lower its mix_ratio, or give more data"
                )

    def lines(self, split: str) -> Iterator[bytes]:
        """The lines of "train" or "validation" in their order, each with its line end."""
        chosen = self.train if split == "train" else self.validation
        borders = np.cumsum([0, *(each.num_lines for each in chosen)])
        key = np.uint64(key_for("prepared lines", self._seed, split))
        readers = [_Reader(self._pools[each.name]) for each in chosen]
        for start in range(0, int(borders[-1]), _CHUNK_LINES):
            stop = min(start + _CHUNK_LINES, int(borders[-1]))
            tickets = permuted(np.arange(start, stop), int(borders[-1]), key)
            sources = np.searchsorted(borders, tickets, side="right") - 1
            places = np.empty_like(tickets)
            for number in np.unique(sources):
                here = sources == number
                places[here] = self._places(chosen[number], split, tickets[here] - borders[number])
            for source, place in zip(sources.tolist(), places.tolist(), strict=True):
                yield readers[source].line(place)

    def _places(self, chosen: Chosen, split: str, ordinals: np.ndarray) -> np.ndarray:
        """The places in a pool of the so-manieth lines of it."""
        size = len(chosen.places)
        epochs, within = np.divmod(ordinals, size)
        places = np.empty_like(ordinals)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            key = np.uint64(key_for("lines of", chosen.name, self._seed, split, int(epoch)))
            places[here] = permuted(within[here], size, key)
        return chosen.places[places]

    def _first_of_equal(self, dropped: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """For each pool the places of its lines but for those `dropped` and those whose text came before, anywhere."""
        hashes = np.concatenate(list(self._hashes.values()))
        left = np.ones(len(hashes), dtype=np.bool_)
        borders = np.cumsum([0, *map(len, self._hashes.values())])
        for name, border in zip(self._hashes, borders, strict=False):
            left[border + dropped.get(name, np.zeros(0, np.int64))] = False
        open_places = np.flatnonzero(left)
        _, first = np.unique(hashes[open_places], return_index=True)
        first = np.sort(open_places[first])
        cuts = np.searchsorted(first, borders)
        return {
            name: first[cuts[number] : cuts[number + 1]] - borders[number] for number, name in enumerate(self._hashes)
        }


def _hashes(pool: Pool) -> np.ndarray:
    """The hashes of a pool's texts, (n,) uint64."""
    return np.concatenate([np.zeros(0, np.uint64), *(table["hash"][:-1] for _, table in pool.lines())])


class _Reader:
    """Lines of a pool by their places."""

    def __init__(self, pool: Pool) -> None:
        self._units = list(pool.lines())
        self._ends = np.cumsum([len(table) - 1 for _, table in self._units])
        self._open: dict[int, BinaryIO] = {}

    def line(self, place: int) -> bytes:
        unit = int(np.searchsorted(self._ends, place, side="right"))
        path, table = self._units[unit]
        within = place - (int(self._ends[unit]) - (len(table) - 1))
        start, stop = int(table["start"][within]), int(table["start"][within + 1])
        return os.pread(self._file(unit, path).fileno(), stop - start, start)

    def _file(self, unit: int, path: Path) -> BinaryIO:
        """Read by position, not mapped: pages of a map would count as this process's memory."""
        if unit not in self._open:
            if len(self._open) >= _MAX_OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[unit] = open(path, "rb")
        return self._open[unit]
