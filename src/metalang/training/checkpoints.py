"""Which folders are complete checkpoints, and whether a run may continue from one.

A checkpoint is `checkpoint-STEP` with a `complete.json` that is written when all else is on disk (`manifest`): what its
files hold, and what the run was (`unchanged`: plan of the data so far, length, ranks and step sizes, see `elastic`).
What it says of the windows that were read is its `data.json` (`counts`).
"""

import logging
import re
from pathlib import Path
from typing import Any

from metalang.errors import ConfigError, MismatchError
from metalang.files import ASIDE, read_json
from metalang.mixing.plan import differences
from metalang.run_record import RUN_FILE
from metalang.training.manifest import MANIFEST, fault_of
from metalang.training.stopping import STOPPED_FILE

logger = logging.getLogger(__name__)

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
DATA_FILE = "data.json"
"""In a checkpoint: what was read of each source until then, and what was left out."""
STREAMS = "streams"
"""In an --output_dir: what a run remembers of its streams, from before its run.json on."""

IMPORTANCE = "importance.npz"
"""In an --output_dir: what a run learned of the importance of its ids, from before its run.json on."""


def checkpoint_folder(output_dir: str | Path, step: int) -> Path:
    """Where the checkpoint of a step lies.

    >>> checkpoint_folder("run", 20).as_posix()
    'run/checkpoint-20'
    """
    return Path(output_dir) / f"checkpoint-{step}"


def newest_complete(output_dir: str | Path) -> Path | None:
    """The newest checkpoint that is as it was written, or None; those passed over are logged with the reason."""
    for step in sorted(steps(Path(output_dir)), reverse=True):
        folder = checkpoint_folder(output_dir, step)
        fault = fault_of(folder)
        if fault is None:
            return folder
        logger.warning("%s is passed over: %s", folder, fault)
    return None


def resume_point(output_dir: str | Path) -> Path | None:
    """The checkpoint from which a run goes on, None for one that has saved nothing yet.

    Raises ConfigError where a run would begin anew over what it has saved.
    """
    found = newest_complete(output_dir)
    held = len(steps(Path(output_dir)))
    if found is None and held:
        raise ConfigError(
            f"--output_dir {output_dir} holds {held} checkpoint{'s' if held > 1 else ''} and none is as it was written "
            "(the log names what is wrong); bring one back, or move them away to begin anew"
        )
    if found is None and (Path(output_dir) / "model.safetensors").exists():
        raise ConfigError(
            f"--output_dir {output_dir} holds a finished model and no checkpoint to go on from; give another folder"
        )
    return found


def require_complete(checkpoint: Path) -> None:
    """Raises ConfigError for a folder that is no complete checkpoint."""
    fault = fault_of(checkpoint) if checkpoint.is_dir() else "there is no such folder"
    if fault is not None:
        raise ConfigError(f"{checkpoint} is no complete checkpoint: {fault}; give one that is, or the run's newest")


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint's folder.

    >>> step_of(Path("run/checkpoint-20"))
    20
    """
    match = _CHECKPOINT.fullmatch(checkpoint.name)
    assert match is not None, "a checkpoint's name"
    return int(match[1])


def marker_of(checkpoint: Path) -> Path:
    """The file that is written last; `unchanged` in it is what the run said of itself."""
    return checkpoint / MANIFEST


def require_unchanged(checkpoint: Path, unchanged: dict[str, Any], *, rebase_data: bool = False) -> None:
    """Raises MismatchError where a run is not the one that wrote the checkpoint.

    `unchanged["plan"]` describes the data up to the step of the checkpoint; with `rebase_data` another plan is logged.
    """
    saved = read_json(checkpoint / MANIFEST)["unchanged"]
    changes = [
        f"{name}: {saved.get(name)} then, {value} now"
        for name, value in unchanged.items()
        if name != "plan" and saved.get(name) != value
    ]
    moved = _plan_changes(saved.get("plan"), unchanged.get("plan"))
    if moved and rebase_data:
        logger.warning("the data is rebased on another plan: %s", "; ".join(moved))
        moved = []
    if changes or moved:
        advice = "continue with the settings of then, or start anew in another --output_dir"
        if moved and not changes:
            advice += ", or accept the other data by --rebase_data True"
        raise MismatchError(f"{checkpoint} is of another run ({'; '.join(changes + moved)}); {advice}")


def _plan_changes(then: dict[str, Any] | None, now: dict[str, Any] | None) -> list[str]:
    if then is None or now is None or "stages" not in then or "stages" not in now:
        return [] if then == now else [f"plan: {then} then, {now} now"]
    return differences(then, now)


def claim_output(output_dir: str | Path, *, resume: bool) -> None:
    """Raises ConfigError where --output_dir holds something else than a run, or a run that is not to be continued."""
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output_dir {folder} is a file; give a folder")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    # A run that was killed or stopped at once leaves nothing else.
    held = [name for name in held if not name.endswith(ASIDE) and name not in (STREAMS, IMPORTANCE, STOPPED_FILE)]
    if held and RUN_FILE not in held:
        raise ConfigError(f"--output_dir {folder} holds something else ({held[0]}); give another folder")
    if held and not resume and (steps(folder) or "model.safetensors" in held):
        raise ConfigError(
            f"--output_dir {folder} holds a run already; set --resume_training True to continue it, "
            "or give another folder"
        )


def steps(folder: Path) -> list[int]:
    """The steps that a run has folders of checkpoints of, complete or not, in no order."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name))]
