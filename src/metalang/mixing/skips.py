"""What a run leaves out of its plan: whole steps, and documents whose ids are not predicted. Nothing else moves."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numba import njit

from metalang.errors import ConfigError, MismatchError

_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


@dataclass(frozen=True)
class SkippedSteps:
    """Steps of a plan, counted from 1, that a run leaves out: (first, last) each, sorted and apart.

    Step t of the run reads the t-th step of the plan that is not among them.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def texts(self) -> list[str]:
        """As a user writes them."""
        return [str(first) if first == last else f"{first}-{last}" for first, last in self.ranges]

    @property
    def num_steps(self) -> int:
        """How many they are."""
        return sum(last - first + 1 for first, last in self.ranges)

    def of_plan(self, steps: np.ndarray | Sequence[int]) -> np.ndarray:
        """The step of the plan that each step of the run reads, (n,) -> (n,) int64; both are counted from 1.

        >>> parse_steps(["3-4", "6"]).of_plan([1, 2, 3, 4, 5]).tolist()
        [1, 2, 5, 7, 8]
        """
        steps = np.asarray(steps, dtype=np.int64)
        kept_before, left_out = self._borders
        return steps + left_out[np.searchsorted(kept_before, steps)]

    def windows(self, places: np.ndarray | Sequence[int], windows_per_step: int) -> np.ndarray:
        """The window of the plan at each place of the run, (n,) -> (n,) int64; both are counted from 0."""
        steps, within = np.divmod(np.asarray(places, dtype=np.int64), windows_per_step)
        return (self.of_plan(steps + 1) - 1) * windows_per_step + within

    def require_reached(self, max_steps: int) -> None:
        """Raises ConfigError where one lies behind all that a run of so many steps reads."""
        last = int(self.of_plan([max_steps])[0])
        for text, (first, _) in zip(self.texts, self.ranges, strict=True):
            if first > last:
                raise ConfigError(
                    f"--skip_steps {text} lies behind the run: its {max_steps:,} steps read the plan up to step "
                    f"{last:,}; leave it out, or give a larger --max_steps"
                )

    def require_continues(self, before: "SkippedSteps", step: int) -> None:
        """Raises MismatchError where a run that had left out `before` in its first `step` steps read other ones.

        Steps that lie behind those may be added.
        """
        if _merged([*before.ranges, *self.ranges]) != self.ranges:
            raise MismatchError(
                f"--skip_steps {' '.join(before.texts)} were left out when the run came to step {step:,}, and "
                f"--skip_steps {' '.join(self.texts) or '(none)'} are given; give those of then, and more if you like"
            )
        last = int(before.of_plan([step])[0])
        if _until(self.ranges, last) != _until(before.ranges, last):
            raise MismatchError(
                f"--skip_steps {' '.join(self.texts)} names steps that the run has read: it stands at step {step:,}, "
                f"which is step {last:,} of the plan; add steps behind that one, or continue from an earlier checkpoint"
            )

    @cached_property
    def _borders(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps kept before each range, (n,), and steps left out up to and with so many ranges, (n + 1,)."""
        ranges = np.array(self.ranges, dtype=np.int64).reshape(-1, 2)
        left_out = np.concatenate([[0], np.cumsum(ranges[:, 1] - ranges[:, 0] + 1)])
        return ranges[:, 0] - 1 - left_out[:-1], left_out


def parse_steps(texts: Sequence[str]) -> SkippedSteps:
    """The steps that ranges and numbers name. Raises ConfigError for another text.

    >>> parse_steps(["1300", "1200-1250", "1251"]).texts
    ['1200-1251', '1300']
    """
    ranges = []
    for text in texts:
        match = _RANGE.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ConfigError(f"--skip_steps {text} names no steps; write 1200-1250, or 1300, counted from 1")
        ranges.append((first, last))
    return SkippedSteps(_merged(ranges))


@dataclass(frozen=True)
class SkippedDocument:
    """A document, named by the run's source and its row, that is not predicted behind step `from_step` of the run.

    `inner`: which of the sources of its corpus, None: there is one such row alone.
    """

    source: str
    row: int
    inner: str | None = None
    from_step: int = 0

    @property
    def text(self) -> str:
        """As a user writes it."""
        return f"{self.source}{'' if self.inner is None else f'/{self.inner}'} {self.row}"


def read_documents(path: str | Path) -> tuple[SkippedDocument, ...]:
    """The documents that a file names, `SOURCE ROW` a line or JSON {"source": ..., "row": ...}; SOURCE/PART names one
    of the sources of a corpus. Raises ConfigError for another line."""
    if not Path(path).is_file():
        raise ConfigError(f"--skip_documents {path} is not there; give a file with a line SOURCE ROW for each document")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--skip_documents {path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    found = [_document(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise ConfigError(
            f"--skip_documents {path} names no document; write a line SOURCE ROW for each, or leave it out"
        )
    return tuple(dict.fromkeys(found))


def continued(
    documents: Sequence[SkippedDocument], before: Sequence[SkippedDocument], step: int
) -> tuple[SkippedDocument, ...]:
    """The documents of a run that goes on behind `step`: those of before, and from there on the others.

    Raises MismatchError where one of before is missing.
    """
    begun = {replace(document, from_step=0): document for document in before}
    missing = [document for document in begun if document not in documents]
    if missing:
        raise MismatchError(
            f"--skip_documents named {missing[0].text} when the run came to step {step:,}, and no longer does; give "
            "the file of then, with more lines if you like"
        )
    return tuple(begun.get(document, replace(document, from_step=step)) for document in documents)


def chosen(documents: Sequence[SkippedDocument], rows: np.ndarray, sources: Sequence[str]) -> np.ndarray:
    """Which of `rows` (n,) of `layout.DOCUMENT` are the documents; `sources` are those of their corpus.

    Raises ConfigError for a document that is none of them, or may be one of several.
    """
    at: dict[int, list[int]] = {}
    for index, row in enumerate(rows["row"].tolist()):
        at.setdefault(row, []).append(index)
    found: set[int] = set()
    for document in documents:
        parts = {index: sources[rows["source"][index]] for index in at.get(document.row, [])}
        meant = [index for index, part in parts.items() if document.inner in (None, part)]
        if not meant:
            raise ConfigError(f"--skip_documents names {document.text}, and no such document is there")
        forms = sorted({f"{document.source}/{part} {document.row}" for part in parts.values()})
        if document.inner is None and len(forms) > 1:
            raise ConfigError(f"--skip_documents names {document.text}, which is one of several: {' or '.join(forms)}")
        found.update(meant)
    return np.array(sorted(found), dtype=np.int64)


@njit(cache=True)
def unpredict(starts: np.ndarray, num_tokens: int, spans: np.ndarray, predicted: np.ndarray) -> None:
    """Clears `predicted` (n, length) bool where windows, from `starts` (n,) of a ring of ids on, lie in a span.

    `spans` (k, 2) int64: where spans begin and end, sorted and apart.
    """
    length, span = predicted.shape[1], 0
    for index in range(predicted.size):
        row, column = index // length, index % length
        place = (starts[row] + column) % num_tokens
        if column == 0 or place == 0:
            span = np.searchsorted(spans[:, 1], place, side="right")
        while span < len(spans) and spans[span, 1] <= place:
            span += 1
        if span < len(spans) and spans[span, 0] <= place:
            predicted[row, column] = False


def _merged(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sorted, and joined where they overlap or touch."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def _until(ranges: Sequence[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    return [(first, min(last, end)) for first, last in ranges if first <= end]


def _document(line: str, place: str) -> SkippedDocument:
    try:
        if line.lstrip().startswith("{"):
            value = json.loads(line)
            source, row = value["source"], value["row"]
        else:
            source, digits = line.rsplit(maxsplit=1)
            row = int(digits)
        name, slash, inner = source.strip().partition("/")
        if type(row) is not int or not 0 <= row < 2**64:
            raise ValueError
        return SkippedDocument(name, row, inner if slash else None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f'--skip_documents {place}: {line.strip()[:80]!r} names no document; write SOURCE ROW, or {{"source": ..., '
            '"row": ...}, as inspect_corpus.py --run shows them'
        ) from None
