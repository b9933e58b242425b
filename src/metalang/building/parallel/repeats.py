"""Finds what repeats among any number of hashes, in memory that does not grow with them."""

from pathlib import Path

import numpy as np

_HASHES_AT_A_TIME = 2**18


def mark_repeats(hashes: Path, marks: Path) -> None:
    """Writes a byte for each 64-bit hash of a file: 1 where an equal one stands before it, else 0.

    Hashes are gathered by ranges of their values, a range in memory at a time: the file is read once a range.
    """
    num_hashes = hashes.stat().st_size // 8
    marks.write_bytes(b"")
    if not num_hashes:
        return
    repeated = np.memmap(marks, dtype=np.uint8, mode="w+", shape=(num_hashes,))
    num_ranges = -(-num_hashes // _HASHES_AT_A_TIME)
    for number in range(num_ranges):
        lowest, highest = (2**64 * bound // num_ranges for bound in (number, number + 1))
        values, positions = _gathered(hashes, num_hashes, np.uint64(lowest), np.uint64(highest - 1))
        order = np.argsort(values, kind="stable")
        values, positions = values[order], positions[order]
        repeated[positions[1:][values[1:] == values[:-1]]] = 1
    repeated.flush()


def _gathered(hashes: Path, count: int, lowest: np.uint64, highest: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """The hashes from `lowest` to `highest`, and where they stand."""
    values, positions = [], []
    for start in range(0, count, _HASHES_AT_A_TIME):
        block = np.fromfile(hashes, dtype="<u8", count=_HASHES_AT_A_TIME, offset=8 * start)
        inside = np.flatnonzero((block >= lowest) & (block <= highest))
        values.append(block[inside])
        positions.append(inside + start)
    return np.concatenate(values), np.concatenate(positions)
