"""Documents of a text source, as a corpus of a tokenizer's ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import xxhash

from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.text.encoding import Backend, Encoder, choose_encoder
from metalang.text.readers import BadLines
from metalang.text.sources import Document, TextSource
from metalang.text.tokenizer import TextTokenizer, load_tokenizer

_UNIT_BYTES = 2**26
_SMALL_UNIT_BYTES, _ENOUGH_UNITS = 24 * 2**20, 16
_CHUNK_CHARACTERS = 2**20

Split = Literal["all", "train", "validation"]


@dataclass(frozen=True)
class TextBuild:
    """The documents of a source that belong to a split, tokenized, each ended by EOS.

    A document is of the validation split where the hash of its text falls below `validation_ratio`, so equal documents
    are never on both sides; "all" takes every document. `tokenizer_backend` changes no byte, only the speed.
    """

    source: TextSource
    tokenizer: str
    split: Split = "all"
    validation_ratio: float = 0.0
    skip_bad_lines: bool = False
    tokenizer_backend: Backend = "auto"
    window_length: None = None
    in_order: bool = False
    num_tokens: None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_ratio < 1.0:
            raise ConfigError(
                f"--validation_ratio {self.validation_ratio} is no share; give 0 up to (not) 1, such as 0.05"
            )
        if (self.split == "all") != (self.validation_ratio == 0.0):
            raise ConfigError(
                f"--split {self.split} and --validation_ratio {self.validation_ratio:g} do not go together: train and "
                "validation need a ratio above 0, all has none"
            )

    @cached_property
    def ids(self) -> IdSpace:
        """The tokenizer's own ids."""
        tokenizer = _tokenizer(self.tokenizer)
        return IdSpace(tokenizer.text_size, 0, tokenizer.eos_id, tokenizer.fingerprint)

    @property
    def sources(self) -> tuple[str, ...]:
        """One: the name of the source."""
        return (self.source.name,)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "text",
            "source": self._identity,
            "tokenizer": _tokenizer(self.tokenizer).fingerprint,
            "split": self.split,
            "validation_ratio": self.validation_ratio,
            "skip_bad_lines": self.skip_bad_lines,
            "unit_bytes": self._unit_bytes,
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return len(self._units)

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Tokenizes the documents of a unit, about a million characters at a time."""
        bad_lines = BadLines(skip=self.skip_bad_lines)
        chunk: list[Document] = []
        num_characters = 0
        for document in self.source.read(self._units[unit], bad_lines=bad_lines):
            if not self._is_wanted(document.text):
                continue
            chunk.append(document)
            num_characters += len(document.text)
            if num_characters >= _CHUNK_CHARACTERS:
                yield self._append(chunk, num_characters, writer)
                chunk, num_characters = [], 0
        yield self._append(chunk, num_characters, writer)
        yield {"bad_lines": bad_lines.num_bad, "empty_documents": bad_lines.num_empty}

    def _append(self, chunk: list[Document], num_characters: int, writer: ShardWriter) -> Stats:
        if not chunk:
            return {}
        ids, ends = self._encoder.encode([document.text for document in chunk])
        with_eos = np.insert(ids, ends, self.ids.eos_id)
        rows = np.array([document.row for document in chunk], dtype=np.uint64)
        writer.append(Documents(with_eos, ends + np.arange(1, len(ends) + 1), rows))
        return {"documents": len(chunk), "characters": num_characters}

    @cached_property
    def _encoder(self) -> Encoder:
        return choose_encoder(
            _tokenizer(self.tokenizer), self.source, backend=self.tokenizer_backend, unit_bytes=self._unit_bytes
        )

    def __getstate__(self) -> dict[str, Any]:
        """What other processes get: the encoder is chosen here, once, and they need not load the tokenizer."""
        return self.__dict__ | {"_encoder": self._encoder, "ids": self.ids}

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return self.source.identity()

    @cached_property
    def _unit_bytes(self) -> int:
        """Small units where a source is small, so that a few workers end together; large ones make fewer shards."""
        num_bytes = sum(file["bytes"] for file in self._identity.get("files", []))
        return min(_UNIT_BYTES, max(_SMALL_UNIT_BYTES, num_bytes // _ENOUGH_UNITS))

    @cached_property
    def _units(self) -> list[Any]:
        return self.source.units(self._unit_bytes)

    def _is_wanted(self, text: str) -> bool:
        if self.split == "all":
            return True
        held_out = xxhash.xxh3_64_intdigest(text.encode()) < self.validation_ratio * 2**64
        return held_out == (self.split == "validation")


@lru_cache(maxsize=4)
def _tokenizer(name: str) -> TextTokenizer:
    return load_tokenizer(name)
