"""Differential equations, seen through one coordinate: the attractor of Lorenz.

Lorenz 1963, "Deterministic nonperiodic flow": sigma 10, beta 8/3, rho 28. The range of rho, the step, the bins and the
start are ours. Rows are made with + - * / alone, in one order, so they are the same on every machine.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit
from metalang.specs import Range

_EDGE = 0.75  # |x| / rho: what was met from rho 25 to 100 stays below 0.73
_BEND = 5.0  # |x''| / rho**2: what was met stays below 4.1
_LANES = 16  # rows that are made at a time: one row alone waits for its own last step


class Lorenz(Stream):
    """x' = 10 (y - x), y' = x (rho - z) - y, z' = x y - 8/3 z, rho uniform for each row; x is written in bins.

    A symbol is a step of Runge and Kutta's fourth-order method; `num_bins` equal bins lie between -0.75 and 0.75
    `rho_max`, and what is beyond them, nothing that was met, is in the outermost. x and y start uniform in [-5, 5), z
    in [rho - 6, rho + 4); the first `burn_in` values are left out. A check knows the bins of x alone, not y, z and rho:
    it finds a row that bends more sharply than the flow does, not every row that the flow does not give.

    >>> Lorenz(num_bins=10, sequence_length=16, step_size=0.03).sample(0, 0, 1).symbols.tolist()
    [40, 39, 39, 38, 38, 37, 37, 36, 36, 36, 36, 36, 36, 36, 35, 35]
    >>> Lorenz(num_bins=10, sequence_length=16, step_size=0.03).drawn(1)
    '⟦4 4 3 3 3 3 3 3 2 2 2 2 2 3 3 3⟧'
    """

    type: Literal["lorenz"] = "lorenz"
    paper: ClassVar[str] = "ours"
    rho_min: float = Field(default=28.0, ge=25.0, le=100.0)
    rho_max: float = Field(default=40.0, ge=25.0, le=100.0)
    step_size: float = Field(default=0.02, gt=0.0, le=0.03)
    num_bins: int = Field(default=256, ge=2, le=2**20)
    burn_in: int = Field(default=64, ge=0, le=2**20)
    sequence_length: Range = Range(min=256, max=256)

    @model_validator(mode="after")
    def _is_upright(self):
        if self.rho_min > self.rho_max:
            raise ValueError(f"rho_min {self.rho_min} lies above rho_max {self.rho_max}; swap them")
        return self

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.num_bins)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_flows(
            key, start, ends, (self.rho_min, self.rho_max), self.step_size, self.num_bins, self.burn_in, symbols
        )

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that bends the row more than the flow bends x, whatever y, z and rho."""
        width = 2 * _EDGE * self.rho_max / self.num_bins
        most = _BEND * (self.rho_max * self.step_size) ** 2 / width + 2  # a bin hides less than 1 of each value
        for place in range(2, len(row)):
            bend = row[place] - 2 * row[place - 1] + row[place - 2]
            if abs(bend) > most:
                return (
                    place,
                    f"symbol {row[place]} bends the row by {bend} bins; the flow bends it by {most:.1f} at most",
                )
        return None


@njit(cache=True)
def _fill_flows(key, start, ends, rhos, step, num_bins, burn_in, symbols):
    begins, flow = np.empty(_LANES, np.int64), np.zeros((4, _LANES))
    middle, scale = num_bins * 0.5, num_bins * 0.5 / (_EDGE * rhos[1])
    for first in range(0, len(ends), _LANES):
        lanes, longest = min(_LANES, len(ends) - first), 0
        for lane in range(lanes):
            begins[lane] = ends[first + lane - 1] if first + lane else 0
            longest = max(longest, ends[first + lane] - begins[lane])
            state = row_state(key, uint64(start + first + lane)) + uint64(2) * GOLDEN_GAMMA
            flow[3, lane] = rhos[0] + (rhos[1] - rhos[0]) * unit(mix64(state))
            for axis in range(3):
                state += GOLDEN_GAMMA
                flow[axis, lane] = 10.0 * unit(mix64(state)) - 5.0
            flow[2, lane] += flow[3, lane] - 1.0
        for time in range(-burn_in, longest):
            if time >= 0:
                for lane in range(lanes):
                    if begins[lane] + time < ends[first + lane]:
                        place = int64(flow[0, lane] * scale + middle)
                        symbols[begins[lane] + time] = NUM_CONTROL + max(0, min(place, num_bins - 1))
            _advance(flow, step)


@njit(cache=True)
def _advance(flow, step):
    """One step of all lanes, (4, lanes): x, y, z, rho."""
    half, sixth = step * 0.5, step / 6.0
    for lane in range(_LANES):
        x, y, z, rho = flow[0, lane], flow[1, lane], flow[2, lane], flow[3, lane]
        ax, ay, az = _slope(x, y, z, rho)
        bx, by, bz = _slope(x + half * ax, y + half * ay, z + half * az, rho)
        cx, cy, cz = _slope(x + half * bx, y + half * by, z + half * bz, rho)
        dx, dy, dz = _slope(x + step * cx, y + step * cy, z + step * cz, rho)
        flow[0, lane] = x + sixth * (ax + 2.0 * (bx + cx) + dx)
        flow[1, lane] = y + sixth * (ay + 2.0 * (by + cy) + dy)
        flow[2, lane] = z + sixth * (az + 2.0 * (bz + cz) + dz)


@njit(cache=True, inline="always")
def _slope(x, y, z, rho):
    return 10.0 * (y - x), x * (rho - z) - y, x * y - (8.0 / 3.0) * z
