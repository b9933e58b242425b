"""How many steps a run on pairs has that was asked for epochs of them (--num_train_epochs)."""

from pathlib import Path

from metalang.errors import ConfigError
from metalang.files import read_json
from metalang.mixing import named_paths
from metalang.mixing.step_sizes import read_step_sizes
from metalang.run_record import read_record
from metalang.training.checkpoints import checkpoint_folder, marker_of, steps
from metalang.training.config import Settings
from metalang.training.elastic import STEP_SIZES
from metalang.training.flags import RunArguments
from metalang.training.ranks import agreed
from metalang.training.schedule import settle
from metalang.training.seq2seq.pairs import count_pairs


def settle_epochs(settings: Settings) -> None:
    """Gives a run that has epochs its --max_steps, and then its schedule. All ranks call it.

    A run that goes on has as many as when it was begun, on other ranks too.
    """
    run = settings.run
    if run.max_steps > 0:
        return
    run.max_steps = agreed(lambda: _begun_with(run) or _counted(settings))
    settle(settings.schedule, run)


def _begun_with(run: RunArguments) -> int | None:
    """The steps of the run in --output_dir, None for one that has no checkpoint, or is asked for other epochs now."""
    if not (run.resume_training and steps(Path(run.output_dir))):
        return None
    begun = read_record(Path(run.output_dir))["run"]
    return begun["max_steps"] if begun["num_train_epochs"] == run.num_train_epochs else None


def _counted(settings: Settings) -> int:
    """Whole steps in the epochs: the last pairs that make no batch are left out."""
    run, (_, path) = settings.run, named_paths(settings.data.data_paths)[0]
    num_pairs = count_pairs(path)
    ranks = settings.dry.dry_run_gpus or run.world_size
    batch = _batch_of_then(settings) or run.windows_per_step // run.world_size * ranks
    found = int(run.num_train_epochs * num_pairs / batch)
    if not found:
        raise ConfigError(
            f"--num_train_epochs {run.num_train_epochs:g} of the {num_pairs:,} pairs of {path} are less than a step of "
            f"{batch:,}; lower --per_device_train_batch_size, or give more epochs"
        )
    return found


def _batch_of_then(settings: Settings) -> int | None:
    """Pairs a step of the run that goes on, which `elastic` keeps on other ranks; None for one that begins."""
    run, branch = settings.run, settings.schedule.branch_from
    own = Path(run.output_dir) if run.resume_training else None
    checkpoints = [checkpoint_folder(own, step) for step in steps(own)] if own else []
    checkpoints += [Path(branch).expanduser()] if branch else []
    saved = [read_json(marker_of(each))["unchanged"] for each in checkpoints if marker_of(each).is_file()]
    return next((read_step_sizes(each[STEP_SIZES]).now for each in saved if STEP_SIZES in each), None)
