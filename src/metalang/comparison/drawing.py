"""Curves of groups over tokens, as PNG files and as SVG that takes the colours of the page it stands in."""

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metalang.colors import COLORS
from metalang.comparison.groups import Group
from metalang.comparison.runs import BITS
from metalang.files import written

_INK, _FAINT, _GROUND = "#333333", "#e4e4e4", "#ffffff"
_HUES = tuple(color for color in COLORS if color != "#000000")
_VARIABLES = {_INK: "var(--ink)", _FAINT: "var(--faint)", _GROUND: "none"} | {
    hue: f"var(--c{hue[1:]})" for hue in _HUES
}
_STYLES = ("-", "--", ":", "-.")
_LABEL = 0.17  # inches from one name to the next
_STEEP = 0.08  # of the tokens: a first fall that may leave the picture


def group_lines(groups: Sequence[Group], baseline: Group) -> dict[str, tuple[str, str]]:
    """Colour and style of each group's line by its name: the baseline is drawn in the colour of the text."""
    others = [group.name for group in groups if group is not baseline]
    lines = {
        name: (_HUES[place % len(_HUES)], _STYLES[place // len(_HUES) % len(_STYLES)])
        for place, name in enumerate(others)
    }
    return {baseline.name: (_INK, "-")} | lines


def css_variables() -> dict[str, str]:
    """The colours of lines by the names of the variables that a page has to define for `inline_svg`."""
    return {f"--c{hue[1:]}": hue for hue in _HUES}


def css_color(color: str) -> str:
    """A colour of `group_lines` as the page has it."""
    return _VARIABLES[color]


def draw(groups: Sequence[Group], metric: str, half_life: float, lines: dict[str, tuple[str, str]]) -> Any:
    """A figure of one metric: each seed faint, the smoothed mean over seeds strong, the name at its end."""
    from matplotlib.figure import Figure

    height = max(4.2, 0.9 + _LABEL * len(groups))
    figure = Figure(figsize=(7.2, height), layout="constrained", facecolor=_GROUND)
    axes = figure.subplots()
    ends = []
    for group in groups:
        mean = group.mean(metric, half_life)
        if mean is None:
            continue
        color, style = lines[group.name]
        for each in group.curves(metric):
            axes.plot(each.tokens, each.values, color=color, lw=0.8, alpha=0.3)
        marks = {"marker": "o", "ms": 4} if len(mean.tokens) <= 30 else {}
        axes.plot(mean.tokens, mean.values, color=color, ls=style, lw=2.2, **marks)
        ends.append((float(mean.tokens[-1]), mean.final, group.name))
    _frame(axes, groups, metric, half_life)
    _label_ends(axes, ends, lines, gap=_LABEL / (height - 0.9))
    return figure


def _frame(axes: Any, groups: Sequence[Group], metric: str, half_life: float) -> None:
    """Axes with few lines, cut so that the first steep fall does not flatten the rest."""
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel("tokens read", color=_INK)
    axes.set_ylabel("bits a byte" if metric.endswith(BITS) else "nats a token", color=_INK)
    axes.set_title(metric, loc="left", color=_INK, fontweight="bold", parse_math=False)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_facecolor(_GROUND)
    axes.grid(color=_FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(color=_FAINT, labelcolor=_INK)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(_INK)
    drawn = [each for group in groups for each in group.curves(metric, half_life)]
    begin = _STEEP * max(each.tokens[-1] for each in drawn)
    low = min(float(each.values.min()) for each in drawn)
    top = max(float(each.values[each.tokens >= min(begin, each.tokens[-1])].max()) for each in drawn)
    room = 0.05 * max(top - low, 1e-3)
    axes.set_ylim(low - room, top + room)
    axes.margins(x=0.0)


def _label_ends(
    axes: Any, ends: Sequence[tuple[float, float, str]], lines: dict[str, tuple[str, str]], *, gap: float
) -> None:
    """The names of the lines at their ends, `gap` of the height or more apart, so that none covers another."""
    low, high = axes.get_ylim()
    ends = sorted(ends, key=lambda end: end[1])
    wanted = [(value - low) / (high - low) for _, value, _ in ends]
    for (tokens, value, name), height in zip(ends, spread(wanted, gap), strict=True):
        color, _ = lines[name]
        axes.annotate(
            name, (tokens, value), (1.03, height), textcoords="axes fraction",
            color=color, va="center", ha="left", fontsize=10, parse_math=False,
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "alpha": 0.6, "relpos": (0, 0.5), "shrinkB": 0},
        )  # fmt: skip


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Growing places moved up until they lie `gap` apart, and then down where the last would be past 1.

    >>> spread([0.0, 0.25, 0.75], 0.5), spread([0.0, 0.5, 0.5], 0.25)
    ([0.0, 0.5, 1.0], [0.0, 0.5, 0.75])
    """
    up: list[float] = []
    for place in places:
        up.append(place if not up else max(place, up[-1] + gap))
    down: list[float] = []
    for place in reversed(up):
        down.append(min(place, 1.0) if not down else min(place, down[-1] - gap))
    return down[::-1]


def save_png(figure: Any, path: Path) -> None:
    """A PNG on white, the same bytes for the same figure."""
    with written(path) as file:
        figure.savefig(file, format="png", dpi=144, metadata={"Software": None})


def inline_svg(figure: Any, title: str) -> str:
    """SVG for a page that defines --ink and --faint; text stays text, and the same figure gives the same bytes."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
