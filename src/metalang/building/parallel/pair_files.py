"""Pairs of texts within files: two text files line by line, tab-separated columns, JSON lines; plain, .gz or .zst.

Texts are given as they stand, without their line ends and without the BOM that a file may begin with.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

from metalang.errors import ConfigError
from metalang.text.names import first_line
from metalang.text.readers import BadLines
from metalang.text.zstd import open_zstd

PACKED = {".gz": gzip.open, ".zst": open_zstd}
_BOM = b"\xef\xbb\xbf"
_FIELDS = "see --fields"


class PairFiles(Protocol):
    """Files that hold pairs together."""

    @property
    def paths(self) -> tuple[Path, ...]: ...

    def read(self, bad_lines: BadLines) -> Iterator[tuple[str, str]]: ...


@dataclass(frozen=True)
class Aligned:
    """Two text files: line n of one is the translation of line n of the other."""

    source: Path
    target: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """Source and target."""
        return self.source, self.target

    def read(self, bad_lines: BadLines) -> Iterator[tuple[str, str]]:
        """The pairs. Raises ConfigError, at the end, where one file has more lines than the other."""
        counts = [0, 0]
        for number, (source, target) in enumerate(zip_longest(_lines(self.source), _lines(self.target)), 1):
            counts[0] += source is not None
            counts[1] += target is not None
            if source is None or target is None:
                continue
            try:
                yield source.decode(), target.decode()
            except UnicodeDecodeError as error:
                path = self.source if error.object == source else self.target
                _meet(bad_lines, path, number, error)
        if counts[0] != counts[1]:
            raise ConfigError(
                f"{self.source} has {counts[0]:,} lines and {self.target} has {counts[1]:,}; line n of one has to be "
                "the translation of line n of the other: give the two files of one corpus"
            )


@dataclass(frozen=True)
class Columns:
    """A file of tab-separated columns, without quoting. A field is a column's number, from 1, or a name in line 1."""

    path: Path
    fields: tuple[str, str]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def read(self, bad_lines: BadLines) -> Iterator[tuple[str, str]]:
        """The pairs; a line without text is a pair of empty texts."""
        lines = enumerate(_lines(self.path), 1)
        if all(field.isdecimal() for field in self.fields):
            columns = [int(field) - 1 for field in self.fields]
        else:
            columns = self._named(next(lines, (1, b""))[1])
        for number, line in lines:
            try:
                yield _cells(line.decode(), columns) if line else ("", "")
            except ValueError as error:
                _meet(bad_lines, self.path, number, error)

    def _named(self, line: bytes) -> list[int]:
        names = line.decode(errors="replace").split("\t")
        for field in self.fields:
            if field not in names:
                raise ConfigError(
                    f"{self.path} has no column {field!r}; its first line names {', '.join(map(repr, names))} "
                    f"({_FIELDS}; a number is a column, counted from 1)"
                )
        return [names.index(field) for field in self.fields]


@dataclass(frozen=True)
class Records:
    """A file of JSON objects, one a line. A dot in a field leads inside: translation.ru."""

    path: Path
    fields: tuple[str, str]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def read(self, bad_lines: BadLines) -> Iterator[tuple[str, str]]:
        """The pairs; a line without text is a pair of empty texts."""
        source, target = self.fields
        for number, line in enumerate(_lines(self.path), 1):
            try:
                record = json.loads(line.decode()) if line.strip() else {source: "", target: ""}
                yield _text_at(record, source), _text_at(record, target)
            except (ValueError, RecursionError) as error:
                _meet(bad_lines, self.path, number, error)


def _lines(path: Path) -> Iterator[bytes]:
    opener = PACKED.get(path.suffix, open)
    try:
        with opener(path, "rb") if opener is not open_zstd else opener(path) as file:
            for number, line in enumerate(file):
                line = line.removesuffix(b"\n").removesuffix(b"\r")
                yield line if number else line.removeprefix(_BOM)
    except (EOFError, zlib.error, OSError) as error:
        raise ConfigError(f"{path} is damaged or cannot be read: {first_line(error)}; fetch it again") from None


def _meet(bad_lines: BadLines, path: Path, number: int, error: Exception) -> None:
    reason = f"no UTF-8: {error.reason}" if isinstance(error, UnicodeDecodeError) else first_line(error)
    if isinstance(error, json.JSONDecodeError):
        reason = f"no JSON: {error.msg} at column {error.colno}"
    bad_lines.meet(lambda: f"{path} line {number:,}: {reason}")


def _cells(line: str, columns: list[int]) -> tuple[str, str]:
    cells = line.split("\t")
    if len(cells) <= max(columns):
        raise ValueError(f"{len(cells)} columns and none of number {max(columns) + 1} ({_FIELDS})")
    return cells[columns[0]], cells[columns[1]]


def _text_at(record: Any, field: str) -> str:
    """The text of a field. Raises ValueError that says what is there instead."""
    value = record
    for key in [field] if isinstance(record, dict) and field in record else field.split("."):
        if not isinstance(value, dict):
            raise ValueError(f"no object with {field!r} but {type(value).__name__} ({_FIELDS})")
        if key not in value:
            raise ValueError(f"no {field!r}; its keys are {', '.join(map(repr, value)) or 'none'} ({_FIELDS})")
        value = value[key]
    if not isinstance(value, str):
        raise ValueError(f"{field!r} is no string but {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{field!r} holds half a surrogate pair")
    return value
