"""What a corpus is made of: how often ids come, how long rows are, how far back ids recur, what their order tells.

Read are stretches of the stream, spread evenly over it, a piece at a time: memory depends on the vocabulary alone.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from metalang.corpus.reader import Corpus
from metalang.errors import ConfigError
from metalang.seeds import key_for

LONGEST = 2**20
_STRETCHES = 64
_BLOCK_IDS = 2**14  # 32 KiB as they are compressed: as far as zlib looks back
_PIECE_IDS = 16 * _BLOCK_IDS
_HALVINGS = 50
_STEEPEST = 64.0


@dataclass(frozen=True)
class Statistics:
    """Of the ids that were read.

    `frequencies`: how often each id that occurs does, (n,) int64, descending. `lengths`: number of rows by their length
    in ids, (longest + 1,) int64. `distances`: number of ids by how far behind its last occurrence in its row an id
    stands, (farthest + 1,) int64; [0] counts those that had none. Lengths and distances past `LONGEST` count as that.
    `bits`: bits an id that zlib takes for each block, as it stands and shuffled, (blocks, 2): the difference is what
    order alone tells.
    """

    frequencies: np.ndarray
    lengths: np.ndarray
    distances: np.ndarray
    bits: np.ndarray

    @property
    def zipf_exponent(self) -> float:
        """The a under which p(rank r) ~ r ** -a makes the frequencies most likely, 0 to 64; NaN for fewer than two.

        Every id read weighs alike, so neither a handful of frequent symbols nor thousands of rare ones tilt it. Ranks
        are those of the sample, so chance adds a little where each id was read seldom: uniform ids, 31 times each, have
        0.14, and 500 times each 0.04.
        """
        if len(self.frequencies) < 2:
            return float("nan")
        log_ranks = np.log(np.arange(1, len(self.frequencies) + 1))
        observed = self.frequencies @ log_ranks / self.frequencies.sum()
        low, high = 0.0, _STEEPEST
        for _ in range(_HALVINGS):  # the mean of log r falls as the exponent grows, and is the observed one at the top
            middle = (low + high) / 2
            weights = np.exp(-middle * log_ranks)
            low, high = (middle, high) if weights @ log_ranks / weights.sum() > observed else (low, middle)
        return low


def stretches(num_tokens: int, max_tokens: int) -> list[tuple[int, int]]:
    """The parts [start, stop) of a stream that are read for at most `max_tokens` ids; all of it where that suffices.

    They are 64, or fewer for a small sample: each holds a block that can be compressed. Raises ConfigError for
    `max_tokens` below 1.

    >>> stretches(100, 5_000_000), stretches(1_000_000, 50_000)
    ([(0, 100)], [(0, 16666), (491667, 508333), (983334, 1000000)])
    """
    if max_tokens < 1:
        raise ConfigError(f"--max_tokens {max_tokens} looks at nothing; give 1 or more, such as 5M")
    if max_tokens >= num_tokens:
        return [(0, num_tokens)]
    number = max(1, min(_STRETCHES, max_tokens // _BLOCK_IDS))
    size = max_tokens // number
    starts = [place * (num_tokens - size) // max(1, number - 1) for place in range(number)]
    return [(start, start + size) for start in starts]


def statistics_of(
    corpus: Corpus, *, max_tokens: int, count: Callable[[int], object] = lambda tokens: None
) -> Statistics:
    """The statistics of at most `max_tokens` ids. `count` is called with the ids read since the last time.

    A row that a stretch's edge cuts has its whole length and counts where it begins; its ids recur on one side alone.
    """
    vocab_size = corpus.manifest.vocab_size
    frequencies, seen = np.zeros(vocab_size, dtype=np.int64), np.full(vocab_size, -1, dtype=np.int64)
    lengths, distances = np.zeros((2, LONGEST + 1), dtype=np.int64)
    bits: list[tuple[float, float]] = []
    for start, stop in stretches(corpus.num_tokens, max_tokens):
        row = start
        for place in range(start, stop, _PIECE_IDS):
            end = min(place + _PIECE_IDS, stop)
            ids, _ = corpus.read(place, end)
            starts, sizes = corpus.documents_from(place, end)
            frequencies += np.bincount(ids, minlength=vocab_size)
            np.add.at(lengths, np.minimum(sizes, LONGEST), 1)
            row = count_distances(ids, place, starts, row, seen, distances)
            bits += [_bits(block, place) for block in _blocks(ids, short=not bits)]
            count(len(ids))
    used = np.sort(frequencies[frequencies > 0])[::-1]
    return Statistics(used, np.trim_zeros(lengths, "b"), np.trim_zeros(distances, "b"), np.array(bits))


@njit(cache=True)
def count_distances(ids, place, starts, row, seen, distances):
    """Adds ids (n,), the stream's from `place` on, to the counts of distances; where the row of the last one begins.

    Rows begin at `starts` (m,), and at `row` the one that is under way. `seen` (vocab_size,) keeps where each id was
    last; begin with -1.

    >>> distances = np.zeros(4, dtype=np.int64)
    >>> count_distances(np.array([5, 6, 5, 5, 5]), 0, np.array([0, 4]), 0, np.full(9, -1), distances)
    4
    >>> distances.tolist()
    [3, 1, 1, 0]
    """
    farthest, ahead = len(distances) - 1, 0
    for index in range(len(ids)):
        here = place + index
        while ahead < len(starts) and starts[ahead] <= here:
            row = starts[ahead]
            ahead += 1
        last = seen[ids[index]]
        distances[min(here - last, farthest) if last >= row else 0] += 1
        seen[ids[index]] = here
    return row


def _blocks(ids: np.ndarray, *, short: bool) -> np.ndarray:
    """The full blocks of ids (n,), (b, size); where there is none and `short` is true, all ids as one."""
    number = len(ids) // _BLOCK_IDS
    if not number and short:
        return ids[None]
    return ids[: number * _BLOCK_IDS].reshape(number, _BLOCK_IDS)


def _bits(ids: np.ndarray, place: int) -> tuple[float, float]:
    """Bits an id that zlib takes for ids (n,), as they stand and shuffled.

    They are numbered anew, in 16 bits each, so that neither the vocabulary nor the place of its ids makes a difference.
    """
    words = np.unique(ids, return_inverse=True)[1].astype("<u2")
    shuffled = np.random.default_rng(key_for("statistics", "shuffled", place)).permutation(words)
    return tuple(8 * len(zlib.compress(block.tobytes(), 9)) / len(ids) for block in (words, shuffled))
