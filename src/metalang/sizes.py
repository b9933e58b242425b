"""Counts and parts as people write them: "5M" <-> 5_000_000, "1%"."""

import re
from decimal import Decimal

from metalang.errors import ConfigError

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
PATTERN = r"(\d[\d_]*(?:\.\d+)?)([KMBT]?)"
_FORM = re.compile(PATTERN)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


def parse_size(text: str | int, *, what: str = "") -> int:
    """The whole number that a size means. Raises ConfigError, which begins with `what`, for anything else.

    >>> parse_size("5M"), parse_size("1.5B"), parse_size("10_000"), parse_size(7)
    (5000000, 1500000000, 10000, 7)
    """
    form = _FORM.fullmatch(str(text))
    size = Decimal(form[1].replace("_", "")) * _SUFFIXES[form[2]] if form else None
    if size is None or size != size.to_integral_value():
        raise ConfigError(
            f"{what} {text!r} is not a whole number; write it as 5000000, 5_000_000, 5M, 40K, 1.5B or 2T".lstrip()
        )
    return int(size)


def format_size(count: int) -> str:
    """The shortest form of a count that reads back as the same count.

    >>> format_size(5_000_000), format_size(1_500), format_size(1_234_567), format_size(0)
    ('5M', '1.5K', '1_234_567', '0')
    """
    for suffix, unit in reversed(_SUFFIXES.items()):
        scaled = Decimal(count) / unit
        if suffix and scaled >= 1 and scaled == round(scaled, 2):
            return f"{scaled.normalize():f}{suffix}"
    return f"{count:_}"


def counted(count: int, noun: str) -> str:
    """A count and what is counted, for people.

    >>> counted(1, "rank"), counted(1_500, "step")
    ('1 rank', '1,500 steps')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counted_shortly(count: int, noun: str) -> str:
    """As `counted`, with the short form of the count where there is one.

    >>> counted_shortly(5_000_000, "token"), counted_shortly(1_024, "token")
    ('5,000,000 tokens (5M)', '1,024 tokens')
    """
    short = format_size(count)
    return counted(count, noun) + (f" ({short})" if short[-1] in _SUFFIXES else "")


def parse_percent(text: str) -> float:
    """The part of 1 that a percentage means, above 0 and up to 1. Raises ConfigError for anything else.

    >>> parse_percent("1%"), parse_percent("100%")
    (0.01, 1.0)
    """
    form = _PERCENT.fullmatch(text)
    share = float(Decimal(form[1]) / 100) if form else 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"{text!r} is no part of anything; write it as 1%, 0.5% or 100%")
    return share
