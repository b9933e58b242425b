"""Whether the files of a corpus are as they were written: by size, and block by block by the manifest's hashes."""

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from metalang.corpus.layout import BLOCK_BYTES
from metalang.corpus.manifest import REBUILD, FileEntry
from metalang.errors import CorpusError

_PIECE_BLOCKS = 8


@dataclass(frozen=True)
class Piece:
    """Some blocks of a file: what is verified in one go."""

    file: FileEntry
    blocks: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes in all of them."""
        return sum(stop - start for start, stop in (_borders(self.file, block) for block in self.blocks))


def pieces_of(files: Iterable[FileEntry], *, share: float = 1.0, seed: int = 0) -> list[Piece]:
    """The blocks of files in their order, or a random `share` of them (one at least), in pieces of up to 128 MiB.

    >>> file = FileEntry(name="00000.bin", bytes=40 * 2**20, hash="", blocks=("a", "b", "c"))
    >>> [(piece.blocks, piece.num_bytes) for piece in pieces_of([file])]
    [((0, 1, 2), 41943040)]
    """
    files = list(files)
    ends = np.cumsum([0, *(len(file.blocks) for file in files)])
    chosen = np.arange(ends[-1])
    if share < 1:
        from metalang.seeds import key_for  # numba: who writes a corpus does not need it

        rng = np.random.default_rng(key_for("blocks to verify", seed))
        chosen = np.sort(rng.choice(chosen, size=int(np.ceil(share * len(chosen))), replace=False))
    cuts = np.searchsorted(chosen, ends)
    return [
        Piece(file, tuple((chosen[first : min(first + _PIECE_BLOCKS, cuts[number + 1])] - ends[number]).tolist()))
        for number, file in enumerate(files)
        for first in range(cuts[number], cuts[number + 1], _PIECE_BLOCKS)
    ]


def verify_piece(folder: Path, piece: Piece) -> int:
    """Reads a piece and says how many bytes it has. Raises CorpusError at the first block that is damaged."""
    buffer = bytearray(min(BLOCK_BYTES, piece.file.bytes))
    with open(folder / piece.file.name, "rb") as stream:
        for block in piece.blocks:
            stream.seek(block * BLOCK_BYTES)
            size = stream.readinto(buffer)
            _require_block(folder, piece.file, block, memoryview(buffer)[:size])
    return piece.num_bytes


def verify_files(folder: Path, files: Iterable[FileEntry]) -> None:
    """Reads every byte of files. Raises CorpusError where one is missing, has another size, or is damaged."""
    files = list(files)
    require_sizes(folder, files)
    for piece in pieces_of(files):
        verify_piece(folder, piece)


def require_sizes(folder: Path, files: Iterable[FileEntry]) -> None:
    """Raises CorpusError where a file is missing, cut or too long; reads none."""
    for file in files:
        path = folder / file.name
        if not path.is_file():
            raise CorpusError(f"{path} is missing; {REBUILD}")
        found = path.stat().st_size
        if found != file.bytes:
            raise CorpusError(
                f"{path} has {found:,} bytes and should have {file.bytes:,}: it is "
                f"{'truncated' if found < file.bytes else 'too long'}; {REBUILD}"
            )


class FirstReads:
    """Knows which blocks of a corpus have been verified; processes that are forked later know it together."""

    def __init__(self, folder: Path, files: Sequence[FileEntry]) -> None:
        self._folder = folder
        ends = np.cumsum([0, *(len(file.blocks) for file in files)]).tolist()
        self._begins = {file.name: begin for file, begin in zip(files, ends, strict=False)}
        # Anonymous shared memory: it has no name, so none stays behind, and as an array it can be pickled.
        # The last one stands for blocks of files that are not there.
        self._verified = np.frombuffer(mmap.mmap(-1, ends[-1] + 1), dtype=np.bool_)
        self._verified[-1] = True

    def of(self, file: FileEntry, content: np.ndarray) -> "FirstReadsOfFile":
        """Those of one file, mapped whole as `content`."""
        begin = self._begins[file.name]
        return FirstReadsOfFile(self._folder, file, content, self._verified[begin : begin + len(file.blocks)])

    def are_verified(self, files: Sequence[FileEntry | None], itemsize: int) -> "BlocksAreVerified":
        """For many places at once, in these files, whose elements have `itemsize` bytes."""
        absent = len(self._verified) - 1
        begins = [absent if file is None else self._begins[file.name] for file in files]
        sizes = [2**62 if file is None else BLOCK_BYTES // itemsize for file in files]
        return BlocksAreVerified(np.array(begins), np.array(sizes), self._verified)

    def require_all(self, file: FileEntry) -> None:
        """Raises CorpusError where a file has a damaged block."""
        self.of(file, np.memmap(self._folder / file.name, dtype=np.uint8, mode="r")).require(0, file.bytes)


@dataclass(frozen=True)
class BlocksAreVerified:
    """Whether elements of some files lie in blocks that have been verified. `begins`, `sizes` (files,) int64: where the
    blocks of a file begin in `verified`, and how many elements a block has."""

    begins: np.ndarray
    sizes: np.ndarray
    verified: np.ndarray

    def at(self, numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(n,) bool, for the elements at `places` (n,) of the files `numbers` (n,)."""
        return self.verified[self.begins[numbers] + places // self.sizes[numbers]]


class FirstReadsOfFile:
    """Verifies the blocks of a mapped file when they are first read."""

    def __init__(self, folder: Path, file: FileEntry, content: np.ndarray, verified: np.ndarray) -> None:
        self._folder = folder
        self._file = file
        self._content = content
        self._verified = verified
        self._block_size = BLOCK_BYTES // content.itemsize

    def require(self, start: int, stop: int) -> None:
        """Raises CorpusError where elements [start, stop) lie in a damaged block."""
        for block in range(start // self._block_size, (stop - 1) // self._block_size + 1):
            if not self._verified[block]:
                first, last = _borders(self._file, block)
                content = memoryview(self._content.view(np.uint8))[first:last]
                _require_block(self._folder, self._file, block, content)
                self._verified[block] = True


def _require_block(folder: Path, file: FileEntry, block: int, content: memoryview) -> None:
    if xxhash.xxh3_128_hexdigest(content) != file.blocks[block]:
        start, stop = _borders(file, block)
        raise CorpusError(f"{folder / file.name} is damaged between bytes {start:,} and {stop:,}; {REBUILD}")


def _borders(file: FileEntry, block: int) -> tuple[int, int]:
    """Where a block begins and ends in its file."""
    return block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, file.bytes)
