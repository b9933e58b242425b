"""The comparison as files: a page, a PNG for each metric, two tables."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metalang.comparison.comparable import choose, drawn
from metalang.comparison.curves import curve
from metalang.comparison.drawing import draw, group_lines, inline_svg, save_png
from metalang.comparison.groups import Group, differences, grouped
from metalang.comparison.measures import final, saved, sign_test, speed
from metalang.comparison.notes import notes
from metalang.comparison.page import Row, page
from metalang.comparison.runs import read_runs
from metalang.errors import ConfigError
from metalang.files import ASIDE, written

_DEFAULT_HALF_LIFE = 0.02  # of the baseline's tokens


def compare(
    places: Sequence[str],
    *,
    baseline: str,
    output_dir: str,
    metric: str | None = None,
    half_life: float | None = None,
    title: str = "Runs compared",
) -> Path:
    """Writes `index.html`, `<metric>.png`, `comparison.csv` and `curves.csv` into `output_dir`; gives the page's path.

    Runs that differ in their seed alone are one group; `baseline` is the name of a run, of a group, or the place of
    one. `metric`: by which tokens are counted, a loss or the `_bits_per_byte` of an evaluation; by default the first
    evaluation that all runs made on the same, else a training loss. `half_life`: of the smoothing, in tokens; by
    default a fiftieth of the baseline's for training losses, and none for evaluations, which are means over a whole
    set. Raises ConfigError for runs that cannot be compared.
    """
    places = [*places] if baseline in places or not _is_place(baseline) else [*places, baseline]
    groups = grouped(read_runs(places))
    base = _baseline(groups, baseline)
    chosen = choose([run for group in groups for run in group.runs], metric)
    metrics, left_out = drawn(groups, chosen)
    spans = _half_lives(metrics, base, half_life)
    folder = _claimed(Path(output_dir))
    rows = [_row(base, group, chosen, spans[chosen]) for group in groups]
    lines = group_lines(groups, base)
    figures = {name: draw(groups, name, spans[name], lines) for name in metrics}
    for name, figure in figures.items():
        save_png(figure, folder / f"{name}.png")
    _write(folder / "comparison.csv", _numbers(rows, metrics, spans))
    _write(folder / "curves.csv", _curves(groups, metrics, spans))
    svgs = {name: inline_svg(figure, name) for name, figure in figures.items()}
    said = notes(base, groups, chosen, left_out)
    _write(folder / "index.html", page(title, rows, chosen, _said(spans[chosen]), said, svgs, lines))
    return folder / "index.html"


def _claimed(folder: Path) -> Path:
    """The folder, made. Raises ConfigError for a file, and for a folder of something else, such as a run."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output_dir {folder} is a file; give a folder")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    foreign = [name for name in held if not name.removesuffix(ASIDE).endswith((".html", ".png", ".csv"))]
    if foreign:
        raise ConfigError(f"--output_dir {folder} holds something else ({foreign[0]}); give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _half_lives(metrics: Sequence[str], base: Group, wanted: float | None) -> dict[str, float]:
    """Of the smoothing of each metric, in tokens."""
    default = _DEFAULT_HALF_LIFE * base.tokens
    return {name: wanted if wanted is not None else 0.0 if name.startswith("eval_") else default for name in metrics}


def _said(half_life: float) -> str:
    return f"smoothed with a half-life of {half_life:,.0f} tokens" if half_life else "as it was evaluated"


def _is_place(text: str) -> bool:
    return text.startswith("wandb:") or Path(text).exists()


def _baseline(groups: Sequence[Group], wanted: str) -> Group:
    """The group of that name, or that has a run of that name, or that lies there."""
    found = [group for group in groups if wanted in {group.name, *(run.name for run in group.runs)}]
    found = found or [group for group in groups if any(run.lies_in(wanted) for run in group.runs)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(group.name for group in (found or groups))
    raise ConfigError(f"--baseline {wanted} is {'more than one' if found else 'none'} of the runs; give one of {known}")


def _row(base: Group, group: Group, metric: str, half_life: float) -> Row:
    ending = final(group, metric, half_life)
    assert ending is not None, "all runs have the metric"
    return Row(
        group=group,
        is_baseline=group is base,
        tokens=group.tokens,
        final=ending,
        saved=None if group is base else saved(base, group, metric, half_life),
        sign_test=None if group is base else sign_test(base, group, metric, half_life),
        speed=speed(group),
        differences=tuple(differences(base, group)),
    )


def _numbers(rows: Sequence[Row], metrics: Sequence[str], spans: dict[str, float]) -> str:
    lines: list[tuple[Any, ...]] = [("group", "metric", "quantity", "value")]
    for row in rows:
        name = row.group.name
        for metric in metrics:
            ending = final(row.group, metric, spans[metric])
            if ending is not None:
                lines += [(name, metric, "final", ending.mean), (name, metric, "spread", ending.spread)]
                lines += [(name, metric, "runs", ending.number)]
        lines.append((name, "", "tokens", row.tokens))
        lines.append((name, "", "tokens_per_second", row.speed))
        if row.saved is not None:
            lines += [
                (name, "", "tokens_to_baseline", row.saved.tokens),
                (name, "", "token_efficiency", row.saved.efficiency),
                (name, "", "token_efficiency_of_all", row.saved.efficiency_of_all),
                (name, "", "marginal_rate_of_substitution", row.saved.substitution),
            ]
        if row.sign_test is not None:
            lines += [
                (name, "", f"sign_test_{what}", of)
                for what, of in zip("lower of p".split(), row.sign_test, strict=True)
            ]
    return _csv(lines)


def _curves(groups: Sequence[Group], metrics: Sequence[str], spans: dict[str, float]) -> str:
    lines: list[tuple[Any, ...]] = [("group", "run", "seed", "metric", "tokens", "value", "smoothed")]
    for group in groups:
        for run in group.runs:
            for metric in metrics:
                found = curve(run, metric)
                if found is None:
                    continue
                smooth = found.smoothed(spans[metric])
                points = zip(found.tokens.tolist(), found.values.tolist(), smooth.values.tolist(), strict=True)
                lines += [(group.name, run.name, run.seed, metric, int(at), *values) for at, *values in points]
    return _csv(lines)


def _write(path: Path, text: str) -> None:
    with written(path) as file:
        file.write(text.encode())


def _csv(lines: Sequence[tuple[Any, ...]]) -> str:
    """Numbers with all their digits; what is not there is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in lines:
        writer.writerow(
            ["" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell for cell in line]
        )
    return file.getvalue()
