"""Shows what a step of a run was trained on: its windows, where each is from, and its text."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metalang.building.inspection import marked_text
from metalang.errors import ConfigError, MismatchError
from metalang.mixing.reading import Reading, read_run
from metalang.mixing.sources import Source
from metalang.text.tokenizer import TextTokenizer, load_tokenizer


@dataclass(frozen=True)
class Part:
    """A document of a window: its ids [first, last) are predicted there, of `num_tokens` that it has."""

    source: str
    row: int
    first: int
    last: int
    num_tokens: int


@dataclass(frozen=True)
class TracedWindow:
    """A window of a step: its place in the run and in the plan, where it is from, what it holds.

    `ids` (L + 1,) and `predicted` (L + 1,): the first id is only read. `stage` counts from 1, all else from 0.
    """

    place: int
    planned: int
    stage: int
    source: str
    epoch: int
    window: int
    documents: tuple[Part, ...]
    ids: np.ndarray
    predicted: np.ndarray


def trace_step(reading: Reading, step: int) -> list[TracedWindow]:
    """The windows that a step of a run reads, in their order."""
    places = np.arange(reading.sizes.before(step - 1), reading.sizes.before(step))
    planned = reading.windows(places)
    found = reading.plan.locate(planned)
    ids, predicted, _ = reading.plan.read(planned)
    offsets = reading.plan.offsets(found)
    traced = []
    for index, place in enumerate(places.tolist()):
        source = reading.plan.sources[found.source[index]]
        start = int(source.start(found.window[index], offsets[index]))
        traced.append(
            TracedWindow(
                place=place,
                planned=int(planned[index]),
                stage=int(found.stage[index]) + 1,
                source=source.name,
                epoch=int(found.epoch[index]),
                window=int(found.window[index]),
                documents=_parts(source, start + 1, reading.plan.length),
                ids=ids[index],
                predicted=predicted[index],
            )
        )
    return traced


def show_step(run: str, step: int, tokenizer_name: str | None, *, max_tokens: int, color: bool) -> list[str]:
    """What a step of the run in a folder reads, a window an entry; predicted ids as `show_documents` marks them.

    `tokenizer_name`: None takes the one that the run names.
    """
    reading = read_run(run, step)
    tokenizer = _tokenizer(reading, tokenizer_name)
    traced = trace_step(reading, step)
    planned = int(reading.steps.of_plan([step])[0])
    head = f"step {step:,} of {run}, step {planned:,} of its plan: {len(traced):,} windows of {reading.plan.length}"
    shown = [head]
    for window in traced:
        text = marked_text(
            window.ids, window.predicted, reading.ids.text_size, tokenizer, max_tokens=max_tokens, color=color
        )
        shown.append(f"{_title(window, reading)}: {text}")
    return shown


def step_as_json(run: str, step: int, tokenizer_name: str | None) -> dict[str, Any]:
    """The same for programs, with all ids."""
    reading = read_run(run, step)
    tokenizer = _tokenizer(reading, tokenizer_name)
    windows = []
    for window in trace_step(reading, step):
        text = marked_text(
            window.ids, window.predicted, reading.ids.text_size, tokenizer, max_tokens=len(window.ids), color=False
        )
        arrays = {"ids": window.ids.tolist(), "predicted": window.predicted.tolist()}
        windows.append(asdict(window) | {"text": text} | arrays)
    return {"run": run, "step": step, "skipped": reading.skipped, "windows": windows}


def _parts(source: Source, start: int, length: int) -> tuple[Part, ...]:
    """The documents of `length` ids from `start` on, which may go around the end of the corpus."""
    num_tokens = source.num_tokens
    start %= num_tokens
    ranges = [(start, min(start + length, num_tokens)), (0, max(0, start + length - num_tokens))]
    names = source.corpus.manifest.sources
    parts = []
    for begin, end in ranges:
        for (first, last), row in zip(*source.corpus.documents_over(begin, end), strict=True):
            inside = max(begin - int(first), 0), min(end, int(last)) - int(first)
            parts.append(Part(names[row["source"]], int(row["row"]), *inside, int(last - first)))
    return tuple(parts)


def _title(window: TracedWindow, reading: Reading) -> str:
    name = reading.plan.stages[window.stage - 1].name
    stage = f"stage {window.stage}{name and f' {name}'}, " if len(reading.plan.stages) > 1 else ""
    documents = ", ".join(
        f"{window.source}/{part.source} {part.row} [{part.first:,}:{part.last:,}] of {part.num_tokens:,}"
        for part in window.documents
    )
    return (
        f"window {window.place:,} of the run ({window.planned:,} of the plan), {stage}{window.source} epoch "
        f"{window.epoch} window {window.window:,} ({documents})"
    )


def _tokenizer(reading: Reading, name: str | None) -> TextTokenizer:
    """The tokenizer of the run. Raises MismatchError for another one."""
    name = name or reading.tokenizer
    tokenizer = _bare(name)
    if tokenizer is None or tokenizer.fingerprint != reading.ids.tokenizer:
        tokenizer = load_tokenizer(name)
    if tokenizer.fingerprint != reading.ids.tokenizer:
        raise MismatchError(
            f"the run was made with tokenizer {reading.ids.tokenizer} ({reading.tokenizer}), and {name} is "
            f"{tokenizer.fingerprint}; give the one of the run by --tokenizer"
        )
    return tokenizer


def _bare(name: str) -> TextTokenizer | None:
    """What the tokenizer.json of a folder says alone, without the half second that transformers takes; or None."""
    file = Path(name) / "tokenizer.json"
    try:
        return load_tokenizer(str(file)) if file.is_file() else None
    except ConfigError:
        return None  # its EOS stands in another file of the folder
