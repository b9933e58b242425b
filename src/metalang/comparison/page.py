"""The page of a comparison: one HTML file that needs nothing else."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from metalang.comparison.drawing import css_color, css_variables
from metalang.comparison.groups import Difference, Group
from metalang.comparison.measures import Final, Saved, two_sided
from metalang.comparison.runs import BITS


@dataclass(frozen=True)
class Row:
    """What the page says of a group."""

    group: Group
    is_baseline: bool
    tokens: int
    final: Final
    saved: Saved | None
    sign_test: tuple[int, int, float] | None
    speed: float | None
    differences: tuple[Difference, ...]

    @property
    def aspects(self) -> tuple[str, ...]:
        """In how many respects it is another run than the baseline: what a fair comparison has one of."""
        return tuple(dict.fromkeys(each.aspect for each in self.differences if each.aspect))


def page(
    title: str,
    rows: Sequence[Row],
    metric: str,
    smoothing: str,
    notes: Sequence[str],
    figures: Mapping[str, str],
    lines: Mapping[str, tuple[str, str]],
) -> str:
    """HTML with the verdicts, `notes` (sentences), the table, `figures` (SVG by metric) and what differs."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"size": _size, "percent": _percent, "plain": _plain}
    template = environment.from_string(files("metalang.comparison").joinpath("page.html").read_text(encoding="utf-8"))
    others = [row for row in rows if not row.is_baseline]
    (base,) = (row for row in rows if row.is_baseline)
    return template.render(
        title=title,
        base=base,
        rows=[base, *others],
        verdicts=[(row.group.name, verdict(base, row, _UNITS[metric.endswith(BITS)])) for row in others],
        notes=notes,
        least=_least(others),
        warnings=[(row.group.name, row.aspects) for row in others if len(row.aspects) > 1],
        same=[row.group.name for row in others if not row.aspects],
        metric=metric,
        smoothing=smoothing,
        figures=figures,
        colors={name: css_color(color) for name, (color, _) in lines.items()},
        variables=css_variables(),
    )


_UNITS = ("nats", "bits a byte")


def _least(rows: Sequence[Row]) -> tuple[int, float]:
    """The most pairs that a sign test of the page has, and the p that it has when all of them agree."""
    number = max((row.sign_test[1] for row in rows if row.sign_test), default=0)
    return number, two_sided(number, number)


def verdict(base: Row, row: Row, unit: str) -> str:
    """One sentence: how far the final losses lie apart, whether seeds agree, how many tokens it saves."""
    apart = row.final.mean - base.final.mean
    text = f"ends {abs(apart):.4f} {unit} {'below' if apart < 0 else 'above'} the baseline"
    if math.isnan(apart):
        text = f"{'ends' if math.isnan(row.final.mean) else 'stands beside a baseline that ends'} in no number"
    if row.sign_test is not None and row.sign_test[1] > 1:
        lower, of, p = row.sign_test
        text += f"; lower in {lower} of {of} pairs of seeds, p = {p:.3g}"
    if row.saved is None:
        return text + "."
    if row.saved.tokens is None:
        return text + "; never reaches the baseline's final loss."
    if row.saved.efficiency_of_all is None:
        return text + "; the baseline ends no lower than it began."
    if row.saved.efficiency is None:
        return f"{text}; needs {_fewer(row.saved.efficiency_of_all)} tokens for the baseline's final loss."
    text += f"; needs {_fewer(row.saved.efficiency)} natural tokens for the baseline's final loss"
    if row.saved.synthetic or row.saved.baseline_synthetic:
        text += f", and {_fewer(row.saved.efficiency_of_all)} tokens in all"
    return text + "."


def _fewer(share: float | None) -> str:
    assert share is not None, "the level is reached"
    return f"{abs(share):.1%} {'fewer' if share >= 0 else 'more'}"


def _size(number: float | None) -> str:
    """Three digits of a number of tokens.

    >>> _size(78_643_200), _size(950), _size(None)
    ('78.6M', '950', 'never')
    """
    if number is None:
        return "never"
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:+.1%}".replace("-", "−")


def _plain(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)
