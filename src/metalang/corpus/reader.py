"""Reads a corpus, memory-mapped: as one stream of ids, or document by document."""

from pathlib import Path

import numpy as np
import xxhash

from metalang.corpus.layout import BLOCK_BYTES, DOCUMENT, index_size, lengths_in_index
from metalang.corpus.manifest import FileEntry, Manifest, ShardEntry, read_manifest
from metalang.errors import CorpusError


class Corpus:
    """A corpus on disk. Opening checks format, version and the size of every file; `verify` checks every byte."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self._dtype = np.dtype(self.manifest.dtype).newbyteorder("<")
        self._shards = [_Shard(self.folder, entry, self._dtype) for entry in self.manifest.shards if entry.num_tokens]
        self._token_ends = np.cumsum([shard.entry.num_tokens for shard in self._shards], dtype=np.int64)
        self._document_ends = np.cumsum([shard.entry.num_documents for shard in self._shards], dtype=np.int64)
        if not self._shards:
            raise CorpusError(f"{self.folder} holds no tokens; build it from a source that has text")

    @property
    def num_tokens(self) -> int:
        """Ids in all, the ends of documents included."""
        return self.manifest.num_tokens

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (n,) and which of them are predicted (n,) bool, for positions [start, stop) of the stream."""
        assert 0 <= start <= stop <= self.num_tokens, "a range outside the corpus"
        ids = np.empty(stop - start, dtype=self._dtype)
        predicted = np.ones(stop - start, dtype=np.bool_)
        number = int(np.searchsorted(self._token_ends, start, side="right"))
        done = start
        while done < stop:
            shard, end = self._shards[number], int(self._token_ends[number])
            first = end - shard.entry.num_tokens
            upto = min(stop, end)
            place = slice(done - start, upto - start)
            ids[place] = shard.ids[done - first : upto - first]
            if shard.loss is not None:
                predicted[place] = shard.loss[done - first : upto - first]
            done, number = upto, number + 1
        return ids, predicted

    def document(self, number: int) -> tuple[np.ndarray, np.ndarray, np.void]:
        """Ids (n,), which of them are predicted (n,), and the `layout.DOCUMENT` of a document."""
        place = int(np.searchsorted(self._document_ends, number, side="right"))
        shard = self._shards[place]
        within = number - (int(self._document_ends[place]) - shard.entry.num_documents)
        end = int(shard.document_ends[within])
        start = end - int(shard.lengths[within])
        offset = int(self._token_ends[place]) - shard.entry.num_tokens
        ids, predicted = self.read(offset + start, offset + end)
        return ids, predicted, shard.table[within]

    def documents_per_source(self) -> dict[str, tuple[int, int]]:
        """Number of documents and of ids, by the name of their source."""
        documents = np.zeros(len(self.manifest.sources), dtype=np.int64)
        tokens = np.zeros_like(documents)
        for shard in self._shards:
            np.add.at(documents, shard.table["source"], 1)
            np.add.at(tokens, shard.table["source"], shard.lengths)
        return {name: (int(documents[index]), int(tokens[index])) for index, name in enumerate(self.manifest.sources)}

    def verify(self) -> None:
        """Reads every byte. Raises CorpusError at the first block that is not what was written."""
        for shard in self.manifest.shards:
            verify_shard(self.folder, shard)


def verify_shard(folder: Path, shard: ShardEntry) -> None:
    """Reads every byte of a shard. Raises CorpusError at the first block that is not what was written."""
    for file in shard.files.values():
        _verify_file(folder / file.name, file)


class _Shard:
    """The memory maps of one shard."""

    def __init__(self, folder: Path, entry: ShardEntry, dtype: np.dtype) -> None:
        self.entry = entry
        sizes = {
            "bin": entry.num_tokens * dtype.itemsize,
            "idx": index_size(entry.num_documents),
            "loss": entry.num_tokens,
            "docs": entry.files["docs"].bytes,
        }
        paths = {part: folder / file.name for part, file in entry.files.items()}
        for part, path in paths.items():
            _require_size(path, sizes[part])
        self.ids = np.memmap(paths["bin"], dtype=dtype, mode="r").view(np.ndarray)
        self.loss = np.memmap(paths["loss"], dtype=np.uint8, mode="r").view(np.ndarray) if "loss" in paths else None
        try:
            self.lengths = lengths_in_index(str(paths["idx"]), entry.num_documents, dtype)
            self.table = np.load(paths["docs"], mmap_mode="r", allow_pickle=False)
            if self.table.dtype != DOCUMENT or len(self.table) != entry.num_documents:
                raise ValueError(f"it does not list {entry.num_documents:,} documents")
        except ValueError as error:
            raise CorpusError(f"shard {entry.number} of {folder} is damaged: {error}; build the corpus again") from None
        self._ends: np.ndarray | None = None

    @property
    def document_ends(self) -> np.ndarray:
        """Where each document ends, (n,) int64."""
        if self._ends is None:
            self._ends = np.cumsum(self.lengths, dtype=np.int64)
        return self._ends


def _require_size(path: Path, expected: int) -> None:
    if not path.is_file():
        raise CorpusError(f"{path} is missing; build the corpus again")
    found = path.stat().st_size
    if found != expected:
        raise CorpusError(
            f"{path} has {found:,} bytes and should have {expected:,}: it is "
            f"{'truncated' if found < expected else 'too long'}; build the corpus again"
        )


def _verify_file(path: Path, file: FileEntry) -> None:
    _require_size(path, file.bytes)
    with open(path, "rb") as stream:
        for number, expected in enumerate(file.blocks):
            if xxhash.xxh3_128_hexdigest(stream.read(BLOCK_BYTES)) != expected:
                raise CorpusError(
                    f"{path} is damaged between bytes {number * BLOCK_BYTES:,} and "
                    f"{min((number + 1) * BLOCK_BYTES, file.bytes):,}; build the corpus again"
                )
