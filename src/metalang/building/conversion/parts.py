"""What the writer of a format sees: a shard of a corpus in the ids of a model, and the folder that it writes into."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from metalang.building.conversion.pieces import pieces
from metalang.corpus import Corpus, ShardEntry
from metalang.corpus.integrity import verify_files
from metalang.corpus.layout import index_bytes
from metalang.corpus.manifest import FileEntry
from metalang.files import entry_of, link_or_copy, written
from metalang.ids import IdSpace, id_dtype

NOT_PREDICTED = -100


@dataclass
class Output:
    """Files in a folder, each with its size and hash; `linked` are those that are one more name for a file of ours."""

    folder: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    linked: list[str] = field(default_factory=list)

    def link(self, name: str, source: Path, entry: FileEntry) -> None:
        """Gives a file of a corpus one more name; copies it where the disk cannot."""
        if link_or_copy(source, self.folder / name):
            self.linked.append(name)
        self.files[name] = {"bytes": entry.bytes, "xxh3_128": entry.hash}

    @contextmanager
    def written(self, name: str) -> Iterator[BinaryIO]:
        """A file that appears when the block ends well."""
        with written(self.folder / name) as file:
            yield file
        self.files[name] = entry_of(self.folder / name)


@dataclass(frozen=True)
class Part:
    """The shard `number` of `count` that hold tokens; `ids` are the model's, `masked` says that a mask is wanted."""

    corpus: Corpus
    number: int
    count: int
    ids: IdSpace
    masked: bool

    @property
    def stem(self) -> str:
        """Five digits, as in our own names."""
        return f"{self.number:05d}"

    @property
    def dtype(self) -> np.dtype:
        """The type of an id that is written: as stored; symbols as the model's vocabulary asks."""
        return id_dtype(self.ids.vocab_size) if self._is_of_symbols else self._stored

    @cached_property
    def ends(self) -> np.ndarray:
        """Where each document ends, in ids of the shard, (n,) int64."""
        starts, lengths = self.corpus.documents_from(self._start, self._start + self.num_tokens)
        return starts + lengths - self._start

    @property
    def num_tokens(self) -> int:
        """Ids of the shard."""
        return self._entry.num_tokens

    def documents(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Ids (T,), which are predicted (T,) bool, and where each document ends (n,), some million ids at a time."""
        for first, last in pieces(self.ends):
            start = int(self.ends[first - 1]) if first else 0
            stored, predicted = self.corpus.read(self._start + start, self._start + int(self.ends[last - 1]))
            ids = self.ids.of_symbols(stored) if self._is_of_symbols else stored
            shown = predicted if self.masked else np.ones_like(predicted)
            yield ids.astype(self.dtype), shown, self.ends[first:last] - start

    def put_ids(self, output: Output, name: str) -> None:
        """The ids, joined: linked where they are the stored ones."""
        if not self._is_of_symbols:
            self._link("bin", output, name)
            return
        with output.written(name) as file:
            for ids, _, _ in self.documents():
                file.write(ids)

    def put_index(self, output: Output, name: str) -> None:
        """Megatron-LM's index: linked where ids are as wide as stored."""
        if self.dtype == self._stored:
            self._link("idx", output, name)
            return
        with output.written(name) as file:
            file.write(index_bytes(np.diff(self.ends, prepend=0), self.dtype))

    def put_mask(self, output: Output, name: str) -> None:
        """A byte an id, 1 = predicted: linked where there is one."""
        if "loss" in self._entry.files:
            self._link("loss", output, name)
            return
        with output.written(name) as file:
            for _, predicted, _ in self.documents():
                file.write(predicted.view(np.uint8))

    def labels(self, ids: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """The ids (n,) int32 with -100 where they are only read; not shifted."""
        return np.where(predicted, ids.astype(np.int32), np.int32(NOT_PREDICTED))

    def _link(self, part: str, output: Output, name: str) -> None:
        file = self._entry.files[part]
        verify_files(self.corpus.folder, [file])
        output.link(name, self.corpus.folder / file.name, file)

    @property
    def _entry(self) -> ShardEntry:
        return shards_of(self.corpus)[self.number]

    @cached_property
    def _start(self) -> int:
        return sum(entry.num_tokens for entry in shards_of(self.corpus)[: self.number])

    @property
    def _stored(self) -> np.dtype:
        return np.dtype(self.corpus.manifest.dtype).newbyteorder("<")

    @property
    def _is_of_symbols(self) -> bool:
        return self.corpus.manifest.ids.tokenizer is None


def shards_of(corpus: Corpus) -> list[ShardEntry]:
    """The shards that hold tokens."""
    return [entry for entry in corpus.manifest.shards if entry.num_tokens]
