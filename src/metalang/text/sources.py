"""Sources of text by a name: a file, a folder, an address, Python's own documentation, or a dataset on the hub.

A source is cut into units, each of which can be read alone, in any order, by any worker.
"""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from metalang.errors import ConfigError
from metalang.files import xxh3_of
from metalang.text.hub import HubDataset
from metalang.text.names import local_path
from metalang.text.pydoc import PydocText
from metalang.text.readers import MAX_DOCUMENT_BYTES, SAMPLE_BY, SUFFIXES, BadLines, TextFile, too_long
from metalang.text.remote import Url

ROWS_PER_FILE = 2**40
"""A document's row is its file's place among the source's files, times this, plus its position in the file."""

_PYDOC = "pydoc:"
_FORMS = f"a file or folder of {' '.join(SUFFIXES)}, {_PYDOC}, or a dataset on the hub"

Behind = Callable[[], dict[str, Any]]
"""Gives the place behind a document, as JSON; to be called before the next document is taken."""


@dataclass(frozen=True)
class Document:
    """A text and where it came from.

    `row`: in files, `file * ROWS_PER_FILE + position`, where `file` counts the source's sorted files from 0 and
    position is the byte on which the document starts (plain files) or its row (packed files, parquet); else its row.
    """

    text: str
    row: int


@dataclass(frozen=True)
class Unit:
    """A part of a source: files `first` to `last` - 1 as a whole, or (`stop` is not None) a range of the one file.

    A range is in bytes (the documents that start in it) or, for parquet, in row groups.
    """

    first: int = 0
    last: int = 1
    start: int = 0
    stop: int | None = None


class _Place(Protocol):
    """Where the text of a source lies."""

    def units(self, unit_bytes: int) -> list[Unit]: ...

    def read(self, unit: Unit, bad_lines: BadLines) -> Iterator[Document]: ...

    def read_from(self, place: dict[str, Any] | None, bad_lines: BadLines) -> Iterator[tuple[str, Behind]]: ...

    def identity(self) -> dict[str, Any]: ...

    def stamp(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class TextSource:
    """Documents by the name of a file, a folder, a hub dataset (streamed), `pydoc:` or `pydoc:numpy,pandas`, or by the
    http(s) address of a file.

    `text_field` is the key or column of the text in JSON lines, parquet and datasets. `sample_by` says what a document
    is in a .txt file: the "document" (all of it), a "paragraph" (between blank lines) or a "line". Line ends of a .txt
    file are read as newlines. Raises ConfigError for a name without text behind it.

    Parquet, and plain .jsonl and .txt by "line", are cut into units. A packed file (.gz, .zst), a .txt by "document" or
    "paragraph", a hub dataset, an address and `pydoc:` are one unit each, however large: one worker reads it, and no
    other helps. `commit` of a hub dataset; None: the newest.
    """

    name: str
    _: KW_ONLY
    text_field: str = "text"
    sample_by: str = "document"
    commit: str | None = None
    _place: _Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.sample_by not in SAMPLE_BY:
            raise ConfigError(f"sample_by is {self.sample_by!r}; it can be {', '.join(SAMPLE_BY)}")
        object.__setattr__(self, "_place", _place_of(self))

    def units(self, unit_bytes: int) -> list[Unit]:
        """Parts of about `unit_bytes` that together hold every document once, in the order of the source."""
        if unit_bytes < 1:
            raise ConfigError(f"a unit of {unit_bytes} bytes holds no text; give 1 or more")
        return self._place.units(unit_bytes)

    def read(self, unit: Unit, *, bad_lines: BadLines | None = None) -> Iterator[Document]:
        """The documents of a unit. A line that cannot be read goes to `bad_lines` (None: raises ConfigError)."""
        return self._place.read(unit, bad_lines or BadLines())

    def read_from(
        self, place: dict[str, Any] | None = None, *, bad_lines: BadLines | None = None
    ) -> Iterator[tuple[str, Behind]]:
        """All texts from a place on (None: the first), in order, each with a call for the place behind it.

        What comes before the place is not read, but for the beginning of a packed file, of a .csv, or of a shard of a
        hub dataset.
        """
        return self._place.read_from(place, bad_lines or BadLines())

    def identity(self) -> dict[str, Any]:
        """What names the content: another content gives another JSON value. Reads all files once."""
        return self._place.identity() | {"text_field": self.text_field, "sample_by": self.sample_by}

    def stamp(self) -> dict[str, Any]:
        """What names the content as far as it is known without reading it: names and sizes of files, a commit."""
        return self._place.stamp() | {"text_field": self.text_field, "sample_by": self.sample_by}


def _place_of(source: TextSource) -> _Place:
    if source.name.startswith(_PYDOC):
        packages = source.name.removeprefix(_PYDOC).replace(" ", "")
        return _Pydoc(PydocText(tuple(packages.split(",")) if packages else ()))
    if Url.is_one(source.name):
        return _Address(Url(source.name), source.text_field, source.sample_by)
    path = local_path(source.name, what="a source", suffixes=SUFFIXES, forms=_FORMS)
    if path is None:
        return _Hub(HubDataset(source.name, source.text_field, source.commit))
    return _Files(path, source.text_field, source.sample_by)


@dataclass(frozen=True)
class _Files:
    """A file, or all files with a known suffix below a folder."""

    root: Path | Url
    text_field: str
    sample_by: str

    def __post_init__(self) -> None:
        for file in self._files:
            self._check(file)

    @cached_property
    def _files(self) -> list[TextFile]:
        paths = _files_below(self.root) if self.root.is_dir() else [self.root]
        return [TextFile(path, self.text_field, self.sample_by) for path in paths]

    def _check(self, file: TextFile) -> None:
        if not file.path.name.endswith(SUFFIXES):
            raise ConfigError(f"{file.path} ends in none of {' '.join(SUFFIXES)}; give {_FORMS}")
        size = file.path.stat().st_size
        if size == 0:
            raise ConfigError(f"{file.path} is empty; fill it or take it away")
        if file.is_whole and size > MAX_DOCUMENT_BYTES:
            raise too_long(file.path, f"{size:,}")

    def units(self, unit_bytes: int) -> list[Unit]:
        units: list[Unit] = []
        first = held = 0
        for number, file in enumerate(self._files):
            size = file.path.stat().st_size
            ranges = file.ranges(unit_bytes)
            if held and (len(ranges) > 1 or held + size > unit_bytes):
                units.append(Unit(first, number))
                held = 0
            if len(ranges) > 1:
                units += [Unit(number, number + 1, start, stop) for start, stop in ranges]
                continue
            first = first if held else number
            held += size
        return [*units, Unit(first, len(self._files))] if held else units

    def read(self, unit: Unit, bad_lines: BadLines) -> Iterator[Document]:
        for number in range(unit.first, unit.last):
            file = self._files[number]
            ranges = file.ranges(2**62) if unit.stop is None else [(unit.start, unit.stop)]
            for start, stop in ranges:
                for position, text in file.read(start, stop, bad_lines):
                    yield Document(text, number * ROWS_PER_FILE + position)

    def read_from(self, place: dict[str, Any] | None, bad_lines: BadLines) -> Iterator[tuple[str, Behind]]:
        first, position = divmod(place["row"] if place else 0, ROWS_PER_FILE)
        for number, file in enumerate(self._files[first:], first):
            for at, text in file.read_from(position if number == first else 0, bad_lines):
                yield text, partial(dict, row=number * ROWS_PER_FILE + at + 1)

    def identity(self) -> dict[str, Any]:
        stamps = self.stamp()["files"]
        return {
            "files": [stamp | {"xxh3_128": xxh3_of(file.path)} for stamp, file in zip(stamps, self._files, strict=True)]
        }

    def stamp(self) -> dict[str, Any]:
        base = self.root if self.root.is_dir() else self.root.parent
        return {
            "files": [
                {"name": file.path.relative_to(base).as_posix(), "bytes": file.path.stat().st_size}
                for file in self._files
            ]
        }


@dataclass(frozen=True)
class _Address(_Files):
    """One file behind an http or https address, which is read forward by one worker."""

    root: Url

    @cached_property
    def _files(self) -> list[TextFile]:
        return [TextFile(self.root, self.text_field, self.sample_by)]

    def units(self, unit_bytes: int) -> list[Unit]:
        return [Unit()]

    def identity(self) -> dict[str, Any]:
        stamp = self.stamp()
        if stamp["etag"] is None and stamp["modified"] is None:
            return stamp | {"xxh3_128": xxh3_of(self.root)}
        return stamp

    def stamp(self) -> dict[str, Any]:
        answer = self.root.stat()
        return {
            "address": self.root.address,
            "bytes": answer.st_size,
            "etag": answer.etag,
            "modified": answer.modified,
        }


@dataclass(frozen=True)
class _Pydoc:
    text: PydocText

    def units(self, unit_bytes: int) -> list[Unit]:
        return [Unit()]

    def read(self, unit: Unit, bad_lines: BadLines) -> Iterator[Document]:
        return (Document(text, row) for row, text in enumerate(self.text.documents()))

    def read_from(self, place: dict[str, Any] | None, bad_lines: BadLines) -> Iterator[tuple[str, Behind]]:
        first = place["row"] if place else 0
        for row, text in enumerate(islice(self.text.documents(), first, None), first):
            yield text, partial(dict, row=row + 1)

    def identity(self) -> dict[str, Any]:
        return {"pydoc": self.text.identity()}

    stamp = identity


@dataclass(frozen=True)
class _Hub:
    dataset: HubDataset

    def units(self, unit_bytes: int) -> list[Unit]:
        return [Unit()]

    def read(self, unit: Unit, bad_lines: BadLines) -> Iterator[Document]:
        for row, text in enumerate(self.dataset.texts()):
            if text and not text.isspace():
                yield Document(text, row)
            else:
                bad_lines.num_empty += 1

    def read_from(self, place: dict[str, Any] | None, bad_lines: BadLines) -> Iterator[tuple[str, Behind]]:
        for (text,), behind in self.dataset.batches(1, place):
            if text and not text.isspace():
                yield text, behind
            else:
                bad_lines.num_empty += 1

    def identity(self) -> dict[str, Any]:
        return {"hub": self.dataset.identity()}

    stamp = identity


def _files_below(folder: Path) -> list[Path]:
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.name.endswith(SUFFIXES) and path.is_file()]
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if not shown:
        raise ConfigError(f"{folder} holds no {' '.join(SUFFIXES)} file; give {_FORMS}")
    return [folder / name for name in sorted(shown, key=lambda name: name.as_posix())]
