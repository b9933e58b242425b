"""The manifest of a checkpoint: what its files are, byte for byte, in `complete.json`, which is written last.

    {"unchanged": {"plan": {...}, "tokens a step": 256, "ranks": 2},
     "files": {"global_step4/mp_rank_00_model_states.pt": {"bytes": 413696, "sha256": "..."}, ...},
     "hash": "..."}

`unchanged` is what a run that continues must find as it was: the data until then, and the number of ranks. `hash` is
the xxh3_128 of all bytes before it (`files.write_sealed`), so that a changed manifest is found too.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from metalang.files import is_sealed, publish_as, read_json, sha256_of, write_sealed

MANIFEST = "complete.json"
_THREADS = 8  # hashlib lets go of the interpreter while it hashes, fsync while it waits
_Found = TypeVar("_Found")


def write_manifest(folder: Path, unchanged: dict[str, Any]) -> None:
    """Makes all that lies in a folder last, and writes the manifest of it."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for name in names if name != MANIFEST]
    entries = _in_threads(lambda name: _lasting(folder / name), names)
    for each in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync(each)
    write_sealed(folder / MANIFEST, {"unchanged": unchanged, "files": dict(zip(names, entries, strict=True))})


def fault_of(folder: Path) -> str | None:
    """Why a checkpoint is not as it was written, with the name of the file; None where it is. Reads all of it."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return f"it has no {MANIFEST}, so it was not written to its end"
    if not is_sealed(manifest.read_bytes()):
        return f"its {MANIFEST} is damaged, or of an earlier version"
    files = read_json(manifest)["files"]
    for name, entry in files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != entry["bytes"]:
            return (
                f"{name} is missing" if found is None else f"{name} has {found:,} bytes instead of {entry['bytes']:,}"
            )
    hashes = _in_threads(lambda name: sha256_of(folder / name), files)
    for (name, entry), found in zip(files.items(), hashes, strict=True):
        if found != entry["sha256"]:
            return (
                f"{name} has changed: its sha256 is {found[:12]}… and was {entry['sha256'][:12]}… when it was written"
            )
    return None


def publish(unfinished: Path, folder: Path) -> None:
    """Gives a checkpoint that was written aside its name; a broken one of that name goes."""
    if folder.exists():
        remove(folder)
    publish_as(unfinished, folder)


def remove(folder: Path) -> None:
    """Removes a checkpoint, the manifest first: half removed it is no longer complete."""
    (folder / MANIFEST).unlink(missing_ok=True)
    sync(folder)
    shutil.rmtree(folder)


def _lasting(path: Path) -> dict[str, Any]:
    sync(path)
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_threads(work: Callable[[str], _Found], names: Iterable[str]) -> list[_Found]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, names))
