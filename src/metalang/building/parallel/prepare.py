"""Pairs of texts to a folder of clean ones, in two splits."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from metalang.building.parallel.folder import SPLITS, STATS, VERSION, read_stats
from metalang.building.parallel.passes import clean_pairs, split_pairs
from metalang.building.parallel.repeats import mark_repeats
from metalang.building.parallel.spec import ParallelText
from metalang.digests import canonical_json
from metalang.errors import ConfigError
from metalang.files import aside, entry_of, is_as, publish, write_json


def prepare_parallel(text: ParallelText, output_dir: Path) -> dict[str, Any]:
    """Writes the folder, whole or not at all, and returns its stats; a folder of equal settings and inputs is left as
    it is.

    Raises ConfigError for a folder that holds anything else, for a line that cannot be read (unless it may be skipped),
    and where a split would have no pair.
    """
    spec = json.loads(canonical_json(text.spec))
    if finished := _finished(output_dir, spec):
        return finished
    folder = aside(output_dir)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        stats = _write(text, folder, spec)
        publish(output_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return stats


def _finished(folder: Path, spec: dict[str, Any]) -> dict[str, Any] | None:
    """The stats of a folder that holds what the spec says. Raises ConfigError for one that holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    advice = "nothing was changed; name another --output_dir, or delete this one"
    stats = read_stats(folder)
    if stats is None:
        raise ConfigError(f"{folder} exists and holds no pairs of ours (no {STATS} of version {VERSION}); {advice}")
    if stats["spec"] != spec:
        other = ", ".join(
            f"{name} {_brief(stats['spec'].get(name))} there and {_brief(spec[name])} now"
            for name in spec
            if stats["spec"].get(name) != spec[name]
        )
        raise ConfigError(f"{folder} holds other pairs: {other}; {advice}")
    changed = [name for name, entry in stats["files"].items() if not is_as(folder / name, entry)]
    if changed:
        raise ConfigError(f"{folder} is damaged: {', '.join(changed)} changed since it was written; {advice}")
    return stats


def _brief(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _write(text: ParallelText, folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    left_out = Counter(dict.fromkeys(("bad_line", *text.cleaning.reasons, "duplicate"), 0))
    cleaned, hashes, marks = (folder / name for name in ("cleaned.tsv", "hashes.bin", "repeats.bin"))
    clean_pairs(text, cleaned, hashes, left_out)
    mark_repeats(hashes, marks)
    splits = split_pairs(text, cleaned, (hashes, marks), left_out)
    for path in (cleaned, hashes, marks):
        path.unlink()
    kept = sum(split["pairs"] for split in splits.values())
    stats = {
        "version": VERSION,
        "languages": list(text.languages),
        "tags": list(text.provenance.tags),
        "read": kept + left_out.total(),
        "kept": kept,
        "left_out": dict(left_out),
        **splits,
        "files": {path.name: entry_of(path) for path in sorted(folder.iterdir())},
        "spec": spec,
    }
    _require_pairs(stats)
    write_json(folder / STATS, stats)
    return stats


def _require_pairs(stats: dict[str, Any]) -> None:
    met = ", ".join(f"{count:,} {reason}" for reason, count in stats["left_out"].items() if count) or "nothing"
    if not stats["kept"]:
        source, target = stats["languages"]
        raise ConfigError(
            f"no pair is left of {stats['read']:,} ({met} left out). If the first text is {source} and the second "
            f"{target}, widen the limits that left them out; if not, change the order"
        )
    for split in SPLITS:
        if not stats[split]["pairs"]:
            raise ConfigError(
                f"none of {stats['kept']:,} pairs fell into {split}; give more pairs, another --val_ratio or --seed"
            )


def describe_pairs(stats: dict[str, Any], folder: Path) -> str:
    """What the stats of a folder say, a fact a line."""
    source, target = stats["languages"]
    met = ", ".join(f"{count:,} {reason}" for reason, count in stats["left_out"].items() if count) or "none"
    lines = [f"{folder}: {stats['kept']:,} pairs of {source} and {target}, of {stats['read']:,} read"]
    lines.append(f"  left out: {met}")
    for split in SPLITS:
        sides = (f"{code}: {_measured(stats[split][code])}" for code in (source, target))
        lines += [f"  {split}: {stats[split]['pairs']:,} pairs", *(f"    {side}" for side in sides)]
    if stats["tags"]:
        lines.append(f"  tags before each text: {' '.join(stats['tags'])}")
    return "\n".join(lines)


def _measured(counts: dict[str, Any]) -> str:
    return (
        f"{counts['characters']:,} characters in {counts['words']:,} words, "
        f"{counts['mean_characters']:.1f} and {counts['mean_words']:.1f} a text"
    )
