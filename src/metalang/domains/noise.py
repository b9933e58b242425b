"""Fractional Brownian motion, digitised.

Fractional Gaussian noise by circulant embedding (Davies & Harte 1987), with gamma(n) in the middle of the circulant:
with 0 there, as one package has it, eigenvalues are negative for every H from 0.9 on. The digitised form is that of the
seqthetic generator, whose class was never published: its script names 30,000 symbols, H from 0.9 to 1 and rows of
1,024. All else is ours: H from 0.6 to 0.95 by default (text has H near 0.7: Alabdulmohsin et al. 2024, arXiv
2402.01825), and H at most 0.999, since H = 1 is a straight line.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import content_range
from metalang.domains.streams import Fault, Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, key_for, mix64, row_state, unit
from metalang.specs import Range, Size

_NUM_HURST = 64  # values of H, so that eigenvalues are reused
_BLOCK = 64  # rows of one transform
_LAYERS = 256  # of the ziggurat
_TAIL = 3.6541528853610088  # where its tail begins (Marsaglia & Tsang 2000)


class DiscretizedFbm(Stream):
    """B_H(1) ... B_H(L), written in bins: Var(B_H(s) - B_H(t)) = |s - t| ** 2H.

    H is one of 64 values from `hurst_min` to `hurst_max`. A row has round(L / `ratio`) bins. `bins` "range" splits what
    lies between its least and greatest value evenly, "quantile" by rank (each bin as often), "increments" writes the
    noise B_H(t) - B_H(t-1) itself in equally likely bins. "descending" gives the greatest value the first bin. The
    symbol of bin b is b, or b x `vocab_size` / bins; `symbol_order` shuffles the symbols, for all rows together or for
    each anew.

    >>> DiscretizedFbm(sequence_length=8).sample(0, 0, 1).symbols.tolist()
    [39, 39, 38, 36, 36, 36, 34, 32]
    >>> DiscretizedFbm(sequence_length=8).drawn(1)
    '⟦7 7 4 4 5 3 0 1⟧'
    """

    type: Literal["fbm"] = "fbm"
    paper: ClassVar[str] = "seqthetic"
    sequence_length: Range = Range(min=1024, max=1024)
    hurst_min: float = Field(default=0.6, gt=0.0, le=0.999)
    hurst_max: float = Field(default=0.95, gt=0.0, le=0.999)
    bins: Literal["range", "quantile", "increments"] = "range"
    ratio: float = Field(default=1.0, gt=0.0)
    direction: Literal["ascending", "descending"] = "ascending"
    symbol_order: Literal["ordinal", "shuffled", "shuffled_per_row"] = "ordinal"
    vocab_size: Size | None = Field(default=None, ge=2, le=2**31 - NUM_CONTROL)
    structure_seed: int = 0

    @model_validator(mode="after")
    def _has_bins(self):
        if self.hurst_min > self.hurst_max:
            raise ValueError(f"hurst_min {self.hurst_min} lies above hurst_max {self.hurst_max}; swap them")
        low, high = self.num_bins(self.row_lengths[0]), self.num_bins(self.row_lengths[-1])
        if low < 2:
            raise ValueError(
                f"ratio {self.ratio} leaves a row of {self.row_lengths[0]} symbols {low} bins; lower it to 2"
            )
        if self.vocab_size is not None and self.vocab_size < high:
            raise ValueError(f"vocab_size {self.vocab_size} is below the {high} bins of the longest row; raise it")
        if high > 2**24:
            raise ValueError(
                f"ratio {self.ratio} makes {high:,} bins of the longest row; raise it until they are 2**24"
            )
        return self

    def num_bins(self, length: int) -> int:
        """Bins of a row of `length` symbols."""
        return math.floor(length / self.ratio + 0.5)

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.vocab_size or self.num_bins(self.row_lengths[-1]))

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        size, begins = self.row_lengths[-1], np.concatenate([[0], ends[:-1]])
        scales, tables = _scales(size, self.hurst_min, self.hurst_max), _ziggurat()
        form = _Form(self.bins, self.direction == "descending", self.symbol_order == "shuffled_per_row", self.ratio)
        order, fixed = np.empty(len(self.content), dtype=np.int64), self._fixed_order()
        spectrum = np.empty((min(_BLOCK, len(ends)), size + 1), dtype=np.complex128)
        states = np.empty(len(spectrum), dtype=np.uint64)
        for first in range(0, len(ends), _BLOCK):
            block = slice(first, first + _BLOCK)
            rows = len(ends[block])
            _fill_spectrum(key, start + first, scales, tables, spectrum[:rows], states)
            noise = np.fft.irfft(spectrum[:rows], n=2 * size, axis=1)
            order[:] = fixed
            _digitise(noise, states, begins[block], ends[block], form, order, self.vocab_size or 0, symbols)

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol that is no bin of its row, or is there too often; or the end, where a bin is missed.

        Which bins there are hangs on the length of a row: one that has none of the lengths is not looked into.
        """
        num_bins = self.num_bins(len(row))
        if len(row) not in self.row_lengths or self.symbol_order == "shuffled_per_row":
            return None
        order = self._fixed_order().tolist()
        places = [each if self.vocab_size is None else each * self.vocab_size // num_bins for each in range(num_bins)]
        names = [NUM_CONTROL + order[place] for place in places]
        shares = Counter(names[rank * num_bins // len(row)] for rank in range(len(row)))
        counts: Counter[int] = Counter()
        known = set(names)
        for place, symbol in enumerate(row):
            counts[symbol] += 1
            if symbol not in known:
                return place, f"symbol {symbol} is none of the {num_bins} bins of its row"
            if self.bins == "quantile" and counts[symbol] > shares[symbol]:
                return place, f"symbol {symbol} occurs for the {counts[symbol]}. time and should {shares[symbol]} times"
        missing = [symbol for symbol in (names[0], names[-1]) if not counts[symbol]]
        if self.bins == "range" and len(row) > 1 and missing:
            return len(row), f"symbol {missing[0]}, an outermost bin, is missing"
        return None

    def _fixed_order(self) -> np.ndarray:
        """The content rank of each place in the order of values, (size,) int64; in order where rows differ."""
        order = np.arange(len(self.content), dtype=np.int64)
        if self.symbol_order == "shuffled":
            state = row_state(np.uint64(key_for("symbol order", self.structure_seed)), np.uint64(0))
            _shuffle(np.uint64(state), order)  # a plain int below 2**63 would be taken as signed
        return order


class _Form(NamedTuple):
    bins: str
    descending: bool
    shuffled: bool
    ratio: float


@lru_cache(maxsize=4)
def _scales(size: int, hurst_min: float, hurst_max: float) -> np.ndarray:
    """Standard deviations of the spectrum of 2 x `size` steps of noise, (64, size + 1): one row for each H."""
    lags = np.arange(size + 1, dtype=np.float64)
    scales = []
    for hurst in np.linspace(hurst_min, hurst_max, _NUM_HURST):
        powers = np.abs(np.arange(-1, size + 2, dtype=np.float64)) ** (2 * hurst)
        gamma = 0.5 * (powers[2:] - 2 * lags ** (2 * hurst) + powers[:-2])
        eigenvalues = np.fft.rfft(np.concatenate([gamma, gamma[-2:0:-1]])).real
        weights = np.where((lags == 0) | (lags == size), 2.0, 1.0) * size
        scales.append(np.sqrt(np.maximum(eigenvalues, 0.0) * weights))
    return np.array(scales)


@lru_cache(maxsize=1)
def _ziggurat() -> np.ndarray:
    """Right edges of 256 layers of one area under exp(-x ** 2 / 2), (257,), the lowest one first, 0 at the top."""
    area = _TAIL * math.exp(-0.5 * _TAIL**2) + math.sqrt(math.pi / 2) * math.erfc(_TAIL / math.sqrt(2))
    edges = [area / math.exp(-0.5 * _TAIL**2), _TAIL]
    while len(edges) < _LAYERS:
        edges.append(math.sqrt(-2 * math.log(area / edges[-1] + math.exp(-0.5 * edges[-1] ** 2))))
    return np.array([*edges, 0.0])


@njit(cache=True, inline="always")
def _normal(state, edges):
    """A standard normal draw (Marsaglia & Tsang 2000, in the form of Doornik 2005), and the state behind it."""
    while True:
        state += GOLDEN_GAMMA
        draw = mix64(state)
        layer = int64(draw & uint64(_LAYERS - 1))
        share = 2.0 * unit(draw) - 1.0
        value = share * edges[layer]
        if abs(value) < edges[layer + 1]:
            return value, state
        value, state, kept = _rare_normal(state, edges, layer, value)
        if kept:
            return value, state


@njit(cache=True)
def _rare_normal(state, edges, layer, value):
    """The one draw in a hundred that falls into the tail, or between a layer and the curve."""
    if layer == 0:
        while True:
            state += GOLDEN_GAMMA
            beyond = -math.log(1.0 - unit(mix64(state))) / _TAIL
            state += GOLDEN_GAMMA
            if -2.0 * math.log(1.0 - unit(mix64(state))) > beyond * beyond:
                return math.copysign(_TAIL + beyond, value), state, True
    state += GOLDEN_GAMMA
    outer = math.exp(-0.5 * (edges[layer] ** 2 - value * value))
    inner = math.exp(-0.5 * (edges[layer + 1] ** 2 - value * value))
    return value, state, inner + unit(mix64(state)) * (outer - inner) < 1.0


@njit(cache=True)
def _fill_spectrum(key, start, scales, edges, spectrum, states):
    """Writes the spectrum of each row, (rows, size + 1), and the state behind its last draw."""
    for index in range(len(spectrum)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        state += GOLDEN_GAMMA
        scale = scales[int64(below(mix64(state), uint64(_NUM_HURST)))]
        for frequency in range(len(scale)):
            real, state = _normal(state, edges)
            imaginary = 0.0
            if 0 < frequency < len(scale) - 1:
                imaginary, state = _normal(state, edges)
            spectrum[index, frequency] = complex(scale[frequency] * real, scale[frequency] * imaginary)
        states[index] = state


@njit(cache=True)
def _shuffle(state, order):
    for place in range(len(order) - 1, 0, -1):
        state += GOLDEN_GAMMA
        other = int64(below(mix64(state), uint64(place + 1)))
        order[place], order[other] = order[other], order[place]


@njit(cache=True)
def _digitise(noise, states, begins, ends, form, order, vocab_size, symbols):
    for index in range(len(ends)):
        row = symbols[begins[index] : ends[index]]
        values = noise[index, : len(row)]
        num_bins = int64(math.floor(len(row) / form.ratio + 0.5))
        if form.bins != "increments":
            total = 0.0
            for place in range(len(values)):
                total += values[place]
                values[place] = total
        if form.descending:
            for place in range(len(values)):
                values[place] = -values[place]
        if form.shuffled:
            for place in range(len(order)):
                order[place] = place
            _shuffle(states[index], order)
        if form.bins == "quantile":
            ranks = np.argsort(values, kind="mergesort")
            for rank in range(len(row)):
                values[ranks[rank]] = rank * num_bins // len(row)
        elif form.bins == "increments":
            for place in range(len(row)):
                values[place] = 0.5 * math.erfc(-values[place] * math.sqrt(0.5)) * num_bins
        else:
            low = values.min()
            width = values.max() - low
            scale = num_bins / width if width > 0.0 else 0.0
            for place in range(len(row)):
                values[place] = (values[place] - low) * scale
        for place in range(len(row)):
            each = min(int64(values[place]), num_bins - 1)
            if vocab_size > 0:
                each = each * vocab_size // num_bins
            row[place] = NUM_CONTROL + order[each]
