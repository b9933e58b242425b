"""Corpora side by side in one picture: what each is made of, and how they differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from metalang.corpus import Corpus
from metalang.corpus.statistics import Statistics, statistics_of
from metalang.errors import ConfigError
from metalang.files import written

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")  # Okabe & Ito 2008
_BINS = 40


def plot_corpora(named: Sequence[tuple[str, str]], output: Path, *, max_tokens: int) -> None:
    """Writes a PNG of (name, folder) corpora: frequencies, row lengths, distances of recurrence, compressibility.

    Of each corpus about `max_tokens` ids are read. Raises ConfigError for more than eight corpora, and for an output
    that cannot be a PNG file.
    """
    if len(named) > len(_COLORS):
        raise ConfigError(f"{len(named)} corpora do not fit into one picture; give {len(_COLORS)} at the most")
    if output.suffix != ".png" or output.is_dir():
        raise ConfigError(f"--output {output} is no name of a PNG file; give one such as corpora.png")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: {output.parent} is no folder; make it first")
    found = {name: _read(name, Corpus(folder), max_tokens) for name, folder in named}
    figure = _drawn(found)
    with written(output) as file:
        figure.savefig(file, format="png")


def _read(name: str, corpus: Corpus, max_tokens: int) -> Statistics:
    total = min(max_tokens, corpus.num_tokens)
    with tqdm(total=total, desc=f"reading {name}", unit=" tokens", unit_scale=True) as bar:
        return statistics_of(corpus, max_tokens=max_tokens, count=bar.update)


def _drawn(found: dict[str, Statistics]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), dpi=120, layout="constrained")
    (frequencies, lengths), (distances, compressed) = figure.subplots(2, 2)
    for (name, each), color in zip(found.items(), _COLORS, strict=False):
        ranks = np.arange(1, len(each.frequencies) + 1)
        share = each.frequencies / each.frequencies.sum()
        frequencies.loglog(ranks, share, color=color, lw=1.8, label=f"{name} (Zipf exponent {each.zipf_exponent:.2f})")
        _step(lengths, each.lengths, np.ones(len(each.lengths)), color, name)
        places = np.flatnonzero(each.distances)
        _step(distances, places, each.distances[places], color, name)
    _label(frequencies, "How often each id comes", "rank of the id", "share of all ids")
    _label(lengths, "How long rows are", "ids in a row", "share of rows")
    _label(distances, "How far behind an id comes again in its row", "distance in ids", "share of recurrences")
    _draw_compressed(compressed, found)
    return figure


def _step(axes: Any, values: np.ndarray, weights: np.ndarray, color: str, name: str) -> None:
    """A histogram in log-spaced bins, as shares."""
    if not len(values):
        return
    low, high = max(1, values.min()), values.max() + 1
    edges = np.unique(np.geomspace(low, max(high, low + 1), _BINS).round().astype(np.int64))
    shares, edges = np.histogram(values, bins=edges, weights=weights / weights.sum())
    axes.stairs(shares, edges, color=color, lw=1.8, label=name)
    axes.set_xscale("log")


def _draw_compressed(axes: Any, found: dict[str, Statistics]) -> None:
    """For each corpus the mean share of zlib as it stands (full) and shuffled (pale), with least and most."""
    for place, ((_, each), color) in enumerate(zip(found.items(), _COLORS, strict=False)):
        for offset, ratios, alpha in ((-0.18, each.compressed, 1.0), (0.18, each.compressed_shuffled, 0.35)):
            mean = ratios.mean()
            spread = [[mean - ratios.min()], [ratios.max() - mean]]
            axes.barh(place + offset, mean, height=0.34, color=color, alpha=alpha)
            axes.errorbar(mean, place + offset, xerr=spread, color="#333333", lw=1, capsize=2)
            axes.annotate(f" {mean:.2f}", (ratios.max(), place + offset), va="center", fontsize=9)
    axes.set_yticks(range(len(found)), found)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_title("What zlib leaves: as it stands (full), ids shuffled (pale)", fontsize=12)
    axes.set_xlabel("compressed bytes / bytes")
    _plain(axes)


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(fontsize=9, frameon=False)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)
