"""Corpora side by side in one picture: what each is made of, and how they differ."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from metalang.colors import COLORS
from metalang.corpus import Corpus
from metalang.corpus.statistics import Statistics, statistics_of, stretches
from metalang.errors import ConfigError
from metalang.files import written

_INK, _FAINT = "#333333", "#e4e4e4"
_POINTS = 300
_BINS_PER_DOUBLING = 4
_LINEAR_RATIO, _LINEAR_BINS = 20, 48

_Found = dict[str, Statistics]


def plot_corpora(named: Sequence[tuple[str, str]], output: Path, *, max_tokens: int) -> None:
    """Writes a PNG of (name, folder) corpora: frequencies, row lengths, distances of recurrence, compressibility.

    Of each corpus at most `max_tokens` ids are read. Raises ConfigError for more than eight corpora, and for an output
    that cannot be a PNG file.
    """
    if len(named) > len(COLORS):
        raise ConfigError(f"{len(named)} corpora do not fit into one picture; give {len(COLORS)} at the most")
    if output.suffix != ".png" or output.is_dir():
        raise ConfigError(f"--output {output} is no name of a PNG file; give one such as corpora.png")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: {output.parent} is no folder; make it first")
    figure = _drawn(*_read({name: Corpus(folder) for name, folder in named}, max_tokens))
    with written(output) as file:
        figure.savefig(file, format="png")


def _read(corpora: dict[str, Corpus], max_tokens: int) -> tuple[_Found, dict[str, str]]:
    """The statistics of each corpus, and how much of it they are of."""
    sizes = {name: corpus.num_tokens for name, corpus in corpora.items()}
    reads = {name: sum(stop - start for start, stop in stretches(size, max_tokens)) for name, size in sizes.items()}
    found = {}
    with tqdm(total=sum(reads.values()), unit=" tokens", unit_scale=True) as bar:
        for name, corpus in corpora.items():
            bar.set_description(f"reading {name}")
            found[name] = statistics_of(corpus, max_tokens=max_tokens, count=bar.update)
    parts = {name: "all" if reads[name] == size else f"{reads[name]:,} of" for name, size in sizes.items()}
    return found, {name: f"{name}: {part} {sizes[name]:,} tokens" for name, part in parts.items()}


def _drawn(found: _Found, samples: dict[str, str]) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(15, 9.5), dpi=120, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.03)
    (frequencies, lengths), (distances, order) = figure.subplots(2, 2)
    _draw_frequencies(frequencies, found)
    _draw_lengths(lengths, found)
    _draw_distances(distances, found)
    _draw_order(order, found)
    columns = -(-len(found) // -(-len(found) // 3))
    swatches = [Patch(color=color) for color in COLORS[: len(found)]]
    figure.legend(swatches, samples.values(), loc="outside upper center", ncols=columns, frameon=False)
    return figure


def _draw_frequencies(axes: Any, found: _Found) -> None:
    """Shares of the ids by rank, and the fitted Zipf laws, dashed."""
    for (name, each), color, width in _styles(found):
        ranks = np.unique(np.geomspace(1, len(each.frequencies), _POINTS).round().astype(np.int64))
        share, exponent = each.frequencies / each.frequencies.sum(), each.zipf_exponent
        axes.plot(ranks, share[ranks - 1], color=color, lw=width, label=f"{name}: {exponent:.2f}")
        law = np.arange(1, len(share) + 1) ** -exponent
        axes.plot(ranks, (law / law.sum())[ranks - 1], color=color, lw=1, ls=(0, (5, 3)))
    _name(axes, "How often each id comes", "rank of the id", "share of the ids read")
    axes.set_xscale("log")
    axes.set_yscale("log")
    _counts(axes.xaxis)
    _percent(axes.yaxis)
    _legend(axes, "Zipf exponent (dashed)")


def _draw_lengths(axes: Any, found: _Found) -> None:
    """A histogram a corpus, one below the other, each as high as its place allows."""
    held = np.concatenate([np.flatnonzero(each.lengths) for each in found.values()])
    shortest, longest = max(1, int(held.min())), max(1, int(held.max()))
    alike = longest <= _LINEAR_RATIO * shortest
    edges = _even_edges(shortest, longest) if alike else _doubling_edges(longest)
    for place, ((_, each), color, _) in zip(count(), _styles(found), strict=False):
        rows, _ = np.histogram(np.arange(len(each.lengths)), bins=edges, weights=each.lengths)
        heights = 0.85 * rows / max(rows.max(initial=0), 1)
        base = len(found) - 1 - place
        axes.stairs(base + heights, edges, baseline=base, color=color, fill=True, alpha=0.75, lw=0)
        axes.axhline(base, color=color, lw=1)
    _name(axes, "How long rows are", "ids in a row", "")
    axes.set_ylim(-0.04, len(found))
    _named_places(axes, [f"{name}\n{_typical(each.lengths)}" for name, each in found.items()], above=0.4)
    if alike:
        axes.locator_params(axis="x", integer=True)
    else:
        axes.set_xscale("log")
        axes.set_xlim(left=0.8 * shortest)
    _counts(axes.xaxis)


def _draw_distances(axes: Any, found: _Found) -> None:
    """Shares of the ids by how far behind their last occurrence in their row they stand."""
    for (name, each), color, width in _styles(found):
        edges = _doubling_edges(max(len(each.distances) - 1, 1))
        counts, _ = np.histogram(np.arange(1, len(each.distances)), bins=edges, weights=each.distances[1:])
        shares = counts / np.diff(edges) / each.distances.sum()
        drawn = shares > 0
        middles = np.sqrt((edges[:-1] + 0.5) * (edges[1:] - 0.5))
        new = each.distances[0] / each.distances.sum()
        axes.plot(
            middles[drawn], shares[drawn], color=color, lw=width, marker="o", ms=width + 1.5, label=f"{name}: {new:.0%}"
        )
    _name(
        axes, "How far back an id was last seen in its row", "distance in ids", "share of the ids read, each distance"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _counts(axes.xaxis)
    _percent(axes.yaxis)
    if not any(each.distances[1:].any() for each in found.values()):
        axes.set(xlim=(1, 10), ylim=(0.001, 1))  # a logarithmic scale needs something to show
        axes.annotate("no id comes twice in a row", (0.5, 0.5), xycoords="axes fraction", ha="center", color=_INK)
    _legend(axes, "new in their row")


def _draw_order(axes: Any, found: _Found) -> None:
    """Bits an id as it stands (full) and shuffled (hollow): means of blocks, and the middle nine tenths."""
    for place, ((_, each), color, _) in zip(count(), _styles(found), strict=False):
        y = len(found) - 1 - place
        plain, shuffled = each.bits.mean(axis=0)
        axes.plot([plain, shuffled], [y, y], color=color, lw=7, alpha=0.3, solid_capstyle="butt", zorder=2)
        for values, filling in ((each.bits[:, 1], "white"), (each.bits[:, 0], color)):
            axes.plot(np.quantile(values, [0.05, 0.95]), [y, y], color=color, lw=1.2, zorder=3)
            axes.plot(values.mean(), y, "o", ms=10, mec=color, mew=2, mfc=filling, zorder=4)
        saved = 1 - plain / shuffled
        axes.annotate(
            f"order saves {saved:.0%}" if saved >= 0.005 else "order saves nothing", ((plain + shuffled) / 2, y + 0.17),
            ha="center", va="bottom", fontsize=9.5, color=_INK,
        )  # fmt: skip
    _name(
        axes,
        "What zlib needs for an id: ● as it stands, ○ shuffled",
        "bits an id, in blocks of 16,384 (thin lines: nine blocks in ten)",
        "",
    )
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_xlim(0, max(17.0, 1.1 * max(each.bits.max() for each in found.values())))
    _named_places(axes, list(found), above=0)


def _styles(found: _Found) -> Any:
    """(name, statistics), color, line width of each corpus: later lines are thinner, so that none hides another."""
    widths = np.linspace(1.5 + min(len(found) - 1, 4) * 0.9, 1.5, len(found))
    return zip(found.items(), COLORS, widths, strict=False)


def _doubling_edges(longest: int) -> np.ndarray:
    """Borders of bins between whole numbers, as wide as they are far: 0.5, 1.5, ... with four bins a doubling."""
    number = int(np.ceil(_BINS_PER_DOUBLING * np.log2(longest + 1))) + 1
    return np.unique(np.round(2 ** (np.arange(number + 1) / _BINS_PER_DOUBLING)).astype(np.int64)) - 0.5


def _even_edges(shortest: int, longest: int) -> np.ndarray:
    """Borders of equally wide bins between whole numbers, and some room around a length that stands alone."""
    around = 0 if longest > shortest else longest // 8 + 1
    first, last, width = shortest - around, longest + around, 1
    while last - first >= width * _LINEAR_BINS:
        width *= 2  # even: the lengths of many languages are all even or all odd
    return np.arange(first, last + width + 1, width) - 0.5


def _typical(lengths: np.ndarray) -> str:
    """The median of lengths, counted by length, or the only one."""
    held = np.flatnonzero(lengths)
    median = np.searchsorted(np.cumsum(lengths), (lengths.sum() + 1) // 2)
    return f"all {held[0]:,}" if len(held) == 1 else f"median {median:,}"


def _name(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=12, loc="left", color=_INK)
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.tick_params(colors=_INK)
    axes.grid(color=_FAINT, lw=0.8)
    axes.set_axisbelow(True)


def _legend(axes: Any, title: str) -> None:
    """Beside the axes: among many lines no corner is free."""
    legend = axes.legend(
        title=title, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, fontsize=9.5, title_fontsize=9.5
    )
    legend.set_alignment("left")


def _named_places(axes: Any, names: Sequence[str], *, above: float) -> None:
    """Names of the corpora on the y axis, the first one on top."""
    axes.set_yticks([len(names) - 1 - place + above for place in range(len(names))], names)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _counts(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: _plain(value))
    axis.set_minor_formatter(lambda value, _: "")


def _percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{_plain(100 * value)}%")
    axis.set_minor_formatter(lambda value, _: "")


def _plain(value: float) -> str:
    """A number with commas and no exponent.

    >>> _plain(10_000.0), _plain(0.001)
    ('10,000', '0.001')
    """
    return f"{value:,.10f}".rstrip("0").rstrip(".")
