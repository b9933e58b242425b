"""Checkpoints that are whole or not there: written aside, synced, given a manifest, then renamed; old ones go last."""

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import Trainer

from metalang.errors import ConfigError
from metalang.files import ASIDE
from metalang.text.names import first_line
from metalang.training.callbacks.own_flags import OwnFlags
from metalang.training.checkpoints import checkpoint_folder, steps
from metalang.training.elastic import fit_engine
from metalang.training.manifest import fault_of, publish, remove, write_manifest
from metalang.training.probe import Probe, ProbeCheck, first_positions
from metalang.training.ranks import wait_for_all

logger = logging.getLogger(__name__)

_UNFINISHED = f"checkpoint{ASIDE}"
_WRITERS = re.compile(r"PytorchStreamWriter|inline_container|unexpected pos")  # torch.save says no more of a full disk


class CheckedSaves(Trainer):
    """Saves as the Trainer does, in `OUTPUT_DIR/checkpoint.partial`; what is called `checkpoint-STEP` is complete.

    A checkpoint also holds what `leave_counts` writes and a probe: a few windows, their losses and logits.
    """

    _aside: Path | None = None  # while a checkpoint is written

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._unchanged: Callable[[int], dict[str, Any]] = lambda step: {}
        self._probe = Probe()

    def protect(self, unchanged: Callable[[int], dict[str, Any]], checkpoint: Path | None) -> None:
        """Has checkpoints name `unchanged` of their step, and a run that goes on give the answers of `checkpoint`."""
        self._unchanged = unchanged
        if checkpoint:
            self._probe = Probe.of(checkpoint)
            self.add_callback(OwnFlags(checkpoint))
            self.add_callback(ProbeCheck(self._probe, checkpoint, self.answers_of))

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **named: Any) -> torch.Tensor:
        """A step of the Trainer; the first windows that are trained on are kept for the probe."""
        self._probe.take(inputs)
        return super().training_step(model, inputs, *arguments, **named)

    @torch.compiler.set_stance("force_eager")  # the bits of what is compiled differ from run to run
    def answers_of(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What a probe holds of the model as it is (`probe`), RNGs untouched. All ranks call it."""
        model = self.model_wrapped
        with torch.random.fork_rng([self.args.device] if self.args.device.type == "cuda" else []):
            torch.manual_seed(0)
            model.eval()
            _, losses, _ = self.prediction_step(model, dict(inputs), prediction_loss_only=False)
            logits = self.logits_of(model, first_positions(inputs))[0]
            model.train()
        return {name: value.float().cpu() for name, value in (("losses", losses), ("logits", logits))}

    def logits_of(self, model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of windows, (n, L, V)."""
        raise NotImplementedError

    def leave_counts(self, folder: Path, step: int) -> None:
        """What else is written into a checkpoint. All ranks call it."""

    def _determine_best_metric(self, *arguments: Any, **named: Any) -> bool:
        # transformers 5.23 saves by this alone under --save_strategy best, and would stop without a checkpoint.
        return super()._determine_best_metric(*arguments, **named) or self.control.should_save

    def _load_best_model(self) -> None:
        if not self.is_deepspeed_enabled:
            super()._load_best_model()
            return
        with fit_engine(self.model_wrapped, Path(self.state.best_model_checkpoint), self.args):
            super()._load_best_model()

    def _get_output_dir(self, trial: Any = None) -> str:
        return super()._get_output_dir(trial) if self._aside is None else str(self._aside)

    def _save_checkpoint(self, model: nn.Module, trial: Any = None) -> None:
        step, output_dir = self.state.global_step, Path(self.args.output_dir)
        folder, aside = checkpoint_folder(output_dir, step), output_dir / _UNFINISHED
        unfinished = checkpoint_folder(aside, step)
        with _room_for(folder):
            if self.is_world_process_zero():
                shutil.rmtree(aside, ignore_errors=True)
                unfinished.mkdir(parents=True)
            wait_for_all()
            self._aside = aside
            super()._save_checkpoint(model, trial)
            self._aside = None
            self._leave_the_rest(unfinished, folder)
            wait_for_all()
            if self.is_world_process_zero():
                write_manifest(unfinished, self._unchanged(step))
                publish(unfinished, folder)
                aside.rmdir()
                _drop_old(output_dir, self.args.save_total_limit, best=self.state.best_model_checkpoint)
        wait_for_all()

    def _leave_the_rest(self, unfinished: Path, folder: Path) -> None:
        if self.state.best_model_checkpoint == str(unfinished):
            self.state.best_model_checkpoint = str(folder)
            if self.args.should_save:
                self.state.save_to_json(str(unfinished / "trainer_state.json"))
        self.leave_counts(unfinished, self.state.global_step)
        if self.state.global_step == 0:
            windows = range(min(len(self.train_dataset), self.args.train_batch_size))
            self._probe.take(self.data_collator([self.train_dataset[window] for window in windows]))
        answers = self.answers_of(self._probe.inputs)
        if self.is_world_process_zero():
            self._probe.write(unfinished, answers)


def _drop_old(output_dir: Path, limit: int | None, *, best: str | None) -> None:
    """Removes the oldest checkpoints past `limit`, the best one kept, once the newest is found to be as written."""
    old = sorted(steps(output_dir))
    newest = checkpoint_folder(output_dir, old.pop()) if old else None
    if limit is None or newest is None or len(old) < limit:
        return
    if fault := fault_of(newest):
        logger.error("%s is damaged (%s), so the checkpoints before it are all kept", newest, fault)
        return
    folders = [checkpoint_folder(output_dir, step) for step in old]
    spare = [folder for folder in folders if best is None or folder != Path(best)]
    for folder in spare[: len(old) + 1 - limit]:
        remove(folder)


@contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    """Says of a checkpoint that cannot be written why, and what stays. Raises ConfigError."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, ConnectionError) or (isinstance(error, RuntimeError) and not _WRITERS.search(str(error))):
            raise
        free = shutil.disk_usage(folder.parent).free
        raise ConfigError(
            f"{folder} cannot be written ({first_line(error).rstrip('.')}); its disk has {free:,} bytes left. Make "
            "room and start the same command again, with --resume_training True: the checkpoints before it are kept"
        ) from None
