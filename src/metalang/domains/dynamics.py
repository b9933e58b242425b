"""Sequences that a hidden equation drives: linear recurrences modulo a prime, and chaotic maps of the interval.

Definitions and defaults are ours (modulus 97, order 2, rows of 256; the logistic map with r from 3.57, where chaos sets
in: May 1976, "Simple mathematical models with very complicated dynamics"). A linear congruential generator is order 1.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state, unit
from metalang.specs import Range


class LinearRecurrence(Stream):
    """x_t = a_1 x_{t-1} + ... + a_n x_{t-n} + b modulo a prime, with a, b and the first n of x drawn for each row.

    >>> LinearRecurrence(modulus=7, sequence_length=10).sample(0, 0, 1).symbols.tolist()
    [32, 34, 38, 37, 35, 32, 33, 38, 34, 35]
    >>> LinearRecurrence(modulus=7, sequence_length=10).drawn(1)
    '⟦5 6 0 5 2 1 3 6 0 5⟧'
    """

    type: Literal["linear_recurrence"] = "linear_recurrence"
    paper: ClassVar[str] = "ours"
    modulus: int = Field(default=97, ge=2, le=2**16)
    order: int = Field(default=2, ge=1, le=16)
    sequence_length: Range = Range(min=256, max=256)

    @model_validator(mode="after")
    def _is_prime(self):
        if factor := _least_factor(self.modulus):
            raise ValueError(f"modulus {self.modulus} is {factor} x {self.modulus // factor}; give a prime, such as 97")
        return self

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.modulus)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_recurrences(key, start, ends, self.modulus, np.empty(self.order + 1, dtype=np.int64), symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol at which no coefficients are left: elimination, one equation for each symbol."""
        modulus, values = self.modulus, [symbol - NUM_CONTROL for symbol in row]
        solved: dict[int, list[int]] = {}  # leading column -> equation, leading coefficient 1
        for place in range(self.order, len(values)):
            equation = [*values[place - self.order : place], 1, values[place]]
            for column in range(self.order + 1):
                if not equation[column]:
                    continue
                if column not in solved:
                    inverse = pow(equation[column], -1, modulus)
                    solved[column] = [each * inverse % modulus for each in equation]
                    break
                factor = equation[column]
                equation = [
                    (own - factor * known) % modulus for own, known in zip(equation, solved[column], strict=True)
                ]
            else:
                if equation[-1]:
                    return place, f"symbol {row[place]} follows by no coefficients that give all before it"
        return None


class ChaoticMap(Stream):
    """x_{t+1} = f(x_t), written as floor(x `num_bins`); the parameter p of f and x_0 are drawn for each row.

    Logistic: f(x) = p x (1 - x), p up to 4. Tent: f(x) = p min(x, 1 - x), p below 2, where numbers of finite precision
    would all come to 0. The first `burn_in` values are left out; without them, rows of a parameter whose orbit is
    periodic may be equal.

    >>> ChaoticMap(num_bins=10, sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [32, 32, 35, 40, 37, 41, 34, 38]
    >>> ChaoticMap(num_bins=10, sequence_length=8).drawn(1)
    '⟦5 9 0 3 8 5 9 0⟧'
    """

    type: Literal["chaotic_map"] = "chaotic_map"
    paper: ClassVar[str] = "ours"
    map: Literal["logistic", "tent"] = "logistic"
    parameter_min: float = Field(default=3.57, ge=1.0)
    parameter_max: float = Field(default=4.0, ge=1.0)
    num_bins: int = Field(default=256, ge=2, le=2**20)
    burn_in: int = Field(default=0, ge=0, le=2**20)
    sequence_length: Range = Range(min=256, max=256)

    @model_validator(mode="after")
    def _stays_inside(self):
        if self.parameter_min > self.parameter_max:
            raise ValueError(
                f"parameter_min {self.parameter_min} lies above parameter_max {self.parameter_max}; swap them"
            )
        highest = 4.0 if self.map == "logistic" else 1.9999
        if self.parameter_max > highest:
            raise ValueError(
                f"parameter_max {self.parameter_max} is too high for the {self.map} map; at most {highest}"
            )
        return self

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.num_bins)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_maps(
            key, start, ends, self.map == "logistic", self.parameter_min, self.parameter_max, self.num_bins,
            self.burn_in, symbols,
        )  # fmt: skip

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that no parameter brings from its bin into the next one, given all before it.

        The bins alone leave an interval of x, hence of p; the intervals of a row must have a point in common.
        """
        least, most = self.parameter_min - 1e-9, self.parameter_max + 1e-9
        width = 1 / self.num_bins
        for place in range(1, len(row)):
            low, high = ((row[place - 1] - NUM_CONTROL + side) * width for side in (0, 1))
            shapes = [self._shape(low), self._shape(high)] + ([self._shape(0.5)] if low < 0.5 < high else [])
            target = (row[place] - NUM_CONTROL) * width
            least = max(least, target / max(shapes) - 1e-9)
            if min(shapes) > 0:
                most = min(most, (target + width) / min(shapes) + 1e-9)
            if least > most:
                return place, f"symbol {row[place]} follows {row[place - 1]} by no parameter that gives all before it"
        return None

    def _shape(self, value: float) -> float:
        """f(x) / p."""
        return value * (1 - value) if self.map == "logistic" else min(value, 1 - value)


def _least_factor(number: int) -> int | None:
    return next((factor for factor in range(2, int(number**0.5) + 1) if number % factor == 0), None)


@njit(cache=True)
def _fill_recurrences(key, start, ends, modulus, coefficients, symbols):
    """`coefficients` (order + 1,) int64 is scratch: a_order ... a_1, b."""
    order, inverse = len(coefficients) - 1, 1.0 / modulus
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        for number in range(order + 1):
            state += GOLDEN_GAMMA
            coefficients[number] = int64(below(mix64(state), uint64(modulus)))
        row = symbols[begin : ends[index]]
        for place in range(min(order, len(row))):
            state += GOLDEN_GAMMA
            row[place] = NUM_CONTROL + int64(below(mix64(state), uint64(modulus)))
        for place in range(order, len(row)):
            total = coefficients[order]
            for number in range(order):
                total += coefficients[number] * (int64(row[place - order + number]) - NUM_CONTROL)
            # A rounded quotient is off by one at most: totals stay below 2**37.
            rest = total - int64(total * inverse) * modulus
            rest += modulus if rest < 0 else 0
            rest -= modulus if rest >= modulus else 0
            row[place] = NUM_CONTROL + rest
        begin = ends[index]


@njit(cache=True)
def _fill_maps(key, start, ends, logistic, parameter_min, parameter_max, num_bins, burn_in, symbols):
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        parameter = parameter_min + (parameter_max - parameter_min) * unit(mix64(state))
        state += GOLDEN_GAMMA
        value = unit(mix64(state)) + 2.0**-54
        for place in range(begin - burn_in, ends[index]):
            if place >= begin:
                symbols[place] = NUM_CONTROL + min(int64(value * num_bins), num_bins - 1)
            value = parameter * value * (1.0 - value) if logistic else parameter * min(value, 1.0 - value)
        begin = ends[index]
