"""A run that goes on with another number of ranks, or another global batch.

The global batch belongs to the run, the batch of a device to the machine: accumulation makes up the difference. Under
ZeRO-1, 2 and 3 each rank holds a part of the optimizer, so for other ranks DeepSpeed's universal checkpoint is made
beside the parts:

    checkpoint-20/latest_universal                          names the folder; written last
    checkpoint-20/global_step20_universal_<digest>/         states by parameter; the digest is of complete.json

DeepSpeed is told to read it in memory, for this start alone: the next checkpoint is an ordinary one of the new ranks.
No manifest holds hashes of it, so what an earlier start has left is made anew; it goes when the run has saved, or ends.
"""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from accelerate.utils import DeepSpeedPlugin
from deepspeed import DeepSpeedEngine
from deepspeed.checkpoint import ds_to_universal
from transformers import TrainerCallback
from transformers.integrations import HfDeepSpeedConfig
from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

from metalang.errors import ConfigError, MismatchError
from metalang.files import ASIDE, publish_as, read_json, room_in, sha256_of, written
from metalang.mixing.step_sizes import StepSizes, read_step_sizes
from metalang.run_record import read_record
from metalang.training.callbacks.randomness import FreshRandomness
from metalang.training.callbacks.universal import UniversalOnce
from metalang.training.callbacks.zero3_groups import OwnGroups
from metalang.training.checkpoints import marker_of, step_of
from metalang.training.config import Settings
from metalang.training.flags import RunArguments
from metalang.training.manifest import sync
from metalang.training.ranks import agreed, wait_for_all

RANKS, STEP_SIZES = "ranks", "step sizes"
"""What complete.json says of a checkpoint that another number of ranks, or another batch, has to know."""


@dataclass(frozen=True)
class Going:
    """How a run begins, or goes on: the windows of its steps, lines for its banner, what the Trainer has to do more."""

    sizes: StepSizes
    lines: tuple[str, ...] = ()
    callbacks: tuple[TrainerCallback, ...] = ()

    def record(self, ranks: int) -> dict[str, Any]:
        """What complete.json of a checkpoint has to say of it."""
        return {RANKS: ranks, STEP_SIZES: self.sizes.record()}


def go_on(settings: Settings, checkpoint: Path | None) -> Going:
    """Fits the accumulation of a run, and what DeepSpeed loads, to the checkpoint from which it goes on (None: begins).

    Called by all ranks, before data and model are made. Raises MismatchError where the batch of a device cannot make up
    the global batch of the run, or another one is asked for.
    """
    run = settings.run
    if checkpoint is None:
        return Going(StepSizes(run.windows_per_step))
    saved = read_json(marker_of(checkpoint))["unchanged"]
    if STEP_SIZES not in saved:
        raise MismatchError(
            f"{checkpoint} was written by an earlier version, which did not say how large its steps were; end the run "
            "with that version, or start anew in another --output_dir"
        )
    then, sizes = saved[RANKS], read_step_sizes(saved[STEP_SIZES])
    lines = []
    if not settings.elastic.allow_batch_change and run.windows_per_step != sizes.now:
        lines.append(_keep_batch(run, checkpoint, sizes.now))
    if run.windows_per_step != sizes.now:
        _require_plain_steps(settings)
        lines.append(
            f"batch      changed: {sizes.now} windows a step until step {step_of(checkpoint):,}, now "
            f"{run.windows_per_step}; the data go on at window {sizes.before(step_of(checkpoint)):,}"
        )
    if run.world_size != then:
        lines.append(f"ranks      {then} until now, {run.world_size} from here on; dropout draws anew from --seed")
    elif checkpoint.parent == Path(run.output_dir):  # of a start on other ranks that was killed
        agreed(lambda: drop_universal(checkpoint))
    callbacks = () if run.world_size == then else _reshape(run, checkpoint)
    return Going(sizes.resized(step_of(checkpoint), run.windows_per_step), tuple(lines), callbacks)


def fitting_accumulation(windows: int, *, batch: int, ranks: int) -> int:
    """Steps of accumulation by which `batch` windows on each of `ranks` make a global batch of `windows`.

    Raises MismatchError that names the batches that do.

    >>> fitting_accumulation(8, batch=2, ranks=1)
    4
    """
    accumulation, rest = divmod(windows, batch * ranks)
    if accumulation and not rest:
        return accumulation
    sizes = [size for size in range(1, windows // ranks + 1) if windows % (size * ranks) == 0]
    advice = (
        f"give --per_device_train_batch_size {' or '.join(map(str, sizes))}"
        if sizes
        else f"take a number of ranks that divides {windows}"
    )
    raise MismatchError(
        f"a step of this run reads {windows} windows, which --per_device_train_batch_size {batch} on {ranks} ranks "
        f"cannot make up; {advice}, or --allow_batch_change True to go on with another global batch"
    )


def _keep_batch(run: RunArguments, checkpoint: Path, windows: int) -> str:
    """Sets the accumulation, unless another one is asked for than when the run was begun; gives a line that says so."""
    asked = run.gradient_accumulation_steps
    if asked != read_record(checkpoint.parent)["run"].get("gradient_accumulation_steps"):
        raise MismatchError(
            f"a step of this run reads {windows} windows, and --per_device_train_batch_size "
            f"{run.per_device_train_batch_size} x --gradient_accumulation_steps {asked} x {run.world_size} ranks are "
            f"{run.windows_per_step}; give the accumulation of then, which is fitted to the ranks, or "
            "--allow_batch_change True to go on with another global batch"
        )
    run.gradient_accumulation_steps = fitting_accumulation(
        windows, batch=run.per_device_train_batch_size, ranks=run.world_size
    )
    tell_deepspeed(run, universal=False)
    return (
        f"batch      kept at {windows} windows a step: --gradient_accumulation_steps is {asked} on the command line "
        f"and {run.gradient_accumulation_steps} here"
    )


def _require_plain_steps(settings: Settings) -> None:
    rows = f"--phase {settings.data.phase}" if settings.data.phase != "pretrain" else "--architecture seq2seq"
    if settings.data.phase != "pretrain" or settings.model.architecture == "seq2seq":
        raise ConfigError(
            f"--allow_batch_change True: the rows of {rows} are ordered by their global batch; "
            "keep it, or start anew in another --output_dir"
        )
    if settings.data.skip_steps:
        raise ConfigError(
            f"--allow_batch_change True with --skip_steps {' '.join(settings.data.skip_steps)}: those are steps of one "
            "size, and would be other windows; keep the global batch, or start anew in another --output_dir"
        )
    if settings.objective.curriculum != "none":
        raise ConfigError(
            f"--allow_batch_change True with --curriculum {settings.objective.curriculum}: its stages are shares of "
            "the windows of a run, which would be other ones; keep the global batch, or start anew in another "
            "--output_dir"
        )


def tell_deepspeed(run: RunArguments, *, universal: bool) -> None:
    """Makes DeepSpeed's configuration anew, as transformers 5.23 does, from the JSON and the arguments as they are."""
    config = dict(HfDeepSpeedConfig(run.deepspeed).config)
    if universal:
        config["checkpoint"] = {**config.get("checkpoint", {}), "load_universal": True}
    run.hf_deepspeed_config = HfTrainerDeepSpeedConfig(config)
    run.hf_deepspeed_config.trainer_config_process(run)
    run.deepspeed_plugin = DeepSpeedPlugin(hf_ds_config=run.hf_deepspeed_config)


def _reshape(run: RunArguments, checkpoint: Path) -> tuple[TrainerCallback, ...]:
    """Has DeepSpeed load the states of other ranks; gives what has to be done behind that."""
    stage = run.deepspeed_plugin.zero_stage
    if stage == 0:  # each rank holds and finds all of the optimizer
        return (FreshRandomness(),)
    _make_universal(checkpoint)
    tell_deepspeed(run, universal=True)
    more = (OwnGroups(universal_folder(checkpoint)),) if stage == 3 else ()
    return (FreshRandomness(), *more, UniversalOnce(lambda: drop_universal(checkpoint)))


def _make_universal(checkpoint: Path) -> None:
    """Has the first rank make the universal form, while the others wait."""

    def make() -> None:
        with room_in(checkpoint):
            make_universal(checkpoint)

    agreed(make)


@contextmanager
def fit_engine(engine: DeepSpeedEngine, checkpoint: Path, run: RunArguments) -> Iterator[None]:
    """Inside, an engine reads a checkpoint in the form that it needs: parts of as many ranks as these, or universal.

    All ranks call it. An engine that has begun from a universal form would look for one in every other checkpoint too.
    """
    then = read_json(marker_of(checkpoint))["unchanged"].get(RANKS, run.world_size)
    is_universal = then != run.world_size and run.deepspeed_plugin.zero_stage > 0
    if is_universal:
        _make_universal(checkpoint)
    engine._config.load_universal_checkpoint = is_universal  # DeepSpeed 0.19 has no other way behind the start
    yield
    if is_universal:
        wait_for_all()
        agreed(lambda: drop_universal(checkpoint))


def universal_folder(checkpoint: Path) -> Path:
    """Where the universal form of a checkpoint lies; of one that was written anew, elsewhere."""
    return checkpoint / f"global_step{step_of(checkpoint)}_universal_{sha256_of(marker_of(checkpoint))[:16]}"


def make_universal(checkpoint: Path) -> None:
    """Makes the universal form of a checkpoint. One process alone may call it."""
    drop_universal(checkpoint)
    folder = universal_folder(checkpoint)
    latest, unfinished = checkpoint / "latest_universal", folder.with_name(folder.name + ASIDE)
    _convert(checkpoint / f"global_step{step_of(checkpoint)}", unfinished)
    for path in unfinished.rglob("*"):
        sync(path)
    publish_as(unfinished, folder)
    with written(latest) as file:
        file.write(folder.name.encode())


def drop_universal(checkpoint: Path) -> None:
    """Removes the universal form of a checkpoint, and what was half made of it; its name first."""
    (checkpoint / "latest_universal").unlink(missing_ok=True)
    for folder in checkpoint.glob("global_step*_universal_*"):
        shutil.rmtree(folder)


def _convert(parts: Path, folder: Path) -> None:
    """DeepSpeed's conversion, in this process, without what it prints and the latest_universal that it writes."""
    arguments = Namespace(
        input_folder=str(parts),
        output_folder=str(folder),
        num_extract_workers=1,  # it would fork a process that holds gloo's threads, or a GPU
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,  # the Trainer writes no universal_checkpoint_info
    )
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        ds_to_universal.main(arguments)
    (folder.parent / "latest_universal").unlink()
