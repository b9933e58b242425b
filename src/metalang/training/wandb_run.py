"""A run of wandb, without questions: offline where there is no API key, one however often a run of ours is resumed."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from metalang.errors import ConfigError
from metalang.mixing import named_paths
from metalang.run_record import RUN_FILE
from metalang.training.config import Settings

_RECORDED = ("order", "corpora", "tokenizer", "evaluated", "before", "specs", "code", "versions")


def start_tracking(settings: Settings, record: dict[str, Any]) -> str | None:
    """Starts wandb's run on rank 0, which the Trainer's own callback writes to; gives the folder of its files.

    `record` is the run.json: its `run_id` is that of wandb's run, its fingerprints stand in the config, and it is an
    artifact, beside the files of mixtures. wandb's own settings and environment variables hold (WANDB_MODE,
    WANDB_PROJECT, ...). Without them the project is --project, and where nobody is logged in the run stays in
    --output_dir. None: --report_to does not name wandb.
    """
    run = settings.run
    if "wandb" not in run.report_to or run.process_index != 0:
        return None
    import wandb

    try:
        tracked = _started(settings, record)
    except (wandb.errors.Error, ValueError) as error:  # ValueError: what pydantic says of an environment variable
        said = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"wandb does not start ({said}); mend its settings, set WANDB_MODE=offline, or leave it out of --report_to"
        ) from None
    artifact = wandb.Artifact(f"run-{tracked.id}", type="run")
    for name, path in _described_by(settings).items():
        artifact.add_file(str(path), name=name)
    tracked.log_artifact(artifact)
    return str(Path(tracked.dir).parent)


def config_of(settings: Settings, record: dict[str, Any]) -> dict[str, Any]:
    """What a tracker's config holds: all flags (those of `run` the Trainer adds), and fingerprints."""
    groups = [flags for name, flags in settings.record().items() if name != "run"]
    flags = {key: value for flags in groups for key, value in flags.items()}
    return flags | {key: record[key] for key in _RECORDED if key in record}


def _started(settings: Settings, record: dict[str, Any]) -> Any:
    """wandb's run, new or gone on with."""
    import wandb

    run, ours = settings.run, wandb.setup().settings
    offline = ours.mode == "online" and not wandb.login(prompt=False)
    return wandb.init(
        project=ours.project or run.project,
        id=ours.run_id or record["run_id"],
        resume=ours.resume or "allow",
        allow_val_change=True,  # --max_steps may grow when a run is resumed
        name=run.run_name,
        dir=run.output_dir,
        config=config_of(settings, record),
        mode="offline" if offline else None,
        settings=wandb.Settings(quiet=True) if offline else None,  # the run's own summary says where the files are
    )


def end_tracking() -> None:
    """Has wandb write out all that it holds."""
    import wandb

    wandb.finish()


class TokenAxis(TrainerCallback):
    """Draws wandb's curves over the tokens seen; `train/global_step` stands in every row too, to be chosen there.

    Added behind the Trainer's own callback, whose axis is the step.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Defines the axis where there is a run of wandb."""
        if "wandb" in args.report_to and state.is_world_process_zero:
            import wandb

            wandb.define_metric("train/tokens_seen")
            wandb.define_metric("*", step_metric="train/tokens_seen", step_sync=True)


def _described_by(settings: Settings) -> dict[str, Path]:
    """The files that say what the run reads, by their names in an artifact: its run.json, and mixtures."""
    paths = {name: Path(path) for name, path in named_paths(settings.data.data_paths)}
    mixtures = {
        name + path.suffix: path for name, path in paths.items() if path.suffix in (".yaml", ".yml") and path.is_file()
    }
    return {RUN_FILE: Path(settings.run.output_dir) / RUN_FILE, **mixtures}
