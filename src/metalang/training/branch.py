"""Where a run goes on that has a beginning: behind a checkpoint of its own, or (--branch_from) of another run."""

import math
import shutil
from pathlib import Path

import torch

from metalang.errors import MismatchError
from metalang.files import aside, publish_as, read_json
from metalang.training.checkpoints import STREAMS, require_complete, step_of
from metalang.training.flags import RunArguments, ScheduleArguments
from metalang.training.schedule import rate_at


def branch_point(schedule: ScheduleArguments, run: RunArguments) -> Path | None:
    """The checkpoint of --branch_from, or None. Raises ConfigError for one that is not complete. One rank calls it.

    What the other run remembers of its streams is copied into --output_dir.
    """
    if schedule.branch_from is None:
        return None
    checkpoint = Path(schedule.branch_from).expanduser()
    require_complete(checkpoint)
    remembered, own = checkpoint.parent / STREAMS, Path(run.output_dir) / STREAMS
    if remembered.is_dir() and not own.exists():
        unfinished = aside(own)
        shutil.copytree(remembered, unfinished)
        publish_as(unfinished, own)
    return checkpoint


def require_goes_on(checkpoint: Path, schedule: ScheduleArguments, run: RunArguments) -> None:
    """Raises MismatchError where a run cannot go on behind a checkpoint as its flags say."""
    step = step_of(checkpoint)
    if schedule.hard_stop is not None and step > schedule.hard_stop:
        raise MismatchError(
            f"--hard_stop {schedule.hard_stop} is passed: {checkpoint} has {step:,} steps behind it; give a later "
            "one, or leave it out"
        )
    if step > run.max_steps:
        raise MismatchError(
            f"--max_steps {run.max_steps} counts all steps of the run, and {checkpoint} has {step:,} behind it; give "
            "more"
        )
    if rate_at(run, 0) is None:
        return
    peak, meant, done = _rates(checkpoint)
    asked = rate_at(run, done)
    if peak != run.learning_rate:  # the checkpoint's scheduler brings its own, and would silently pass over the flag
        raise MismatchError(
            f"--learning_rate {run.learning_rate:g} is not the {peak:g} of {checkpoint}, which would go on; "
            f"give --learning_rate {peak:g}"
        )
    if math.isclose(asked, meant, rel_tol=1e-9):  # a cosine may have another last bit on another machine
        return
    if schedule.branch_from is not None and checkpoint == Path(schedule.branch_from).expanduser():
        raise MismatchError(
            f"the learning rate would jump from {meant:g} to {asked:g} at --branch_from {checkpoint}; branch off in a "
            "stable phase, with --lr_scheduler_type warmup_stable_decay and at most "
            f"{run.max_steps - step:,} --decay_steps"
        )
    planned = read_json(checkpoint / "trainer_state.json")["max_steps"]
    raise MismatchError(
        f"the learning rate would jump from {meant:g} to {asked:g} behind {checkpoint} (--max_steps: {planned} then, "
        f"{run.max_steps} now); give all flags of then, --branch_from too (--hard_stop ends a run earlier), or begin a "
        "run of its own with these weights by --init_from"
    )


def _rates(checkpoint: Path) -> tuple[float, float, int]:
    """The peak of the learning rate that a checkpoint holds, the rate that it meant for its next step, its steps done.

    A step whose update DeepSpeed left out is none of the schedule's.
    """
    state = torch.load(checkpoint / "scheduler.pt", weights_only=True)
    return state["base_lrs"][0], state["_last_lr"][0], state["last_epoch"]
