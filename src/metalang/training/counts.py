"""What a run has read of each source: windows and tokens by arithmetic, predicted tokens as they are read.

`data.json` of a checkpoint:

    {"step": 1200, "skipped": {...}, "sources": {"english": {"content": "ec424299dd39d23a", "windows": 4800,
     "tokens": 153600, "predicted_tokens": 153600, "epochs": 0.25}}}

Epochs are null for a stream, whose end is not known. A source is known by its content, whatever its name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metalang.files import read_json, write_json
from metalang.mixing import Reading, Source, Stream
from metalang.training.checkpoints import DATA_FILE
from metalang.training.objectives.cross_entropy import IGNORED


class SourceCounts:
    """Counts of a run that goes on behind a checkpoint, or (None) begins. A rank counts what it reads itself."""

    def __init__(self, reading: Reading, checkpoint: Path | None) -> None:
        self._reading = reading
        self._sources = reading.plan.sources
        kept = read_json(checkpoint / DATA_FILE)["sources"].values() if checkpoint else ()
        before = {source["content"]: source["predicted_tokens"] for source in kept}
        self._before = [before.get(source.content_hash, 0) for source in self._sources]  # 0: of a stage that is to come
        self._own: torch.Tensor | None = None

    @property
    def names(self) -> list[str]:
        """Of the sources, in the order of their numbers."""
        return [source.name for source in self._sources]

    def add(self, sources: torch.Tensor, labels: torch.Tensor) -> None:
        """Counts the predicted tokens of a batch, `sources` (n,) and `labels` (n, L), without waiting for a device."""
        if self._own is None:
            self._own = torch.zeros(len(self._sources), dtype=torch.int64, device=labels.device)
        self._own.index_add_(0, sources, (labels != IGNORED).sum(dim=1))

    def at(self, step: int, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, dict[str, Any]]:
        """Counts behind a step, by the name of a source. All ranks call it; `reduce` gives the sum over them."""
        predicted = [0] * len(self._sources) if self._own is None else reduce(self._own).tolist()
        windows = self._reading.counts(step)
        return {
            source.name: {
                "windows": windows[source.name],
                "tokens": windows[source.name] * self._reading.plan.length,
                "predicted_tokens": before + since,
                "epochs": None if source.num_tokens is None else windows[source.name] / source.num_windows,
            }
            for source, before, since in zip(self._sources, self._before, predicted, strict=True)
        }

    @property
    def kinds(self) -> dict[str, str]:
        """Of what kind each source is, by its name (`kind_of`)."""
        return {source.name: kind_of(source) for source in self._sources}

    def write(self, folder: Path, step: int, counts: dict[str, dict[str, Any]]) -> None:
        """Leaves counts, and what was left out, in a checkpoint."""
        sources = {source.name: {"content": source.content_hash, **counts[source.name]} for source in self._sources}
        write_json(folder / DATA_FILE, {"step": step, "skipped": self._reading.skipped, "sources": sources})


def log_keys(counts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Counts as a log bears them.

    >>> log_keys({"english": {"windows": 2, "tokens": 64, "predicted_tokens": 60, "epochs": None}})
    {'source_english_windows': 2, 'source_english_tokens': 64, 'source_english_predicted_tokens': 60}
    """
    return {
        f"source_{name}_{key}": value
        for name, of_source in counts.items()
        for key, value in of_source.items()
        if value is not None
    }


def seen_by_kind(counts: dict[str, dict[str, Any]], kinds: dict[str, str]) -> dict[str, int]:
    """The tokens of counts by the kind of their source, and those of them that were predicted.

    >>> counts = {"english": {"tokens": 96, "predicted_tokens": 96}, "dyck": {"tokens": 32, "predicted_tokens": 20}}
    >>> seen_by_kind(counts, {"english": "text", "dyck": "meta"})
    {'tokens_seen_text': 96, 'tokens_seen_meta': 32, 'tokens_seen_predicted': 116}
    """
    seen = {"tokens_seen_text": 0, "tokens_seen_meta": 0}
    for name, of_source in counts.items():
        key = f"tokens_seen_{kinds[name]}"
        seen[key] = seen.get(key, 0) + of_source["tokens"]
    return seen | {"tokens_seen_predicted": sum(of_source["predicted_tokens"] for of_source in counts.values())}


def kind_of(source: Source | Stream) -> str:
    """What a source holds: text, meta (symbols), or mixed: a mixture on disk does not say which window is which."""
    if isinstance(source, Stream):
        return "text"
    manifest = source.corpus.manifest
    if manifest.window_length is not None:
        return "mixed"
    return "meta" if manifest.ids.tokenizer is None else "text"
