"""Near-duplicates by datatrove's MinHash: signatures, then equal ones by bucket, then clusters of what they join.

Two texts of which a fraction s of all n-grams are common (Broder 1997, "On the resemblance and containment of
documents") are equal in one of b buckets of r hashes with probability 1 - (1 - s ** r) ** b. 14 buckets of 8 hashes of
5-grams are datatrove 0.10.1's defaults.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from metalang.errors import ConfigError
from metalang.specs import Spec
from metalang.text.filters.contract import require_words, versions_of
from metalang.workers import run_all

_MAX_PARTS = 256
"""Parts that the files are dealt to: a bucket is matched with a file of each part open, and systems allow 1,024."""
_NGRAMS_AT_ONCE = 2**13
_RECORDS_AT_ONCE = 2**10

DocumentId = int | str


class MinHash(Spec):
    """How alike two texts have to be: `num_buckets` chances that `hashes_per_bucket` minima of their n-grams agree.

    Before that datatrove takes away case, punctuation and accents, and makes all numbers one: texts that differ in
    numbers alone are equal. `language` is that of the texts, for their words. A text of fewer than `ngram` words is a
    duplicate of none.
    """

    ngram: int = Field(default=5, ge=1)
    num_buckets: int = Field(default=14, ge=1)
    hashes_per_bucket: int = Field(default=8, ge=1)
    language: str = "en"

    @property
    def threshold(self) -> float:
        """The common fraction of n-grams about which texts begin to be found.

        >>> round(MinHash().threshold, 3), round(MinHash(num_buckets=20, hashes_per_bucket=20).threshold, 3)
        (0.719, 0.861)
        """
        return (1 / self.num_buckets) ** (1 / self.hashes_per_bucket)

    def identity(self) -> dict[str, Any]:
        """JSON of all that the choice of duplicates depends on, beside the texts."""
        return {"fingerprint": self.fingerprint} | versions_of("datatrove", "spacy")


def near_duplicates(folder: Path, config: MinHash, *, scratch: Path, num_workers: int = 1) -> list[DocumentId]:
    """Ids of the documents to drop, in the order of the documents: all of a cluster but its first.

    `folder` holds .jsonl files of `{"id": ..., "text": ...}`; their order is that of the files' names and of the lines.
    See `near_duplicate_lines`. Raises ConfigError for a line without an id or a text.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise ConfigError(f"{folder} holds no .jsonl file; near-duplicates are looked for in those")
    dropped = set(near_duplicate_lines(files, config, scratch=scratch, num_workers=num_workers).tolist())
    return [id for line, (id, _) in enumerate(_documents(files)) if line in dropped]


def near_duplicate_lines(files: list[Path], config: MinHash, *, scratch: Path, num_workers: int = 1) -> np.ndarray:
    """The lines to drop of all files of `{"text": ...}`, numbered from 0 one file after the other, (n,) int64.

    What is dropped depends on the order of the documents and on `config`, not on the files' sizes or the number of
    workers. Signatures (`num_buckets * (hashes_per_bucket * 8 + 4)` bytes a document) lie in `scratch` until it
    returns; memory grows with the number of duplicates, and with the largest text.
    """
    require_words(config.language)
    parts = [part.tolist() for part in np.array_split(np.array(files, object), min(len(files), _MAX_PARTS))]
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        work = Path(name)
        _run_all(partial(sign, work=work, config=config), enumerate(parts), num_workers)
        _run_all(partial(match, work=work, config=config), range(config.num_buckets), num_workers)
        places = cluster(work, config)
    firsts = np.cumsum([0, *(sum(1 for path in part for _ in open(path, "rb")) for part in parts)])
    found = [np.asarray(places[part], dtype=np.int64) + firsts[part] for part in sorted(places)]
    return np.concatenate([np.zeros(0, np.int64), *found])


def sign(part: tuple[int, list[Path]], *, work: Path, config: MinHash) -> None:
    """Writes the signatures of a part of the documents, given as its number and files, sorted by bucket."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

    class Signature(MinhashDedupSignature):
        """One that multiplies some thousand n-grams at a time: all of a book at once take gigabytes."""

        def get_signature(self, shingles: np.ndarray) -> list[list[int]]:
            starts = range(0, len(shingles), _NGRAMS_AT_ONCE)
            minima = [MinhashDedupSignature.get_signature(self, shingles[at : at + _NGRAMS_AT_ONCE]) for at in starts]
            return np.array(minima, np.uint64).min(axis=0).tolist()

    number, files = part
    step = Signature(str(work / "signatures"), _minhash_config(config), config.language)
    _only_results()
    step.run((Document(text, str(id)) for id, text in _documents(files)), rank=number)


def match(bucket: int, *, work: Path, config: MinHash) -> None:
    """Writes the pairs of documents that are equal in a bucket, once all parts are signed."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets

    folders = str(work / "signatures"), str(work / "pairs")
    step = MinhashDedupBuckets(*folders, config=_minhash_config(config), lines_to_buffer=_RECORDS_AT_ONCE)
    _only_results()
    step.run(rank=bucket, world_size=config.num_buckets)


def cluster(work: Path, config: MinHash) -> dict[int, np.ndarray]:
    """Places of the documents to drop in each part, ascending, once all buckets are matched.

    Of a cluster datatrove's own filter keeps the one that its union-find ends in; here it is the first.
    """
    from datatrove.pipeline.dedup.minhash import MinhashDedupCluster

    folders = str(work / "pairs"), str(work / "clusters")
    step = MinhashDedupCluster(
        *folders, config=_minhash_config(config), save_cluster_id=True, lines_to_buffer=_RECORDS_AT_ONCE
    )
    _only_results()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that has no switch
        step.run()
    files = sorted((work / "clusters").glob("*.clusters"))
    return _all_but_first({int(file.stem): np.fromfile(file, "<u4").reshape(-1, 2) for file in files})


def _all_but_first(members: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Places in each part of all documents but the first of each cluster, of (place, cluster) pairs in order."""
    kept: set[int] = set()
    places = {}
    for part, pairs in members.items():
        clusters, first = np.unique(pairs[:, 1], return_index=True)
        is_dropped = np.ones(len(pairs), bool)
        is_dropped[first[[cluster not in kept for cluster in clusters.tolist()]]] = False
        kept.update(clusters.tolist())
        places[part] = pairs[is_dropped, 0]
    return places


def _minhash_config(config: MinHash) -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig

    # its default, xxhash, fails under xxhash 4 (datatrove 0.10.1 gives it strings)
    return MinhashConfig(
        config.ngram, config.num_buckets, config.hashes_per_bucket, hash_config=HashConfig(hash_fc="sha1")
    )


def _only_results() -> None:
    """Silences the steps of MinHash, which tell every start; those that are used here give no warnings."""
    from loguru import logger

    logger.disable("datatrove.pipeline.dedup.minhash")


def _run_all(function: Callable[[Any], None], arguments: Iterable[Any], num_workers: int) -> None:
    """Calls the function with each argument, here and in other processes, `num_workers` at a time."""
    run_all(_Call(function), list(arguments), workers=num_workers)


@dataclass(frozen=True)
class _Call:
    """A function as what workers run: it counts nothing."""

    function: Callable[[Any], None]

    def __call__(self, argument: Any, count: Callable[[int], Any]) -> None:
        self.function(argument)


def _documents(files: list[Path]) -> Iterator[tuple[DocumentId, str]]:
    for path in files:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                yield _document(line, path, number)


def _document(line: bytes, path: Path, number: int) -> tuple[DocumentId, str]:
    try:
        value = json.loads(line)
        if (
            isinstance(value, dict)
            and isinstance(value.get("id", number), DocumentId)
            and isinstance(value["text"], str)
        ):
            return value.get("id", number), value["text"]
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigError(f'{path} line {number:,} is no {{"id": number or string, "text": string}}; write the file again')
