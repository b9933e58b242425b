"""The content symbols that rows are made of: how many, how often each is drawn, and with what noise.

The symbol of rank r is NUM_CONTROL + r - 1. The laws stand in `distributions`, tables and draws in `draws`; a domain
imports all that it needs of them from here.
"""

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from metalang.domains.distributions import (
    CorpusCounts,
    Distribution,
    LogLinear,
    Uniform,
    VocabularyDistribution,
    Zipf,
)
from metalang.domains.draws import Tables, discourse_of, draw_one, draw_row, tables_of
from metalang.ids import NUM_CONTROL
from metalang.seeds import key_for, row_state
from metalang.specs import Size, Spec

__all__ = [
    "CorpusCounts", "Distribution", "LogLinear", "Tables", "Uniform", "Vocabulary", "Zipf", "discourse_of",
    "draw_one", "draw_row", "tables_of",
]  # fmt: skip

_NOISE_BITS = 53


class Multiplicative(Spec):
    """Noise: each weight times a factor, uniform in [1 - level, 1 + level]."""

    type: Literal["multiplicative"]
    level: float = Field(gt=0.0, le=1.0)

    def put_on(self, weights: list[int], draws: list[int]) -> list[int]:
        """The weights with noise, (size,), multiplied by one whole number; `draws` (size,) are below 2**53."""
        level, whole = self.level.as_integer_ratio()
        factors = [((whole - level) << _NOISE_BITS) + level * (2 * draw + 1) for draw in draws]
        return [weight * factor for weight, factor in zip(weights, factors, strict=True)]


class Additive(Spec):
    """Noise: each weight plus `level` times the mean weight times a draw, uniform in [0, 1)."""

    type: Literal["additive"]
    level: float = Field(gt=0.0)

    def put_on(self, weights: list[int], draws: list[int]) -> list[int]:
        """The weights with noise, (size,), multiplied by one whole number; `draws` (size,) are below 2**53."""
        level, whole = self.level.as_integer_ratio()
        own, noise = (len(weights) * whole) << _NOISE_BITS, level * sum(weights)
        return [own * weight + noise * draw for weight, draw in zip(weights, draws, strict=True)]


class Vocabulary(Spec):
    """`size` content symbols, drawn independently, or (`replacement` false) each at most once in a row.

    Without replacement means one after the other from what is left, with the probabilities of what is left. `noise`
    is drawn once, a number a symbol, the same for every row and discourse; None leaves the weights as they are.
    """

    size: Size = Field(ge=1, le=2**31 - NUM_CONTROL)
    distribution: VocabularyDistribution = Uniform()
    replacement: bool = True
    noise: Annotated[Multiplicative | Additive, Field(discriminator="type")] | None = None

    @model_validator(mode="after")
    def _has_laws(self):
        self.distribution.check_size(self.size)
        return self

    @property
    def laws(self) -> list[list[int]]:
        """Whole-number weights by discourse and rank, noise included, (num_discourses, size)."""
        laws = self.distribution.laws(self.size)
        if self.noise is None:
            return laws
        key = np.uint64(key_for("vocabulary noise", self.fingerprint))
        draws = [row_state(key, np.uint64(rank)) >> (64 - _NOISE_BITS) for rank in range(self.size)]
        return [self.noise.put_on(weights, draws) for weights in laws]

    @property
    def tables(self) -> Tables:
        """The vocabulary as kernels read it."""
        return _tables(self)


@lru_cache(maxsize=64)
def _tables(vocabulary: Vocabulary) -> Tables:
    return tables_of(vocabulary.laws, replacement=vocabulary.replacement)
