"""Nothing on disk is ever half there: a file is written aside, synced, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_ASIDE = ".partial"


def aside(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(path.name + _ASIDE)


def publish(path: Path) -> None:
    """Gives a finished file that was written aside its name, in one step, and makes it last."""
    os.replace(aside(path), path)
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


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value, readable by people, whole or not at all."""
    with written(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
