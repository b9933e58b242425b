"""Values over tokens: smoothed, averaged over seeds, and where they first reach a level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metalang.comparison.runs import Run


@dataclass(frozen=True)
class Curve:
    """`values` (n,) at growing numbers of `tokens` (n,), n >= 1."""

    tokens: np.ndarray
    values: np.ndarray

    @property
    def final(self) -> float:
        """The last value."""
        return float(self.values[-1])

    def smoothed(self, half_life: float) -> "Curve":
        """Each value as the mean of all until then, weighed by 0.5 ** (tokens since / half_life); 0: as it is.

        >>> Curve(np.array([0.0, 10.0]), np.array([4.0, 1.0])).smoothed(10).values.tolist()
        [4.0, 2.0]
        """
        if half_life <= 0 or len(self.tokens) < 2:
            return self
        kept = 0.5 ** (np.diff(self.tokens, prepend=self.tokens[0]) / half_life)
        total, weight, means = 0.0, 0.0, np.empty(len(self.values))
        for place, (keep, value) in enumerate(zip(kept.tolist(), self.values.tolist(), strict=True)):
            total, weight = total * keep + value, weight * keep + 1
            means[place] = total / weight
        return Curve(self.tokens, means)

    def first_at_most(self, level: float) -> float | None:
        """The tokens at which it first is at `level` or below, between two points on the line that joins them; None:
        never.

        >>> Curve(np.array([0.0, 10.0, 20.0]), np.array([4.0, 3.0, 1.0])).first_at_most(2.0)
        15.0
        """
        below = np.flatnonzero(self.values <= level)
        if not len(below):
            return None
        place = int(below[0])
        if place == 0:
            return float(self.tokens[0])
        (left, right), (high, low) = self.tokens[place - 1 : place + 1], self.values[place - 1 : place + 1]
        return float(left + (right - left) * (high - level) / (high - low))


def curve(run: Run, metric: str, axis: str = "tokens_seen") -> Curve | None:
    """What a run logged of a metric, over an `axis` that it logged beside it, but for NaN and infinities (`lost`);
    None: nothing."""
    points = [(log[axis], log[metric]) for log in run.logs if axis in log and math.isfinite(log.get(metric, math.nan))]
    if not points:
        return None
    tokens, values = np.array(points, dtype=np.float64).T
    return Curve(tokens, values)


def lost(run: Run, metric: str) -> list[int]:
    """The steps at which a run logged NaN or an infinity of a metric."""
    return [log["step"] for log in run.logs if metric in log and not math.isfinite(log[metric])]


def ending(run: Run, metric: str, half_life: float = 0) -> float:
    """The last smoothed value of a metric that a run logged; NaN where its last is no number."""
    found = curve(run, metric)
    last = [log[metric] for log in run.logs if metric in log][-1:]
    return found.smoothed(half_life).final if found is not None and math.isfinite(last[0]) else math.nan


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of some curves, at the tokens of the first as far as all of them go.

    >>> tokens = np.array([0.0, 2.0])
    >>> mean_curve([Curve(tokens, np.array([4.0, 2.0])), Curve(tokens, np.array([2.0, 2.0]))]).values.tolist()
    [3.0, 2.0]
    """
    begin = max(each.tokens[0] for each in curves)
    end = min(each.tokens[-1] for each in curves)
    tokens = curves[0].tokens
    tokens = tokens[(tokens >= begin) & (tokens <= end)]
    if not len(tokens):
        tokens = np.array([end])
    return Curve(tokens, np.mean([np.interp(tokens, each.tokens, each.values) for each in curves], axis=0))
