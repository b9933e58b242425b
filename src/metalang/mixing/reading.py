"""What a run reads: some steps of a plan, without what it leaves out. It is made again from `plan` of a run.json:

{"max_length": 1024, "seed": 42, "windows_per_step": 8, "num_steps": 1000,
 "step_sizes": [[null, 8]],                                   [[500, 16], [null, 8]]: 16 windows in the first 500 steps
 "ids": {...}, "tokenizer": "...",                           the model's ids, and how the user named the tokenizer
 "sources": [{"name": "english", "folder": "/...", "content": "..."}],     folder: null for a stream
 "stages": [{"shares": [1, 1], "until": null, "name": ""}],
 "skipped": {"steps": ["1200-1250"], "documents": [{"source": "english", "row": 7, "inner": null, "from_step": 0}]}}
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metalang.errors import ConfigError, CorpusError, MismatchError
from metalang.files import read_json
from metalang.ids import IdSpace
from metalang.mixing.plan import Plan, Stage
from metalang.mixing.skips import SkippedDocument, SkippedSteps, continued, parse_steps
from metalang.mixing.sources import Source
from metalang.mixing.step_sizes import StepSizes, read_step_sizes
from metalang.mixing.stream import Stream
from metalang.run_record import RUN_FILE

_KEYS = ("max_length", "seed", "windows_per_step", "num_steps", "ids", "tokenizer", "sources", "stages", "skipped")


@dataclass(frozen=True)
class Reading:
    """`num_steps` steps of `windows_per_step` windows of a plan, without `steps`, which count those of the plan.

    The ids of `documents` are read and not predicted. `earlier`: the first steps, where those were of another size
    (`StepSizes`); none of `steps` are left out then.
    """

    plan: Plan
    ids: IdSpace
    tokenizer: str
    windows_per_step: int
    num_steps: int
    steps: SkippedSteps = field(default_factory=SkippedSteps)
    documents: tuple[SkippedDocument, ...] = ()
    earlier: tuple[tuple[int, int], ...] = ()

    @property
    def sizes(self) -> StepSizes:
        """Windows of each step."""
        return StepSizes(self.windows_per_step, self.earlier)

    def reached(self, step: int) -> int:
        """Windows of the plan before the end of a step of the run, those left out too; 0 for step 0."""
        return self.sizes.before(int(self.steps.of_plan([step])[0])) if step else 0

    def windows(self, places: np.ndarray | Sequence[int]) -> np.ndarray:
        """The window of the plan at each place of the run, (n,) int64."""
        return self.steps.windows(places, self.windows_per_step)

    def counts(self, step: int) -> dict[str, int]:
        """Windows that the first steps of the run read, by the name of their source."""
        reached = self.reached(step)
        counts = self.plan.counts(reached)
        for first, last in self.steps.ranges:
            if last * self.windows_per_step < reached:
                skipped = (self.plan.counts(end * self.windows_per_step) for end in (last, first - 1))
                counts = counts - next(skipped) + next(skipped)
        return dict(zip((source.name for source in self.plan.sources), counts.tolist(), strict=True))

    @property
    def skipped(self) -> dict[str, Any]:
        """JSON of what is left out."""
        return {"steps": self.steps.texts, "documents": [asdict(document) for document in self.documents]}

    def continued(self, before: dict[str, Any], step: int) -> tuple[SkippedDocument, ...]:
        """The documents of a run that goes on behind `step` and has left out `before`, the `skipped` of then.

        Raises MismatchError where the run would have read something else until there.
        """
        self.steps.require_continues(parse_steps(before["steps"]), step)
        return continued(self.documents, [SkippedDocument(**each) for each in before["documents"]], step)

    def record(self) -> dict[str, Any]:
        """JSON from which `read_run` makes it again."""
        tokenizer = Path(self.tokenizer)
        return {
            "max_length": self.plan.length,
            "seed": self.plan.seed,
            "windows_per_step": self.windows_per_step,
            "step_sizes": self.sizes.record(),
            "num_steps": self.num_steps,
            "ids": asdict(self.ids),
            "tokenizer": str(tokenizer.resolve()) if tokenizer.exists() else self.tokenizer,
            "sources": [
                {
                    "name": source.name,
                    "folder": None if source.num_tokens is None else str(Path(source.origin).resolve()),
                    "content": source.content_hash,
                }
                for source in self.plan.sources
            ],
            "stages": [asdict(stage) for stage in self.plan.stages],
            "skipped": self.skipped,
        }


def leave_out(sources: Sequence[Source | Stream], documents: Sequence[SkippedDocument]) -> int:
    """Has sources predict no id of these documents, and counts those ids. Raises ConfigError for one not there."""
    by_name = {source.name: source for source in sources}
    unknown = [document for document in documents if document.source not in by_name]
    if unknown:
        raise ConfigError(
            f"--skip_documents names {unknown[0].text}, and no source {unknown[0].source!r} is read; the sources are "
            f"{', '.join(by_name)}"
        )
    return sum(
        source.leave_out([document for document in documents if document.source == name])
        for name, source in by_name.items()
        if any(document.source == name for document in documents)
    )


def read_run(folder: str | Path, step: int) -> Reading:
    """What the run in an output folder reads, as it was at `step`.

    Raises ConfigError for a step that it has not and for streams, CorpusError for a run.json without its plan,
    MismatchError for a corpus that has changed since.
    """
    path = Path(folder) / RUN_FILE
    if not path.is_file():
        raise ConfigError(f"{folder} is no run: it has no {RUN_FILE}; give the --output_dir of one")
    settings = read_json(path)
    record = settings.get("plan") if isinstance(settings, dict) else None
    if record is None:
        raise ConfigError(f"{path} holds no plan: the run read rows of a file, or is of an earlier version")
    missing = [key for key in _KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise CorpusError(
            f"the plan of {path} is damaged: it has no {missing[0]}; put back the file that the run wrote"
        )
    if not 1 <= step <= record["num_steps"]:
        raise ConfigError(f"--step {step} is none of the run in {folder}; give 1 to {record['num_steps']}")
    ids = IdSpace(**record["ids"])
    sources = [_opened(entry, ids, record["max_length"]) for entry in record["sources"]]
    documents = [SkippedDocument(**each) for each in record["skipped"]["documents"]]
    documents = [document for document in documents if document.from_step < step]
    leave_out(sources, documents)
    stages = [Stage(tuple(stage["shares"]), stage["until"], stage["name"]) for stage in record["stages"]]
    return Reading(
        Plan(sources, stages, length=record["max_length"], seed=record["seed"]),
        ids,
        record["tokenizer"],
        windows_per_step=record["windows_per_step"],
        num_steps=record["num_steps"],
        steps=parse_steps(record["skipped"]["steps"]),
        documents=tuple(documents),
        earlier=read_step_sizes(record["step_sizes"]).earlier if "step_sizes" in record else (),
    )


def _opened(entry: dict[str, Any], ids: IdSpace, length: int) -> Source:
    name, folder = entry["name"], entry["folder"]
    if folder is None:
        raise ConfigError(f"{name} was streamed: its windows lie in no folder; tokenize the text to look at them")
    if not Path(folder).is_dir():
        raise ConfigError(f"the corpus of {name} is no longer in {folder}; put it back there, or build it again")
    source = Source(name, folder, ids, length=length)
    if source.content_hash != entry["content"]:
        raise MismatchError(
            f"the corpus of {name} in {folder} has changed since the run: its content was {entry['content']} and is "
            f"{source.content_hash}; put back that of then"
        )
    return source
