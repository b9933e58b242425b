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
_BLOCK = 4096


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
    if not share.is_finite() or share * _PARTS < 1:
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
    """Which source each window comes from: windows -> (source, how many that source has given before)."""

    def __init__(self, shares: Sequence[int]) -> None:
        self._shares = np.asarray(shares, dtype=np.int64)
        self._period = int(self._shares.sum())
        num_blocks = -(-self._period // _BLOCK)
        self._counts = np.zeros((num_blocks, len(shares)), dtype=np.int64)
        counts = np.zeros(len(shares), dtype=np.int64)
        for block in range(num_blocks):
            self._counts[block] = counts
            _assign(self._shares, block * _BLOCK, min(_BLOCK, self._period - block * _BLOCK), counts)
        assert (counts == self._shares).all(), "a period gives every source its share"

    def locate(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Source of each of `windows` (n,) and its ordinal within that source, (n,) int64 each."""
        periods, places = np.divmod(np.asarray(windows, dtype=np.int64), self._period)
        blocks, within = np.divmod(places, _BLOCK)
        sources, ordinals = np.empty_like(places), np.empty_like(places)
        for block in np.unique(blocks):
            here = blocks == block
            counts = self._counts[block].copy()
            order = _assign(self._shares, int(block) * _BLOCK, int(within[here].max()) + 1, counts)
            sources[here] = order[within[here], 0]
            ordinals[here] = order[within[here], 1]
        return sources, ordinals + periods * self._shares[sources]

    def counts(self, num_windows: int) -> np.ndarray:
        """Windows that each source gives among the first `num_windows`, (sources,) int64."""
        periods, place = divmod(num_windows, self._period)
        block, within = divmod(place, _BLOCK)
        counts = self._counts[block].copy()
        _assign(self._shares, block * _BLOCK, within, counts)
        return counts + periods * self._shares


@njit(cache=True)
def _assign(shares: np.ndarray, start: int, count: int, counts: np.ndarray) -> np.ndarray:
    """(source, ordinal) of the windows [start, start + count) of a period, (count, 2); `counts` moves along.

    A source may be given window t when t * share - counts, its due, is at least 1 / (2n - 2); of these, the one whose
    due reaches 1 - 1 / (2n - 2) first is given it. All is in whole numbers: due times period times (2n - 2).
    """
    period, scale = shares.sum(), max(2 * len(shares) - 2, 1)
    order = np.empty((count, 2), dtype=np.int64)
    for index in range(count):
        chosen, best = -1, np.int64(0)
        for source in range(len(shares)):
            due = (shares[source] * (start + index + 1) - counts[source] * period) * scale
            if due < period and len(shares) > 1:
                continue
            wait = period * (scale - 1) - due
            if chosen < 0 or wait * shares[chosen] < best * shares[source]:
                chosen, best = source, wait
        order[index, 0], order[index, 1] = chosen, counts[chosen]
        counts[chosen] += 1
    return order
