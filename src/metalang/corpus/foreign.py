"""Token files of other programs: which files belong together, how wide their ids are, where documents end.

    megatron   NAME.bin           ids, joined, as ours
               NAME.idx           the index of `layout`; a document may be several sequences, which lie end to end
    datatrove  NAME.ds            ids, joined, as ours
               NAME.ds.index      uint64 where each document ends, in ids; may be missing
               NAME.ds.loss       one byte an id, as our .loss; may be missing
               NAME.ds.metadata   text: "TOKENIZER|BYTES OF AN ID", the number of ids, the same for people
    olmo       NAME.npy           ids, joined, as ours: no NumPy header
               NAME.csv.gz        a line a document: "start,end", in ids, and what else its writer adds; may be missing
               labels_mask_X.npy  one byte an id, as our .loss, beside token_ids_X.npy; may be missing

All numbers are little-endian. Errors are ValueErrors that say what is wrong with a file, without its name.
"""

import gzip
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from metalang.corpus.layout import MAGIC

TOKENS, MASK = "token_ids_", "labels_mask_"
"""How OLMo-core's data names ids and, beside them, their mask."""

_HEADER = struct.Struct("<QBQQ")
_MEGATRON_DTYPES = {8: np.dtype("<u2"), 4: np.dtype("<i4")}
_DTYPES = {2: np.dtype("<u2"), 4: np.dtype("<i4")}
_NUMPY_MAGIC = b"\x93NUMPY"
_EOS_BLOCK = 2**22
_MOST_DIGITS = 18  # of a place that an int64 holds


@dataclass(frozen=True)
class TokenFile:
    """Ids, and what lies beside them: `borders` of documents and `mask` are None where there is none."""

    ids: Path
    borders: Path | None = None
    mask: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of its files, the ids first."""
        return tuple(path for path in (self.ids, self.borders, self.mask) if path is not None)


class TokenFormat(Protocol):
    """How a program lays out ids on disk."""

    suffix: str
    """What its files of ids end in."""

    def file(self, ids: Path) -> TokenFile | None:
        """What belongs to a file with the suffix; None where it holds no ids."""

    def documents(self, file: TokenFile) -> tuple[np.dtype, np.ndarray] | None:
        """The type of an id, and where each document ends, (n,) int64; None where no file tells."""


class MegatronFormat:
    """Megatron-LM's and GPT-NeoX's indexed datasets."""

    suffix = ".bin"

    def file(self, ids: Path) -> TokenFile:
        """The .idx is needed: without it nothing tells the type of an id."""
        return TokenFile(ids, ids.with_suffix(".idx"))

    def documents(self, file: TokenFile) -> tuple[np.dtype, np.ndarray]:
        """From the .idx."""
        return _megatron_documents(file.borders.read_bytes())


class DatatroveFormat:
    """datatrove's tokenized files."""

    suffix = ".ds"

    def file(self, ids: Path) -> TokenFile:
        """Index and mask bear its name and one suffix more."""
        return TokenFile(ids, _if_there(Path(f"{ids}.index")), _if_there(Path(f"{ids}.loss")))

    def documents(self, file: TokenFile) -> tuple[np.dtype, np.ndarray] | None:
        """From the .ds.index: its last end is the number of ids, which gives their width."""
        if file.borders is None:
            return None
        content = file.borders.read_bytes()
        if len(content) % 8:
            raise ValueError(f"{file.borders.name} beside it has {len(content):,} bytes and should have 8 a document")
        return _of_ends(file, np.frombuffer(content, dtype="<u8").astype(np.int64))


class OlmoFormat:
    """OLMo-core's arrays, as dolma and open-instruct write them."""

    suffix = ".npy"

    def file(self, ids: Path) -> TokenFile | None:
        """None for a mask."""
        if ids.name.startswith(MASK):
            return None
        mask = ids.with_name(ids.name.replace(TOKENS, MASK, 1))
        return TokenFile(ids, _if_there(ids.with_suffix(".csv.gz")), _if_there(mask) if mask != ids else None)

    def documents(self, file: TokenFile) -> tuple[np.dtype, np.ndarray] | None:
        """From the .csv.gz: its last end is the number of ids, which gives their width."""
        with open(file.ids, "rb") as stream:
            if stream.read(len(_NUMPY_MAGIC)) == _NUMPY_MAGIC:
                raise ValueError("it begins with a NumPy header, and OLMo-core's arrays have none")
        if file.borders is None:
            return None
        try:
            with gzip.open(file.borders, "rt") as lines:
                return _of_ends(file, _ends_of_lines(lines))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{file.borders.name} beside it cannot be unpacked ({error})") from None


FORMATS: dict[str, TokenFormat] = {
    "megatron": MegatronFormat(),
    "datatrove": DatatroveFormat(),
    "olmo": OlmoFormat(),
}


def ids_dtype(id_bytes: int) -> np.dtype:
    """The type of ids so many bytes wide. Raises ValueError where a corpus has no such ids.

    >>> ids_dtype(2).name, ids_dtype(4).name
    ('uint16', 'int32')
    """
    if id_bytes not in _DTYPES:
        raise ValueError(f"its ids are {id_bytes:g} bytes wide, and a corpus has ids of 2 or 4 bytes")
    return _DTYPES[id_bytes]


def ends_at_eos(ids: np.ndarray, eos_id: int) -> np.ndarray:
    """Where each document ends, (n,) int64, if every EOS ends one, and the last id does.

    >>> ends_at_eos(np.array([5, 2, 6, 7, 2, 8]), eos_id=2).tolist()
    [2, 5, 6]
    """
    starts = range(0, len(ids), _EOS_BLOCK)
    found = [start + 1 + np.flatnonzero(ids[start : start + _EOS_BLOCK] == eos_id) for start in starts]
    ends = np.concatenate([np.zeros(0, dtype=np.int64), *found])
    return ends if len(ends) and ends[-1] == len(ids) else np.append(ends, len(ids))


def _megatron_documents(index: bytes) -> tuple[np.dtype, np.ndarray]:
    header = len(MAGIC) + _HEADER.size
    if len(index) < header or not index.startswith(MAGIC):
        raise ValueError("its .idx is not that of an indexed dataset of Megatron-LM")
    version, code, num_sequences, num_borders = _HEADER.unpack_from(index, len(MAGIC))
    if version != 1 or code not in _MEGATRON_DTYPES:
        raise ValueError(f"its .idx has version {version} and type {code}; only 1 and 8 (uint16) or 4 (int32) are read")
    expected = header + 12 * num_sequences + 8 * num_borders
    if len(index) != expected:
        raise ValueError(f"its .idx has {len(index):,} bytes and should have {expected:,} (one with modes is not read)")
    dtype = _MEGATRON_DTYPES[code]
    lengths = np.frombuffer(index, dtype="<i4", count=num_sequences, offset=header).astype(np.int64)
    starts = np.frombuffer(index, dtype="<i8", count=num_sequences, offset=header + 4 * num_sequences)
    borders = np.frombuffer(index, dtype="<i8", count=num_borders, offset=header + 12 * num_sequences)
    ends = np.cumsum(lengths)
    if (lengths < 0).any() or not np.array_equal(starts, (ends - lengths) * dtype.itemsize):
        raise ValueError("the sequences of its .idx do not lie end to end")
    if not num_borders or borders[0] != 0 or borders[-1] != num_sequences or (np.diff(borders) < 0).any():
        raise ValueError("the documents of its .idx do not cover its sequences")
    if num_borders == 1:
        raise ValueError("its .idx lists no document")
    return dtype, np.append(0, ends)[borders[1:]]


def _of_ends(file: TokenFile, ends: np.ndarray) -> tuple[np.dtype, np.ndarray]:
    if not len(ends) or (np.diff(ends, prepend=0) < 0).any() or ends[-1] == 0:
        raise ValueError(f"{file.borders.name} beside it does not list where documents end")
    return ids_dtype(file.ids.stat().st_size / int(ends[-1])), ends


def _ends_of_lines(lines: Iterable[str]) -> np.ndarray:
    ends, last = [], 0
    for number, line in enumerate(lines, start=1):
        start, end, *_ = (*line.strip().split(","), "")
        if start != str(last) or not end.isdecimal() or len(end) > _MOST_DIGITS:
            raise ValueError(f"line {number} of its .csv.gz does not go on where the one before ends, at {last:,}")
        last = int(end)
        ends.append(last)
    return np.array(ends, dtype=np.int64)


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
