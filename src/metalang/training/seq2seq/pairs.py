"""Pairs of ids, by their number: from rows that `tokenize_parallel.py --form seq2seq` wrote, or from a corpus.

A document of a corpus is cut where it begins to be predicted, and EOS follows what is read: a mapping is its argument
and its value, parallel text a text and its translation. Both parts keep at most `max_length` ids of theirs.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from metalang.building.parallel.seq2seq import STATS
from metalang.corpus import Corpus
from metalang.digests import digest_of
from metalang.errors import ConfigError, MismatchError
from metalang.files import read_json
from metalang.ids import IdSpace
from metalang.training.phases.jsonl import JsonRows

_BLOCK_IDS = 2**22


class Pair(NamedTuple):
    """Ids that are read (n,), ids that are said (m,) int64, and which of these are predicted, (m,) bool."""

    source: np.ndarray
    target: np.ndarray
    predicted: np.ndarray


class Pairs(Protocol):
    """Pairs, by their number."""

    @property
    def sizes(self) -> np.ndarray:
        """A measure of each pair's length, (n,) int64."""

    @property
    def content_hash(self) -> str:
        """Names the pairs on the disk."""

    @property
    def corpus(self) -> Corpus | None:
        """The corpus that they are documents of, None for rows of a file."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the pairs as they are read."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair: ...


def open_pairs(path: str, ids: IdSpace, *, max_length: int) -> Pairs:
    """The pairs of a .jsonl file or a corpus, all of them looked at. Raises ConfigError for what holds no pairs."""
    if _is_file(path):
        return FilePairs(Path(path), ids, max_length=max_length)
    return CorpusPairs(path, ids, max_length=max_length)


def count_pairs(path: str) -> int:
    """How many pairs a .jsonl file or a corpus holds, without looking at them. Raises ConfigError for anything else."""
    return len(JsonRows(path)) if _is_file(path) else Corpus(path).manifest.num_documents


def _is_file(path: str) -> bool:
    if path.endswith(".jsonl"):
        return True
    if not Path(path).is_dir():
        raise ConfigError(
            f"--architecture seq2seq reads pairs, and {path} is neither a .jsonl file nor a corpus; give what "
            "tokenize_parallel.py --form seq2seq or synthesize.py wrote"
        )
    return False


class FilePairs:
    """Lines of `{"input_ids": [...], "labels": [...]}`, all predicted."""

    def __init__(self, path: Path, ids: IdSpace, *, max_length: int) -> None:
        _require_tokenizer(path, ids)
        self._rows = JsonRows(path)
        self._vocab_size = ids.vocab_size
        self._max_length = max_length
        for row in range(len(self)):
            self[row]

    @property
    def sizes(self) -> np.ndarray:
        return self._rows.sizes

    @property
    def content_hash(self) -> str:
        return self._rows.content_hash

    @property
    def corpus(self) -> None:
        return None

    @property
    def fingerprint(self) -> str:
        return digest_of([self.content_hash, self._max_length])[:16]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Pair:
        try:
            row = self._rows.read(index)
            source, target = (self._ids(row, name) for name in ("input_ids", "labels"))
        except ValueError as error:
            raise ConfigError(
                f'{self._rows.place(index)}: {error}. Lines are {{"input_ids": [...], "labels": [...]}}, as '
                "tokenize_parallel.py --form seq2seq writes them"
            ) from None
        return Pair(source, target, np.ones(len(target), dtype=bool))

    def _ids(self, row: dict[str, Any], name: str) -> np.ndarray:
        ids = np.array(row.get(name, []))
        if ids.ndim != 1 or not len(ids) or ids.dtype.kind != "i":
            raise ValueError(f"{name} is no list of ids")
        if not 0 <= ids.min() <= ids.max() < self._vocab_size:
            raise ValueError(f"{name} has ids from {ids.min()} to {ids.max()}, and the model has {self._vocab_size:,}")
        return ids[: self._max_length].astype(np.int64)


def _require_tokenizer(path: Path, ids: IdSpace) -> None:
    """Raises MismatchError where the file beside the rows names another tokenizer than the model's."""
    beside = path.parent / STATS
    if beside.is_file() and (theirs := read_json(beside)["spec"]["tokenizer"]) != ids.tokenizer:
        raise MismatchError(
            f"{path} was written with tokenizer {theirs}, not with {ids.tokenizer}; give the tokenizer folder that "
            "tokenize_parallel.py left there as --tokenizer_name"
        )


class CorpusPairs:
    """Documents of a corpus, in the ids of a model, each cut where it begins to be predicted."""

    def __init__(self, folder: str, ids: IdSpace, *, max_length: int) -> None:
        self._corpus = Corpus(folder)
        held = self._corpus.manifest.ids
        ids.require(held, folder)
        self._table = ids.of_symbols(np.arange(held.meta_size)) if held.tokenizer is None else None
        self._max_length = max_length
        self._eos_id = ids.eos_id
        self._starts, self._lengths = self._corpus.documents_from(0, self._corpus.num_tokens)
        self._require_pairs(folder)

    @property
    def sizes(self) -> np.ndarray:
        return self._lengths

    @property
    def content_hash(self) -> str:
        return self._corpus.manifest.content_hash

    @property
    def corpus(self) -> Corpus:
        return self._corpus

    @property
    def fingerprint(self) -> str:
        return digest_of([self.content_hash, self._max_length])[:16]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Pair:
        start = int(self._starts[index])
        stored, predicted = self._corpus.read(start, start + int(self._lengths[index]))
        ids = stored.astype(np.int64) if self._table is None else self._table[stored]
        cut = int(predicted.argmax())
        target = slice(cut, cut + self._max_length)
        source = np.append(ids[:cut][: self._max_length - 1], self._eos_id)
        return Pair(source, ids[target], predicted[target])

    def _require_pairs(self, folder: str) -> None:
        """Raises ConfigError unless each document begins with what is read and ends with what is predicted."""
        lasts = self._starts + self._lengths - 1
        for start in range(0, self._corpus.num_tokens, _BLOCK_IDS):
            stop = min(start + _BLOCK_IDS, self._corpus.num_tokens)
            predicted = self._corpus.read(start, stop)[1]
            for places, wanted in ((self._starts, False), (lasts, True)):
                here = np.flatnonzero((start <= places) & (places < stop))
                wrong = here[predicted[places[here] - start] != wanted]
                if len(wrong):
                    raise ConfigError(
                        f"document {wrong[0]} of {folder} has no {'answer' if wanted else 'prompt'}, and "
                        "--architecture seq2seq reads one and predicts the other; give a corpus of mappings or of "
                        "parallel text"
                    )
