"""A source of a mixture that is read forward from text and lies nowhere on disk.

Its windows are those that a corpus of the same documents has, in order: documents joined, each ended by EOS; window w
predicts the ids [w * L, (w + 1) * L) and reads the one before. As text has to be encoded for its ids to be counted,
every reader encodes all of it and drops what it was not asked for: the windows do not depend on who reads which.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from metalang.digests import digest_of
from metalang.errors import ConfigError, MismatchError
from metalang.mixing.bookmarks import Bookmark, Bookmarks
from metalang.mixing.skips import SkippedDocument
from metalang.text.encoding import Encoder
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource

logger = logging.getLogger(__name__)

_CHUNK_CHARACTERS = 2**16


@dataclass(frozen=True)
class EncodedText:
    """A source of text as ids, some documents at a time."""

    source: TextSource
    encoder: Encoder
    eos_id: int
    bad_lines: BadLines

    def chunks(self, place: dict[str, Any] | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Ids (n,) int64 of the next documents from a place on (None: the first), each ended by EOS, and the place
        behind them. Where a chunk ends depends on where it begins alone."""
        for texts, behind in self._texts(place):
            ids, ends = self.encoder.encode(texts)
            yield np.insert(ids, ends, self.eos_id).astype(np.int64), behind

    def _texts(self, place: dict[str, Any] | None) -> Iterator[tuple[list[str], dict[str, Any]]]:
        texts: list[str] = []
        num_characters = 0
        for text, behind in self.source.read_from(place, bad_lines=self.bad_lines):
            texts.append(text)
            num_characters += len(text)
            if num_characters >= _CHUNK_CHARACTERS:
                yield texts, behind()
                texts, num_characters = [], 0
        if texts:
            yield texts, behind()


class Stream:
    """Text under a name, read in windows of `length` predicted ids: quick where each window lies behind the last one.

    At the end the text is read again, `max_epochs` times in all at most. Once it is read, a stream belongs to its
    process. Its bookmarks say of what it is.
    """

    in_order = True
    num_windows = 2**62
    """More than any run asks for: where a stream ends is known when the end is met."""
    num_tokens = None
    num_left_over = 0

    def __init__(self, name: str, text: EncodedText, *, length: int, max_epochs: float, bookmarks: Bookmarks) -> None:
        self.name, self.origin = name, text.source.name
        self.content_hash = digest_of(bookmarks.stream)
        self._text, self._bookmarks = text, bookmarks
        self._length, self._max_epochs = length, max_epochs
        self._num_ids: int | None = None
        self._chunks: Iterator[np.ndarray] | None = None
        self._first = 0  # number of the id behind the first of `_held`
        self._held = np.empty(0, dtype=np.int64)

    def offset(self, epoch: int, seed: int) -> int:
        """0: the windows of a stream are those of its text in order."""
        return 0

    def leave_out(self, documents: Sequence[SkippedDocument]) -> int:
        """Raises ConfigError: where the documents of a stream lie is known when they are read."""
        raise ConfigError(
            f"--skip_documents names {documents[0].text}, and {self.name} is streamed: it has no table of documents; "
            "leave --streaming out, or --skip_documents"
        )

    def read(self, windows: np.ndarray, offsets: np.ndarray | int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Model ids (n, length + 1) int64 of windows and which of them are predicted, all but the first of each.

        Raises ConfigError behind the last window of the last epoch.
        """
        ids = np.stack([self._window(int(window)) for window in windows])
        predicted = np.ones(ids.shape, dtype=bool)
        predicted[:, 0] = False
        return ids, predicted

    def document_starts(self, windows: np.ndarray, offsets: np.ndarray | int = 0) -> np.ndarray:
        """Raises ConfigError: a stream keeps no index."""
        raise ConfigError(
            f"{self.name} is streamed, and a stream keeps no index of its documents; leave --streaming out, or set "
            "--document_boundaries ignore"
        )

    def _window(self, window: int) -> np.ndarray:
        if self._chunks is None and self._num_ids is None:
            self._num_ids = self._bookmarks.num_ids()
        start = self._place_of(window) * self._length
        if self._chunks is None or start < self._first:
            self._begin(start)
        while self._first + len(self._held) - 1 < start + self._length:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._end()
                return self._window(window)
            dropped = min(start - self._first, len(self._held) - 1)
            self._held = np.concatenate([self._held[dropped:], chunk])
            self._first += dropped
        at = start - self._first
        return self._held[at : at + self._length + 1]

    def _place_of(self, window: int) -> int:
        """The window within its epoch."""
        if self._num_ids is None:
            return window
        num_windows = self._num_ids // self._length
        held = f"{self.name} ({self.origin}) holds {self._num_ids:,} tokens"
        if not num_windows:
            raise ConfigError(f"{held}, less than one window of {self._length}; give more data, or less --max_length")
        if window >= num_windows * self._max_epochs:
            raise ConfigError(
                f"{held}, {num_windows:,} windows of {self._length}, and is asked for window {window + 1:,}. At most "
                f"{self._max_epochs:g} epochs are allowed: set --max_epochs {-(-(window + 1) // num_windows)} or more, "
                "or a smaller --max_steps, or give more data"
            )
        return window % num_windows

    def _begin(self, start: int) -> None:
        """Reads on from the last bookmark at or before the id `start`. Before a document there is always EOS."""
        bookmark = self._bookmarks.last_before(start)
        self._say("%s is read from its id %s on, for id %s", self.name, f"{bookmark.ids:,}", f"{start:,}")
        self._chunks = self._chunks_from(bookmark)
        self._first, self._held = bookmark.ids, np.array([self._text.eos_id], dtype=np.int64)

    def _chunks_from(self, bookmark: Bookmark) -> Iterator[np.ndarray]:
        """The chunks from a bookmark on; where one begins, there may be another bookmark."""
        num_ids, place, check = bookmark.ids, bookmark.place, bookmark.check
        for chunk, behind in self._text.chunks(place):
            found = xxhash.xxh3_64_hexdigest(chunk.tobytes())
            if check not in (None, found):
                raise self._changed(f"gives other ids behind id {num_ids:,}")
            self._bookmarks.add(Bookmark(num_ids, place, found))
            num_ids, place, check = num_ids + len(chunk), behind, None
            yield chunk

    def _end(self) -> None:
        """The text has ended: its length is known, and what is behind its last full window is left out."""
        num_ids = self._first + len(self._held) - 1
        if self._num_ids not in (None, num_ids):
            raise self._changed(f"ends behind {num_ids:,} ids, not {self._num_ids:,}")
        self._num_ids, self._chunks = num_ids, None
        self._bookmarks.end(num_ids)
        self._say(
            "%s has ended: %s windows, %s tokens behind the last are not read, %s bad lines skipped; at most %g epochs",
            *(self.name, f"{num_ids // self._length:,}", num_ids % self._length),
            *(f"{self._text.bad_lines.num_bad:,}", self._max_epochs),
        )

    def _changed(self, how: str) -> MismatchError:
        return MismatchError(
            f"{self.name} ({self.origin}) {how}, unlike before ({self._bookmarks.path}): its text, or the library that "
            "encodes it, has changed; give those of then, or start anew in another --output_dir"
        )

    def _say(self, message: str, *values: Any) -> None:
        if self._bookmarks.is_writer:
            logger.warning(message, *values)
