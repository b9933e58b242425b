"""Shares of tokens as whole numbers, and the interleave that keeps them on every prefix.

The interleave is Tijdeman's chairman-assignment rule (Tijdeman 1980, "The chairman assignment problem", Discrete
Mathematics 32): after t windows, source i has been given between share_i * t - c and share_i * t + c of them, with
c = 1 - 1 / (2n - 2) for n sources. With shares that are whole parts of a period it repeats after each period.
"""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import gcd

import numpy as np
from numba import njit

from metalang.errors import ConfigError

_PARTS = 10**6
_MOST = 1000  # shares up to there are summed, so that who writes 30 and 70 reads what is wrong with them
_BLOCK_STEPS = 2**14


def parse_shares(ratios: Sequence[str | float], flag: str = "--data_ratios") -> tuple[int, ...]:
    """Token shares as whole millionths, in lowest terms. Raises ConfigError unless the ratios sum to 1 within 1e-6.

    >>> parse_shares(["0.5", "0.5"]), parse_shares(["0.333333", "0.666667"])
    ((1, 1), (333333, 666667))
    """
    shares = [_share(ratio, flag) for ratio in ratios]
    if abs(sum(shares, Decimal(0)) - 1) > Decimal(1) / _PARTS:
        raise ConfigError(
            f"{flag} {' '.join(map(str, ratios))} sum to {sum(shares, Decimal(0)).normalize():f} and should sum to 1"
        )
    parts = _largest_remainder([share * _PARTS for share in shares])
    divisor = gcd(*parts)
    return tuple(part // divisor for part in parts)


def _share(ratio: str | float, flag: str) -> Decimal:
    try:
        share = Decimal(str(ratio))
    except InvalidOperation:
        raise ConfigError(f"{flag} {ratio} is no number; write a share of the tokens as 0.25") from None
    if not share.is_finite() or not Decimal(1) / _PARTS <= share <= _MOST:
        raise ConfigError(f"{flag} {ratio} is no share; write 0.000001 to 1")
    return share


def apportioned(total: int, shares: Sequence[int]) -> list[int]:
    """`total` divided into whole numbers in the proportion of whole-number shares, by largest remainder.

    >>> apportioned(10, [1, 1, 1]), apportioned(7, [0, 3])
    ([4, 3, 3], [0, 7])
    """
    return _largest_remainder([Fraction(total * share, sum(shares)) for share in shares])


def _largest_remainder(exact: Sequence[Decimal | Fraction]) -> list[int]:
    """Whole numbers with the rounded sum of the exact ones: those with the largest fractions are rounded up."""
    whole = [int(each) for each in exact]
    by_fraction = sorted(range(len(exact)), key=lambda index: (whole[index] - exact[index], index))
    for index in by_fraction[: round(sum(exact)) - sum(whole)]:
        whole[index] += 1
    return whole


class Interleave:
    """Which source each window comes from: windows -> (source, how many that source has given before).

    A share of 0 gives nothing. Held are, for every few windows of a period, how far each source is from the whole part
    of its due: one byte, as that is never more than one window. From there on the rule is replayed.
    """

    def __init__(self, shares: Sequence[int]) -> None:
        self._sources = np.flatnonzero(shares)
        self._shares = np.asarray(shares, dtype=np.int64)[self._sources]
        self._num_sources = len(shares)
        self._period = int(self._shares.sum())
        self._block = max(64, min(512, _BLOCK_STEPS // len(self._shares)))
        self._ahead = np.zeros((-(-self._period // self._block), len(self._shares)), dtype=np.int8)
        counts = _fill(self._shares, self._block, self._ahead)
        assert (counts == self._shares).all(), "a period gives every source its share"

    def locate(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Source of each of `windows` (n,) and its ordinal within that source, (n,) int64 each."""
        windows = np.ascontiguousarray(windows, dtype=np.int64)
        places, ordinals = _locate(self._shares, self._ahead, self._block, windows)
        return self._sources[places], ordinals

    def counts(self, num_windows: int) -> np.ndarray:
        """Windows that each source gives among the first `num_windows`, (sources,) int64."""
        periods, place = divmod(num_windows, self._period)
        counts = _counts_at(self._shares, self._ahead, self._block, place)
        spread = np.zeros(self._num_sources, dtype=np.int64)
        spread[self._sources] = counts + periods * self._shares
        return spread


@njit(cache=True)
def _give(shares: np.ndarray, period: int, place: int, counts: np.ndarray) -> int:
    """The source that is given the window `place` of a period; `counts` moves along.

    A source may be given it when place * share - counts, its due, is at least 1 / (2n - 2); of these, the one whose
    due reaches 1 - 1 / (2n - 2) first is given it. All is in whole numbers: due times period times (2n - 2).
    """
    scale = max(2 * len(shares) - 2, 1)
    chosen, best = -1, np.int64(0)
    for source in range(len(shares)):
        due = (shares[source] * (place + 1) - counts[source] * period) * scale
        if due < period and len(shares) > 1:
            continue
        wait = period * (scale - 1) - due
        if chosen < 0 or wait * shares[chosen] < best * shares[source]:
            chosen, best = source, wait
    counts[chosen] += 1
    return chosen


@njit(cache=True)
def _fill(shares: np.ndarray, block: int, ahead: np.ndarray) -> np.ndarray:
    """Runs through a period and keeps, where each block begins, what each source has over its due; gives the counts."""
    period = shares.sum()
    counts = np.zeros(len(shares), dtype=np.int64)
    for place in range(period):
        if place % block == 0:
            for source in range(len(shares)):
                ahead[place // block, source] = counts[source] - shares[source] * place // period
        _give(shares, period, place, counts)
    return counts


@njit(cache=True)
def _counts_at(shares: np.ndarray, ahead: np.ndarray, block: int, place: int) -> np.ndarray:
    """Windows that each source has given before the window `place` of a period."""
    period = shares.sum()
    first = place // block * block
    counts = shares * first // period
    if first < period:
        counts += ahead[place // block]
    for number in range(first, place):
        _give(shares, period, number, counts)
    return counts


@njit(cache=True)
def _locate(shares: np.ndarray, ahead: np.ndarray, block: int, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source and ordinal of each window, (n,) each; quick where a window lies shortly behind the one before it."""
    period = shares.sum()
    sources, ordinals = np.empty(len(windows), dtype=np.int64), np.empty(len(windows), dtype=np.int64)
    counts, at = _counts_at(shares, ahead, block, 0), np.int64(0)
    for index in range(len(windows)):
        place = windows[index] % period
        if place < at or place // block != at // block:
            counts, at = _counts_at(shares, ahead, block, place), place
        while at < place:
            _give(shares, period, at, counts)
            at += 1
        source = _give(shares, period, at, counts)
        at += 1
        sources[index] = source
        ordinals[index] = counts[source] - 1 + windows[index] // period * shares[source]
    return sources, ordinals
