"""Which windows a rank reads at which of its batches: contiguous ones, the ranks in turn."""

from collections.abc import Iterator

from torch.utils.data import BatchSampler


class RankBatches(BatchSampler):
    """The batches of a rank, as ranges of places in the run; a batch that a resume leaves behind costs one range.

    >>> list(RankBatches(12, 2, rank=1, num_ranks=2))
    [range(2, 4), range(6, 8), range(10, 12)]
    """

    def __init__(self, num_windows: int, batch_size: int, *, rank: int, num_ranks: int) -> None:
        stride = batch_size * num_ranks
        assert num_windows % stride == 0, "a run is a whole number of steps"
        self.batch_size, self.drop_last = batch_size, True
        self._firsts = range(rank * batch_size, num_windows, stride)

    def __iter__(self) -> Iterator[range]:
        behind = range(self._firsts.start + self.batch_size, self._firsts.stop + self.batch_size, self._firsts.step)
        return map(range, self._firsts, behind)

    def __len__(self) -> int:
        return len(self._firsts)
