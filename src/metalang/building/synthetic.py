"""Rows of a domain, as a corpus of symbols."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.domains import Domain
from metalang.domains.controls import ControlName, sample_control
from metalang.errors import ConfigError
from metalang.ids import IdSpace

_UNIT_TOKENS = 2**24
_CHUNK_ROWS = 2**10
_LENGTHS_ROWS = 2**14
_MAX_TOKENS = 10**15


@dataclass(frozen=True)
class SyntheticBuild:
    """The first rows of a stream that hold `num_tokens` symbols together, the row that reaches it included."""

    domain: Domain
    num_tokens: int
    seed: int = 0
    split: str = "train"
    control: ControlName = "none"
    window_length: None = None

    def __post_init__(self) -> None:
        if self.num_tokens < 1:
            raise ConfigError(f"--num_token {self.num_tokens} asks for nothing; give 1 or more, such as 5M")
        if self.num_tokens > _MAX_TOKENS:
            raise ConfigError(f"--num_token {self.num_tokens} is more than any disk holds; give 1000T at the most")

    @property
    def ids(self) -> IdSpace:
        """Symbols; where they lie among a model's ids is decided when they are mixed or trained on."""
        return IdSpace.of_domain(self.domain.num_symbols)

    @property
    def sources(self) -> tuple[str, ...]:
        """One: the type of the domain, and its control."""
        return (self.domain.type if self.control == "none" else f"{self.domain.type}-{self.control}",)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        return {
            "kind": "synthetic",
            "domain": self.domain.model_dump(mode="json"),
            "num_tokens": self.num_tokens,
            "seed": self.seed,
            "split": self.split,
            "unit_tokens": _UNIT_TOKENS,
            **({} if self.control == "none" else {"control": self.control}),
        }

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return len(self._unit_ends)

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Writes the rows of a unit, a chunk at a time."""
        key = self.domain.key(self.seed, self.split)
        first, last = ([0, *self._unit_ends])[unit : unit + 2]
        for start in range(first, last, _CHUNK_ROWS):
            count = min(_CHUNK_ROWS, last - start)
            rows = sample_control(self.domain, self.control, key, start, count)
            writer.append(Documents(rows.symbols, rows.ends, np.arange(start, start + count), rows.predicted))
            yield {"rows": count}

    @cached_property
    def _unit_ends(self) -> list[int]:
        """Row behind the last row of each unit: a unit is full at the row that reaches its share of tokens."""
        key = self.domain.key(self.seed, self.split)
        ends: list[int] = []
        row = tokens = 0
        while tokens < self.num_tokens:
            totals = tokens + np.cumsum(self.domain.lengths(key, row, _LENGTHS_ROWS))
            while len(ends) * _UNIT_TOKENS < self.num_tokens:
                goal = min((len(ends) + 1) * _UNIT_TOKENS, self.num_tokens)
                if totals[-1] < goal:
                    break
                ends.append(row + int(np.searchsorted(totals, goal)) + 1)
            row, tokens = row + _LENGTHS_ROWS, int(totals[-1])
        return ends
