"""Which values of a curve leap out of those before them.

The window of 128 steps and the 6 standard deviations are those of OLMo-core's optimizers that skip steps.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

WINDOW = 128
_ENOUGH = WINDOW // 2
_NEW_LEVEL = 8
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Spike:
    """A value that is `sigmas` standard deviations above the mean of the ordinary values before it."""

    value: float
    mean: float
    sigmas: float


class SpikeMonitor:
    """Judges each value by the 128 ordinary ones before it, as soon as there are 64; spikes are not ordinary.

    Eight spikes in a row are a new level: what was before is forgotten.
    """

    def __init__(self, sigma: float) -> None:
        self._sigma = sigma
        self._ordinary: deque[float] = deque(maxlen=WINDOW)
        self._in_a_row = 0

    def judge(self, value: float) -> Spike | None:
        """The spike that a finite value is, or None.

        >>> monitor = SpikeMonitor(6)
        >>> [monitor.judge(value) for value in (1.0, 1.2) * 32].count(None)
        64
        >>> round(monitor.judge(1.75).sigmas, 1), monitor.judge(1.65)
        (6.5, None)
        """
        assert math.isfinite(value), "a step that is NaN or Inf is reported as one"
        spike = self._spike(value)
        self._in_a_row = self._in_a_row + 1 if spike else 0
        if spike is None:
            self._ordinary.append(value)
        elif self._in_a_row == _NEW_LEVEL:
            self._ordinary.clear()
            self._in_a_row = 0
        return spike

    def state(self) -> dict[str, Any]:
        """JSON from which `restore` makes it again, to the bit."""
        return {"ordinary": list(self._ordinary), "in_a_row": self._in_a_row}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._ordinary = deque(state["ordinary"], maxlen=WINDOW)
        self._in_a_row = state["in_a_row"]

    def _spike(self, value: float) -> Spike | None:
        if not self._sigma or len(self._ordinary) < _ENOUGH:
            return None
        values = np.array(self._ordinary)
        mean = float(values.mean())
        deviation = max(float(values.std()), _ROUNDING * abs(mean), math.ulp(0.0))
        sigmas = (value - mean) / deviation
        return Spike(value, mean, sigmas) if sigmas > self._sigma else None
