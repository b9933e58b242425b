"""The windows of a mixture in their order, as a corpus that is read as it stands.

A window of L predicted ids is stored as L + 1: the id before it, which is only read, then the ids that it predicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.ids import IdSpace
from metalang.mixing import Plan, Reading

_UNIT_TOKENS = 2**24
_CHUNK_WINDOWS = 256


@dataclass(frozen=True)
class MixedBuild:
    """The windows that a run reads, in their order; `paths` are (name, folder) of its corpora, `ids` the model's."""

    paths: tuple[tuple[str, str], ...]
    reading: Reading
    ids: IdSpace
    in_order: bool = True

    @property
    def window_length(self) -> int:
        """Predicted ids in a window."""
        return self.reading.length

    @property
    def plan(self) -> Plan:
        """The plan, its sources opened. Raises ConfigError where there is none."""
        return self.reading.plan(self.paths, self.ids)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the mixture's sources."""
        return tuple(name for name, _ in self.paths)

    @property
    def num_tokens(self) -> int:
        """Ids that will be stored."""
        return self.reading.num_windows * (self.window_length + 1)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "mixed",
            "plan": self.plan.description(self.reading.num_windows),
            "num_windows": self.reading.num_windows,
            "tokenizer": self.ids.tokenizer,
            "vocab_size": self.ids.vocab_size,
            "unit_tokens": _UNIT_TOKENS,
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return -(-self.reading.num_windows // self._unit_windows)

    @property
    def _unit_windows(self) -> int:
        return max(1, _UNIT_TOKENS // (self.window_length + 1))

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Writes the windows of a unit, a chunk at a time."""
        plan = self.plan
        last = min((unit + 1) * self._unit_windows, self.reading.num_windows)
        for start in range(unit * self._unit_windows, last, _CHUNK_WINDOWS):
            ids, predicted, sources = plan.read(np.arange(start, min(start + _CHUNK_WINDOWS, last)))
            ends = np.arange(1, len(ids) + 1) * (self.window_length + 1)
            rows = np.arange(start, start + len(ids), dtype=np.uint64)
            writer.append(Documents(ids.ravel(), ends, rows, predicted.ravel(), sources))
            yield {"windows": len(ids)}
