"""Curves of groups over tokens, as PNG files and as SVG that takes the colours of the page it stands in."""

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
_VARIABLES = {_INK: "var(--ink)", _FAINT: "var(--faint)", _GROUND: "none"}
_BASELINE = _INK
_STEEP = 0.08  # of the tokens: a first fall that may leave the picture


def group_colors(groups: Sequence[Group], baseline: Group) -> dict[str, str]:
    """A colour for each group by name: the baseline is drawn in the colour of the text."""
    others = [group.name for group in groups if group is not baseline]
    hues = [color for color in COLORS if color != "#000000"]
    return {baseline.name: _BASELINE} | {name: hues[place % len(hues)] for place, name in enumerate(others)}


def draw(groups: Sequence[Group], metric: str, half_life: float, colors: dict[str, str]) -> Any:
    """A figure of one metric: each seed faint, the smoothed mean over seeds strong, the name at its end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained", facecolor=_GROUND)
    axes = figure.subplots()
    ends = []
    for group in groups:
        mean = group.mean(metric, half_life)
        if mean is None:
            continue
        for each in group.curves(metric):
            axes.plot(each.tokens, each.values, color=colors[group.name], lw=0.8, alpha=0.3)
        style = {"marker": "o", "ms": 4} if len(mean.tokens) <= 30 else {}
        axes.plot(mean.tokens, mean.values, color=colors[group.name], lw=2.2, label=group.name, **style)
        ends.append((float(mean.tokens[-1]), mean.final, group.name))
    _frame(axes, groups, metric, half_life)
    _label_ends(axes, ends, colors)
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


def _label_ends(axes: Any, ends: Sequence[tuple[float, float, str]], colors: dict[str, str]) -> None:
    """The names of the lines at their ends, moved apart so that none covers another."""
    low, high = axes.get_ylim()
    gap, below = (high - low) / 18, low - (high - low)
    for tokens, value, name in sorted(ends, key=lambda end: end[1]):
        height = below = max(value, below + gap)
        axes.annotate(
            name, (tokens, value), (1.01, (height - low) / (high - low)), textcoords="axes fraction",
            color=colors[name], va="center", ha="left", fontsize=10, parse_math=False,
            arrowprops={"arrowstyle": "-", "color": colors[name], "lw": 0.6, "alpha": 0.6},
        )  # fmt: skip


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
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
