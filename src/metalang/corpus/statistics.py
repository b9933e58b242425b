"""What documents are like: how often ids come, how long rows are, how far ids recur, what their order tells."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from metalang.corpus.reader import Corpus
from metalang.errors import ConfigError
from metalang.seeds import key_for

_STRETCHES = 64
_BLOCK_IDS = 2**15
_FEWEST_FITTED = 10


@dataclass(frozen=True)
class Statistics:
    """Of a sample of documents.

    `frequencies`: counts of the ids that occur, (n,) int64, descending. `lengths`: ids in each document, (m,) int64.
    `distances`: how often an id stands so many places behind its last occurrence in its document, (longest,) int64, by
    distance. `compressed`: zlib's share of the bytes of each block of 32,768 ids, (b,); `compressed_shuffled`: the same
    for the ids of the block in a random order: what is between them is what order tells.
    """

    frequencies: np.ndarray
    lengths: np.ndarray
    distances: np.ndarray
    compressed: np.ndarray
    compressed_shuffled: np.ndarray

    @property
    def zipf_exponent(self) -> float:
        """-s of the line log f = c - s log r through the frequencies of at least 10, at log-spaced ranks; NaN for few.

        >>> counts = np.round(1e9 / np.arange(1, 1001)).astype(np.int64)
        >>> nothing = np.zeros(0)
        >>> round(Statistics(counts, nothing, nothing, nothing, nothing).zipf_exponent, 3)
        1.0
        """
        fitted = self.frequencies[self.frequencies >= _FEWEST_FITTED]
        ranks = np.unique(np.geomspace(1, max(len(fitted), 1), 50).astype(np.int64))
        if len(ranks) < 3 or len(fitted) < 3:
            return float("nan")
        return -float(np.polyfit(np.log(ranks), np.log(fitted[ranks - 1]), 1)[0])


def statistics_of(
    corpus: Corpus, *, max_tokens: int, count: Callable[[int], object] = lambda tokens: None
) -> Statistics:
    """The statistics of about `max_tokens` ids in whole documents, in 64 stretches spread evenly over the corpus.

    `count` is called with the ids read since the last time. Raises ConfigError for `max_tokens` below 1.
    """
    if max_tokens < 1:
        raise ConfigError(f"--max_tokens {max_tokens} looks at nothing; give 1 or more, such as 5M")
    frequencies = np.zeros(corpus.manifest.vocab_size, dtype=np.int64)
    lengths, distances, ratios = [], np.zeros(1, dtype=np.int64), []
    for stretch in _stretches(corpus, max_tokens):
        ids = np.concatenate(stretch)
        sizes = np.array([len(document) for document in stretch])
        frequencies += np.bincount(ids, minlength=len(frequencies))
        lengths.append(sizes)
        distances = _sum(distances, _distances(ids, sizes))
        ratios += [_ratios(ids[start : start + _BLOCK_IDS]) for start in range(0, len(ids), _BLOCK_IDS)]
        count(len(ids))
    plain, shuffled = np.array(ratios).T
    used = np.sort(frequencies[frequencies > 0])[::-1]
    return Statistics(used, np.concatenate(lengths), distances, plain, shuffled)


def _stretches(corpus: Corpus, max_tokens: int) -> Iterator[list[np.ndarray]]:
    """Runs of neighbouring documents, whole ones, their ids as stored."""
    num_documents = corpus.manifest.num_documents
    each = max_tokens / _STRETCHES if max_tokens < corpus.num_tokens else corpus.num_tokens
    starts = np.unique(np.linspace(0, num_documents, _STRETCHES, endpoint=False).astype(np.int64))
    for start, stop in zip(starts, [*starts[1:], num_documents], strict=True):
        stretch, held = [], 0
        for number in range(start, stop):
            if held >= each:
                break
            stretch.append(corpus.document(number)[0])
            held += len(stretch[-1])
        yield stretch


def _distances(ids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How often an id stands so far behind its last occurrence in its document, by distance."""
    document = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((ids, document))  # stable: equal ids of a document stay in the order of their places
    same = (np.diff(ids[order].astype(np.int64)) == 0) & (np.diff(document[order]) == 0)
    return np.bincount(np.diff(order)[same], minlength=1)


def _ratios(ids: np.ndarray) -> tuple[float, float]:
    """zlib's share of the bytes of a block, as it stands and shuffled."""
    shuffled = np.random.default_rng(key_for("compressibility", len(ids))).permutation(ids)
    return tuple(len(zlib.compress(block.tobytes())) / block.nbytes for block in (ids, shuffled))


def _sum(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    total = np.zeros(max(len(one), len(other)), dtype=np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total
