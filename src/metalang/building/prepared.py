"""A mixture of texts, prepared whole: both splits, their corpora, and a table of what happened to the documents."""

import json
from pathlib import Path
from typing import Any

from metalang.building.corpora import build_corpus
from metalang.building.executors import Executor
from metalang.building.text import TextBuild
from metalang.building.text_mixture import POOLS, SPLIT_SUFFIXES, DatasetMixer
from metalang.files import read_json
from metalang.text.sources import TextSource


def prepare(
    mixture_config: Path,
    output_dir: Path,
    *,
    cache_dir: Path | None,
    tokenizer: str | None,
    only_check: bool,
    executor: Executor,
    **settings: Any,
) -> str:
    """Prepares the mixture of a file into a folder; what was done, as text. `settings`: those of a `DatasetMixer`.

    With a `tokenizer` a corpus of each split is built in <output_dir>/corpora. Raises ConfigError for a faulty mixture.
    """
    mixer = DatasetMixer.from_yaml(mixture_config, **settings)
    if only_check:
        return json.dumps(mixer.validate_mixture(), indent=2)
    cache = cache_dir or output_dir / POOLS
    said = []
    for split, suffix in SPLIT_SUFFIXES.items():
        if split == "validation" and not mixer.mixture.validation.ratio:
            continue
        output = output_dir / f"{mixer.name}_{suffix}.jsonl"
        mixer.prepare_dataset(output, split, cache, executor)
        tokens = None
        if tokenizer:
            build = TextBuild(TextSource(str(output)), tokenizer)
            tokens = build_corpus(build, output_dir / "corpora" / output.stem, executor).num_tokens
        said.append(_table(output, tokens))
    return "\n\n".join(said)


def _table(output: Path, num_tokens: int | None) -> str:
    """A line a source: what was read, what each filter refused, duplicates, lines written and how often each."""
    sources = read_json(output.with_suffix(".stats.json"))["sources"]
    reasons = sorted({name for stats in sources.values() for name in stats if name.startswith("filter ")})
    columns = ["read", "bad_lines", "empty_documents", *reasons, "duplicates", "different", "written"]
    shown = [name for name in columns if name not in columns[1:3] or any(stats.get(name) for stats in sources.values())]
    rows = [["source", *(name.removeprefix("filter ").replace("_", " ") for name in shown), "epochs"]]
    rows += [
        [name, *(f"{stats.get(column, 0):,}" for column in shown), f"{stats['epochs']:.2f}"]
        for name, stats in sources.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    total = sum(stats["written"] for stats in sources.values())
    tokens = "" if num_tokens is None else f", {num_tokens:,} tokens"
    return "\n".join([f"{output}: {total:,} lines{tokens}", *lines])
