"""Texts to ids in a build: by gigatoken where it gives the ids of `tokenizers` on a sample of the very text.

`tokenizers` is the reference: its ids are what a tokenizer means. gigatoken (0.10) is tens of times as fast.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metalang.text.names import first_line
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.spm import PROBES
from metalang.text.tokenizer import TextTokenizer, encode_as_text

logger = logging.getLogger(__name__)

Backend = Literal["auto", "reference"]
"""`auto`: gigatoken where it agrees; `reference`: always `tokenizers`."""

_PLACES = 48
_SMALLEST_PLACE_BYTES = 2**12
_DOCUMENTS_A_PLACE = 64
_CHARACTERS, _PIECE = 2**17, 64
_CHARACTERS_READ_A_PLACE = 2**20
_MAX_SPECIAL_TOKENS = 256
_MAX_GROWTH_BYTES = 2**28
_IDS_SHOWN = 5


@dataclass(frozen=True)
class Encoder:
    """A library and the tokenizer.json that it reads; so it goes to other processes, where it is loaded once."""

    library: Literal["gigatoken", "tokenizers"]
    tokenizer_json: str = field(repr=False)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of texts joined, (T,) int32, and where each text ends, (n,) int64. Special tokens are read as text."""
        return _loaded(self.library, self.tokenizer_json).encode(texts)


def choose_encoder(tokenizer: TextTokenizer, source: TextSource, *, backend: Backend, unit_bytes: int) -> Encoder:
    """The encoder of a build: gigatoken if it is wanted, loads the tokenizer and agrees; else the reference.

    `unit_bytes` of the build: the sample comes from places all over the source. The log says why gigatoken is not used.
    """
    reference = Encoder("tokenizers", tokenizer.tokenizer_json)
    if backend == "reference":
        return reference
    fast = Encoder("gigatoken", _without_special_tokens(reference.tokenizer_json))
    try:
        _loaded(fast.library, fast.tokenizer_json)
    except ValueError as error:
        logger.warning("gigatoken cannot load tokenizer %r (%s); encoding by tokenizers", tokenizer.name, error)
        return reference
    samples = [*_hard_texts(tokenizer), *_sample(source, unit_bytes)]
    difference = first_difference(tokenizer, fast, samples)
    if difference:
        logger.warning("gigatoken is not used for tokenizer %r: %s; encoding by tokenizers", tokenizer.name, difference)
        return reference
    logger.info("gigatoken gives the ids of tokenizers on %d samples; encoding by gigatoken", len(samples))
    return fast


def first_difference(tokenizer: TextTokenizer, fast: Encoder, samples: list[tuple[str, str]]) -> str | None:
    """The first of the (name, text) to which an encoder gives other ids than the reference, and which; None: none."""
    texts = [text for _, text in samples]
    expected, found = _rows(*tokenizer.encode(texts)), _rows(*fast.encode(texts))
    for (name, text), ours, theirs in zip(samples, expected, found, strict=True):
        if not np.array_equal(ours, theirs):
            shared = min(len(ours), len(theirs))
            unequal = np.flatnonzero(ours[:shared] != theirs[:shared])
            at = int(unequal[0]) if len(unequal) else shared
            here = slice(at, at + _IDS_SHOWN)
            return (
                f"{name} ({text[:40]!r}) has from id {at:,} on {theirs[here].tolist()} by gigatoken and "
                f"{ours[here].tolist()} by tokenizers"
            )
    return None


def _rows(ids: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    return np.split(ids, ends[:-1]) if len(ends) else []


def _hard_texts(tokenizer: TextTokenizer) -> Iterator[tuple[str, str]]:
    """Whitespace, other scripts, the empty text, and texts that spell the tokenizer's own added tokens."""
    added = [token.content for token in tokenizer.backend.get_added_tokens_decoder().values()][:_MAX_SPECIAL_TOKENS]
    spelled = (text for token in added for text in (token, f"a{token}{token} b {token}\n"))
    yield from (("a probe", text) for text in (*PROBES, *spelled))


def _sample(source: TextSource, unit_bytes: int) -> Iterator[tuple[str, str]]:
    """Pieces of some thousand documents: from places all over the source, and all over each document."""
    units = source.units(unit_bytes)
    while len(units) < _PLACES and unit_bytes > _SMALLEST_PLACE_BYTES:
        unit_bytes //= 4
        units = source.units(unit_bytes)
    places = [units[number * len(units) // _PLACES] for number in range(_PLACES)] if len(units) > _PLACES else units
    count = _DOCUMENTS_A_PLACE * _PLACES // max(1, len(places))
    longest = _CHARACTERS // max(1, len(places))
    for unit in places:
        num_read = 0
        for number, document in zip(range(count), source.read(unit, bad_lines=BadLines(skip=True)), strict=False):
            length = max(_PIECE, longest >> (number + 1))  # half of what a place may give, a quarter, ...
            start = number * _PIECE % len(document.text)
            yield f"row {document.row} of {source.name}", document.text[start : start + length]
            num_read += len(document.text)
            if num_read > _CHARACTERS_READ_A_PLACE:
                break


@lru_cache(maxsize=2)
def _loaded(library: str, tokenizer_json: str) -> "_Tokenizers | _Gigatoken":
    return _LIBRARIES[library](tokenizer_json)


class _Tokenizers:
    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer

        self._backend = Tokenizer.from_str(tokenizer_json)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return encode_as_text(self._backend, texts)


class _Gigatoken:
    """gigatoken keeps the ids of every word that it has met (16 bytes and more a byte of random letters): it is loaded
    anew when they have taken `_MAX_GROWTH_BYTES`."""

    def __init__(self, tokenizer_json: str) -> None:
        self._json = tokenizer_json
        self._load()

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        if _resident_bytes() - self._bytes_at_load > _MAX_GROWTH_BYTES:
            self._load()
        rows = self._tokenizer.encode_batch(texts, parallel=False).layout  # one core a process
        return rows.content.data.astype(np.int32), rows.offsets.data[1:].astype(np.int64)

    def _load(self) -> None:
        """Raises ValueError for a tokenizer that it does not know."""
        import gigatoken

        self._tokenizer: Any = None
        try:
            self._tokenizer = gigatoken.Tokenizer.from_json(self._json)
        except Exception as error:  # RuntimeError from Rust, whatever the parsers before it raise
            raise ValueError(first_line(error)) from error
        self._bytes_at_load = _resident_bytes()


_LIBRARIES = {"tokenizers": _Tokenizers, "gigatoken": _Gigatoken}


def _without_special_tokens(tokenizer_json: str) -> str:
    """The tokenizer.json that reads special tokens as text: gigatoken has no `encode_special_tokens`."""
    start = tokenizer_json.index("[", tokenizer_json.index('"added_tokens"'))
    tokens, end = json.JSONDecoder().raw_decode(tokenizer_json, start)
    kept = [token for token in tokens if not token["special"]]
    return tokenizer_json[:start] + json.dumps(kept) + tokenizer_json[end:]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
