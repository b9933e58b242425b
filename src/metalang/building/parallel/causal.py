"""Pairs as a corpus for a causal model: `text <sep> translation EOS`, of which translation and EOS are predicted."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from metalang.building.parallel.directions import UNIT_PAIRS, Directed, DirectedPairs
from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.ids import IdSpace
from metalang.text.tokenizer import TextTokenizer, load_tokenizer


@dataclass(frozen=True)
class ParallelBuild:
    """A document a pair (two where both directions are asked for). `separator` is one id of the tokenizer.

    A pair in which a text spells the separator is left out and counted, so a document has it once.
    """

    pairs: DirectedPairs
    tokenizer: str
    separator: str = "<sep>"
    window_length: None = None
    in_order: bool = False
    num_tokens: None = None

    @property
    def ids(self) -> IdSpace:
        """The tokenizer's own ids."""
        tokenizer = _tokenizer(self.tokenizer)
        return IdSpace(tokenizer.text_size, 0, tokenizer.eos_id, tokenizer.fingerprint)

    @property
    def sources(self) -> tuple[str, ...]:
        """The folders."""
        return self.pairs.paths

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "parallel",
            **self.pairs.identity,
            "tokenizer": _tokenizer(self.tokenizer).fingerprint,
            "separator": self.separator,
            "unit_pairs": UNIT_PAIRS,
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return len(self.pairs.units)

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Tokenizes the pairs of a unit, a chunk at a time."""
        tokenizer = _tokenizer(self.tokenizer)
        separator_id = tokenizer.hf.convert_tokens_to_ids(self.separator)
        for chunk in self.pairs.chunks(unit):
            kept = [pair for pair in chunk if self.separator not in pair[1] and self.separator not in pair[2]]
            if kept:
                writer.append(_joined(kept, tokenizer, separator_id, source=self.pairs.units[unit][0]))
            yield {
                "documents": len(kept),
                "characters": sum(len(text) + len(translation) for _, text, translation in kept),
                "spells_separator": len(chunk) - len(kept),
            }


def _joined(pairs: list[Directed], tokenizer: TextTokenizer, separator_id: int, *, source: int) -> Documents:
    rows, texts, translations = zip(*pairs, strict=True)
    read, read_ends = tokenizer.encode(list(texts))
    said, said_ends = tokenizer.encode(list(translations))
    lengths = np.stack([np.diff(ends, prepend=0) + 1 for ends in (read_ends, said_ends)], axis=1)
    predicted = np.repeat(np.tile([False, True], len(pairs)), lengths.ravel())
    ids = np.empty(len(predicted), dtype=np.int32)
    ids[~predicted] = np.insert(read, read_ends, separator_id)
    ids[predicted] = np.insert(said, said_ends, tokenizer.eos_id)
    return Documents(ids, np.cumsum(lengths.sum(axis=1)), np.array(rows, dtype=np.uint64), predicted, source)


@lru_cache(maxsize=4)
def _tokenizer(folder: str) -> TextTokenizer:
    return load_tokenizer(folder)
