"""Places within a stream of text, kept on disk, so that a reader need not begin at the first document.

    line 1       {"stream": {...}}                              what is read, by which tokenizer
    other lines  {"ids": 65536, "place": {...}, "check": "..."}    a document begins behind so many ids; see `Bookmark`
                 {"num_ids": 123456}                            the end, once it was met

Lines are appended. One that does not parse was cut off when a process was killed, and is passed over.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metalang.errors import MismatchError

_SHOWN = 120


@dataclass(frozen=True)
class Bookmark:
    """A document begins behind the first `ids` ids, at `place` of the source (None: its first).

    `check`: digest of the ids of the chunk that is read from there, None where nobody knows it.
    """

    ids: int = 0
    place: dict[str, Any] | None = None
    check: str | None = None


class Bookmarks:
    """The bookmarks of the stream `stream` (JSON of what is read) in a file, which one process writes."""

    def __init__(self, path: Path, stream: dict[str, Any], *, is_writer: bool) -> None:
        self.path, self.stream, self.is_writer = path, stream, is_writer
        self._last = -1

    def last_before(self, ids: int) -> Bookmark:
        """The last one at `ids` or before; the beginning where there is none."""
        best = Bookmark()
        for line in self._lines():
            if "ids" in line and best.ids <= line["ids"] <= ids:
                best = Bookmark(**line)
        return best

    def num_ids(self) -> int | None:
        """Ids of the whole stream; None where its end has not been met."""
        return next((line["num_ids"] for line in self._lines() if "num_ids" in line), None)

    def add(self, bookmark: Bookmark) -> None:
        """Keeps a bookmark, if enough ids lie behind the last: a sixteenth of all, and 16K to 1M."""
        if not self.is_writer or bookmark.ids < self._next():
            return
        self._append(asdict(bookmark))
        self._last = bookmark.ids

    def end(self, num_ids: int) -> None:
        """Keeps the number of all ids."""
        if self.is_writer and self.num_ids() is None:
            self._append({"num_ids": num_ids})

    def kept_stream(self) -> dict[str, Any] | None:
        """The stream that the file is of; None where there is no file."""
        return next((line["stream"] for line in self._lines() if "stream" in line), None)

    def require_same(self) -> None:
        """Raises MismatchError where the file is of another stream."""
        kept = self.kept_stream() or self.stream
        for key, now in self.stream.items():
            if kept.get(key) != now:
                raise MismatchError(
                    f"the stream of {self.path} has changed since the run began: {key} was {_short(kept.get(key))} "
                    f"and is {_short(now)}; give the data of then, or start anew in another --output_dir"
                )

    def _next(self) -> int:
        if self._last < 0:
            self._last = max((line["ids"] for line in self._lines() if "ids" in line), default=-1)
        return 0 if self._last < 0 else self._last + min(2**20, max(2**14, self._last // 16))

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def _append(self, value: dict[str, Any]) -> None:
        """Adds a line, first of all the one that says of what; a line that was cut off is ended."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            if file.seek(0, os.SEEK_END) == 0:
                file.write(_line({"stream": self.stream}))
            else:
                file.seek(-1, os.SEEK_END)
                file.write(b"" if file.read(1) == b"\n" else b"\n")
            file.write(_line(value))


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _short(value: Any) -> str:
    said = json.dumps(value, ensure_ascii=False)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
