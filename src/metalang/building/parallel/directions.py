"""Which language of a pair is read and which is predicted, and pairs as they come from folders."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metalang.building.parallel.folder import ParallelFolder, Place, Split
from metalang.errors import ConfigError

UNIT_PAIRS = 2**17
_CHUNK_CHARACTERS = 2**20

Directed = tuple[int, str, str]
"""Row of the pair in its folder, the text that is read, the text that is predicted."""


@dataclass(frozen=True)
class DirectedPairs:
    """The pairs of a split of prepared folders, in one direction ("ru-en") or in "both", one after the other.

    Raises ConfigError for folders that were split otherwise or hold other languages, and for a direction that they do
    not have.
    """

    paths: tuple[str, ...]
    split: Split
    direction: str

    def __post_init__(self) -> None:
        source, target = self.folders[0].languages
        for folder in self.folders:
            self._require_alike(folder)
        directions = (f"{source}-{target}", f"{target}-{source}", "both")
        if self.direction not in directions:
            raise ConfigError(f"--direction is {self.direction!r}; it can be {', '.join(directions)}")

    def _require_alike(self, folder: ParallelFolder) -> None:
        """Folders that were split otherwise may have a pair of one's train in the other's val."""
        first = self.folders[0]
        for setting in ("languages", "seed", "val_ratio", "unique_by"):
            theirs, ours = folder.stats["spec"][setting], first.stats["spec"][setting]
            if theirs != ours:
                raise ConfigError(
                    f"{folder.path} has {setting} {theirs} and {first.path} {ours}, so they make no one corpus; "
                    "prepare them alike, or build a corpus of each"
                )

    @cached_property
    def folders(self) -> list[ParallelFolder]:
        """The folders, in order."""
        return [ParallelFolder(Path(path)) for path in self.paths]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What names the content. Reads all files once; raises CorpusError where one changed since it was written."""
        return {
            "split": self.split,
            "direction": self.direction,
            "folders": [folder.verified(self.split) for folder in self.folders],
        }

    @cached_property
    def units(self) -> list[tuple[int, Place]]:
        """Parts of `UNIT_PAIRS` pairs, each with the number of its folder."""
        places = [folder.places(self.split, UNIT_PAIRS) for folder in self.folders]
        return [(number, place) for number, found in enumerate(places) for place in found]

    def chunks(self, unit: int) -> Iterator[list[Directed]]:
        """The pairs of a unit, about a million characters at a time."""
        number, place = self.units[unit]
        chunk: list[Directed] = []
        num_characters = 0
        pairs = self.folders[number].read(self.split, place)
        for row, (source, target) in enumerate(pairs, place.row):
            chunk += self._directed(row, source, target)
            num_characters += len(source) + len(target)
            if num_characters >= _CHUNK_CHARACTERS:
                yield chunk
                chunk, num_characters = [], 0
        if chunk:
            yield chunk

    def _directed(self, row: int, source: str, target: str) -> list[Directed]:
        forward, backward = (row, source, target), (row, target, source)
        if self.direction == "both":
            return [forward, backward]
        return [forward if self.direction == "-".join(self.folders[0].languages) else backward]
