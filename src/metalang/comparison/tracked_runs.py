"""Runs as wandb keeps them: in files of its own, of which a resumed run has several, or on its server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalang.errors import ConfigError
from metalang.tracked import read_wandb


@dataclass(frozen=True)
class TrackedRun:
    """`config` and `rows` are what wandb was given, the rows in that order. `place`: its newest file, or wandb:PATH."""

    place: str
    name: str
    config: dict[str, Any]
    rows: tuple[dict[str, Any], ...]


def files_of(place: Path) -> list[Path]:
    """wandb's files of a place, the oldest first: a file, the folder of one, or a folder of such folders."""
    if place.suffix == ".wandb" and place.is_file():
        return [place]
    # <output_dir>/wandb also holds a link to the latest of its folders, `latest-run`
    inside = [path for folder in place.glob("*run-*") for path in folder.glob("run-*.wandb")]
    return sorted(place.glob("run-*.wandb")) or sorted(
        inside, key=lambda path: path.parent.name.removeprefix("offline-")
    )


def offline_runs(files: Sequence[Path]) -> list[TrackedRun]:
    """The runs of some files, the oldest first: those of one id are one run, which was resumed."""
    runs: dict[str, TrackedRun] = {}
    for file in files:
        run_id = file.stem.removeprefix("run-")
        config, rows = read_wandb(file)
        if run_id in runs:
            config, rows = runs[run_id].config | config, [*runs[run_id].rows, *rows]
        runs[run_id] = TrackedRun(str(file.resolve()), _name(config, run_id), config, tuple(rows))
    return list(runs.values())


def online_run(path: str) -> TrackedRun:
    """The run ENTITY/PROJECT/RUN of wandb's server. Raises ConfigError without a key, a network or such a run."""
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    try:
        if not wandb.login(prompt=False):  # wandb.Api() alone would wait at a terminal for somebody to type a key
            raise ConfigError(
                f"wandb:{path} needs a key of wandb, and there is none: give WANDB_API_KEY, or type `wandb login` once "
                "(WANDB_MODE=offline hides it)"
            )
        tracked = wandb.Api().run(path)
        rows = [{key: _number(value) for key, value in row.items()} for row in tracked.scan_history(use_cache=False)]
        return TrackedRun(f"wandb:{path}", _name(tracked.config, tracked.name), dict(tracked.config), tuple(rows))
    except ConfigError:
        raise
    except Exception as error:  # errors of wandb, of its service process and of its server have no class in common
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ConfigError(
            f"wandb did not give the run {path} ({reason}); check ENTITY/PROJECT/RUN (RUN is the id), the key and the "
            "network, or give the run's own folder"
        ) from None


def _name(config: dict[str, Any], otherwise: str) -> str:
    """That of --run_name, else where the run was written to, as it is called when it is read from there."""
    folder = Path(config.get("output_dir") or otherwise)
    return str(config.get("run_name") or "/".join(folder.parts[-2:]))


def _number(value: Any) -> Any:
    """Rows that the server has not yet put into a file come as JSON, which has words for three numbers."""
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value
