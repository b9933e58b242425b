"""The two passes over the pairs: cleaning, with a hash of each aside, and writing those that stay into their splits.

Nothing is kept in memory but counts, so it does not grow with the number of pairs.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from metalang.building.parallel.folder import REJECTED, SPLITS
from metalang.building.parallel.spec import ParallelText
from metalang.text.readers import BadLines


def clean_pairs(text: ParallelText, cleaned: Path, hashes: Path, left_out: Counter[str]) -> None:
    """Writes the pairs that pass, tab-separated, and their hashes; counts the others."""
    bad_lines = BadLines(skip=text.skip_bad_lines)
    with ExitStack() as files:
        pairs_file, hash_file = (files.enter_context(open(path, "wb")) for path in (cleaned, hashes))
        rejected = _Rejected(text, cleaned.with_name(REJECTED), files)
        bar = files.enter_context(tqdm(desc="cleaning", unit=" pairs", unit_scale=True))
        for pair in text.pairs.read(bad_lines):
            bar.update()
            source, target = map(text.cleaning.cleaned, pair)
            if fault := text.cleaning.fault(source, target):
                left_out[fault] += 1
                rejected.write(fault, source, target)
                continue
            pairs_file.write(f"{source}\t{target}\n".encode())
            hash_file.write(text.digest(source, target).to_bytes(8, "little"))
    left_out["bad_line"] += bad_lines.num_bad


def split_pairs(
    text: ParallelText, cleaned: Path, verdicts: tuple[Path, Path], left_out: Counter[str]
) -> dict[str, dict[str, Any]]:
    """Writes each pair that is no repeat into the files of its split, tags before its texts; returns their measures.

    `verdicts` are the files of hashes and of the marks of repeats.
    """
    prefix = "".join(f"{tag} " for tag in text.provenance.tags)
    totals = {split: Counter[str]() for split in SPLITS}
    with ExitStack() as files:
        written = {
            split: [
                files.enter_context(open(cleaned.with_name(f"{split}_{code}.txt"), "wb")) for code in text.languages
            ]
            for split in SPLITS
        }
        rejected = _Rejected(text, cleaned.with_name(REJECTED), files)
        for pair, digest, is_repeat in _judged(cleaned, *(files.enter_context(open(path, "rb")) for path in verdicts)):
            if is_repeat and text.unique_by != "none":
                left_out["duplicate"] += 1
                rejected.write("duplicate", *pair)
                continue
            split = text.split_of(digest)
            _count(totals[split], pair)
            for file, side in zip(written[split], pair, strict=True):
                file.write(f"{prefix}{side}\n".encode())
    return {split: _measures(totals[split], text.languages) for split in SPLITS}


class _Rejected:
    """Where pairs that are left out go, each with its reason; nowhere unless that is asked for."""

    def __init__(self, text: ParallelText, path: Path, files: ExitStack) -> None:
        self._languages = text.languages
        self._file: BinaryIO | None = files.enter_context(open(path, "ab")) if text.keep_rejected else None

    def write(self, reason: str, *pair: str) -> None:
        if self._file is not None:
            record = {"reason": reason, **dict(zip(self._languages, pair, strict=True))}
            self._file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())


def _judged(cleaned: Path, hashes: BinaryIO, marks: BinaryIO) -> Iterator[tuple[list[str], int, bool]]:
    with open(cleaned, "rb") as file:
        for line in file:
            pair = line.decode().removesuffix("\n").split("\t")
            yield pair, int.from_bytes(hashes.read(8), "little"), marks.read(1) == b"\x01"


def _count(totals: Counter[str], pair: list[str]) -> None:
    totals["pairs"] += 1
    for side, text in enumerate(pair):
        totals[f"characters {side}"] += len(text)
        totals[f"words {side}"] += text.count(" ") + 1


def _measures(totals: Counter[str], languages: tuple[str, str]) -> dict[str, Any]:
    """Counts of a split and, by language, characters and words of its texts without their tags."""
    pairs = totals["pairs"]
    measures: dict[str, Any] = {"pairs": pairs}
    for side, code in enumerate(languages):
        characters, words = totals[f"characters {side}"], totals[f"words {side}"]
        measures[code] = {
            "characters": characters,
            "words": words,
            "mean_characters": round(characters / pairs, 2) if pairs else 0.0,
            "mean_words": round(words / pairs, 2) if pairs else 0.0,
        }
    return measures
