"""Writes shards, and the manifest that makes a corpus of them."""

import importlib.metadata
import os
import platform
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from metalang.corpus.layout import BLOCK_BYTES, DOCUMENT, index_bytes
from metalang.corpus.manifest import FILE_NAME, FileEntry, Manifest, ShardEntry
from metalang.digests import digest_of
from metalang.files import aside, make_folder, publish, write_sealed
from metalang.ids import IdSpace, id_dtype


@dataclass(frozen=True)
class Documents:
    """Documents, end to end: `ids` (T,), `ends` (n,) int64, `rows` (n,), `predicted` (T,) bool or None (all)."""

    ids: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    predicted: np.ndarray | None = None
    source: np.ndarray | int = 0


class ShardWriter:
    """Writes one shard aside; `finish` gives its files their names and returns its entry for the manifest.

    Files with the suffixes `given` (".bin", ".loss") lie there already, and what is appended must be what they hold:
    it is hashed, not written. `dtype` is that of a given .bin; None: as the vocabulary asks.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        vocab_size: int,
        *,
        dtype: np.dtype | None = None,
        given: Collection[str] = (),
    ) -> None:
        make_folder(folder)
        self._stem = folder / f"{number:05d}"
        self._number = number
        self._vocab_size = vocab_size
        self._dtype = dtype or id_dtype(vocab_size)
        self._given = given
        self._ids = self._file(".bin")
        self._loss = self._file(".loss") if ".loss" in given else None
        self._lengths: list[np.ndarray] = []
        self._documents: list[np.ndarray] = []
        self.num_tokens = 0
        self._num_predicted = 0

    def append(self, documents: Documents) -> None:
        """Adds documents behind those that are there. Ids outside the vocabulary are a fault of our own code."""
        if not len(documents.ends):
            return
        assert documents.ends[-1] == len(documents.ids), "documents must fill their ids"
        assert 0 <= documents.ids.min() <= documents.ids.max() < self._vocab_size, "an id outside the vocabulary"
        ids = np.ascontiguousarray(documents.ids, dtype=self._dtype)
        self._ids.write(ids)
        self._append_loss(documents.predicted, len(ids))
        self._lengths.append(np.diff(documents.ends, prepend=0))
        self._documents.append(_table(ids, documents))
        self.num_tokens += len(ids)

    def finish(self) -> ShardEntry:
        """Syncs and names the files of the shard."""
        lengths = np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths])
        index = _HashedFile(self._stem.with_suffix(".idx"))
        index.write(np.frombuffer(index_bytes(lengths, self._dtype), dtype=np.uint8))
        table = _HashedFile(self._stem.with_suffix(".docs.npy"))
        np.lib.format.write_array(table, np.concatenate([np.zeros(0, dtype=DOCUMENT), *self._documents]))
        files = {"bin": self._ids, "idx": index, "docs": table, **({"loss": self._loss} if self._loss else {})}
        return ShardEntry(
            number=self._number,
            num_tokens=self.num_tokens,
            num_documents=len(lengths),
            num_predicted=self._num_predicted,
            files={part: file.finish() for part, file in files.items()},
        )

    def _file(self, suffix: str) -> "_HashedFile":
        return (_GivenFile if suffix in self._given else _HashedFile)(self._stem.with_suffix(suffix))

    def _append_loss(self, predicted: np.ndarray | None, count: int) -> None:
        if predicted is None:
            predicted = np.ones(count, dtype=np.bool_)
        num_predicted = int(np.count_nonzero(predicted))
        self._num_predicted += num_predicted
        if self._loss is None and num_predicted < count:
            self._loss = _HashedFile(self._stem.with_suffix(".loss"))
            self._loss.write(np.ones(self.num_tokens, dtype=np.uint8))
        if self._loss is not None:
            self._loss.write(np.ascontiguousarray(predicted, dtype=np.uint8))


def write_manifest(
    folder: Path,
    shards: Iterable[ShardEntry],
    *,
    ids: IdSpace,
    sources: Iterable[str],
    spec: dict[str, Any],
    **extra: Any,
) -> Manifest:
    """Makes a corpus of finished shards; the manifest is written last.

    `extra`: window_length, in_order, stats; dtype and dtype_rule, where the ids are not as wide as the vocabulary asks.
    """
    shards = tuple(sorted(shards, key=lambda shard: shard.number))
    manifest = Manifest(
        ids=ids,
        vocab_size=ids.vocab_size,
        num_tokens=sum(shard.num_tokens for shard in shards),
        num_documents=sum(shard.num_documents for shard in shards),
        num_predicted=sum(shard.num_predicted for shard in shards),
        sources=tuple(sources),
        spec=spec,
        spec_hash=digest_of(spec),
        versions=_versions(),
        shards=shards,
        **({"dtype": id_dtype(ids.vocab_size).name} | extra),
    )
    write_sealed(folder / FILE_NAME, manifest.model_dump(mode="json"))
    return manifest


class _HashedFile:
    """A file written aside, hashed on the way: whole, and in blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = xxhash.xxh3_128()
        self._block = xxhash.xxh3_128()
        self._blocks: list[str] = []
        self._size = 0
        self._open()

    def write(self, data: np.ndarray | bytes) -> None:
        view = memoryview(data).cast("B")
        self._store(view)
        self._whole.update(view)
        while len(view):
            room = BLOCK_BYTES - self._size % BLOCK_BYTES
            self._block.update(view[:room])
            self._size += len(view[:room])
            view = view[room:]
            if self._size % BLOCK_BYTES == 0:
                self._blocks.append(self._block.hexdigest())
                self._block.reset()

    def finish(self) -> FileEntry:
        self._close()
        if self._size % BLOCK_BYTES:
            self._blocks.append(self._block.hexdigest())
        return FileEntry(
            name=self._path.name, bytes=self._size, hash=self._whole.hexdigest(), blocks=tuple(self._blocks)
        )

    def _open(self) -> None:
        self._file: BinaryIO = open(aside(self._path), "wb")

    def _store(self, view: memoryview) -> None:
        self._file.write(view)

    def _close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        publish(self._path)


class _GivenFile(_HashedFile):
    """A file that lies there already: only hashed."""

    def _open(self) -> None:
        pass

    def _store(self, view: memoryview) -> None:
        pass

    def _close(self) -> None:
        assert self._path.stat().st_size == self._size, "what was appended is not what the file holds"


def _table(ids: np.ndarray, documents: Documents) -> np.ndarray:
    table = np.zeros(len(documents.ends), dtype=DOCUMENT)
    table["source"] = documents.source
    table["row"] = documents.rows
    view, size, ends = memoryview(ids).cast("B"), ids.itemsize, documents.ends.tolist()
    starts = [0, *ends[:-1]]
    hashed = xxhash.xxh3_64_intdigest
    table["hash"] = [hashed(view[start * size : end * size]) for start, end in zip(starts, ends, strict=True)]
    return table


def _versions() -> dict[str, str]:
    packages = ("metalang", "numpy", "tokenizers", "gigatoken", "sentencepiece")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
