"""Corpora, made in units: a unit is a shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from metalang.building.executors import Count, Executor, LocalExecutor
from metalang.building.units import Entry, Stats, make, require_folder
from metalang.corpus import Manifest, ShardEntry, ShardWriter, write_manifest
from metalang.corpus.integrity import verify_files
from metalang.corpus.manifest import FILE_NAME, read_manifest
from metalang.ids import IdSpace


class Build(Protocol):
    """What a corpus is made of. It must survive pickling: units run in other processes."""

    ids: IdSpace
    sources: tuple[str, ...]
    window_length: int | None
    in_order: bool

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""

    @property
    def num_units(self) -> int:
        """Shards that will be written."""

    @property
    def num_tokens(self) -> int | None:
        """Ids in all, None where only the build will tell."""

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Writes a unit, and now and then yields counts of what was met on the way since the last time."""


def build_corpus(build: Build, output_dir: str | Path, executor: Executor | None = None) -> Manifest:
    """Builds a corpus, or finishes it, in this process or (`executor`) elsewhere; see `make`."""
    return make(CorpusWork(build), output_dir, executor or LocalExecutor())


def require_room(build: Build, output_dir: str | Path) -> None:
    """Raises ConfigError where a folder holds another corpus, or something else; builds nothing."""
    require_folder(CorpusWork(build), output_dir)


@dataclass(frozen=True)
class CorpusWork:
    """A build as work in units."""

    build: Build
    manifest_name: str = FILE_NAME
    measure: str = "tokens"

    @property
    def spec(self) -> dict[str, Any]:
        return self.build.spec

    @property
    def num_units(self) -> int:
        return self.build.num_units

    @property
    def total(self) -> int | None:
        return self.build.num_tokens

    def write(self, unit: int, folder: Path, count: Count) -> tuple[Entry, Stats]:
        writer = self.open_writer(unit, folder)
        stats: Stats = {}
        counted = 0
        for part in self.build.write(unit, writer):
            for name, number in part.items():
                stats[name] = stats.get(name, 0) + number
            count(writer.num_tokens - counted)
            counted = writer.num_tokens
        return writer.finish().model_dump(mode="json"), stats

    def open_writer(self, unit: int, folder: Path) -> ShardWriter:
        return ShardWriter(folder, unit, self.build.ids.vocab_size)

    def verify(self, folder: Path, entry: Entry) -> None:
        verify_files(folder, ShardEntry.model_validate(entry).files.values())

    def files(self, entry: Entry) -> list[str]:
        return [file["name"] for file in entry["files"].values()]

    def size(self, entry: Entry) -> int:
        return entry["num_tokens"]

    def publish(self, folder: Path, entries: list[Entry], stats: Stats) -> Manifest:
        build = self.build
        return write_manifest(
            folder,
            [ShardEntry.model_validate(entry) for entry in entries],
            ids=build.ids,
            sources=build.sources,
            spec=build.spec,
            window_length=build.window_length,
            in_order=build.in_order,
            stats=stats,
            **self.manifest_extra,
        )

    @property
    def manifest_extra(self) -> dict[str, Any]:
        return {}

    def read(self, folder: Path) -> tuple[dict[str, Any], Manifest]:
        manifest = read_manifest(folder)
        return manifest.spec, manifest
