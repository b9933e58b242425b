"""Token files of other programs as a corpus: their ids stay where they are, under one more name; tables are ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metalang.building.conversion.pieces import pieces
from metalang.building.corpora import CorpusWork
from metalang.building.executors import Executor
from metalang.building.units import Stats, make
from metalang.corpus import Corpus, Documents, ShardWriter
from metalang.corpus.foreign import FORMATS, TokenFile, TokenFormat, ends_at_eos, ids_dtype
from metalang.errors import ConfigError
from metalang.files import entry_of, link_or_copy
from metalang.ids import IdSpace, id_dtype
from metalang.text.sources import ROWS_PER_FILE
from metalang.text.tokenizer import load_tokenizer


@dataclass(frozen=True)
class ImportBuild:
    """A folder of token files, or one file, of a program of `corpus.foreign.FORMATS`.

    `tokenizer` made the ids, `num_meta_lang_tokens` symbols stand behind them (None: those it holds itself); `id_bytes`
    is the width of an id where no file tells it.
    """

    path: Path
    program: str
    tokenizer: str
    num_meta_lang_tokens: int | None = None
    id_bytes: int | None = None
    window_length: None = None
    in_order: bool = False
    num_tokens: None = None

    @cached_property
    def ids(self) -> IdSpace:
        """Those of the tokenizer."""
        tokenizer = load_tokenizer(self.tokenizer)
        count = self.num_meta_lang_tokens
        return (tokenizer if count is None else tokenizer.with_meta_tokens(count)).id_space

    @property
    def sources(self) -> tuple[str, ...]:
        """One: the folder."""
        return (str(self.path),)

    @cached_property
    def files(self) -> list[TokenFile]:
        """Its files, in the order of their names. Raises ConfigError where there are none."""
        suffix = self._format.suffix
        if not self.path.exists():
            raise ConfigError(f"{self.path} does not exist; give a folder of {suffix} files, or one of them")
        paths = sorted(self.path.glob(f"*{suffix}")) if self.path.is_dir() else [self.path]
        files = [file for path in paths if path.name.endswith(suffix) and (file := self._format.file(path))]
        if not files:
            raise ConfigError(f"{self.path} has no {suffix} file with ids; give a folder of them, or one of them")
        missing = [path for file in files for path in file.paths if not path.is_file()]
        if missing:
            raise ConfigError(
                f"{missing[0]} is missing; give a folder in which every {suffix} file has what belongs to it"
            )
        empty = [file.ids for file in files if not file.ids.stat().st_size]
        if empty:
            raise ConfigError(f"{empty[0]} is empty; take it away")
        return files

    @cached_property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on. Reads every file once."""
        return {
            "kind": "import",
            "program": self.program,
            "files": [{"name": path.name} | entry_of(path) for file in self.files for path in file.paths],
            "dtype": self.dtype.name,
            "tokenizer": self.ids.tokenizer,
            "vocab_size": self.ids.vocab_size,
        }

    @property
    def num_units(self) -> int:
        """Shards: one a file."""
        return len(self.files)

    @cached_property
    def dtype(self) -> np.dtype:
        """The type of an id, that of the first file: all have the same."""
        return self._documents(self.files[0])[0]

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Reads the ids of a file, which lie in the writer's folder already, and gives them their tables."""
        file = self.files[unit]
        dtype, all_ends = self._documents(file)
        if dtype != self.dtype:
            raise ConfigError(
                f"{file.ids} has ids of {dtype.name} and {self.files[0].ids} of {self.dtype.name}; a corpus has one "
                "type: make two corpora, a folder each"
            )
        ids, mask = np.memmap(file.ids, dtype=dtype, mode="r").view(np.ndarray), self.mask_of(file)
        filled = np.flatnonzero(np.diff(all_ends, prepend=0))
        ends, rows = all_ends[filled], unit * ROWS_PER_FILE + filled
        yield {"empty_documents": len(all_ends) - len(ends)}
        for first, last in pieces(ends):
            start = int(ends[first - 1]) if first else 0
            place = slice(start, int(ends[last - 1]))
            self._require_ids(file, ids[place])
            predicted = None if mask is None else mask[place].view(np.bool_)
            writer.append(Documents(ids[place], ends[first:last] - start, rows[first:last], predicted))
            without_eos = np.count_nonzero(ids[ends[first:last] - 1] != self.ids.eos_id)
            yield {"documents": last - first, "documents_without_eos": int(without_eos)}

    def mask_of(self, file: TokenFile) -> np.ndarray | None:
        """Which ids are predicted, (T,) uint8; None where all are. Raises ConfigError for what is no mask of them."""
        if file.mask is None:
            return None
        masked, count = file.mask.stat().st_size, file.ids.stat().st_size // self.dtype.itemsize
        if masked != count:
            raise ConfigError(f"{file.mask} masks {masked:,} ids and {file.ids} has {count:,}; take the mask away")
        mask = np.memmap(file.mask, dtype=np.uint8, mode="r").view(np.ndarray)
        if mask.max() > 1:
            raise ConfigError(f"{file.mask} is no mask: it holds {int(mask.max())}, a mask 0 and 1 alone; take it away")
        return None if mask.all() else mask

    def _documents(self, file: TokenFile) -> tuple[np.dtype, np.ndarray]:
        """The type of an id and where documents end, (n,): as its files say, or behind each EOS."""
        try:
            known = self._format.documents(file)
            size = file.ids.stat().st_size
            dtype, ends = known or self._documents_at_eos(file)
            if ends[-1] * dtype.itemsize != size:
                raise ValueError(f"it has {size:,} bytes and its documents {ends[-1] * dtype.itemsize:,}")
        except ValueError as error:
            raise ConfigError(
                f"{file.ids} cannot be taken as it is: {error}; give what {self.program} has written"
            ) from None
        if self.id_bytes not in (None, dtype.itemsize):
            raise ConfigError(
                f"--id_bytes is {self.id_bytes} and the ids of {file.ids} are {dtype.itemsize} bytes wide; leave it out"
            )
        return dtype, ends

    def _documents_at_eos(self, file: TokenFile) -> tuple[np.dtype, np.ndarray]:
        if self.id_bytes is None:
            raise ConfigError(
                f"nothing beside {file.ids} tells how wide its ids are; give --id_bytes 2 or 4 (a document then ends "
                "behind each EOS)"
            )
        dtype = ids_dtype(self.id_bytes)
        return dtype, ends_at_eos(np.memmap(file.ids, dtype=dtype, mode="r"), self.ids.eos_id)

    def _require_ids(self, file: TokenFile, ids: np.ndarray) -> None:
        lowest, highest = int(ids.min()), int(ids.max())
        if lowest < 0 or highest >= self.ids.vocab_size:
            raise ConfigError(
                f"{file.ids} holds id {lowest if lowest < 0 else highest:,} and the ids of {self.tokenizer!r} are 0 to "
                f"{self.ids.vocab_size - 1:,}; give the --tokenizer that made it, --num_meta_lang_tokens where symbols "
                "stand behind it, or the other --id_bytes"
            )

    @property
    def _format(self) -> TokenFormat:
        return FORMATS[self.program]


@dataclass(frozen=True)
class ImportWork(CorpusWork):
    """An import as work in units: the ids, and a mask, are linked and only hashed."""

    build: ImportBuild

    def open_writer(self, unit: int, folder: Path) -> ShardWriter:
        """The writer of a shard whose ids are there."""
        folder.mkdir(parents=True, exist_ok=True)
        file = self.build.files[unit]
        given = {".bin": file.ids} | ({} if self.build.mask_of(file) is None else {".loss": file.mask})
        for suffix, path in given.items():
            link_or_copy(path, folder / f"{unit:05d}{suffix}")
        return ShardWriter(folder, unit, self.build.ids.vocab_size, dtype=self.build.dtype, given=tuple(given))

    @property
    def manifest_extra(self) -> dict[str, Any]:
        """How wide ids are, where the vocabulary does not say so."""
        dtype = self.build.dtype
        if dtype == id_dtype(self.build.ids.vocab_size):
            return {}
        return {"dtype": dtype.name, "dtype_rule": f"as {self.build.program} wrote them"}


def import_corpus(build: ImportBuild, output_dir: str | Path, executor: Executor) -> str:
    """Makes a corpus of the files, or finishes it, and says what was linked and what was copied."""
    folder = Path(output_dir)
    make(ImportWork(build), folder, executor)
    shards = Corpus(folder).manifest.shards
    pairs = [
        (path, folder / shard.files[part].name)
        for file, shard in zip(build.files, shards, strict=True)
        for part, path in (("bin", file.ids), ("loss", file.mask))
        if path is not None and part in shard.files
    ]
    linked = sum(path.samefile(ours) for path, ours in pairs)
    without = [file.ids.name for file in build.files if file.borders is None]
    lines = [f"{linked} of {len(pairs)} files of ids and masks are hard links, {len(pairs) - linked} copies"]
    if without:
        lines.append(f"{len(without)} of {len(build.files)} files do not say where documents end: behind each EOS")
    return "\n".join(lines)
