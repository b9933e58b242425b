"""The bytes of a shard. All numbers are little-endian.

NNNNN.bin       the ids of all documents, joined, nothing between them; uint16 or int32 (the manifest says which)
NNNNN.loss      one byte an id: 1 = this id is predicted, 0 = it is only read; absent where all are predicted
NNNNN.idx       Megatron-LM's index, version 1:
                  9 bytes  "MMIDIDX\\0\\0"
                  uint64   version, 1
                  uint8    dtype code of the ids: 8 = uint16, 4 = int32
                  uint64   number of sequences n (a document is one sequence)
                  uint64   number of document borders, n + 1
                  int32    length of each sequence in ids, n of them
                  int64    where each sequence begins in the .bin, in bytes, n of them
                  int64    the borders 0, 1, ... n
NNNNN.docs.npy  a NumPy array with one `DOCUMENT` a document
"""

import struct

import numpy as np

MAGIC = b"MMIDIDX\x00\x00"
BLOCK_BYTES = 16 * 2**20
DTYPE_RULE = "uint16 where vocab_size <= 65536, else int32"

DOCUMENT = np.dtype([("source", "<u2"), ("flags", "<u2"), ("row", "<u8"), ("hash", "<u8")])
"""`source`: index in the manifest's `sources`; `flags`: 0, reserved; `row`: where the document stood in its source;
`hash`: xxh3_64 of its ids as stored."""

_HEADER = struct.Struct("<9sQBQQ")
_DTYPE_CODES = {"uint16": 8, "int32": 4}


def index_bytes(lengths: np.ndarray, dtype: np.dtype) -> bytes:
    """The `.idx` of documents of these lengths, (n,) ids each.

    >>> index_bytes(np.array([3, 2]), np.dtype("<u2"))[9:18].hex()
    '010000000000000008'
    """
    count = len(lengths)
    starts = np.zeros(count, dtype="<i8")
    np.cumsum(lengths[:-1] * dtype.itemsize, out=starts[1:])
    header = _HEADER.pack(MAGIC, 1, _DTYPE_CODES[dtype.name], count, count + 1)
    return header + lengths.astype("<i4").tobytes() + starts.tobytes() + np.arange(count + 1, dtype="<i8").tobytes()


def lengths_in_index(path: str, num_documents: int, dtype: np.dtype) -> np.ndarray:
    """Lengths of the documents of a shard, (n,) int32, memory-mapped. Raises ValueError for any other file."""
    with open(path, "rb") as file:
        header = file.read(_HEADER.size)
    expected = _HEADER.pack(MAGIC, 1, _DTYPE_CODES[dtype.name], num_documents, num_documents + 1)
    if header != expected:
        raise ValueError(f"its header is not that of {num_documents:,} documents of {dtype.name}")
    return np.memmap(path, dtype="<i4", mode="r", offset=_HEADER.size, shape=(num_documents,))
