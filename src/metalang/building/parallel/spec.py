"""What decides a folder of prepared pairs."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import xxhash

from metalang.building.parallel.cleaning import Cleaning
from metalang.building.parallel.folder import Split
from metalang.building.parallel.pairs import PairSource
from metalang.building.parallel.tags import Provenance
from metalang.errors import ConfigError
from metalang.seeds import key_for

UniqueBy = Literal["pair", "source", "target", "none"]


@dataclass(frozen=True)
class ParallelText:
    """Which pairs are read, how they are cleaned, tagged and split.

    `unique_by` says which text may not come twice, and is hashed for the split: with "source" no source stands in both
    splits, with "pair" one may, translated otherwise.
    """

    pairs: PairSource
    cleaning: Cleaning
    provenance: Provenance = field(default_factory=Provenance)
    unique_by: UniqueBy = "pair"
    val_ratio: float = 0.1
    seed: int = 0
    skip_bad_lines: bool = False
    keep_rejected: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.val_ratio < 1:
            raise ConfigError(f"--val_ratio {self.val_ratio:g} leaves one split empty; give a share such as 0.1")

    @cached_property
    def key(self) -> int:
        """Of the stream of hashes that split the pairs."""
        return key_for("parallel split", self.seed)

    @property
    def languages(self) -> tuple[str, str]:
        """Codes of source and target."""
        return self.pairs.source.code, self.pairs.target.code

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        limits = {name: value for name, value in asdict(self.cleaning).items() if name not in ("source", "target")}
        return {
            "inputs": self.pairs.identity(),
            "fields": self.pairs.fields and list(self.pairs.fields),
            "languages": list(self.languages),
            **limits,
            "tags": list(self.provenance.tags),
            "unique_by": self.unique_by,
            "val_ratio": self.val_ratio,
            "seed": self.seed,
            "skip_bad_lines": self.skip_bad_lines,
            "keep_rejected": self.keep_rejected,
        }

    def digest(self, source: str, target: str) -> int:
        """64 bits that name what may not come twice."""
        named = {"source": source, "target": target}.get(self.unique_by, f"{source}\n{target}")
        return xxhash.xxh3_64_intdigest(named.encode(), seed=self.key)

    def split_of(self, digest: int) -> Split:
        """The split of a pair."""
        return "val" if digest < self.val_ratio * 2**64 else "train"
