"""A folder of prepared pairs.

train_ru.txt, train_en.txt, val_ru.txt, val_en.txt   line n of one is the translation of line n of the other
dataset_stats.json   what was read, left out and kept, the tags, the settings, the size and hash of each file
rejected.jsonl       only if asked for: the pairs that were left out, each with its reason
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from metalang.errors import ConfigError, CorpusError
from metalang.files import entry_of

STATS, REJECTED = "dataset_stats.json", "rejected.jsonl"
VERSION = 1

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True)
class Place:
    """`num_pairs` lines from line `row` on, which begins at these bytes of the two files of a split."""

    row: int
    source: int
    target: int
    num_pairs: int


@dataclass(frozen=True)
class ParallelFolder:
    """What `prepare_parallel` wrote. Raises ConfigError for a folder of anything else."""

    path: Path

    @cached_property
    def stats(self) -> dict[str, Any]:
        """The content of dataset_stats.json."""
        found = read_stats(self.path)
        if found is None:
            raise ConfigError(f"{self.path} holds no {STATS}; give a folder that prepare_parallel.py wrote")
        return found

    @property
    def languages(self) -> tuple[str, str]:
        """Codes of source and target."""
        source, target = self.stats["languages"]
        return source, target

    def files(self, split: Split) -> tuple[Path, Path]:
        """The texts of a split: source, target."""
        source, target = (self.path / f"{split}_{code}.txt" for code in self.languages)
        return source, target

    def verified(self, split: Split) -> dict[str, Any]:
        """Sizes and hashes of the files of a split. Raises CorpusError where they changed since they were written."""
        entries = {}
        for path in self.files(split):
            entries[path.name] = entry_of(path) if path.is_file() else None
            if entries[path.name] != self.stats["files"][path.name]:
                raise CorpusError(f"{path} is missing or changed since it was written; prepare {self.path} again")
        return entries

    def places(self, split: Split, num_pairs: int) -> list[Place]:
        """Parts of up to `num_pairs` pairs that together are a split."""
        places, source, target = [], 0, 0
        with open(self.files(split)[0], "rb") as sources, open(self.files(split)[1], "rb") as targets:
            for row, (one, other) in enumerate(zip(sources, targets, strict=True)):
                if row % num_pairs == 0:
                    places.append(Place(row, source, target, num_pairs))
                source, target = source + len(one), target + len(other)
        return places

    def read(self, split: Split, place: Place) -> Iterator[tuple[str, str]]:
        """The pairs of a part."""
        with open(self.files(split)[0], "rb") as sources, open(self.files(split)[1], "rb") as targets:
            sources.seek(place.source)
            targets.seek(place.target)
            for source, target in islice(zip(sources, targets, strict=True), place.num_pairs):
                yield source.decode().removesuffix("\n"), target.decode().removesuffix("\n")


def read_stats(folder: Path) -> dict[str, Any] | None:
    """The content of a folder's dataset_stats.json, None where none of ours is there."""
    try:
        stats = json.loads((folder / STATS).read_bytes())
    except (OSError, ValueError):
        return None
    return stats if isinstance(stats, dict) and stats.get("version") == VERSION else None
