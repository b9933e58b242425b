"""Pairs for an encoder-decoder, as JSON lines: `input_ids` of the text and `labels` of its translation, each with EOS.

train.jsonl, val.jsonl   {"input_ids": [...], "labels": [...]} a line, unpadded: a collator pads, and shifts the labels
seq2seq_stats.json       counts, the spec, the size and hash of each file

JSON lines because they can be read by eye, streamed and written whole or not at all, and `datasets.load_dataset("json",
...)` makes its own memory-mapped table of them; a table of ours would only be a second copy.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from metalang.building.parallel.directions import DirectedPairs
from metalang.digests import canonical_json
from metalang.errors import ConfigError
from metalang.files import aside, entry_of, is_as, publish, read_json, write_json
from metalang.text.tokenizer import TextTokenizer

STATS = "seq2seq_stats.json"


def write_seq2seq(splits: list[DirectedPairs], tokenizer: TextTokenizer, output_dir: Path) -> dict[str, Any]:
    """Writes a folder with the rows of each split, whole or not at all, and returns its stats; an equal one is left
    as it is.

    Raises ConfigError for a folder that holds anything else.
    """
    spec = {"kind": "seq2seq", "tokenizer": tokenizer.fingerprint, "splits": [pairs.identity for pairs in splits]}
    spec = json.loads(canonical_json(spec))
    if output_dir.exists():
        return _finished(output_dir, spec)
    folder = aside(output_dir)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with tqdm(desc=f"building {output_dir.name}", unit=" tokens", unit_scale=True) as bar:
            rows = {
                pairs.split: _write_rows(pairs, tokenizer, folder / f"{pairs.split}.jsonl", bar) for pairs in splits
            }
        stats = rows | {"files": {path.name: entry_of(path) for path in sorted(folder.iterdir())}, "spec": spec}
        write_json(folder / STATS, stats)
        publish(output_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return stats


def _finished(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    advice = "give another --output_dir, or remove this one"
    if not (folder / STATS).is_file():
        raise ConfigError(f"{folder} holds something else (no {STATS}); {advice}")
    stats = read_json(folder / STATS)
    if stats["spec"] != spec:
        other = [name for name in spec if stats["spec"].get(name) != spec[name]]
        raise ConfigError(f"{folder} holds rows of other {' and '.join(other)}; {advice}")
    for name, entry in stats["files"].items():
        if not is_as(folder / name, entry):
            raise ConfigError(f"{folder / name} is missing or changed since it was written; {advice}")
    return stats


def _write_rows(pairs: DirectedPairs, tokenizer: TextTokenizer, path: Path, bar: tqdm) -> dict[str, int]:
    counts = {"rows": 0, "input_tokens": 0, "label_tokens": 0}
    with open(path, "wb") as file:
        for unit in range(len(pairs.units)):
            for chunk in pairs.chunks(unit):
                inputs = _with_eos([text for _, text, _ in chunk], tokenizer)
                labels = _with_eos([translation for _, _, translation in chunk], tokenizer)
                for input_ids, label_ids in zip(inputs, labels, strict=True):
                    row = {"input_ids": input_ids.tolist(), "labels": label_ids.tolist()}
                    file.write((json.dumps(row) + "\n").encode())
                counts["rows"] += len(chunk)
                counts["input_tokens"] += sum(map(len, inputs))
                counts["label_tokens"] += sum(map(len, labels))
                bar.update(sum(map(len, inputs)) + sum(map(len, labels)))
    return counts


def _with_eos(texts: list[str], tokenizer: TextTokenizer) -> list[np.ndarray]:
    ids, ends = tokenizer.encode(texts)
    ids = np.insert(ids, ends, tokenizer.eos_id)
    return np.split(ids, (ends + np.arange(1, len(ends) + 1))[:-1])
