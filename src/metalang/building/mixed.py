"""The windows of a mixture in their order, as a corpus that is read as it stands.

A window of L predicted ids is stored as L + 1: the id before it, which is only read, then the ids that it predicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.mixing import Plan, Source, Stage

_UNIT_TOKENS = 2**24
_CHUNK_WINDOWS = 256


@dataclass(frozen=True)
class MixedBuild:
    """The first `num_windows` windows of a mixture; `paths` are (name, folder) of its corpora, `ids` the model's."""

    paths: tuple[tuple[str, str], ...]
    shares: tuple[int, ...]
    ids: IdSpace
    window_length: int
    num_windows: int
    max_epochs: float
    seed: int = 0
    in_order: bool = True

    def __post_init__(self) -> None:
        if self.window_length < 1 or self.num_windows < 1:
            raise ConfigError(
                f"{self.num_windows} windows of --max_length {self.window_length} hold nothing; give 1 or more of each"
            )
        if not self.max_epochs > 0:
            raise ConfigError(f"--max_epochs {self.max_epochs} reads nothing; give more than 0, such as 1")

    @property
    def plan(self) -> Plan:
        """The plan, its sources opened. Raises ConfigError where it would read a source too often."""
        sources = [Source(name, folder, self.ids, length=self.window_length) for name, folder in self.paths]
        plan = Plan(sources, [Stage(self.shares)], length=self.window_length, seed=self.seed)
        plan.require_epochs(self.num_windows, self.max_epochs)
        return plan

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the mixture's sources."""
        return tuple(name for name, _ in self.paths)

    @property
    def num_tokens(self) -> int:
        """Ids that will be stored."""
        return self.num_windows * (self.window_length + 1)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "mixed",
            "mixture": self.plan.fingerprint,
            "sources": list(self.sources),
            "shares": list(self.shares),
            "window_length": self.window_length,
            "num_windows": self.num_windows,
            "seed": self.seed,
            "tokenizer": self.ids.tokenizer,
            "vocab_size": self.ids.vocab_size,
            "unit_tokens": _UNIT_TOKENS,
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return -(-self.num_windows // self._unit_windows)

    @property
    def _unit_windows(self) -> int:
        return max(1, _UNIT_TOKENS // (self.window_length + 1))

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Writes the windows of a unit, a chunk at a time."""
        plan = self.plan
        last = min((unit + 1) * self._unit_windows, self.num_windows)
        for start in range(unit * self._unit_windows, last, _CHUNK_WINDOWS):
            ids, predicted, sources = plan.read(np.arange(start, min(start + _CHUNK_WINDOWS, last)))
            ends = np.arange(1, len(ids) + 1) * (self.window_length + 1)
            rows = np.arange(start, start + len(ids), dtype=np.uint64)
            writer.append(Documents(ids.ravel(), ends, rows, predicted.ravel(), sources))
            yield {"windows": len(ids)}
