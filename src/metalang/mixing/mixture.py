"""A mixture: several corpora read as one endless sequence of windows, in exact shares of tokens.

Window w of a source of T ids and windows of L predicts the ids [w * L, (w + 1) * L): every id once, none lost at an
edge. It reads the id before them too; before the first id of a corpus that is EOS, as before any other document.
A source gives its windows in a keyed permutation per epoch, or (a curriculum) in the order in which they stand; each
epoch is complete before the next.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np

from metalang.corpus import Corpus
from metalang.digests import digest_of
from metalang.errors import ConfigError, MismatchError
from metalang.ids import IdSpace
from metalang.mixing.permutation import permuted
from metalang.mixing.shares import Interleave
from metalang.mixing.stream import Stream
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
    parts = Path(text).parts
    last = parts[-2] if len(parts) > 1 and parts[-1] in _SPLITS else parts[-1]
    derived = last.split(".")[0] or text
    return re.sub(r"[^A-Za-z0-9_-]+", "_", derived).strip("_") or "source", text


def model_ids(text: IdSpace, folders: Sequence[str | Path]) -> IdSpace:
    """The smallest id space that holds a tokenizer's ids, `text`, and the symbols of all these corpora."""
    needed = max((Corpus(folder).manifest.ids.meta_size for folder in folders), default=0)
    return replace(text, meta_size=max(text.meta_size, needed))


class Source:
    """A corpus under a name, read in windows of `length` predicted ids, in the ids of a model."""

    def __init__(self, name: str, folder: str | Path, ids: IdSpace, *, length: int) -> None:
        self.name = name
        self.corpus = Corpus(folder)
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
        return self.corpus.num_tokens // (self._length + self._mixed)

    @property
    def num_left_over(self) -> int:
        """Ids behind the last full window, which training does not predict and evaluation does."""
        return self.corpus.num_tokens - self.num_windows * (self._length + self._mixed)

    def read(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Model ids (n + 1,) int64 of a window and which of them are predicted (n + 1,), where n is `length`.

        The first id is only read. n is less than `length` in the window behind the last full one.
        """
        step = self._length + self._mixed
        start, stop = window * step, min((window + 1) * step, self.corpus.num_tokens)
        before = 0 if self._mixed or start == 0 else 1
        stored, predicted = self.corpus.read(start - before, stop)
        ids = self._to_model(stored)
        if not self._mixed and start == 0:
            ids, predicted = np.append(self._ids.eos_id, ids), np.append(False, predicted)
        predicted[0] = False
        return ids, predicted

    def _to_model(self, stored: np.ndarray) -> np.ndarray:
        if self.corpus.manifest.ids.tokenizer is None:
            return self._ids.of_symbols(stored)
        return stored.astype(np.int64)


@dataclass(frozen=True)
class Use:
    """What a run of so many windows takes from a source; `held_tokens` is None for a stream."""

    name: str
    share: float
    num_windows: int
    num_tokens: int
    epochs: float
    held_tokens: int | None
    left_over: int


class Mixture:
    """Sources with whole-number shares; `read(index)` is a pure function of sources, shares, seed and window length."""

    def __init__(self, sources: Sequence[Source | Stream], shares: Sequence[int], *, length: int, seed: int) -> None:
        if len(sources) != len(shares):
            raise ConfigError(
                f"{len(sources)} --data_paths and {len(shares)} --data_ratios are given; give one ratio a path"
            )
        self.sources, self.shares, self.length, self.seed = tuple(sources), tuple(shares), length, seed
        self._content = [source.content_hash for source in sources]
        self._refuse_twins()
        self._refuse_short()
        self._interleave = Interleave(shares)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the order of all windows, whatever the length of the run."""
        return digest_of([self._content, list(self.shares), self.length, self.seed])[:16]

    def locate(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Source and window of each index of the run, (n,) int64 each."""
        sources, ordinals = self._interleave.locate(np.asarray(indices, dtype=np.int64))
        windows = np.empty_like(ordinals)
        for number in np.unique(sources):
            here = sources == number
            windows[here] = self._windows(int(number), ordinals[here])
        return sources, windows

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (length + 1,) int64 of a place in the run and which of them are predicted (length + 1,) bool."""
        sources, windows = self.locate([index])
        return self.sources[sources[0]].read(int(windows[0]))

    def usage(self, num_windows: int) -> list[Use]:
        """What the first `num_windows` take from each source."""
        counts = self._interleave.counts(num_windows).tolist()
        return [
            Use(
                name=source.name,
                share=share / sum(self.shares),
                num_windows=count,
                num_tokens=count * self.length,
                epochs=count / source.num_windows,
                held_tokens=source.num_tokens,
                left_over=source.num_left_over,
            )
            for source, share, count in zip(self.sources, self.shares, counts, strict=True)
        ]

    def require_epochs(self, num_windows: int, max_epochs: float) -> None:
        """Raises ConfigError where a run of `num_windows` reads a source more often than `max_epochs` times."""
        used = self.usage(num_windows)
        short = [use for use in used if use.epochs > max_epochs]
        if not short:
            return
        feasible = self._feasible_windows(max_epochs)
        faults = "; ".join(
            f"{use.name} holds {use.held_tokens:,} tokens and is asked for {use.num_tokens:,}, {use.epochs:.2f} epochs"
            for use in short
        )
        raise ConfigError(
            f"{faults}. At most {max_epochs:g} epochs are allowed: set --max_epochs "
            f"{ceil(100 * max(use.epochs for use in short)) / 100:g} to read that often, or ask for at most "
            f"{feasible * self.length:,} tokens ({feasible:,} windows of {self.length}), or give more data"
        )

    def _feasible_windows(self, max_epochs: float) -> int:
        caps = [int(source.num_windows * max_epochs) for source in self.sources]
        low, high = (
            0,
            min(cap * sum(self.shares) // share for cap, share in zip(caps, self.shares, strict=True)) + len(caps),
        )
        while low < high:
            middle = (low + high + 1) // 2
            fits = all(count <= cap for count, cap in zip(self._interleave.counts(middle), caps, strict=True))
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _windows(self, number: int, ordinals: np.ndarray) -> np.ndarray:
        source = self.sources[number]
        epochs, places = np.divmod(ordinals, source.num_windows)
        if source.in_order:
            return places
        windows = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            key = np.uint64(key_for("windows", self._content[number], self.length, self.seed, int(epoch)))
            windows[here] = permuted(places[here], source.num_windows, key)
        return windows

    def _refuse_twins(self) -> None:
        for number, source in enumerate(self.sources):
            twin = self._content.index(self._content[number])
            if twin < number:
                raise ConfigError(
                    f"{self.sources[twin].name} and {source.name} hold the same tokens; "
                    "name them once, with the sum of their ratios"
                )

    def _refuse_short(self) -> None:
        for source in self.sources:
            if not source.num_windows:
                raise ConfigError(
                    f"{source.name} holds {source.num_tokens:,} tokens, less than one window of {self.length}; "
                    "give more data, or a smaller --max_length"
                )
