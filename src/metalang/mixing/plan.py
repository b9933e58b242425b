"""The plan of a run: which window of which source is read when, as arithmetic.

    window of the run -> (stage, source, epoch, window of the source), a function of sources, stages, length and seed

Stages follow one another, each with shares of its own; within a stage Tijdeman's rule keeps every source within one
window of its share after every prefix (`shares`). A source goes on where it was in the stage before. It gives its
windows in a keyed permutation per epoch, or in the order in which they stand (a curriculum, a mixture on disk, a
stream); each epoch is complete before the next. Nothing depends on the length of the run: a longer one, or one with a
further stage, reads the same windows in the same places.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import zip_longest
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.mixing.permutation import permuted
from metalang.mixing.shares import Interleave
from metalang.mixing.sources import Source
from metalang.mixing.stream import Stream
from metalang.seeds import key_for

MAX_EPOCHS = 4.0
"""How often a source is read at most, where nobody says another number."""

MOST_TOKENS = 2**62
"""More than any run reads; places of more ids do not fit into 64 bits."""


@dataclass(frozen=True)
class Stage:
    """A part of a run: whole-number shares, one a source, 0: none of it; `until`: its last window + 1, None: no end."""

    shares: tuple[int, ...]
    until: int | None = None
    name: str = ""


@dataclass(frozen=True)
class PlanSpec:
    """How a run reads its sources: in which stages, how many windows, each source at most `limits` epochs."""

    stages: tuple[Stage, ...]
    limits: tuple[float, ...]
    _: KW_ONLY
    length: int
    num_windows: int
    seed: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.num_windows < 1:
            raise ConfigError(
                f"{self.num_windows} windows of --max_length {self.length} hold nothing; give 1 or more of each"
            )
        if self.num_windows * self.length >= MOST_TOKENS:
            raise ConfigError(
                f"{self.num_windows:,} windows of --max_length {self.length} are more tokens than any run reads; ask "
                "for fewer tokens or steps, or leave fewer steps out"
            )
        for limit in self.limits:
            if not limit > 0:
                raise ConfigError(f"max_epochs {limit:g} reads nothing; give more than 0, such as 1")

    def plan(self, folders: Sequence[tuple[str, str]], ids: IdSpace, *, verify_reads: bool = False) -> "Plan":
        """The plan over corpora, (name, folder) each. Raises ConfigError or MismatchError where there is none."""
        return self.plan_of(
            [Source(name, folder, ids, length=self.length, verify_reads=verify_reads) for name, folder in folders]
        )

    def plan_of(self, sources: Sequence[Source | Stream]) -> "Plan":
        """The plan over sources. Raises ConfigError where there is none."""
        plan = Plan(sources, self.stages, length=self.length, seed=self.seed)
        plan.require_epochs(self.num_windows, self.limits)
        return plan


class Places(NamedTuple):
    """Where windows of a run lie, (n,) int64 each."""

    stage: np.ndarray
    source: np.ndarray
    epoch: np.ndarray
    window: np.ndarray


@dataclass(frozen=True)
class Use:
    """What a part of a run takes of a source. `epochs`: read so often by its end; `held_tokens`: None for a stream."""

    name: str
    share: float
    num_windows: int
    num_tokens: int
    epochs: float
    held_tokens: int | None
    left_over: int


class Plan:
    """Sources, and the stages in which they are read, in windows of `length` predicted ids."""

    def __init__(self, sources: Sequence[Source | Stream], stages: Sequence[Stage], *, length: int, seed: int) -> None:
        self.sources, self.stages, self.length, self.seed = tuple(sources), tuple(stages), length, seed
        self._refuse_twins()
        self._refuse_short()
        self._refuse_stages()
        self._interleaves = [Interleave(stage.shares) for stage in stages]
        self._begins = np.array([0, *(stage.until for stage in stages[:-1])], dtype=np.int64)
        self._given = np.zeros((len(stages), len(sources)), dtype=np.int64)  # by each source before each stage
        for number in range(1, len(stages)):
            length_before = int(self._begins[number] - self._begins[number - 1])
            before = self._interleaves[number - 1].counts(length_before)
            self._given[number] = self._given[number - 1] + before
        self._sizes = np.array([source.num_windows for source in sources], dtype=np.int64)
        self._epochs: dict[tuple[int, int], tuple[np.uint64, int]] = {}

    @property
    def num_windows(self) -> int | None:
        """Windows until the end of the last stage; None where it has none."""
        return self.stages[-1].until

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the order of all windows, whatever the length of the run."""
        return digest_of(without_names(self.description()))[:16]

    def description(self, num_windows: int | None = None) -> dict[str, Any]:
        """JSON of all that the order of the first `num_windows` (None: of all) depends on, and the sources' names.

        Equal descriptions of a beginning are equal windows in it, whatever comes later.
        """
        stages = []
        for begin, stage in zip(self._begins.tolist(), self.stages, strict=True):
            if num_windows is not None and begin >= num_windows:
                break
            is_open = stage.until is None or (num_windows is not None and stage.until >= num_windows)
            used = [
                {"name": source.name, "content": source.content_hash, "share": share}
                for source, share in zip(self.sources, stage.shares, strict=True)
                if share
            ]
            stages.append({"until": None if is_open else stage.until, "sources": used})
        return {"window": self.length, "seed": self.seed, "stages": stages}

    def locate(self, indices: Sequence[int] | np.ndarray) -> Places:
        """Stage, source, epoch of the source and window of the source of each window of the run."""
        indices = np.asarray(indices, dtype=np.int64)
        stages = np.searchsorted(self._begins, indices, side="right") - 1
        sources, ordinals = np.empty_like(indices), np.empty_like(indices)
        for number in set(stages.tolist()):
            here = stages == number
            sources[here], ordinals[here] = self._interleaves[number].locate(indices[here] - self._begins[number])
        ordinals += self._given[stages, sources]
        epochs, windows = np.divmod(ordinals, self._sizes[sources])
        for source, epoch in set(zip(sources.tolist(), epochs.tolist(), strict=True)):
            if not self.sources[source].in_order:
                here = (sources == source) & (epochs == epoch)
                windows[here] = permuted(windows[here], self._sizes[source], self._of_epoch(source, epoch)[0])
        return Places(stages, sources, epochs, windows)

    def read(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids (n, length + 1) int64 of windows of the run, which of them are predicted, (n, length + 1) bool, and the
        number of the source of each window, (n,) int64."""
        places = self.locate(indices)
        ids = np.empty((len(places.source), self.length + 1), dtype=np.int64)
        predicted = np.empty(ids.shape, dtype=np.bool_)
        offsets = self.offsets(places)
        used = set(places.source.tolist())
        for number in used:
            here = slice(None) if len(used) == 1 else places.source == number
            ids[here], predicted[here] = self.sources[number].read(places.window[here], offsets[here])
        return ids, predicted, places.source

    def document_starts(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Which ids of the windows that `read` reads are the first of a document, (n, length + 1) bool.

        It comes from the index of the corpora, never from their ids: an EOS within a document is an id like any other.
        """
        places = self.locate(indices)
        found = np.empty((len(places.source), self.length + 1), dtype=np.bool_)
        offsets = self.offsets(places)
        for number in set(places.source.tolist()):
            here = places.source == number
            found[here] = self.sources[number].document_starts(places.window[here], offsets[here])
        return found

    def offsets(self, places: Places) -> np.ndarray:
        """The offset of the epoch of each place, (n,) int64."""
        pairs = zip(places.source.tolist(), places.epoch.tolist(), strict=True)
        return np.array([self._of_epoch(source, epoch)[1] for source, epoch in pairs], dtype=np.int64)

    def counts(self, num_windows: int) -> np.ndarray:
        """Windows that each source gives among the first `num_windows`, (sources,) int64."""
        number = max(0, int(np.searchsorted(self._begins, num_windows, side="left")) - 1)
        return self._given[number] + self._interleaves[number].counts(num_windows - int(self._begins[number]))

    def usage(self, num_windows: int) -> list[Use]:
        """What the first `num_windows` take from each source."""
        counts = self.counts(num_windows)
        return [self._use(number, count, num_windows, count) for number, count in enumerate(counts.tolist())]

    def usage_by_stage(self, num_windows: int) -> list[tuple[Stage, int, int, list[Use]]]:
        """Each stage that the first `num_windows` reach: stage, its first window, its last + 1, what it takes."""
        found = []
        for number, stage in enumerate(self.stages):
            begin = int(self._begins[number])
            end = num_windows if stage is self.stages[-1] else min(num_windows, stage.until)
            if begin >= end:
                break
            counts = self._interleaves[number].counts(end - begin)
            total = self._given[number] + counts
            uses = [
                self._use(source, int(counts[source]), end - begin, int(total[source]))
                for source in np.flatnonzero(stage.shares).tolist()
            ]
            found.append((stage, begin, end, uses))
        return found

    def require_epochs(self, num_windows: int, limits: Sequence[float]) -> None:
        """Raises ConfigError where a run of `num_windows` is longer than the stages, or reads a source too often."""
        if self.num_windows is not None and num_windows > self.num_windows:
            raise ConfigError(
                f"the run asks for {num_windows:,} windows, and the last stage ends behind window {self.num_windows:,} "
                f"({self.num_windows * self.length:,} tokens); ask for fewer steps, or leave out its until"
            )
        short = [(use, limit) for use, limit in zip(self.usage(num_windows), limits, strict=True) if use.epochs > limit]
        if not short:
            return
        faults = "; ".join(
            f"{use.name} holds {use.held_tokens:,} tokens and is asked for {use.num_tokens:,}, {use.epochs:.2f} epochs "
            f"of {limit:g} at most"
            for use, limit in short
        )
        feasible = self._feasible_windows(num_windows, limits)
        needed = ceil(100 * max(use.epochs for use, _ in short)) / 100
        raise ConfigError(
            f"{faults}. Set max_epochs {needed:g} to read that often (--max_epochs, or of the source in its mixture), "
            f"or ask for at most {feasible * self.length:,} tokens ({feasible:,} windows of {self.length}), or give "
            "more data"
        )

    def _use(self, source: int, count: int, num_windows: int, total: int) -> Use:
        held = self.sources[source]
        return Use(
            name=held.name,
            share=count / num_windows if num_windows else 0.0,
            num_windows=count,
            num_tokens=count * self.length,
            epochs=total / held.num_windows,
            held_tokens=held.num_tokens,
            left_over=held.num_left_over,
        )

    def _feasible_windows(self, num_windows: int, limits: Sequence[float]) -> int:
        """The longest beginning of the run that reads no source too often."""
        caps = np.array([int(size * limit) for size, limit in zip(self._sizes.tolist(), limits, strict=True)])
        low, high = 0, num_windows
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if (self.counts(middle) <= caps).all() else (low, middle - 1)
        return low

    def _of_epoch(self, source: int, epoch: int) -> tuple[np.uint64, int]:
        """The key of the permutation of an epoch, and its offset."""
        found = self._epochs.get((source, epoch))
        if found is None:
            held = self.sources[source]
            key = np.uint64(key_for("windows", held.content_hash, self.length, self.seed, epoch))
            found = self._epochs[source, epoch] = (key, held.offset(epoch, self.seed))
        return found

    def _refuse_twins(self) -> None:
        contents = [source.content_hash for source in self.sources]
        for number, source in enumerate(self.sources):
            twin = contents.index(contents[number])
            if twin < number:
                raise ConfigError(
                    f"{self.sources[twin].name} and {source.name} hold the same tokens; "
                    "name them once, with the sum of their ratios"
                )

    def _refuse_short(self) -> None:
        for source in self.sources:
            if not source.num_windows:
                raise ConfigError(
                    f"{source.name} holds {source.num_tokens:,} tokens, less than one window of {self.length}; "
                    "give more data, or a smaller --max_length"
                )

    def _refuse_stages(self) -> None:
        begin = 0
        for number, stage in enumerate(self.stages, start=1):
            if len(stage.shares) != len(self.sources):
                raise ConfigError(
                    f"{len(self.sources)} --data_paths and {len(stage.shares)} --data_ratios are given; "
                    "give one ratio a path"
                )
            if stage.until is None and stage is not self.stages[-1]:
                raise ConfigError(f"stage {number} has no until, and others follow it; say where it ends")
            if stage.until is not None and stage.until <= begin:
                raise ConfigError(
                    f"stage {number} ends at window {stage.until:,} and begins at {begin:,}; it needs one at least: "
                    "give stages in their order, each with a larger until than the one before"
                )
            begin = stage.until or begin


def without_names(description: dict[str, Any]) -> dict[str, Any]:
    """The description of a plan without the names of its sources, on which no window depends."""
    stages = [
        stage | {"sources": [{key: used[key] for key in ("content", "share")} for used in stage["sources"]]}
        for stage in description["stages"]
    ]
    return description | {"stages": stages}


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between the descriptions of two plans, a fact each; names of sources do not count.

    >>> stage = {"until": None, "sources": [{"name": "en", "content": "a1", "share": 1}]}
    >>> differences({"window": 8, "seed": 1, "stages": [stage]}, {"window": 8, "seed": 2, "stages": [stage]})
    ['seed 1 then, 2 now']
    """
    found = [f"{key} {then[key]} then, {now[key]} now" for key in ("window", "seed") if then[key] != now[key]]
    for number, (before, after) in enumerate(zip_longest(then["stages"], now["stages"]), start=1):
        if before is None or after is None:
            found.append(f"stage {number} {'is new' if before is None else 'is gone'}")
            continue
        if before["until"] != after["until"]:
            found.append(f"stage {number} until window {before['until']} then, {after['until']} now")
        if [_weighed(used) for used in before["sources"]] != [_weighed(used) for used in after["sources"]]:
            found.append(f"stage {number} {_mixed(before)} then, {_mixed(after)} now")
    return found


def _weighed(used: dict[str, Any]) -> tuple[str, int]:
    return used["content"], used["share"]


def _mixed(stage: dict[str, Any]) -> str:
    total = sum(used["share"] for used in stage["sources"])
    return " + ".join(
        f"{used['share'] / total:.6g} {used['name']} ({used['content'][:8]})" for used in stage["sources"]
    )
