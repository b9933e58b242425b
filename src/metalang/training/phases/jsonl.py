"""Rows of a JSON file, memory-mapped: found by an array of offsets, parsed when they are asked for."""

import json
import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from metalang.errors import CorpusError
from metalang.training.phases.spans import json_spans

_RELEASE_BYTES = 2**24


class JsonRows:
    """The objects of a file of JSON lines, or of one JSON list, by their number.

    It holds 16 bytes a row; of the file, at most 16 MB stay mapped in the memory of a process. It may be pickled, for
    the workers of a loader.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._spans, self._is_list = json_spans(self.path)
        self._file_bytes = self.path.stat().st_size
        self._touched = 0

    def __len__(self) -> int:
        return len(self._spans)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_map"}

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of each row, (n,) int64."""
        return self._spans[:, 1] - self._spans[:, 0]

    @cached_property
    def content_hash(self) -> str:
        """32 hexadecimal digits that name the file's bytes. Reads all of it, once."""
        digest = xxhash.xxh3_128()
        with open(self.path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()

    def place(self, row: int) -> str:
        """Where a row stands, for people: `chats.jsonl line 7`. Reads the file up to there."""
        if self._is_list:
            return f"{self.path} element {row + 1:,}"
        return f"{self.path} line {_newlines_before(self.path, int(self._spans[row, 0])) + 1:,}"

    def read(self, row: int) -> dict[str, Any]:
        """The object of a row. Raises ValueError that says what is wrong with it."""
        start, stop = self._spans[row].tolist()
        content = self._map[start:stop]
        self._release(stop - start)
        try:
            value = json.loads(content.decode())
        except UnicodeDecodeError as error:
            raise ValueError(f"no UTF-8: {error.reason}") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"no JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise ValueError("no JSON that can be read: it is nested too deep") from None
        if not isinstance(value, dict):
            raise ValueError(f"no object but {type(value).__name__}")
        return value

    @cached_property
    def _map(self) -> mmap.mmap:
        with open(self.path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(mapped) != self._file_bytes:
            raise CorpusError(
                f"{self.path} has {len(mapped):,} bytes and had {self._file_bytes:,} when it was opened; "
                "leave it alone while it is read, and start again"
            )
        return mapped

    def _release(self, num_bytes: int) -> None:
        """Gives mapped pages back now and then: else those of the whole file would count as this process's memory."""
        self._touched += num_bytes + mmap.PAGESIZE
        if self._touched > _RELEASE_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


def _newlines_before(path: Path, position: int) -> int:
    count = 0
    with open(path, "rb") as file:
        while position and (block := file.read(min(position, 2**20))):
            count += block.count(b"\n")
            position -= len(block)
    return count
