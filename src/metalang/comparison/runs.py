"""What a run was asked for and what it logged, from its folder, an offline wandb file, or wandb itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from metalang.comparison.tracked_runs import TrackedRun, files_of, offline_runs, online_run
from metalang.errors import ConfigError, CorpusError
from metalang.files import read_json
from metalang.run_record import read_record
from metalang.specs import faults_of

FORMS = (
    "the --output_dir of a run, a folder of such folders, a folder or .wandb file that wandb left, or "
    "wandb:ENTITY/PROJECT/RUN"
)
BITS = "_bits_per_byte"
_STATE = "trainer_state.json"
_SEED = re.compile(r"[-_/ ]*seed[-_= ]?\d+(?=/|$)")


@dataclass(frozen=True)
class Run:
    """A run: `flags` by their names, `corpora` (name: hash of the content), `versions`, and its `logs` by step.

    `evaluated`: names and hashes of what it was evaluated on, and `tokenizer` the hash of its tokenizer, where they are
    known. `before`: `tokens_seen` and `tokens_seen_meta` of the runs whose weights it began with (`--init_from`).
    `place`: its folder, its newest file of wandb, or wandb:ENTITY/PROJECT/RUN; no other run has it.
    """

    name: str
    flags: dict[str, Any]
    corpora: dict[str, str]
    versions: dict[str, str]
    logs: tuple[dict[str, Any], ...]
    before: dict[str, int] = field(default_factory=dict)
    evaluated: dict[str, str] = field(default_factory=dict)
    tokenizer: str | None = None
    place: str = ""

    def lies_in(self, place: str) -> bool:
        """Whether a place that a user gave is that of this run, or of a folder that holds it."""
        return self.place == place or (bool(self.place) and Path(self.place).is_relative_to(Path(place).resolve()))

    @property
    def is_tracked(self) -> bool:
        """Whether it is read from wandb's records."""
        return self.place.startswith("wandb:") or self.place.endswith(".wandb")

    @property
    def seed(self) -> int:
        """What its weights, and its order if nothing else was said, were drawn from."""
        return int(self.flags.get("seed", 0))

    @property
    def seeds(self) -> tuple[int, int]:
        """That of its weights and that of its order, which is the same if nothing else was said."""
        order = self.flags.get("data_seed")
        return self.seed, self.seed if order is None else int(order)

    @property
    def tokens(self) -> int:
        """How many it has read."""
        return int(self.logs[-1]["tokens_seen"])

    @property
    def stem(self) -> str:
        """Its name without the seed.

        >>> Run("dyck/seed-2", {}, {}, {}, ()).stem
        'dyck'
        """
        return without_seed(self.name)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The losses that it logged: evaluations first, then training."""
        keys = dict.fromkeys(key for log in self.logs for key in log)
        evaluated = [key for key in keys if key.startswith("eval_") and key.endswith("_loss")]
        return (*evaluated, *(key for key in keys if key == "loss" or key.startswith("loss_")))

    @property
    def bits(self) -> tuple[str, ...]:
        """The bits a byte that it logged, of each evaluated text."""
        return tuple(dict.fromkeys(key for log in self.logs for key in log if key.endswith(BITS)))


def without_seed(name: str) -> str:
    """The name of a run, or its place, as runs of all seeds have it.

    >>> without_seed("runs/dyck/seed-2"), without_seed("runs/dyck-seed1/checkpoint-50"), without_seed("seed-2")
    ('runs/dyck', 'runs/dyck/checkpoint-50', 'seed-2')
    """
    return _SEED.sub("", name.rstrip("/")) or name


def read_runs(places: Sequence[str]) -> list[Run]:
    """The runs that lie at some places, each of which may be a folder of runs; one that is given twice comes once.

    Runs of one name are called by their places. Raises ConfigError for a place without a run.
    """
    runs: dict[str, Run] = {}
    for run in (run for place in places for run in _read(place)):
        if not run.metrics:
            raise ConfigError(f"the run {run.name} has logged no loss; compare it when it has trained some steps")
        runs.setdefault(run.place, run)
    names = [run.name for run in runs.values()]
    return [run if names.count(run.name) == 1 else replace(run, name=run.place) for run in runs.values()]


def _read(place: str) -> list[Run]:
    if place.startswith("wandb:"):
        return [_from_wandb(online_run(place.removeprefix("wandb:")))]
    path = Path(place)
    if (path / "run.json").is_file():
        return [_from_folder(path, path.resolve().name)]
    inside = sorted(path.glob("*/run.json"), key=lambda found: _natural(found.parent.name))
    if inside:
        return [_from_folder(found.parent, f"{path.resolve().name}/{found.parent.name}") for found in inside]
    if files := files_of(path):
        return [_from_wandb(run) for run in offline_runs(files)]
    raise ConfigError(f"{place} is no run; give {FORMS}")


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _from_folder(folder: Path, name: str) -> Run:
    asked = read_record(folder)
    states = [folder / _STATE, *sorted(folder.glob(f"checkpoint-*/{_STATE}"), key=lambda path: _natural(str(path)))]
    found = [_state(path) for path in states if path.is_file()]
    if not found:
        raise ConfigError(f"the run {folder} has neither ended nor saved a checkpoint yet; compare it when it has")
    newest = max(found, key=lambda state: state["global_step"])
    groups = [group for group in asked if isinstance(asked[group], dict) and group not in _OTHER]
    # the Trainer's flags that were not given are recorded as "None" (to_sanitized_dict of transformers 5.23)
    flags = {flag: None if value == "None" else value for group in groups for flag, value in asked[group].items()}
    logs = _by_step(newest["log_history"])
    return Run(name, flags, logs=logs, place=str(folder.resolve()), **_made_of(asked))


_MADE_OF = ("corpora", "versions", "before", "evaluated")
_OTHER = (*_MADE_OF, "tokenizer", "plan", "specs", "code", "order", "run_id")
"""What run.json, and the config of a tracker, hold beside flags."""


def _made_of(record: dict[str, Any]) -> dict[str, Any]:
    """What run.json, or the config of a tracker, says that a run was made of."""
    tokenizer = record.get("tokenizer") or record.get("plan", {}).get("ids", {}).get("tokenizer")
    return {key: record.get(key, {}) for key in _MADE_OF} | {"tokenizer": tokenizer}


class _Step(BaseModel):
    step: int


class _State(BaseModel):
    """What is read of a trainer_state.json; a log has other keys beside its step."""

    global_step: int
    log_history: list[_Step]


def _state(path: Path) -> dict[str, Any]:
    """What the Trainer knew at its last step. Raises CorpusError where the file is damaged."""
    state = read_json(path)
    if faults := faults_of(_State, state):
        raise CorpusError(f"{path} is damaged ({faults[0]}); train the run again, or give another folder")
    return state


def _by_step(logs: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """One log a step, in order; of what was logged twice, the later."""
    merged: dict[int, dict[str, Any]] = {}
    for log in logs:
        if "tokens_seen" in log:
            merged[int(log["step"])] = merged.get(int(log["step"]), {}) | log
    return tuple(merged[step] for step in sorted(merged))


def _from_wandb(tracked: TrackedRun) -> Run:
    """As transformers' callback writes it: train/loss, eval/wiki_loss, train/global_step."""
    config = tracked.config
    logs = [
        {_ours(key): value for key, value in row.items() if value is not None} | {"step": row["train/global_step"]}
        for row in tracked.rows
        if row.get("train/global_step") is not None
    ]
    flags = {key: value for key, value in config.items() if key not in _OTHER}
    return Run(tracked.name, flags, logs=_by_step(logs), place=tracked.place, **_made_of(config))


def _ours(key: str) -> str:
    """A key as the Trainer logged it.

    >>> _ours("eval/wiki_loss"), _ours("train/loss")
    ('eval_wiki_loss', 'loss')
    """
    return key.removeprefix("train/").replace("eval/", "eval_", 1)
