"""How often each symbol of a vocabulary is drawn: whole-number weights by rank, equal on every machine.

Zipf-Mandelbrot: p(r) is proportional to (r + beta) ** -alpha for rank r = 1 ... size (Mandelbrot 1953; alpha 1 and
beta 2.7 are our defaults; Papadimitriou & Jurafsky 2023, arXiv 2304.13060, count ranks from 0, so theirs is beta 1.7).

Log-linear: Ri & Tsuruoka 2022, "Pretraining with Artificial Language", arXiv 2203.10326: p(w) is proportional to
exp(c . v_w), with a Gaussian vector v_w a word and a Gaussian discourse vector c. That draws stay O(1), from tables,
rows share a stock of `num_discourses` vectors c: its size and the other defaults are ours. The Gaussians are 65,536
equally likely quantiles in thousandths, and c . v_w is rounded to thousandths.
"""

from abc import abstractmethod
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import BeforeValidator, Field, model_validator

from metalang.seeds import key_for, row_state
from metalang.specs import Size, Spec

_UNIT = 2**128  # weight of the most frequent symbol: none of 2**31 symbols weighs 0, even at Zipf's alpha 4
_MOST_WEIGHTS = 2**22  # of one vocabulary: 64 MiB of tables, made in some 3 seconds


class OneLaw(Spec):
    """A distribution that is the same in every row."""

    @abstractmethod
    def weights(self, size: int) -> list[int]:
        """Relative frequencies by rank, (size,), each 1 or more."""

    def laws(self, size: int) -> list[list[int]]:
        """Relative frequencies by discourse and rank, (1, size)."""
        return [self.weights(size)]

    def check_size(self, size: int) -> None:
        """Raises ValueError where there is no such distribution of `size` symbols."""


class Uniform(OneLaw):
    """Every symbol is as likely as any other."""

    type: Literal["uniform"] = "uniform"

    def weights(self, size: int) -> list[int]:
        """Relative frequencies by rank, (size,)."""
        return [_UNIT] * size


class Zipf(OneLaw):
    """p(rank r) is proportional to (r + beta) ** -alpha.

    >>> Zipf(alpha=1.0, beta=0.0).weights(4)[1] / Zipf(alpha=1.0, beta=0.0).weights(4)[3]
    2.0
    """

    type: Literal["zipf"] = "zipf"
    alpha: float = Field(default=1.0, ge=0.0, le=4.0)
    beta: float = Field(default=2.7, ge=0.0, le=1e6)

    def weights(self, size: int) -> list[int]:
        """Relative frequencies by rank, (size,), as whole numbers, equal on every machine."""
        alpha, beta = Decimal(repr(self.alpha)), Decimal(repr(self.beta))
        with localcontext(Context(prec=40)):
            return [int(_UNIT * ((1 + beta) / (rank + beta)) ** alpha) for rank in range(1, size + 1)]


class CorpusCounts(OneLaw):
    """The frequencies of the ids of a corpus: its most frequent id is rank 1, and so on.

    `path` names the corpus for those who read the description; what is drawn depends on `counts` alone.

    >>> CorpusCounts(path="runs/english", counts=[70, 20, 10]).weights(2)
    [70, 20]
    """

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"path"})

    type: Literal["corpus"] = "corpus"
    path: str
    counts: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return hash((self.path, len(self.counts), self.counts[:8]))  # a few counts tell corpora apart, at once

    @model_validator(mode="after")
    def _has_counts(self):
        if not self.counts:
            raise ValueError(
                f"the counts of {self.path} are not filled in; give the file to synthesize.py, which reads them"
            )
        if self.counts[-1] < 1 or any(less < more for less, more in pairwise(self.counts)):
            raise ValueError("counts are how often ids occur, the most frequent first; give 1 or more, descending")
        return self

    def weights(self, size: int) -> list[int]:
        """The `size` largest counts."""
        return list(self.counts[:size])

    def check_size(self, size: int) -> None:
        """Raises ValueError where the corpus has fewer different ids."""
        if size > len(self.counts):
            raise ValueError(
                f"vocabulary.size {size:,} is more than the {len(self.counts):,} different ids that {self.path} "
                f"holds; lower it to that or less"
            )


class LogLinear(Spec):
    """p(w) is proportional to exp(c . v_w); a row takes one of `num_discourses` vectors c, each as likely.

    v_w and c have `num_dimensions` standard Gaussian components, which `structure_seed` draws. A vector depends on
    neither the size of the vocabulary nor the number of discourses.
    """

    type: Literal["log_linear"] = "log_linear"
    num_dimensions: int = Field(default=10, ge=1, le=100)
    num_discourses: Size = Field(default=32, ge=1)
    structure_seed: int = 0

    def laws(self, size: int) -> list[list[int]]:
        """Relative frequencies by discourse and rank, (num_discourses, size), equal on every machine."""
        words, discourses = self._vectors("words", size), self._vectors("discourses", self.num_discourses)
        exponents = (discourses @ words.T + 500) // 1000  # thousandths
        return [[_exponential(each) for each in row] for row in (exponents - exponents.min(axis=1)[:, None]).tolist()]

    def check_size(self, size: int) -> None:
        """Raises ValueError where the tables would be too large."""
        if size * self.num_discourses > _MOST_WEIGHTS:
            raise ValueError(
                f"vocabulary.size {size:,} x num_discourses {self.num_discourses:,} is "
                f"{size * self.num_discourses:,} weights, and {_MOST_WEIGHTS:,} is the most; lower one of them"
            )

    def _vectors(self, name: str, count: int) -> np.ndarray:
        """Gaussian vectors in thousandths, (count, num_dimensions) int64."""
        key = key_for("log_linear", name, self.num_dimensions, self.structure_seed)
        draws = np.empty(count * self.num_dimensions, dtype=np.int64)
        _draw_quantiles(np.uint64(key), draws)
        return gaussian_quantiles()[draws].reshape(count, self.num_dimensions)


def _by_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


_ByRank = Annotated[Uniform | Zipf, Field(discriminator="type")]
Distribution = Annotated[
    _ByRank, BeforeValidator(_by_name, json_schema_input_type=_ByRank | Literal["uniform", "zipf"])
]
"""Laws by rank, of any size; one without parameters of its own may be written as its name."""

_Any = Annotated[Uniform | Zipf | LogLinear | CorpusCounts, Field(discriminator="type")]
VocabularyDistribution = Annotated[
    _Any, BeforeValidator(_by_name, json_schema_input_type=_Any | Literal["uniform", "zipf", "log_linear"])
]
"""Laws of a vocabulary."""


@lru_cache(maxsize=1)
def gaussian_quantiles() -> np.ndarray:
    """The standard Gaussian as 65,536 equally likely values in thousandths, (65536,) int64.

    >>> gaussian_quantiles()[[0, 2**15, 55139]].tolist()
    [-4325, 0, 1000]
    """
    normal = NormalDist()
    return np.array([round(1000 * normal.inv_cdf((2 * place + 1) / 2**17)) for place in range(2**16)])


@lru_cache(maxsize=2**18)
def _exponential(thousandths: int) -> int:
    """exp, a weight: the least of a law is `_UNIT`."""
    with localcontext(Context(prec=40)):
        return int(_UNIT * (Decimal(thousandths) / 1000).exp())


@njit(cache=True)
def _draw_quantiles(key, draws):
    """Fills `draws` (n,) with numbers in [0, 65536), each with the head of a stream of its own."""
    for place in range(len(draws)):
        draws[place] = row_state(key, uint64(place)) >> uint64(48)
