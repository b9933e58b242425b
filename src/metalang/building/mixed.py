"""The windows of a mixture in their order, as a corpus that is read as it stands.

A window of L predicted ids is stored as L + 1: the id before it, which is only read, then the ids that it predicts.
Each piece of a document within a window is a document of the corpus, whose row is the window's place in the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.ids import IdSpace
from metalang.mixing import Plan, PlanSpec

_UNIT_TOKENS = 2**24
_CHUNK_WINDOWS = 256


@dataclass(frozen=True)
class MixedBuild:
    """The windows that a run reads, in their order; `paths` are (name, folder) of its corpora, `ids` the model's."""

    paths: tuple[tuple[str, str], ...]
    plan_spec: PlanSpec
    ids: IdSpace
    in_order: bool = True

    @property
    def window_length(self) -> int:
        """Predicted ids in a window."""
        return self.plan_spec.length

    @property
    def plan(self) -> Plan:
        """The plan, its sources opened. Raises ConfigError where there is none."""
        return self.plan_spec.plan(self.paths, self.ids)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the mixture's sources."""
        return tuple(name for name, _ in self.paths)

    @property
    def num_tokens(self) -> int:
        """Ids that will be stored."""
        return self.plan_spec.num_windows * (self.window_length + 1)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "mixed",
            "plan": self.plan.description(self.plan_spec.num_windows),
            "num_windows": self.plan_spec.num_windows,
            "tokenizer": self.ids.tokenizer,
            "vocab_size": self.ids.vocab_size,
            "unit_tokens": _UNIT_TOKENS,
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return -(-self.plan_spec.num_windows // self._unit_windows)

    @property
    def _unit_windows(self) -> int:
        return max(1, _UNIT_TOKENS // (self.window_length + 1))

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Writes the windows of a unit, a chunk at a time."""
        plan = self.plan
        last = min((unit + 1) * self._unit_windows, self.plan_spec.num_windows)
        for start in range(unit * self._unit_windows, last, _CHUNK_WINDOWS):
            windows = np.arange(start, min(start + _CHUNK_WINDOWS, last))
            ids, predicted, sources = plan.read(windows)
            begins = plan.document_starts(windows)
            begins[:, 0] = True  # a window is no document's continuation on disk
            rows, places = np.nonzero(begins)
            ends = np.append((rows * ids.shape[1] + places)[1:], ids.size)
            pieces = Documents(ids.ravel(), ends, windows[rows].astype(np.uint64), predicted.ravel(), sources[rows])
            writer.append(pieces)
            yield {"windows": len(ids)}
