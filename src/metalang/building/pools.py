"""Pools: the documents of a text source that its filters keep, as lines that a mixture is drawn from.

A unit of a pool is NNNNN.jsonl, one {"text": ..., "source": ...} a document, and NNNNN.npy, one `LINE` a document; on
request NNNNN.rejected.jsonl holds what was refused, with the filter and its reason. pool.json comes last.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from metalang.building.executors import Count
from metalang.building.units import Entry, Stats
from metalang.errors import CorpusError
from metalang.files import entry_of, is_as, read_json, write_json, written
from metalang.text.filters import AnyFilter
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource, Unit

LINE = np.dtype([("start", "<u8"), ("hash", "<u8")])
"""`start`: byte on which the line begins; `hash`: xxh3_64 of the text. One more than there are tells where they end."""

_UNIT_BYTES = 2**25
_COUNT_EVERY = 2**16


@dataclass(frozen=True)
class Pool:
    """A finished pool: its folder, the lines of each of its units, and what was met on the way."""

    folder: Path
    num_lines: tuple[int, ...]
    stats: Stats

    def lines(self) -> Iterator[tuple[Path, np.ndarray]]:
        """For each unit its JSON lines and their table, (n + 1,) `LINE`."""
        for unit, count in enumerate(self.num_lines):
            path = self.folder / f"{unit:05d}.jsonl"
            yield path, self._table(path, count)

    def _table(self, path: Path, count: int) -> np.ndarray:
        """The table of a unit's lines. Raises CorpusError where it, or they, were cut off since they were written."""
        try:
            table = np.load(path.with_suffix(".npy"), mmap_mode="r")
        except (OSError, ValueError):
            table = np.zeros(0, LINE)
        if len(table) != count + 1:
            raise self._damaged(path.with_suffix(".npy"))
        if not path.is_file() or path.stat().st_size != table["start"][-1]:
            raise self._damaged(path)
        return table

    def _damaged(self, path: Path) -> CorpusError:
        return CorpusError(f"{path} is not as it was written; remove {self.folder}, and start again")


@dataclass(frozen=True)
class PoolWork:
    """The documents of a source that `filters` keep, each text once a unit and at most `max_samples` a unit.

    `name` is what the lines give as their source. Equal sources, filters and names make equal pools.
    """

    name: str
    source: TextSource
    filters: tuple[AnyFilter, ...] = ()
    max_samples: int | None = None
    skip_bad_lines: bool = False
    keep_rejected: bool = False
    manifest_name: str = "pool.json"
    measure: str = "characters"
    total: None = None

    @cached_property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "pool",
            "name": self.name,
            "source": self.source.identity(),
            "filters": [each.model_dump(mode="json") | each.identity() for each in self.filters],
            "max_samples": self.max_samples,
            "skip_bad_lines": self.skip_bad_lines,
            "keep_rejected": self.keep_rejected,
            "unit_bytes": _UNIT_BYTES,
        }

    @property
    def num_units(self) -> int:
        """Parts of the source that are read alone."""
        return len(self._units)

    @cached_property
    def _units(self) -> list[Unit]:
        return self.source.units(_UNIT_BYTES)

    def write(self, unit: int, folder: Path, count: Count) -> tuple[Entry, Stats]:
        """Writes the documents of a unit that are kept."""
        paths = {part: folder / f"{unit:05d}.{part}" for part in ("jsonl", "npy")}
        if self.keep_rejected:
            paths["rejected.jsonl"] = folder / f"{unit:05d}.rejected.jsonl"
        with ExitStack() as stack:
            files = {part: stack.enter_context(written(path)) for part, path in paths.items()}
            stats = _Sieve(self, files).run(self._units[unit], count)
        entry = {part: {"name": path.name} | entry_of(path) for part, path in paths.items()}
        return {"files": entry, "num_lines": stats["kept"], "characters": stats["characters"]}, stats

    def verify(self, folder: Path, entry: Entry) -> None:
        """Raises CorpusError unless the files of a unit are as they were written."""
        for file in entry["files"].values():
            path = folder / file["name"]
            if not is_as(path, file):
                raise CorpusError(f"{path} is not as it was written; prepare it again")

    def files(self, entry: Entry) -> list[str]:
        """The names of a unit's files."""
        return [file["name"] for file in entry["files"].values()]

    def size(self, entry: Entry) -> int:
        """Characters that are kept of a unit."""
        return entry["characters"]

    def publish(self, folder: Path, entries: list[Entry], stats: Stats) -> Pool:
        """Writes pool.json."""
        num_lines = [entry["num_lines"] for entry in entries]
        write_json(folder / self.manifest_name, {"spec": self.spec, "num_lines": num_lines, "stats": stats})
        return Pool(folder, tuple(num_lines), stats)

    def read(self, folder: Path) -> tuple[dict[str, Any], Pool]:
        """The spec of a finished pool, and the pool."""
        value = read_json(folder / self.manifest_name)
        return value["spec"], Pool(folder, tuple(value["num_lines"]), value["stats"])


class _Sieve:
    """Reads a unit and writes what is kept; what happens to each document is counted."""

    def __init__(self, work: PoolWork, files: dict[str, BinaryIO]) -> None:
        self._work = work
        self._files = files
        self._judges = [(each.type, each.open()) for each in work.filters]
        self._stats: Stats = {"read": 0, "kept": 0, "characters": 0}

    def run(self, unit: Unit, count: Count) -> Stats:
        work, table, seen, place = self._work, [], set(), 0
        bad_lines = BadLines(skip=work.skip_bad_lines)
        counted = 0
        for document in work.source.read(unit, bad_lines=bad_lines):
            if work.max_samples is not None and len(table) >= work.max_samples:
                break
            self._add("read", 1)
            text = self._judged(document.text)
            if text is None:
                continue
            digest = xxhash.xxh3_64_intdigest(text.encode())
            if digest in seen:
                self._add("duplicates", 1)
                continue
            seen.add(digest)
            line = (json.dumps({"text": text, "source": work.name}, ensure_ascii=False) + "\n").encode()
            self._files["jsonl"].write(line)
            table.append((place, digest))
            place += len(line)
            self._add("kept", 1)
            self._add("characters", len(text))
            if self._stats["characters"] - counted >= _COUNT_EVERY:
                count(self._stats["characters"] - counted)
                counted = self._stats["characters"]
        np.lib.format.write_array(self._files["npy"], np.array([*table, (place, 0)], dtype=LINE))
        self._add("bad_lines", bad_lines.num_bad)
        self._add("empty_documents", bad_lines.num_empty)
        return self._stats

    def _judged(self, text: str) -> str | None:
        """What the filters keep of a text; None where one refuses it."""
        for name, judge in self._judges:
            kept, reason = judge(text)
            if kept is None:
                self._add(f"filter {name}: {reason}", 1)
                self._reject(text, name, reason)
                return None
            text = kept
        return text

    def _reject(self, text: str, name: str, reason: str) -> None:
        if "rejected.jsonl" in self._files:
            value = {"text": text, "source": self._work.name, "filter": name, "reason": reason}
            self._files["rejected.jsonl"].write((json.dumps(value, ensure_ascii=False) + "\n").encode())

    def _add(self, name: str, number: int) -> None:
        self._stats[name] = self._stats.get(name, 0) + number
