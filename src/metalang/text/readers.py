"""Documents within one file of text: JSON lines, plain text, either packed with gzip or zstandard, CSV and parquet.

A document has a position in its file: the byte on which it starts in a plain file, its row (from 0) in a packed file or
a table. A plain file can be read in byte ranges, parquet in ranges of row groups, a packed file and CSV, whose values
may hold line ends, as a whole only.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from metalang.errors import ConfigError
from metalang.text.names import first_line
from metalang.text.remote import Url
from metalang.text.zstd import open_zstd

SUFFIXES = (".txt", ".jsonl", ".csv", ".txt.gz", ".jsonl.gz", ".txt.zst", ".jsonl.zst", ".parquet")
SAMPLE_BY = ("document", "paragraph", "line")
MAX_DOCUMENT_BYTES = 2**26
"""The largest document: tokenizing takes about 105 bytes of memory a character."""
_OPENERS = {".gz": gzip.open, ".zst": open_zstd}
_BOM = b"\xef\xbb\xbf"

Piece = tuple[int, bytes]
"""Position in the file, bytes."""


@dataclass
class BadLines:
    """What to do with a line that cannot be read (`skip`: count it; else raise ConfigError), and what was met so far.

    `num_empty` counts documents without any text, which are no fault and no document.
    """

    skip: bool = False
    num_bad: int = 0
    num_empty: int = 0

    def meet(self, message: Callable[[], str]) -> None:
        """Counts a bad line, or raises ConfigError with the message, which is made only then.

        >>> bad_lines = BadLines(skip=True)
        >>> bad_lines.meet(lambda: "a.jsonl line 3: no JSON")
        >>> bad_lines.num_bad
        1
        """
        if not self.skip:
            raise ConfigError(f"{message()}. Mend it, or set --on_bad_line skip")
        self.num_bad += 1


@dataclass(frozen=True)
class TextFile:
    """A file, and how its documents are found: `sample_by` for plain text, `text_field` for JSON lines and tables."""

    path: Path | Url
    text_field: str
    sample_by: str

    @property
    def suffix(self) -> str:
        """The one of `SUFFIXES` that the file's name ends in."""
        return next(suffix for suffix in SUFFIXES if self.path.name.endswith(suffix))

    @property
    def is_whole(self) -> bool:
        """Whether all of the file is one document."""
        return self.suffix.startswith(".txt") and self.sample_by == "document"

    def ranges(self, unit_bytes: int) -> list[tuple[int, int]]:
        """Ranges for `read` that cover the file, of about `unit_bytes` each; one range where it cannot be cut."""
        if self.suffix == ".parquet":
            return _row_group_ranges(self.path, unit_bytes)
        size = self.path.stat().st_size
        step = unit_bytes if self._is_by_line else size
        return [(start, min(start + step, size)) for start in range(0, size, step)]

    def read_from(self, position: int, bad_lines: BadLines) -> Iterator[tuple[int, str]]:
        """Position and text of the documents at a position or behind it; what cannot be cut is read from its start."""
        start = position if self._is_by_line else 0
        if self.suffix == ".parquet":
            start = _row_group_of(self.path, position)
        for _, stop in self.ranges(2**62):
            yield from ((at, text) for at, text in self.read(start, stop, bad_lines) if at >= position)

    def read(self, start: int, stop: int, bad_lines: BadLines) -> Iterator[tuple[int, str]]:
        """Position and text of the documents that start in a range. What has no text is counted and left out."""
        rows = {".parquet": self._table_rows, ".csv": self._csv_rows}.get(self.suffix, self._line_rows)
        for position, text in rows(start, stop, bad_lines):
            if not text or text.isspace():
                bad_lines.num_empty += 1
            elif (place := text.find("\0")) >= 0:
                bad_lines.meet(partial(self._fault, position, text.count("\n", 0, place), "a NUL byte in the text"))
            else:
                yield position, text

    @property
    def _is_by_line(self) -> bool:
        """Whether a document is a line of a plain file."""
        return self.suffix == ".jsonl" or (self.suffix == ".txt" and self.sample_by == "line")

    def _csv_rows(self, start: int, stop: int, bad_lines: BadLines) -> Iterator[tuple[int, str]]:
        """The column of the texts; the first line names the columns (RFC 4180, section 2)."""
        csv.field_size_limit(MAX_DOCUMENT_BYTES)
        with io.TextIOWrapper(self.path.open("rb"), encoding="utf-8-sig", newline="") as file:
            rows, last_line = csv.reader(file, strict=True), 0
            try:
                columns = next(rows, [])
                if self.text_field not in columns:
                    raise ConfigError(
                        f"{self.path} has no column {self.text_field!r}; its columns are {', '.join(columns)} "
                        "(see --text_field)"
                    )
                place = columns.index(self.text_field)
                last_line = rows.line_num
                for number, row in enumerate(filter(None, rows)):
                    last_line = rows.line_num
                    if len(row) == len(columns):
                        yield number, row[place].replace("\r\n", "\n")
                    else:
                        reason = f"{len(row)} columns and not {len(columns)}"
                        bad_lines.meet(partial(self._fault, number, 0, reason))
            except csv.Error as error:
                raise ConfigError(f"{self.path} behind line {last_line:,}: {error}; mend it") from None
            except UnicodeDecodeError as error:
                raise ConfigError(f"{self.path} behind line {last_line:,}: no UTF-8: {error.reason}; mend it") from None

    def _line_rows(self, start: int, stop: int, bad_lines: BadLines) -> Iterator[tuple[int, str]]:
        is_json = self.suffix.startswith(".jsonl")
        joined = {"document": _whole, "paragraph": _paragraphs, "line": _each_line}[self.sample_by]
        lines = self._packed_lines() if self.path.suffix in _OPENERS else self._plain_lines(start, stop)
        lines = self._of_one_document(lines) if self.is_whole else lines
        for position, content in _each_line(lines) if is_json else joined(lines):
            if is_json and not content.strip():
                continue
            if len(content) > MAX_DOCUMENT_BYTES:
                bad_lines.meet(
                    partial(self._fault, position, 0, f"more than {MAX_DOCUMENT_BYTES:,} bytes of one document")
                )
                continue
            try:
                yield position, _json_text(content, self.text_field) if is_json else _plain_text(content)
            except UnicodeDecodeError as error:
                lines_before = content.count(b"\n", 0, error.start)
                bad_lines.meet(partial(self._fault, position, lines_before, f"no UTF-8: {error.reason}"))
            except (ValueError, RecursionError) as error:
                bad_lines.meet(partial(self._fault, position, 0, first_line(error)))

    def _fault(self, position: int, lines_before: int, reason: str) -> str:
        if self.suffix in (".parquet", ".csv"):
            return f"{self.path} row {position:,}: {reason}"
        return f"{self.path} line {self._line_number(position) + lines_before:,}: {reason}"

    def _plain_lines(self, start: int, stop: int) -> Iterator[Piece]:
        with self.path.open("rb") as file:
            if start:
                file.seek(start - 1)
                _bounded_line(file)
            position = file.tell()
            while position < stop and (line := _bounded_line(file)):
                yield position, line if position else line.removeprefix(_BOM)
                position = file.tell()

    def _packed_lines(self) -> Iterator[Piece]:
        try:
            with self.path.open("rb") as packed, _OPENERS[self.path.suffix](packed) as file:
                for row, line in enumerate(iter(partial(_bounded_line, file), b"")):
                    yield row, line if row else line.removeprefix(_BOM)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{self.path} is damaged or no {self.path.suffix} file: {first_line(error)}") from None

    def _of_one_document(self, lines: Iterator[Piece]) -> Iterator[Piece]:
        """The same lines. Raises ConfigError where a packed file turns out to hold too much for one document."""
        num_bytes = 0
        for position, line in lines:
            num_bytes += len(line)
            if num_bytes > MAX_DOCUMENT_BYTES:
                raise too_long(self.path, f"more than {MAX_DOCUMENT_BYTES:,}")
            yield position, line

    def _line_number(self, position: int) -> int:
        if self.path.suffix in _OPENERS:
            return position + 1
        number = 1
        with self.path.open("rb") as file:
            while position and (block := file.read(min(position, 2**20))):
                number += block.count(b"\n")
                position -= len(block)
        return number

    def _table_rows(self, start: int, stop: int, bad_lines: BadLines) -> Iterator[tuple[int, str | None]]:
        import pyarrow as pa

        with _open_table(self.path) as table:
            _require_texts(table, self.path, self.text_field)
            row = sum(table.metadata.row_group(group).num_rows for group in range(start))
            try:
                for batch in table.iter_batches(1024, row_groups=range(start, stop), columns=[self.text_field]):
                    for value in batch.column(0):
                        yield row, value.as_py()
                        row += 1
            except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
                raise ConfigError(f"{self.path} row {row:,}: {first_line(error)}; write the file again") from None


def too_long(path: Path | Url, num_bytes: str) -> ConfigError:
    """The refusal of a file that would be one document and is too large for that."""
    return ConfigError(
        f"{path} would be one document of {num_bytes} bytes; the limit is {MAX_DOCUMENT_BYTES:,}, as tokenizing takes "
        "about 105 bytes of memory a character. Cut it with --sample_by paragraph or --sample_by line"
    )


def _bounded_line(file: BinaryIO) -> bytes:
    """The next line, b"" at the end; of one that is too long for a document, no more than shows that it is."""
    line = part = file.readline(MAX_DOCUMENT_BYTES + 2)
    while part and not part.endswith(b"\n"):
        part = file.readline(MAX_DOCUMENT_BYTES)
    return line


def _whole(lines: Iterator[Piece]) -> Iterator[Piece]:
    yield 0, b"".join(line for _, line in lines)


def _each_line(lines: Iterator[Piece]) -> Iterator[Piece]:
    for position, line in lines:
        yield position, line.removesuffix(b"\n").removesuffix(b"\r")


def _paragraphs(lines: Iterator[Piece]) -> Iterator[Piece]:
    """Runs of lines between blank ones."""
    first, held, size = 0, [], 0
    for position, line in lines:
        if line.strip():
            first = first if held else position
            if size <= MAX_DOCUMENT_BYTES:  # what is longer is no document, and need not be held
                held.append(line)
                size += len(line)
        elif held:
            yield first, b"".join(held).rstrip(b"\r\n")
            held, size = [], 0
    if held:
        yield first, b"".join(held).rstrip(b"\r\n")


def _plain_text(content: bytes) -> str:
    return content.decode().replace("\r\n", "\n")


def _json_text(content: bytes, text_field: str) -> str:
    """The text of one JSON line. Raises ValueError that says what is wrong with it."""
    try:
        value = _json_value(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(value, dict):
        raise ValueError(f"no object with {text_field!r} but {type(value).__name__}")
    if text_field not in value:
        raise ValueError(f"no {text_field!r}; its keys are {', '.join(map(repr, value)) or 'none'} (see --text_field)")
    text = value[text_field]
    if not isinstance(text, str):
        raise ValueError(f"{text_field!r} is no string but {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text_field!r} holds half a surrogate pair at character {error.start:,}") from None
    return text


def _json_value(content: bytes) -> Any:
    """What a JSON line says. Where the fast parser objects, Python's own decides, and says what is wrong."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content.decode())


def _open_table(path: Path | Url) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path.open("rb") if isinstance(path, Url) else path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path} is damaged or no parquet file: {first_line(error)}") from None


def _require_texts(table: Any, path: Path | Url, text_field: str) -> None:
    import pyarrow as pa

    schema = table.schema_arrow
    if text_field not in schema.names:
        columns = ", ".join(schema.names)
        raise ConfigError(f"{path} has no column {text_field!r}; its columns are {columns} (see --text_field)")
    kind = schema.field(text_field).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise ConfigError(f"{path}: column {text_field!r} holds {kind} and not strings; name another with --text_field")


def _row_group_of(path: Path | Url, row: int) -> int:
    """Number of the row group that holds a row."""
    with _open_table(path) as table:
        group, last = 0, -1
        while group < table.num_row_groups and (last := last + table.metadata.row_group(group).num_rows) < row:
            group += 1
    return group


def _row_group_ranges(path: Path | Url, unit_bytes: int) -> list[tuple[int, int]]:
    with _open_table(path) as table:
        sizes = [table.metadata.row_group(group).total_byte_size for group in range(table.num_row_groups)]
    ranges, start, held = [], 0, 0
    for group, size in enumerate(sizes):
        held += size
        if held >= unit_bytes or group == len(sizes) - 1:
            ranges.append((start, group + 1))
            start, held = group + 1, 0
    return ranges
