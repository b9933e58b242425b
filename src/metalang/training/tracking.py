"""wandb without questions: offline where there is no API key."""

from collections.abc import MutableMapping
from pathlib import Path


def track_offline_without_key(environment: MutableMapping[str, str], output_dir: str) -> None:
    """Sets wandb's own variables: files go to the run's folder, and stay there where nobody is logged in."""
    import wandb

    Path(output_dir).mkdir(parents=True, exist_ok=True)
    environment.setdefault("WANDB_DIR", str(Path(output_dir).resolve()))
    environment.setdefault("WANDB_PROJECT", "metalang")
    if "WANDB_MODE" not in environment and not wandb.login(prompt=False):
        environment["WANDB_MODE"] = "offline"


def tracked_folder() -> str | None:
    """Where wandb keeps the files of the current run, None where it tracks none. To be asked before the run ends."""
    import wandb

    return str(Path(wandb.run.dir).parent) if wandb.run is not None else None
