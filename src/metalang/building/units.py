"""Makes something in units, in any number of processes, into a folder.

A unit writes its files and then its report. It is done if its report names the same spec and its files have the bytes
that the report says; so a build that was killed goes on where it stopped, and its bytes are those of one that was not.
What says that all is there, a manifest, is written last.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tqdm import tqdm

from metalang.building.executors import Count, Executor
from metalang.digests import canonical_json, digest_of
from metalang.errors import ConfigError, CorpusError
from metalang.files import ASIDE, make_folder, read_json, room_in, write_json

logger = logging.getLogger(__name__)

_CLAIM = "build.json"

Stats = dict[str, int]
Entry = dict[str, Any]
"""What a unit has written, as JSON."""

Made = TypeVar("Made", covariant=True)


class Work(Protocol[Made]):
    """What can be made in units. It must survive pickling: units run in other processes."""

    manifest_name: str
    measure: str
    """What progress is counted in, such as tokens."""

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""

    @property
    def num_units(self) -> int:
        """Units in all."""

    @property
    def total(self) -> int | None:
        """Tokens, or what is counted, in all; None where only the work will tell."""

    def write(self, unit: int, folder: Path, count: Count) -> tuple[Entry, Stats]:
        """Writes a unit and says what it wrote; calls `count` with what was written since the last time."""

    def verify(self, folder: Path, entry: Entry) -> None:
        """Raises CorpusError unless the files of a unit are as they were written."""

    def files(self, entry: Entry) -> list[str]:
        """The names of a unit's files."""

    def size(self, entry: Entry) -> int:
        """Tokens, or what is counted, of a unit."""

    def publish(self, folder: Path, entries: list[Entry], stats: Stats) -> Made:
        """Writes the manifest."""

    def read(self, folder: Path) -> tuple[dict[str, Any], Made]:
        """The spec of what is finished in a folder, and what it is."""


def make(work: Work[Made], output_dir: str | Path, executor: Executor) -> Made:
    """Makes it, or finishes it; what is finished and of the same spec is left as it is. Of several processes that
    build into one folder the first builds, the others wait for it.

    Raises ConfigError where the folder holds another one, or something else, or where there is nothing to write.
    """
    folder = Path(output_dir)
    spec = json.loads(canonical_json(work.spec))
    finished = _finished(work, folder, spec)
    if finished and not (folder / _CLAIM).exists():
        return finished
    with room_in(folder), _claimed(folder, spec):
        made = _finished(work, folder, spec) or _make(work, folder, digest_of(spec), executor)
        _tidy(folder)  # also what another process left that was killed behind its manifest
        return made


def require_folder(work: Work[Made], output_dir: str | Path) -> None:
    """Raises ConfigError where a folder holds another one, or something else; makes nothing."""
    _finished(work, Path(output_dir), json.loads(canonical_json(work.spec)))


def _make(work: Work[Made], folder: Path, spec_hash: str, executor: Executor) -> Made:
    for leftover in folder.glob(f"*{ASIDE}"):  # of a build that was killed: we hold the lock, so nobody writes to it
        leftover.unlink()
    units = _Units(work, folder, spec_hash)
    reports = [units.report(unit) for unit in range(work.num_units)]
    done = [unit for unit in range(work.num_units) if units.is_done(unit)]
    todo = sorted(set(range(work.num_units)) - set(done))
    with tqdm(total=work.total, desc=f"building {folder.name}", unit=f" {work.measure}", unit_scale=True) as bar:
        bar.update(sum(work.size(units.entry(unit)) for unit in done))
        executor.run(units, todo, bar)
    missing = [unit for unit in todo if not units.report(unit).exists()]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(todo)} units were not written ({executor.where_to_look(folder)}); start again to "
            "go on where it stopped"
        )
    stats: Stats = {}
    for report in reports:
        _add(stats, read_json(report)["stats"])
    entries = [units.entry(unit) for unit in range(work.num_units)]
    if not sum(work.size(entry) for entry in entries):
        for name in (name for entry in entries for name in work.files(entry)):
            (folder / name).unlink(missing_ok=True)
        _tidy(folder)
        met = ", ".join(f"{count:,} {name}" for name, count in stats.items()) or "nothing"
        raise ConfigError(
            f"{folder} would hold no {work.measure} ({met}); give a source, or a split, that has documents"
        )
    return work.publish(folder, entries, stats)


@dataclass(frozen=True)
class _Units(Generic[Made]):
    """The units of a work in a folder: a task for an executor."""

    work: Work[Made]
    folder: Path
    spec_hash: str

    def __call__(self, unit: int, count: Count) -> None:
        """Writes a unit, and its report last."""
        try:
            entry, stats = self.work.write(unit, self.folder, count)
        except BaseException:
            for leftover in self.folder.glob(f"*.{os.getpid()}{ASIDE}"):  # a full disk is not kept full
                leftover.unlink()
            raise
        write_json(self.report(unit), {"spec_hash": self.spec_hash, "entry": entry, "stats": stats})

    def report(self, unit: int) -> Path:
        return self.folder / f"{unit:05d}.report.json"

    def entry(self, unit: int) -> Entry:
        return read_json(self.report(unit))["entry"]

    def done_size(self, unit: int) -> int:
        """What a unit holds that another process has written; 0 while it has not."""
        return self.work.size(self.entry(unit)) if self.report(unit).exists() else 0

    def is_done(self, unit: int) -> bool:
        report = self.report(unit)
        if not report.exists() or read_json(report)["spec_hash"] != self.spec_hash:
            return False
        try:
            self.work.verify(self.folder, self.entry(unit))
        except CorpusError:
            return False
        return True


def _finished(work: Work[Made], folder: Path, spec: dict[str, Any]) -> Made | None:
    """What is finished in `folder` if it is this. Raises ConfigError for another one, and for something else."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --output_dir is a folder")
    if (folder / work.manifest_name).exists():
        theirs, made = work.read(folder)
        if theirs == spec:
            return made
        raise ConfigError(f"{folder} holds another corpus ({_differences(theirs, spec)}); {_ANOTHER}")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if held and _CLAIM not in held:
        raise ConfigError(f"{folder} holds something else ({held[0]}); {_ANOTHER}")
    return None


@contextmanager
def _claimed(folder: Path, spec: dict[str, Any]) -> Iterator[None]:
    """Holds the lock of a folder, and leaves there what is built in it.

    Raises ConfigError where units of another build are there; a claim without a unit is taken over.
    """
    make_folder(folder)
    claim = folder / _CLAIM
    with open(claim, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("%s is being built by another process; waiting for it", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        begun = _parsed(file.read())
        if begun and begun["spec"] != spec and any(folder.glob("*.report.json")):
            raise ConfigError(
                f"{folder} holds another build, unfinished ({_differences(begun['spec'], spec)}); {_ANOTHER}"
            )
        file.truncate(0)
        file.write(json.dumps({"spec": spec}).encode())
        file.flush()
        yield


def _parsed(content: bytes) -> dict[str, Any] | None:
    """A claim, None where it is new or was cut off in the middle."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _tidy(folder: Path) -> None:
    """Removes what tells of a build under way, and what a killed one's worker began behind our start; the claim last,
    so that a kill here is noticed.
    """
    for path in (*folder.glob("*.report.json"), *folder.glob(f"*{ASIDE}"), folder / _CLAIM):
        path.unlink(missing_ok=True)


_ANOTHER = "give another --output_dir, or remove this one"


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    theirs, ours = _leaves(theirs), _leaves(ours)
    keys = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    short = [f"{key}: {_brief(theirs.get(key))} there, {_brief(ours.get(key))} here" for key in keys[:5]]
    return "; ".join(short) + ("; ..." if len(keys) > 5 else "")


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """What a JSON value holds, by its path: {"a": {"b": [1]}} is {"a.b.0": 1}."""
    if not isinstance(value, dict | list) or not value:
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        path: leaf for key, each in items for path, leaf in _leaves(each, f"{name}.{key}" if name else f"{key}").items()
    }


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _add(stats: Stats, part: Stats) -> None:
    for name, number in part.items():
        stats[name] = stats.get(name, 0) + number
