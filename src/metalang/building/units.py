"""Runs the units of a build, in any number of processes, into a corpus folder.

A unit writes one shard and then its report. It is done if its report names the same spec and its files have the bytes
that the report says; so a build that was killed goes on where it stopped, and its bytes are those of one that was not.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from metalang.corpus import Manifest, ShardEntry, ShardWriter, write_manifest
from metalang.corpus.manifest import FILE_NAME, read_manifest
from metalang.corpus.reader import verify_shard
from metalang.errors import ConfigError, CorpusError
from metalang.files import write_json
from metalang.ids import IdSpace
from metalang.seeds import digest_of
from metalang.specs import read_config

_CLAIM = "build.json"
_POLL_SECONDS = 0.2

Stats = dict[str, int]


class Build(Protocol):
    """What can be built. It must survive pickling: units run in other processes."""

    ids: IdSpace
    sources: tuple[str, ...]
    window_length: int | None

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
    """Builds a corpus, or finishes it; a finished one of the same spec is left as it is.

    Raises ConfigError where the folder holds another corpus, or something else.
    """
    folder = Path(output_dir)
    spec_hash = digest_of(build.spec)
    finished = _claim(folder, build.spec, spec_hash)
    if finished:
        return finished
    reports = [_report_path(folder, unit) for unit in range(build.num_units)]
    todo = [unit for unit, report in enumerate(reports) if not _is_done(folder, report, spec_hash)]
    with tqdm(total=build.num_tokens, desc=f"building {folder.name}", unit=" tokens", unit_scale=True) as bar:
        bar.update(sum(_entry(report).num_tokens for unit, report in enumerate(reports) if unit not in set(todo)))
        _run(build, folder, spec_hash, todo, workers=workers, bar=bar)
    stats: Stats = {}
    for report in reports:
        _add(stats, read_config(report)["stats"])
    manifest = write_manifest(
        folder,
        [_entry(report) for report in reports],
        ids=build.ids,
        sources=build.sources,
        spec=build.spec,
        window_length=build.window_length,
        stats=stats,
    )
    for path in (*reports, folder / _CLAIM):
        path.unlink()
    return manifest


def _claim(folder: Path, spec: dict[str, Any], spec_hash: str) -> Manifest | None:
    """The finished corpus in `folder`, or None when the folder is ours to build in."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --output_dir is a folder")
    if (folder / FILE_NAME).exists():
        manifest = read_manifest(folder)
        if manifest.spec_hash == spec_hash:
            return manifest
        raise ConfigError(f"{folder} holds another corpus ({_differences(manifest.spec, spec)}); {_ANOTHER}")
    claim = folder / _CLAIM
    if claim.exists():
        begun = read_config(claim)["spec"]
        if digest_of(begun) != spec_hash:
            raise ConfigError(f"{folder} holds another build, unfinished ({_differences(begun, spec)}); {_ANOTHER}")
        return None
    if folder.exists() and any(folder.iterdir()):
        first = min(path.name for path in folder.iterdir())
        raise ConfigError(f"{folder} holds something else ({first}); {_ANOTHER}")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(claim, {"spec": spec})
    return None


_ANOTHER = "give another --output_dir, or remove this one"


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    keys = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    short = [f"{key}: {_brief(theirs.get(key))} there, {_brief(ours.get(key))} here" for key in keys]
    return "; ".join(short)


def _brief(value: Any) -> str:
    text = str(value)
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
                failed[0].result()
            with counter.get_lock():
                bar.update(counter.value)
                counter.value = 0


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
    return ShardEntry.model_validate(read_config(report)["entry"])


def _is_done(folder: Path, report: Path, spec_hash: str) -> bool:
    if not report.exists() or read_config(report)["spec_hash"] != spec_hash:
        return False
    try:
        verify_shard(folder, _entry(report))
    except CorpusError:
        return False
    return True


def _add(stats: Stats, part: Stats) -> None:
    for name, number in part.items():
        stats[name] = stats.get(name, 0) + number
