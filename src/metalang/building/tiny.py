"""A tiny data set for quick work: samples of ten template sentences with numbers, as token ids.

Sample r of a split is a function of (seed, split, r) and the tokenizer: of 24 sentences, each a template with a number
below 1,000, the first few are kept, so many that the sample has 50 to 200 ids with its EOS. The data teach a model
nothing but these sentences: they are for trying programs out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from metalang.building.saved import RECORD, Record, read_record, save_documents
from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.seeds import key_for
from metalang.text.tokenizer import TextTokenizer

SPLITS = ("train", "validation", "test")
TEMPLATES = (
    "The model read {} pages before noon.",
    "A window of {} tokens is enough here.",
    "Run {} ended with a lower loss.",
    "We counted {} birds over the lake.",
    "The train to the coast leaves from platform {}.",
    "Only {} of the answers were right.",
    "Her notebook lists {} rare words.",
    "After {} steps the curve is flat.",
    "The library bought {} new books this year.",
    "Please write the number {} on the board.",
)
_NUMBERS = 1000
_MAX_SENTENCES = 24
_SHORTEST, _LONGEST = 50, 200


@dataclass(frozen=True)
class TinyDataset:
    """The samples of a seed as a tokenizer's ids; those longer than `max_length` are cut to it, EOS kept."""

    tokenizer: TextTokenizer
    max_length: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_length < _SHORTEST:
            raise ConfigError(
                f"--max-length {self.max_length} is shorter than the shortest sample; give {_SHORTEST} or more, "
                "such as 1024"
            )

    def document(self, split: str, row: int) -> np.ndarray:
        """Ids of a sample, EOS last, (n,) int32. Raises ConfigError for a tokenizer of hardly more than characters."""
        sentences = sentences_of(self.seed, split, row)
        ids, ends = self.tokenizer.encode([" ".join(sentences[: count + 1]) for count in range(len(sentences))])
        texts = np.split(ids, ends[:-1])
        fitting = [text for text in texts if _SHORTEST <= len(text) + 1 <= _LONGEST]
        if not fitting:
            raise ConfigError(
                f"tokenizer {self.tokenizer.name!r} gives no run of sentences {_SHORTEST} to {_LONGEST} ids "
                f"(1 to {len(texts)} sentences: {len(texts[0]) + 1:,} to {len(texts[-1]) + 1:,}); take another"
            )
        text = fitting[key_for("tiny length", self.seed, split, row) % len(fitting)]
        return np.append(text[: self.max_length - 1], np.int32(self.tokenizer.eos_id))

    def spec(self, split: str, num_samples: int) -> dict[str, Any]:
        """JSON of all that the folder of a split depends on."""
        return {
            "kind": "tiny",
            "split": split,
            "num_samples": num_samples,
            "max_length": self.max_length,
            "seed": self.seed,
            "tokenizer": self.tokenizer.fingerprint,
            "templates": digest_of(TEMPLATES)[:16],
        }


def sentences_of(seed: int, split: str, row: int) -> list[str]:
    """All sentences of a sample, of which its text is the first few.

    >>> sentences_of(0, "train", 0)[:2]
    ['The library bought 470 new books this year.', 'After 122 steps the curve is flat.']
    """
    draws = (key_for("tiny sentence", seed, split, row, place) for place in range(_MAX_SENTENCES))
    return [TEMPLATES[draw % len(TEMPLATES)].format(draw // len(TEMPLATES) % _NUMBERS) for draw in draws]


def write_tiny_dataset(tiny: TinyDataset, cache_dir: Path, num_samples: Iterable[int]) -> dict[Path, Record]:
    """Writes the folders of train, validation and test, so many samples each; those that are there are left alone.

    Raises ConfigError, before anything is written, where a folder holds something else.
    """
    todo: dict[Path, dict[str, Any]] = {}
    for split, count in zip(SPLITS, num_samples, strict=True):
        if count < 1:
            raise ConfigError(f"{count} samples of {split} are no data set; give 1 or more")
        todo[cache_dir / f"synthetic_tiny_{split}_bs{tiny.max_length}_wrapped.dat"] = tiny.spec(split, count)
    records = {folder: _finished(folder, spec) for folder, spec in todo.items()}
    with tqdm(desc="generating", unit=" tokens", unit_scale=True) as bar:
        for folder, spec in todo.items():
            records[folder] = records[folder] or _written(tiny, folder, spec, bar)
    return records


def _finished(folder: Path, spec: dict[str, Any]) -> Record | None:
    """The data set in `folder`, None where nothing is. Raises ConfigError for anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    record = read_record(folder) if (folder / RECORD).is_file() else None
    found = record.spec if record else {}
    changes = [f"{key} {found.get(key)} there, {value} here" for key, value in spec.items() if found.get(key) != value]
    if changes:
        raise ConfigError(
            f"{folder} holds something else ({'; '.join(changes)}); remove it, or give another --cache-dir"
        )
    return record


def _written(tiny: TinyDataset, folder: Path, spec: dict[str, Any], bar: tqdm) -> Record:
    documents = []
    for row in range(spec["num_samples"]):
        documents.append(tiny.document(spec["split"], row))
        bar.update(len(documents[-1]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny.tokenizer
    ids = IdSpace(tokenizer.text_size, 0, tokenizer.eos_id, tokenizer.fingerprint)
    return save_documents(folder, documents, length=tiny.max_length, ids=ids, spec=spec)
