"""A run that is asked to stop before its first step leaves with the exit code of one that can go on."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

from metalang.files import make_folder, write_json
from metalang.training.checkpoints import checkpoint_folder, claim_output, steps
from metalang.training.config import Settings
from metalang.training.stopping import STOPPED_EXIT_CODE, STOPPED_FILE, Stopped


def stops_before_its_steps(pretrain: Callable[[Settings], int]) -> Callable[[Settings], int]:
    """A run that gives 85 where Stopped is raised on its ranks, and leaves no more than `stopped.json`."""

    @wraps(pretrain)
    def stopping(settings: Settings) -> int:
        try:
            return pretrain(settings)
        except Stopped:
            if settings.run.process_index == 0 and not settings.dry.dry_run:
                _leave_word(Path(settings.run.output_dir))
            return STOPPED_EXIT_CODE

    return stopping


def _leave_word(folder: Path) -> None:
    claim_output(folder, resume=True)  # it may not have been looked at yet
    make_folder(folder)
    step = max(steps(folder), default=0)
    write_json(folder / STOPPED_FILE, {"step": step})
    going = f"goes on from {checkpoint_folder(folder, step)}" if steps(folder) else "begins it"
    print(f"stopped before its first step; the same command {going}", flush=True)
