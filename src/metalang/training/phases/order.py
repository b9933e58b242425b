"""The order in which a run reads rows of unequal length: arithmetic, with rows of about one length in a batch.

An epoch is a keyed permutation of the rows. Pools of `POOL_BATCHES` batches of it are sorted by length and cut into
batches, which are then put into a keyed order: padding is small, and no epoch goes from short to long.
"""

from collections.abc import Sequence

import numpy as np

from metalang.digests import digest_of
from metalang.mixing.permutation import permuted
from metalang.seeds import key_for

POOL_BATCHES = 64


class RowOrder:
    """Place in a run -> row, a pure function of the rows' sizes, the batch, the seed and `content`, the rows' name.

    Each epoch reads every row once, and is complete before the next. `batch` is the global batch, in rows.
    """

    def __init__(self, sizes: np.ndarray, *, batch: int, seed: int, content: str) -> None:
        self._sizes = sizes
        self._batch = batch
        self._names = (content, batch, seed)
        self._held = (0, 0, np.empty(0, dtype=np.int64))  # the pool that was read last

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the order."""
        return digest_of(["rows", *self._names, POOL_BATCHES])[:16]

    def rows(self, places: Sequence[int]) -> list[int]:
        """The row of each place of the run.

        >>> order = RowOrder(np.array([5, 1, 4, 1]), batch=2, seed=0, content="")
        >>> sorted(order.rows(range(4))), sorted(order.rows([6, 7, 4, 5]))
        ([0, 1, 2, 3], [0, 1, 2, 3])
        """
        return [self._row(int(place)) for place in places]

    def _row(self, place: int) -> int:
        num_rows, pool = len(self._sizes), POOL_BATCHES * self._batch
        epoch = place // num_rows
        start = max(place // pool * pool, epoch * num_rows)
        stop = min((place // pool + 1) * pool, (epoch + 1) * num_rows)
        if self._held[:2] != (start, stop):
            self._held = (start, stop, self._sorted_pool(start, stop))
        return int(self._held[2][place - start])

    def _sorted_pool(self, start: int, stop: int) -> np.ndarray:
        """The rows of the places [start, stop) of one epoch. Batches that the edges cut stay at the edges."""
        epoch, first = divmod(start, len(self._sizes))
        key = np.uint64(key_for("rows", *self._names, epoch))
        rows = permuted(np.arange(first, first + stop - start), len(self._sizes), key)
        rows = rows[np.argsort(self._sizes[rows], kind="stable")]
        head = min(-start % self._batch, len(rows))
        num_batches = (len(rows) - head) // self._batch
        tail = head + num_batches * self._batch
        batches = rows[head:tail].reshape(num_batches, self._batch)
        if num_batches:
            batches = batches[permuted(np.arange(num_batches), num_batches, np.uint64(key_for(int(key), start)))]
        return np.concatenate([rows[:head], batches.ravel(), rows[tail:]])
