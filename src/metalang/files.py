"""Nothing on disk is ever half there: a file is written aside, synced, then renamed."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from metalang.errors import CorpusError

ASIDE = ".partial"

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}
"""Another disk, a disk without links, too many names, or a file that may be read but not linked."""


def aside(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f"{path.name}.{os.getpid()}{ASIDE}")


def publish(path: Path) -> None:
    """Gives a finished file that was written aside its name, in one step, and makes it last."""
    publish_as(aside(path), path)


def publish_as(unfinished: Path, path: Path) -> None:
    """Gives a finished file or folder, synced before, its name in one step, and makes that last."""
    os.replace(unfinished, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends well."""
    with open(aside(path), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    publish(path)


def link_or_copy(source: Path, target: Path) -> bool:
    """Gives a file a second name, one more for the same bytes, and says True; where the disk cannot, copies it: False.

    A file that is there is replaced. Both names are of one file: what is written into the one is read by the other.
    """
    for path in (target, aside(target)):  # renaming one name of a file onto another of it would do nothing
        path.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), aside(target))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with written(target) as copy, open(source, "rb") as original:
            shutil.copyfileobj(original, copy, 2**20)
        return False
    publish(target)
    return True


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Lets one process at a time make `path`, and clears away what killed ones have left of it."""
    lock = path.with_name(f"{path.name}.lock")
    with open(lock, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for leftover in path.parent.glob(f"{glob.escape(path.name)}.*{ASIDE}"):
            leftover.unlink()
        yield
        lock.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """What a JSON file of ours holds. Raises CorpusError where it does not parse: nobody but us writes it."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is damaged ({error}); remove it, and make again what it belongs to") from None


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value, readable by people, whole or not at all."""
    with written(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits that name what a file holds.

    >>> sha256_of(Path(os.devnull))[:16]
    'e3b0c44298fc1c14'
    """
    return _digest(path, hashlib.sha256())


def entry_of(path: Path) -> dict[str, Any]:
    """Size and xxh3_128 of a file, which is read once.

    >>> entry_of(Path(os.devnull))
    {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    return {"bytes": path.stat().st_size, "xxh3_128": xxh3_of(path)}


def is_as(path: Path, entry: dict[str, Any]) -> bool:
    """Whether a file is there and is as `entry_of` found it."""
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        return False
    return xxh3_of(path) == entry["xxh3_128"]


def xxh3_of(path: Any) -> str:
    """32 hexadecimal digits that name what a file, or whatever else has an `open`, holds."""
    return _digest(path, xxhash.xxh3_128())


def _digest(path: Any, digest: Any) -> str:
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
