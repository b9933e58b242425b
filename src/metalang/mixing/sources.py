"""A source of a mixture: a corpus under a name, read in windows of a model's ids.

Window w of epoch e predicts `length` ids, the (offset + w * length)-th of the corpus and those behind it, around the
end to the beginning; it reads the id before them too. In epoch 0 the offset is 0, and the id before the first of all is
EOS, as before any other document; each further epoch has an offset of its own, so that other places are cut. Every id
of a full window is predicted once an epoch; fewer than `length` ids, other ones in each epoch, are left over.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metalang.corpus import Corpus
from metalang.errors import ConfigError, MismatchError
from metalang.ids import IdSpace
from metalang.mixing.skips import SkippedDocument, chosen, unpredict
from metalang.seeds import key_for

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SPLITS = ("train", "validation", "test")


def named_paths(texts: Sequence[str], flag: str = "--data_paths") -> tuple[tuple[str, str], ...]:
    """(name, path) of each `NAME=PATH` or `PATH`, named by its last part that is no split's name.

    Raises ConfigError for equal names.

    >>> named_paths(["en=/data/openwebtext", "/data/identity/train", "notes.jsonl.gz"])
    (('en', '/data/openwebtext'), ('identity', '/data/identity/train'), ('notes', 'notes.jsonl.gz'))
    """
    named = tuple(_named_path(text) for text in texts)
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{flag} has {names.count(name)} sources called {name!r}; tell them apart by NAME=PATH")
    return named


def _named_path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if equals and _NAME.fullmatch(name):
        return name, path
    parts = Path(text).parts or (".",)
    last = parts[-2] if len(parts) > 1 and parts[-1] in _SPLITS else parts[-1]
    derived = last.split(".")[0] or text
    return re.sub(r"[^A-Za-z0-9_-]+", "_", derived).strip("_") or "source", text


def model_ids(text: IdSpace, folders: Sequence[str | Path]) -> IdSpace:
    """The smallest id space that holds a tokenizer's ids, `text`, and the symbols of all these corpora."""
    needed = max((Corpus(folder).manifest.ids.meta_size for folder in folders), default=0)
    return replace(text, meta_size=max(text.meta_size, needed))


class Source:
    """A corpus under a name, read in windows of `length` predicted ids, in the ids of a model."""

    def __init__(self, name: str, folder: str | Path, ids: IdSpace, *, length: int, verify_reads: bool = False) -> None:
        self.name = name
        self.corpus = Corpus(folder, verify_reads=verify_reads)
        manifest = self.corpus.manifest
        ids.require(manifest.ids, name)
        if manifest.window_length not in (None, length):
            raise MismatchError(
                f"{name} was mixed for windows of {manifest.window_length} ids and is asked for windows of {length}; "
                f"set --max_length {manifest.window_length}, or mix it again"
            )
        self._ids = ids
        self._length = length
        self.in_order = manifest.in_order
        """Whether its windows are read in the order in which they stand."""
        self._mixed = manifest.window_length is not None  # its windows are stored with the id before them
        self._skipped = np.empty((0, 2), dtype=np.int64)
        self._table = np.empty(0, dtype=np.int64)  # what each stored id is in the model, where it is not itself
        if manifest.ids.tokenizer is None:
            self._table = ids.of_symbols(np.arange(manifest.ids.meta_size))

    @property
    def content_hash(self) -> str:
        """Names the tokens."""
        return self.corpus.manifest.content_hash

    @property
    def origin(self) -> str:
        """Where the corpus lies."""
        return str(self.corpus.folder)

    @property
    def num_tokens(self) -> int:
        """Ids in one epoch, those behind the last full window too."""
        return self.corpus.num_tokens

    @property
    def num_windows(self) -> int:
        """Full windows in one epoch."""
        return self.num_tokens // (self._length + self._mixed)

    @property
    def num_left_over(self) -> int:
        """Ids outside of the full windows, which training does not predict and evaluation does."""
        return self.num_tokens - self.num_windows * (self._length + self._mixed)

    def offset(self, epoch: int, seed: int) -> int:
        """Where the first window of an epoch begins to predict, in [0, length)."""
        if epoch == 0 or self.in_order:
            return 0
        return int(key_for("offset", self.content_hash, self._length, seed, epoch)) % self._length

    def start(self, windows: np.ndarray, offsets: np.ndarray | int = 0) -> np.ndarray:
        """Place in the corpus of the first id that each window reads (mixed: stores), (n,); -1: EOS, then the first."""
        if self._mixed:
            return windows * (self._length + 1)
        return (windows * self._length + offsets) % self.num_tokens - 1

    def read(self, windows: np.ndarray, offsets: np.ndarray | int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Model ids (n, length + 1) int64 of full windows and which of them are predicted, (n, length + 1) bool.

        `offsets` are those of the windows' epochs, 0 or (n,). The first id of a window is only read.
        """
        starts = self.start(np.asarray(windows, dtype=np.int64), offsets)
        ids, predicted = self.corpus.gather(starts, self._length + 1, self._table)
        if not self._mixed:
            ids[starts == -1, 0] = self._ids.eos_id
        predicted[:, 0] = False
        if len(self._skipped):
            unpredict(starts, self.num_tokens, self._skipped, predicted)
        return ids, predicted

    def document_starts(self, windows: np.ndarray, offsets: np.ndarray | int = 0) -> np.ndarray:
        """Which ids of the windows that `read` reads are the first of a document, (n, length + 1) bool."""
        starts = self.start(np.asarray(windows, dtype=np.int64), offsets)
        return self.corpus.document_starts(starts, self._length + 1)

    def leave_out(self, documents: Sequence[SkippedDocument]) -> int:
        """From now on `read` predicts no id of these documents; gives their number. Raises ConfigError for one that is
        not there."""
        numbers = np.array([document.row for document in documents], dtype=np.uint64)
        spans, rows = self.corpus.documents_of_rows(numbers)
        spans = spans[chosen(documents, rows, self.corpus.manifest.sources)]
        self._skipped = spans[np.argsort(spans[:, 0])]
        return int((spans[:, 1] - spans[:, 0]).sum())

    def rest(self) -> tuple[np.ndarray, np.ndarray]:
        """What `read` leaves over in epoch 0, as one short window (num_left_over + 1,), none where nothing is left."""
        first = self.num_tokens - self.num_left_over
        stored, predicted = self.corpus.read(max(first - 1, 0), self.num_tokens)
        ids = self._table[stored] if len(self._table) else stored.astype(np.int64)
        if first == 0:
            ids, predicted = np.append(self._ids.eos_id, ids), np.append(False, predicted)
        predicted[0] = False
        return ids, predicted
