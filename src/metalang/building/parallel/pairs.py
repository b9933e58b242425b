"""Where pairs of texts come from: files of pairs, and folders of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalang.building.parallel.languages import Language
from metalang.building.parallel.pair_files import PACKED, Aligned, Columns, PairFiles, Records
from metalang.errors import ConfigError
from metalang.files import entry_of
from metalang.text.readers import BadLines

_FORMS = "two text files with equal line numbers, a .tsv, a .jsonl, or a folder of these (.gz and .zst too)"
_BORDERS = re.compile(r"([._-])")


@dataclass(frozen=True)
class PairSource:
    """The pairs of two text files, or of any number of .tsv files, .jsonl files and folders.

    `fields` name the two texts in .tsv and .jsonl; None: the first two columns, and the codes of the languages. In a
    folder a text file tells its language by its name, such as news.ru.txt or train_rus.txt, and its partner has the
    same name with the other language. Raises ConfigError for anything without its partner.
    """

    inputs: tuple[str, ...]
    source: Language
    target: Language
    fields: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.source.code == self.target.code:
            raise ConfigError(f"--source_lang and --target_lang are both {self.source.code!r}; name two languages")
        if self.fields and "0" in self.fields:
            raise ConfigError(f"--fields {' '.join(self.fields)}: columns are counted from 1; write the first as 1")
        for name in self.inputs:
            if not Path(name).exists():
                raise ConfigError(f"{name!r} does not exist; give {_FORMS}")

    @property
    def files(self) -> list[PairFiles]:
        """Files that hold pairs, in order."""
        paths = [Path(name) for name in self.inputs]
        if len(paths) == 2 and all(path.is_file() and _suffix(path) not in (".tsv", ".jsonl") for path in paths):
            return [Aligned(*paths)]
        return [files for path in paths for files in (self._below(path) if path.is_dir() else [self._file(path)])]

    def read(self, bad_lines: BadLines) -> Iterator[tuple[str, str]]:
        """All pairs as they stand in the files. A line that cannot be read goes to `bad_lines`."""
        for files in self.files:
            yield from files.read(bad_lines)

    def identity(self) -> list[dict[str, Any]]:
        """What names the content. Reads all files once."""
        return [{"name": path.name} | entry_of(path) for files in self.files for path in files.paths]

    def _file(self, path: Path) -> PairFiles:
        if _suffix(path) == ".tsv":
            return Columns(path, self.fields or ("1", "2"))
        if _suffix(path) == ".jsonl":
            return Records(path, self.fields or (self.source.code, self.target.code))
        raise ConfigError(f"{path} is neither .tsv nor .jsonl, and a text file needs its partner; give {_FORMS}")

    def _below(self, folder: Path) -> list[PairFiles]:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        files: list[PairFiles] = []
        for path in shown:
            if _suffix(path) in (".tsv", ".jsonl"):
                files.append(self._file(path))
            elif self._is_text(path) and _renamed(path, self.source, self.target):
                files.append(Aligned(path, self._partner(path, self.source, self.target)))
            elif self._is_text(path):
                self._partner(path, self.target, self.source)
        if not files:
            raise ConfigError(f"{folder} holds no pairs of {self.source.code} and {self.target.code}; give {_FORMS}")
        return files

    def _is_text(self, path: Path) -> bool:
        suffixes = (".txt", *(f".{name}" for name in (*self.source.names, *self.target.names)))
        return _suffix(path) in suffixes

    def _partner(self, path: Path, own: Language, other: Language) -> Path:
        names = _renamed(path, own, other)
        if not names:
            raise ConfigError(
                f"{path} names neither {other.code} nor {own.code}; give it a name such as news.{other.code}.txt, "
                "or take it out of the folder"
            )
        found = [name for name in names if name.is_file()]
        if len(found) != 1:
            there = f"{' and '.join(name.name for name in found)} are both there" if found else "it is not there"
            raise ConfigError(
                f"{path} is {own.code} and needs one partner in {other.code}, such as {names[0].name}; {there}"
            )
        return found[0]


def _suffix(path: Path) -> str:
    """The suffix that tells what a file holds, whether it is packed or not."""
    return Path(path.name.removesuffix(path.suffix)).suffix if path.suffix in PACKED else path.suffix


def _renamed(path: Path, own: Language, other: Language) -> list[Path]:
    """What a file that names its language would be called in the other; none where it does not name it.

    >>> from metalang.building.parallel.languages import language
    >>> [path.name for path in _renamed(Path("a.ru-en.ru.txt"), language("ru"), language("en"))]
    ['a.ru-en.en.txt', 'a.ru-en.eng.txt']
    """
    parts = _BORDERS.split(path.name)
    places = [place for place, part in enumerate(parts) if part.lower() in own.names]
    if not places or any(part.lower() in other.names for part in parts[places[-1] + 1 :]):
        return []
    last = places[-1]
    return [path.with_name("".join([*parts[:last], name, *parts[last + 1 :]])) for name in other.names]
