"""Reads a corpus, memory-mapped: as one stream of ids, or document by document."""

from collections import OrderedDict
from functools import cached_property
from pathlib import Path

import numpy as np

from metalang.corpus.integrity import BlocksAreVerified, FirstReads, require_sizes, verify_files
from metalang.corpus.layout import BLOCK_BYTES, DOCUMENT, lengths_in_index
from metalang.corpus.manifest import REBUILD, Manifest, ShardEntry, read_manifest
from metalang.errors import CorpusError

_MAX_OPEN_SHARDS = 64
_BLOCK_IDS = 2**22
_RANGES_AT_ONCE = 64
_SHORTER_THAN_A_BLOCK = BLOCK_BYTES // 4  # ids of a range that lies in two blocks at most
_AS_STORED = np.empty(0, dtype=np.int64)
_LIKE = {1: np.empty(0, dtype=np.uint8), 2: np.empty(0, dtype=np.uint16), 4: np.empty(0, dtype=np.int32)}
"""By the bytes of an element, an array of its type."""
_VERIFIED_AT_OPENING = 64 * 2**20  # bytes of index and documents: some milliseconds


class Corpus:
    """A corpus on disk. Opening verifies the manifest, the size of every file, and up to 64 MiB of index and documents.

    What is more of index and documents is verified when it is first used. With `verify_reads` so is each block of ids
    and mask, by its 16 MiB; `verify` reads every byte. All of them raise CorpusError. At most 64 shards are mapped at a
    time, so that a corpus of any size needs few file descriptors.
    """

    def __init__(self, folder: str | Path, *, verify_reads: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self._dtype = np.dtype(self.manifest.dtype).newbyteorder("<")
        self._entries = [entry for entry in self.manifest.shards if entry.num_tokens]
        self._token_ends = np.cumsum([entry.num_tokens for entry in self._entries], dtype=np.int64)
        self._document_ends = np.cumsum([entry.num_documents for entry in self._entries], dtype=np.int64)
        self._firsts = self._token_ends - np.array([entry.num_tokens for entry in self._entries], dtype=np.int64)
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        self._verify_reads = verify_reads
        if not self._entries:
            raise CorpusError(f"{self.folder} holds no tokens; build it from a source that has text")
        require_sizes(self.folder, self.manifest.files)
        self._first_reads = FirstReads(self.folder, self.manifest.files)
        tables = [file for entry in self._entries for part, file in entry.files.items() if part in ("idx", "docs")]
        if sum(file.bytes for file in tables) <= _VERIFIED_AT_OPENING:
            for file in tables:
                self._first_reads.require_all(file)

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
            shard, end = self._shard(number), int(self._token_ends[number])
            first = end - shard.entry.num_tokens
            upto = min(stop, end)
            place = slice(done - start, upto - start)
            if self._verify_reads:
                shard.verify(done - first, upto - first)
            ids[place] = shard.ids[done - first : upto - first]
            if shard.loss is not None:
                predicted[place] = shard.loss[done - first : upto - first]
            done, number = upto, number + 1
        return ids, predicted

    def gather(self, starts: np.ndarray, length: int, table: np.ndarray = _AS_STORED) -> tuple[np.ndarray, np.ndarray]:
        """Ids (n, length) int64 and which of them are predicted (n, length) bool, from each of `starts` (n,) on.

        The corpus is read as a ring: behind its last id comes its first. `table` (vocab_size,) int64: what each stored
        id becomes; none: itself. Raises CorpusError for an id past the table.
        """
        assert 0 < length <= self.num_tokens + 1, "a range longer than the ring"
        starts = starts % self.num_tokens
        ids = np.empty((len(starts), length), dtype=np.int64)
        predicted = np.ones((len(starts), length), dtype=np.bool_)
        for first in range(0, len(starts), _RANGES_AT_ONCE):
            rows = slice(first, first + _RANGES_AT_ONCE)
            if not self._copy(starts[rows], table, ids[rows], predicted[rows]):
                raise CorpusError(f"{self.folder} holds an id past {len(table) - 1:,}; verify it, and build it again")
        return ids, predicted

    def document_starts(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Which ids are the first of a document, (n, length) bool, for the ranges that `gather` reads."""
        found = np.zeros((len(starts), length), dtype=np.bool_)
        for row, start in enumerate((starts % self.num_tokens).tolist()):
            done = 0
            while done < length:
                at = (start + done) % self.num_tokens
                number = int(np.searchsorted(self._token_ends, at, side="right"))
                shard, first = self._shard(number), int(self._firsts[number])
                stop = min(at + length - done, int(self._token_ends[number]))
                begins = shard.document_begins
                inside = begins[np.searchsorted(begins, at - first) : np.searchsorted(begins, stop - first)]
                found[row, inside + (first - at + done)] = True
                done += stop - at
        return found

    def _copy(self, starts: np.ndarray, table: np.ndarray, ids: np.ndarray, predicted: np.ndarray) -> bool:
        """Fills rows with the ranges that begin at `starts`; False where an id is past the table."""
        from metalang.corpus.gathering import copy_ids, copy_masks  # numba: who writes a corpus does not need it

        numbers = np.searchsorted(self._token_ends, starts, side="right")
        within = starts - self._firsts[numbers]
        shards = {number: self._shard(number) for number in set(numbers.tolist())}  # open until all is copied
        whole = starts + ids.shape[1] <= self._token_ends[numbers]
        if self._verify_reads:
            for row in np.flatnonzero(whole & ~self._are_verified(numbers, within, ids.shape[1])).tolist():
                shards[numbers[row]].verify(int(within[row]), int(within[row]) + ids.shape[1])
        at = np.array([shards[number].addresses for number in numbers.tolist()], dtype=np.int64)
        is_right = copy_ids(
            np.where(whole, at[:, 0] + within * self._dtype.itemsize, 0), _LIKE[self._dtype.itemsize], table, ids
        )
        copy_masks(np.where(whole & (at[:, 1] != 0), at[:, 1] + within, 0), _LIKE[1], predicted)
        for row in np.flatnonzero(~whole).tolist():
            stored, predicted[row] = self._around(int(starts[row]), ids.shape[1])
            is_right = is_right and (not len(table) or int(stored.max()) < len(table))
            ids[row] = table.take(stored, mode="clip") if len(table) else stored
        return is_right

    def _are_verified(self, numbers: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """Whether all blocks of ranges of shards are known to be right, (n,) bool."""
        if length > _SHORTER_THAN_A_BLOCK:
            return np.zeros(len(starts), dtype=np.bool_)
        ends = starts + length - 1
        return np.logical_and.reduce([known.at(numbers, at) for known in self._known for at in (starts, ends)])

    @cached_property
    def _known(self) -> tuple[BlocksAreVerified, BlocksAreVerified]:
        """Of the ids, and of the masks, of all shards."""
        files = [entry.files for entry in self._entries]
        return (
            self._first_reads.are_verified([of["bin"] for of in files], self._dtype.itemsize),
            self._first_reads.are_verified([of.get("loss") for of in files], 1),
        )

    def _around(self, start: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """A range that may go on from the end of the corpus to its beginning."""
        stop = start + length
        if stop <= self.num_tokens:
            return self.read(start, stop)
        parts = self.read(start, self.num_tokens), self.read(0, stop - self.num_tokens)
        ids, predicted = (np.concatenate(column) for column in zip(*parts, strict=True))
        return ids, predicted

    def document(self, number: int) -> tuple[np.ndarray, np.ndarray, np.void]:
        """Ids (n,), which of them are predicted (n,), and the `layout.DOCUMENT` of a document."""
        place = int(np.searchsorted(self._document_ends, number, side="right"))
        shard = self._shard(place)
        within = number - (int(self._document_ends[place]) - shard.entry.num_documents)
        end = int(shard.document_ends[within])
        start = end - int(shard.lengths[within])
        offset = int(self._token_ends[place]) - shard.entry.num_tokens
        ids, predicted = self.read(offset + start, offset + end)
        return ids, predicted, shard.table[within]

    def documents_over(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """The documents that have ids in [start, stop) of the stream: where they begin and end, (n, 2) int64, and
        their `layout.DOCUMENT`, (n,)."""
        spans, rows = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=DOCUMENT)]
        first, last = np.searchsorted(self._token_ends, (start, stop - 1), side="right").tolist()
        for number in range(first, min(last + 1, len(self._entries)) if start < stop else first):
            shard, offset = self._shard(number), int(self._firsts[number])
            ends = shard.document_ends
            begin = int(np.searchsorted(ends, start - offset, side="right"))
            end = int(np.searchsorted(ends, stop - offset, side="left")) + 1
            spans.append(shard.spans(slice(begin, end)) + offset)
            rows.append(shard.table[begin:end])
        return np.concatenate(spans), np.concatenate(rows)

    def documents_of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The documents that stood in these rows, (n,) uint64, of their sources, as `documents_over` gives them; looks
        through the tables of all documents, a shard at a time."""
        spans, found = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=DOCUMENT)]
        for number in range(len(self._entries)):
            shard = self._shard(number)
            here = np.flatnonzero(np.isin(shard.table["row"], rows))
            spans.append(shard.spans(here) + int(self._firsts[number]))
            found.append(shard.table[here])
        return np.concatenate(spans), np.concatenate(found)

    def documents_from(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the documents that begin in [start, stop) of the stream begin, and their lengths, (n,) int64 each."""
        number = int(np.searchsorted(self._token_ends, start, side="right"))
        starts, lengths = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        while number < len(self._entries):
            shard = self._shard(number)
            offset = int(self._token_ends[number]) - shard.entry.num_tokens
            if offset >= stop:
                break
            ends = shard.document_ends
            begin, end = (
                int(np.searchsorted(ends, place - offset)) + 1 if place > offset else 0 for place in (start, stop)
            )
            lengths.append(shard.lengths[begin:end].astype(np.int64))
            starts.append(offset + ends[begin:end] - lengths[-1])
            number += 1
        return np.concatenate(starts), np.concatenate(lengths)

    def frequencies(self) -> np.ndarray:
        """How often each id occurs, (vocab_size,) int64; reads all ids."""
        counts = np.zeros(self.manifest.vocab_size, dtype=np.int64)
        for number in range(len(self._entries)):
            shard = self._shard(number)
            ids = shard.ids
            for start in range(0, len(ids), _BLOCK_IDS):
                if self._verify_reads:
                    shard.verify(start, min(start + _BLOCK_IDS, len(ids)))
                counts += np.bincount(ids[start : start + _BLOCK_IDS], minlength=len(counts))
        return counts

    def documents_per_source(self) -> dict[str, tuple[int, int]]:
        """Number of documents and of ids, by the name of their source."""
        documents = np.zeros(len(self.manifest.sources), dtype=np.int64)
        tokens = np.zeros_like(documents)
        for number in range(len(self._entries)):
            shard = self._shard(number)
            np.add.at(documents, shard.table["source"], 1)
            np.add.at(tokens, shard.table["source"], shard.lengths)
        return {name: (int(documents[index]), int(tokens[index])) for index, name in enumerate(self.manifest.sources)}

    def _shard(self, number: int) -> "_Shard":
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= _MAX_OPEN_SHARDS:
            self._open.popitem(last=False)
        self._open[number] = _Shard(self.folder, self._entries[number], self._dtype, self._first_reads)
        return self._open[number]

    def verify(self) -> None:
        """Reads every byte. Raises CorpusError at the first block that is not what was written."""
        verify_files(self.folder, self.manifest.files)


class _Shard:
    """The memory maps of one shard: ids and mask; index and table of documents, verified, once they are asked for."""

    def __init__(self, folder: Path, entry: ShardEntry, dtype: np.dtype, first_reads: FirstReads) -> None:
        self.entry = entry
        self._dtype = dtype
        self._first_reads = first_reads
        self._paths = {part: folder / file.name for part, file in entry.files.items()}
        self.ids = np.memmap(self._paths["bin"], dtype=dtype, mode="r").view(np.ndarray)
        self.loss = (
            np.memmap(self._paths["loss"], dtype=np.uint8, mode="r").view(np.ndarray) if "loss" in self._paths else None
        )
        mapped = {"bin": self.ids} | ({} if self.loss is None else {"loss": self.loss})
        self._stream = [first_reads.of(entry.files[part], content) for part, content in mapped.items()]

    def verify(self, start: int, stop: int) -> None:
        """Raises CorpusError where the ids [start, stop), or their mask, lie in a damaged block."""
        for part in self._stream:
            part.require(start, stop)

    @cached_property
    def addresses(self) -> tuple[int, int]:
        """Where the ids and the mask lie in memory; 0 for a mask that is not there."""
        return self.ids.ctypes.data, 0 if self.loss is None else self.loss.ctypes.data

    @cached_property
    def lengths(self) -> np.ndarray:
        """Ids in each document, (n,) int32."""
        self._first_reads.require_all(self.entry.files["idx"])
        try:
            return lengths_in_index(str(self._paths["idx"]), self.entry.num_documents, self._dtype)
        except ValueError as error:
            raise self._damaged("idx", error) from None

    def spans(self, which: np.ndarray | slice) -> np.ndarray:
        """Where documents begin and end in the shard, (n, 2) int64."""
        ends = self.document_ends[which]
        return np.stack([ends - self.lengths[which], ends], axis=1)

    @cached_property
    def table(self) -> np.ndarray:
        """One `layout.DOCUMENT` a document, (n,)."""
        self._first_reads.require_all(self.entry.files["docs"])
        try:
            table = np.load(self._paths["docs"], mmap_mode="r", allow_pickle=False)
            if table.dtype != DOCUMENT or len(table) != self.entry.num_documents:
                raise ValueError(f"it does not list {self.entry.num_documents:,} documents")
            return table
        except ValueError as error:
            raise self._damaged("docs", error) from None

    def _damaged(self, part: str, error: ValueError) -> CorpusError:
        return CorpusError(f"{self._paths[part]} is damaged: {error}; {REBUILD}")

    @cached_property
    def document_ends(self) -> np.ndarray:
        """Where each document ends, (n,) int64."""
        return np.cumsum(self.lengths, dtype=np.int64)

    @cached_property
    def document_begins(self) -> np.ndarray:
        """Where each document begins that holds an id, (n,) int64."""
        return (self.document_ends - self.lengths)[self.lengths > 0]
