"""TensorBoard and trackio: what the Trainer's callbacks leave out: one run across resumes, and its config."""

import json
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations import TensorBoardCallback

from metalang.training.config import Settings
from metalang.training.wandb_run import config_of

TENSORBOARD_FOLDER = "tensorboard"


def join_trackers(trainer: Trainer, settings: Settings, record: dict[str, Any], *, step: int) -> Any:
    """Has the Trainer's callbacks go on behind `step` with the run that `record`, its run.json, names.

    TensorBoard's files lie in `OUTPUT_DIR/tensorboard`, or where TENSORBOARD_LOGGING_DIR says; curves of steps behind
    `step` that a killed run had drawn are dropped. A run of trackio is known by its name alone: it is --run_name with
    the `run_id`. Gives TensorBoard's writer, None for a run or a rank without one.
    """
    run = trainer.args
    if run.process_index != 0:
        return None
    if "trackio" in run.report_to:
        run.run_name = "-".join(part for part in (run.run_name, record["run_id"]) if part)
        trainer.add_callback(_TrackioConfig(config_of(settings, record)))
    if "tensorboard" not in run.report_to:
        return None
    (callback,) = (each for each in trainer.callback_handler.callbacks if isinstance(each, TensorBoardCallback))
    folder = callback.logging_dir or str(Path(run.output_dir) / TENSORBOARD_FOLDER)
    # transformers 5.23 keeps the class that it found, of torch or of tensorboardX; another start, another folder.
    callback.tb_writer = callback._SummaryWriter(log_dir=folder, purge_step=step + 1 if step else None)
    callback.tb_writer.add_text("config", _fenced(json.dumps(config_of(settings, record), indent=2)), step)
    return callback.tb_writer


def write_samples(writer: Any, lines: list[str], step: int) -> None:
    """Shows lines as they are, in TensorBoard's tab of texts, which reads Markdown."""
    writer.add_text("samples", _fenced("\n".join(lines)), step)


class _TrackioConfig(TrainerCallback):
    """Adds to the config of trackio's run, behind the Trainer's own callback, which gives its flags and the model's."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Adds it before the first row is written; the model's own sizes stay."""
        if state.is_world_process_zero:
            import trackio

            for key, value in self._config.items():
                trackio.config.setdefault(key, value)


def _fenced(text: str) -> str:
    return f"~~~\n{text}\n~~~"
