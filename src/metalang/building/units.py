"""Runs the units of a build, in any number of processes, into a corpus folder.

A unit writes one shard and then its report. It is done if its report names the same spec and its files have the bytes
that the report says; so a build that was killed goes on where it stopped, and its bytes are those of one that was not.
"""

import fcntl
import json
import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from metalang.corpus import Manifest, ShardEntry, ShardWriter, write_manifest
from metalang.corpus.manifest import FILE_NAME, read_manifest
from metalang.corpus.reader import verify_shard
from metalang.errors import ConfigError, CorpusError
from metalang.files import ASIDE, read_json, write_json
from metalang.ids import IdSpace
from metalang.seeds import canonical_json, digest_of

logger = logging.getLogger(__name__)

_CLAIM = "build.json"
_POLL_SECONDS = 0.2

Stats = dict[str, int]


class Build(Protocol):
    """What can be built. It must survive pickling: units run in other processes."""

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


def build_corpus(build: Build, output_dir: str | Path, *, workers: int = 1) -> Manifest:
    """Builds a corpus, or finishes it; a finished one of the same spec is left as it is. Of several processes that
    build into one folder the first builds, the others wait for it.

    Raises ConfigError where the folder holds another corpus, or something else, or where there is nothing to write.
    """
    folder = Path(output_dir)
    spec = json.loads(canonical_json(build.spec))
    finished = _finished(folder, spec)
    if finished:
        return finished
    with _claimed(folder, spec):
        return _finished(folder, spec) or _build(build, folder, digest_of(spec), workers)


def _build(build: Build, folder: Path, spec_hash: str, workers: int) -> Manifest:
    for leftover in folder.glob(f"*{ASIDE}"):  # of a build that was killed: we hold the lock, so nobody writes to it
        leftover.unlink()
    reports = [_report_path(folder, unit) for unit in range(build.num_units)]
    done = {unit for unit, report in enumerate(reports) if _is_done(folder, report, spec_hash)}
    todo = [unit for unit in range(build.num_units) if unit not in done]
    with tqdm(total=build.num_tokens, desc=f"building {folder.name}", unit=" tokens", unit_scale=True) as bar:
        bar.update(sum(_entry(reports[unit]).num_tokens for unit in done))
        _run(build, folder, spec_hash, todo, workers=workers, bar=bar)
    stats: Stats = {}
    for report in reports:
        _add(stats, read_json(report)["stats"])
    entries = [_entry(report) for report in reports]
    if not sum(entry.num_tokens for entry in entries):
        _remove(folder, [*reports, *(folder / file.name for entry in entries for file in entry.files.values())])
        met = ", ".join(f"{count:,} {name}" for name, count in stats.items()) or "nothing"
        raise ConfigError(f"{folder} would hold no tokens ({met}); give a source, or a split, that has documents")
    manifest = write_manifest(
        folder,
        entries,
        ids=build.ids,
        sources=build.sources,
        spec=build.spec,
        window_length=build.window_length,
        in_order=build.in_order,
        stats=stats,
    )
    _remove(folder, reports)
    return manifest


def _finished(folder: Path, spec: dict[str, Any]) -> Manifest | None:
    """The corpus in `folder` if it is there. Raises ConfigError for another corpus, and for something else."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --output_dir is a folder")
    if (folder / FILE_NAME).exists():
        manifest = read_manifest(folder)
        if manifest.spec_hash == digest_of(spec):
            return manifest
        raise ConfigError(f"{folder} holds another corpus ({_differences(manifest.spec, spec)}); {_ANOTHER}")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if held and _CLAIM not in held:
        raise ConfigError(f"{folder} holds something else ({held[0]}); {_ANOTHER}")
    return None


@contextmanager
def _claimed(folder: Path, spec: dict[str, Any]) -> Iterator[None]:
    """Holds the lock of a folder, and leaves there what is built in it.

    Raises ConfigError where units of another build are there; a claim without a unit is taken over.
    """
    folder.mkdir(parents=True, exist_ok=True)
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


def _remove(folder: Path, paths: list[Path]) -> None:
    for path in (*paths, folder / _CLAIM):
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


def _run(build: Build, folder: Path, spec_hash: str, todo: list[int], *, workers: int, bar: tqdm) -> None:
    if workers <= 1 or len(todo) <= 1:
        for unit in todo:
            _write_unit(build, folder, spec_hash, unit, bar.update)
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_join_pool, initargs=(counter,)) as pool:
        waiting = {pool.submit(_write_unit_in_pool, build, folder, spec_hash, unit) for unit in todo}
        while waiting:
            done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            failed = [future for future in done if future.exception()]
            if failed:
                pool.shutdown(wait=False, cancel_futures=True)
                _raise(failed[0].exception())
            with counter.get_lock():
                bar.update(counter.value)
                counter.value = 0


def _raise(error: BaseException | None) -> None:
    if isinstance(error, BrokenProcessPool):
        raise ConfigError(
            "a worker was killed, by hand or for want of memory; start again with fewer --workers"
        ) from None
    raise error


def available_cores() -> int:
    """Cores that this process may use: what a scheduler gave it, not what the machine has."""
    return len(os.sched_getaffinity(0))


def _join_pool(counter: Any) -> None:
    global _counter
    _counter = counter
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core a process: the pool is the parallelism


def _write_unit_in_pool(build: Build, folder: Path, spec_hash: str, unit: int) -> None:
    def count(tokens: int) -> None:
        with _counter.get_lock():
            _counter.value += tokens

    _write_unit(build, folder, spec_hash, unit, count)


def _write_unit(build: Build, folder: Path, spec_hash: str, unit: int, count: Any) -> None:
    writer = ShardWriter(folder, unit, build.ids.vocab_size)
    stats: Stats = {}
    counted = 0
    for part in build.write(unit, writer):
        _add(stats, part)
        count(writer.num_tokens - counted)
        counted = writer.num_tokens
    entry = writer.finish()
    report = {"spec_hash": spec_hash, "entry": entry.model_dump(mode="json"), "stats": stats}
    write_json(_report_path(folder, unit), report)


def _report_path(folder: Path, unit: int) -> Path:
    return folder / f"{unit:05d}.report.json"


def _entry(report: Path) -> ShardEntry:
    return ShardEntry.model_validate(read_json(report)["entry"])


def _is_done(folder: Path, report: Path, spec_hash: str) -> bool:
    if not report.exists() or read_json(report)["spec_hash"] != spec_hash:
        return False
    try:
        verify_shard(folder, _entry(report))
    except CorpusError:
        return False
    return True


def _add(stats: Stats, part: Stats) -> None:
    for name, number in part.items():
        stats[name] = stats.get(name, 0) + number
