"""A mixture of texts, prepared whole: both splits, their corpora, and a table of what happened to the documents."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from metalang.building.corpora import build_corpus
from metalang.building.executors import Executor
from metalang.building.text import TextBuild
from metalang.building.text_mixture import POOLS, SPLIT_SUFFIXES, DatasetMixer
from metalang.corpus import Corpus
from metalang.errors import ConfigError
from metalang.files import alone, read_json, write_json
from metalang.tables import table
from metalang.text.sources import TextSource

_FILTER = "filter "


def prepare(
    mixture_config: Path,
    output_dir: Path,
    *,
    cache_dir: Path | None,
    tokenizer: str | None,
    executor: Executor,
    **settings: Any,
) -> str:
    """Prepares the mixture of a file into a folder; what was done, as text. `settings`: those of a `DatasetMixer`.

    With a `tokenizer` a corpus of each split is built in <output_dir>/corpora. Raises ConfigError for a faulty mixture.
    """
    mixer = DatasetMixer.from_yaml(mixture_config, **settings)
    files = _splits(mixer, output_dir, cache_dir or output_dir / POOLS, executor)
    for file in files if tokenizer else []:
        build = TextBuild(TextSource(str(file)), tokenizer)
        folder = output_dir / "corpora" / file.stem
        build_corpus(build, folder, executor)
        _add_tokens(file, Corpus(folder))
    return "\n\n".join([_filtered(files[0]), *map(_written, files)])


def _splits(mixer: DatasetMixer, output_dir: Path, cache: Path, executor: Executor) -> list[Path]:
    """The prepared file of each split that the mixture has."""
    held_out = mixer.mixture.validation.ratio
    if output_dir.exists() and not output_dir.is_dir():
        raise ConfigError(f"{output_dir} is a file; --output_dir is a folder")
    old = output_dir / f"{mixer.name}_{SPLIT_SUFFIXES['validation']}.jsonl"
    if old.exists() and not held_out:
        raise ConfigError(
            f"{old} is of a mixture that held documents out, and {mixer.path} holds none out, so that train would have "
            "them too; remove it, or give another --output_dir"
        )
    splits = [split for split in SPLIT_SUFFIXES if split == "train" or held_out]
    return [
        mixer.prepare_dataset(output_dir / f"{mixer.name}_{SPLIT_SUFFIXES[split]}.jsonl", split, cache, executor)
        for split in splits
    ]


def _stats_file(file: Path) -> Path:
    return file.with_suffix(".stats.json")


def _add_tokens(file: Path, corpus: Corpus) -> None:
    """Writes into the stats of a prepared file how many tokens each source has in its corpus."""
    stats = read_json(_stats_file(file))
    names = list(stats["sources"])
    with open(file, "rb") as lines:
        source_of_line = np.array([names.index(orjson.loads(line)["source"]) for line in lines], dtype=np.uint16)
    _, lengths = corpus.documents_from(0, corpus.num_tokens)
    tokens = np.bincount(source_of_line, weights=lengths, minlength=len(names))
    for name, count in zip(names, tokens.astype(np.int64).tolist(), strict=True):
        stats["sources"][name]["tokens"] = count
    with alone(_stats_file(file)):
        write_json(_stats_file(file), stats)


def _filtered(file: Path) -> str:
    """What was read of each source, and what was refused, by which filter and why."""
    sources = read_json(_stats_file(file))["sources"]
    met = ("bad_lines", "empty_documents", "duplicates")
    columns = ["read", *(name for name in met if any(stats.get(name) for stats in sources.values()))]
    refused = {name: {key: n for key, n in stats.items() if key.startswith(_FILTER)} for name, stats in sources.items()}
    rows = [["source", *(name.replace("_", " ") for name in columns), "refused", "by filter: reason"]]
    for name, stats in sources.items():
        reasons = sorted(refused[name].items(), key=lambda item: (-item[1], item[0]))
        said = [f"{count:,} {_shown(reason)}" for reason, count in reasons] or [""]
        counts = [f"{stats.get(column, 0):,}" for column in columns]
        rows.append([name, *counts, f"{sum(refused[name].values()):,}", said[0]])
        rows += [[""] * (len(rows[0]) - 1) + [reason] for reason in said[1:]]
    return table(rows)


def _shown(reason: str) -> str:
    return reason.removeprefix(_FILTER).replace("_", " ")


def _written(file: Path) -> str:
    """What a split holds of each source."""
    sources = read_json(_stats_file(file))["sources"]
    columns = ["different", "written", *(["tokens"] if all("tokens" in stats for stats in sources.values()) else [])]
    rows = [["source", *columns, "epochs"]]
    for name, stats in sources.items():
        rows.append([name, *(f"{stats[column]:,}" for column in columns), f"{stats['epochs']:.2f}"])
    rows.append(["all", *(f"{sum(stats[column] for stats in sources.values()):,}" for column in columns), ""])
    return f"{file}\n{table(rows)}"
