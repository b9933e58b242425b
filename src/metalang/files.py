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

from metalang.errors import ConfigError, CorpusError

ASIDE = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

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
    _sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, and makes their names last."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends well; else nothing stays of it."""
    with room_in(path.parent):
        try:
            with open(aside(path), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            publish(path)
        except BaseException:
            aside(path).unlink(missing_ok=True)
            raise


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
def room_in(folder: Path) -> Iterator[None]:
    """Says of a full disk where it is. Raises ConfigError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ConfigError(
            f"{folder} cannot be written to: the disk is full, or a limit on files is reached ({error.strerror}); make "
            "room and start again: what is finished is kept"
        ) from None


@contextmanager
def alone(path: Path, *others: Path) -> Iterator[None]:
    """Lets one process at a time make `path`, and clears away what killed ones have left of it and of `others`."""
    with room_in(path.parent), open(_lock(path), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for each in (path, *others):
            for leftover in each.parent.glob(f"{glob.escape(each.name)}.*{ASIDE}"):
                leftover.unlink()
        try:
            yield
        finally:
            _lock(path).unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a process is in `alone` for a file, or was killed there."""
    return _lock(path).exists()


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def read_json(path: Path) -> Any:
    """What a JSON file of ours holds. Raises CorpusError where it does not parse: nobody but us writes it."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is damaged ({error}); remove it, and make again what it belongs to") from None


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value, readable by people, whole or not at all."""
    with written(path) as file:
        file.write(_json_bytes(value))


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Writes a JSON object as `write_json` does, and behind its last key `hash`: the xxh3_128 of all bytes before."""
    body = _json_bytes(value).removesuffix(b"\n}\n") + b",\n"
    with written(path) as file:
        file.write(body + _seal(body))


def is_sealed(content: bytes) -> bool:
    """Whether these are, byte for byte and white space included, what `write_sealed` wrote."""
    body = content[: -len(_seal(b""))]
    return content == body + _seal(body)


def _seal(body: bytes) -> bytes:
    """The end of a sealed file, of one length whatever the body.

    >>> _seal(b"")
    b'  "hash": "99aa06d3014798d86001c324468d497f"\\n}\\n'
    """
    return f'  "hash": "{xxhash.xxh3_128_hexdigest(body)}"\n}}\n'.encode()


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


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
