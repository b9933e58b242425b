"""wandb without questions: offline where there is no API key."""

from dataclasses import asdict
from pathlib import Path

from metalang.training.config import Settings


def start_tracking(settings: Settings) -> str | None:
    """Starts wandb's run on rank 0, which the Trainer's own callback writes to; gives the folder of its files.

    wandb's own settings and environment variables hold (WANDB_MODE, WANDB_PROJECT, ...). Without them the project is
    "metalang", and where nobody is logged in the run stays in --output_dir. None: --report_to does not name wandb.
    """
    run = settings.run
    if "wandb" not in run.report_to or run.process_index != 0:
        return None
    import wandb

    ours = wandb.setup().settings
    offline = ours.mode == "online" and not wandb.login(prompt=False)
    tracked = wandb.init(
        project=ours.project or "metalang",
        name=run.run_name,
        dir=run.output_dir,
        config={**asdict(settings.model), **asdict(settings.data)},
        mode="offline" if offline else None,
        settings=wandb.Settings(quiet=True) if offline else None,  # the run's own summary says where the files are
    )
    return str(Path(tracked.dir).parent)


def end_tracking() -> None:
    """Has wandb write out all that it holds."""
    import wandb

    wandb.finish()
