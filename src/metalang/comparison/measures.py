"""What came of a group of runs beside the baseline, in numbers."""

import math
from dataclasses import dataclass

import numpy as np

from metalang.comparison.curves import Curve, curve, ending
from metalang.comparison.groups import Group
from metalang.comparison.runs import Run


@dataclass(frozen=True)
class Final:
    """Last values of a metric over the runs of a group: mean, standard deviation (n - 1; nan for one run), number.

    Both are nan where a run ends in no number.
    """

    mean: float
    spread: float
    number: int


@dataclass(frozen=True)
class Saved:
    """How far a group comes with fewer tokens than the baseline.

    `level`: the baseline's final smoothed loss. `baseline_tokens`, `tokens` (None for never): where the baseline and
    the group first have it; `baseline_synthetic`, `synthetic` of them are of artificial languages. Those of an earlier
    run that each began from are among all four.
    """

    level: float
    baseline_tokens: float
    baseline_synthetic: float
    tokens: float | None
    synthetic: float

    @property
    def efficiency(self) -> float | None:
        """1 - (natural tokens to the level) / (the baseline's): the artificial ones are for free. None without any."""
        natural = self.baseline_tokens - self.baseline_synthetic
        return None if self.tokens is None or natural < 1 else 1 - (self.tokens - self.synthetic) / natural

    @property
    def efficiency_of_all(self) -> float | None:
        """1 - (all tokens to the level) / (the baseline's tokens to it). None where the baseline begins at it."""
        return None if self.tokens is None or self.baseline_tokens < 1 else 1 - self.tokens / self.baseline_tokens

    @property
    def substitution(self) -> float | None:
        """Natural tokens saved by an artificial one that the baseline has not: (baseline's natural - natural) /
        (artificial - baseline's), the marginal rate of substitution (after Hu et al. 2025, arXiv 2502.19249); None
        where there are none."""
        more = self.synthetic - self.baseline_synthetic
        if self.tokens is None or more <= 0:
            return None
        return (self.baseline_tokens - self.tokens + more) / more


def final(group: Group, metric: str, half_life: float = 0) -> Final | None:
    """The last smoothed values of a metric, over the runs that logged it; None where there are none."""
    values = np.array([ending(run, metric, half_life) for run in group.runs if any(metric in log for log in run.logs)])
    if not len(values):
        return None
    return Final(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values))


def saved(baseline: Group, group: Group, metric: str, half_life: float) -> Saved | None:
    """Tokens to the baseline's final loss, by the means over seeds of smoothed curves; None where one has no curve, or
    the baseline no final loss."""
    theirs, ours = baseline.mean(metric, half_life), group.mean(metric, half_life)
    ends = [ending(run, metric, half_life) for run in baseline.runs]
    if theirs is None or ours is None or not np.isfinite(ends).all():
        return None
    level = theirs.final
    needed, first = theirs.first_at_most(level), ours.first_at_most(level)
    assert needed is not None, "a curve reaches its own end"
    of_group = (None, 0.0) if first is None else _with_before(group, first)
    return Saved(level, *_with_before(baseline, needed), *of_group)


def _with_before(group: Group, tokens: float) -> tuple[float, float]:
    """The first `tokens` of a group and those of the runs that it began from, and how many of them are artificial."""
    inside = np.mean([_synthetic_until(run, tokens) for run in group.runs])
    before, meta = (np.mean([run.before.get(key, 0) for run in group.runs]) for key in _BEFORE)
    return tokens + float(before), float(inside + meta)


_BEFORE = ("tokens_seen", "tokens_seen_meta")


def _synthetic_until(run: Run, tokens: float) -> float:
    """Artificial tokens among the first `tokens` of a run, by what it logged as `tokens_seen_meta`."""
    found: Curve | None = curve(run, "tokens_seen_meta")
    if found is None:
        return 0.0
    at, read = np.concatenate([[0.0], found.tokens]), np.concatenate([[0.0], found.values])
    return float(np.interp(tokens, at, read))


def speed(group: Group) -> float | None:
    """The median over all logs of tokens/s, or None where none was logged."""
    logged = [log["tokens_per_second"] for run in group.runs for log in run.logs if "tokens_per_second" in log]
    return float(np.median(logged)) if logged else None


def sign_test(baseline: Group, group: Group, metric: str, half_life: float = 0) -> tuple[int, int, float] | None:
    """(pairs in which the group's final loss is lower, pairs that differ, two-sided p) over the seeds that both have;
    None without such a pair. The p is exact: that of as many heads or more, either side, of a fair coin.

    A run that ends in no number has the higher loss.
    """
    theirs = {run.seeds: run for run in baseline.runs}
    pairs = [(theirs[run.seeds], run) for run in group.runs if run.seeds in theirs]
    if not pairs:
        return None
    ends = np.nan_to_num([[ending(run, metric, half_life) for run in pair] for pair in pairs], nan=math.inf)
    lower, higher = int((ends[:, 1] < ends[:, 0]).sum()), int((ends[:, 1] > ends[:, 0]).sum())
    return lower, lower + higher, two_sided(lower, lower + higher)


def two_sided(successes: int, number: int) -> float:
    """The exact p of the sign test; all of `number` pairs alike give the least that it can be.

    >>> two_sided(3, 3), two_sided(6, 6), two_sided(5, 10), two_sided(0, 0)
    (0.25, 0.03125, 1.0, 1.0)
    """
    most = max(successes, number - successes)
    tail = sum(math.comb(number, count) for count in range(most, number + 1)) / 2**number
    return min(1.0, 2 * tail)
