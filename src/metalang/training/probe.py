"""A few windows whose losses a checkpoint holds, and which a run that goes on from it has to give again.

`probe.safetensors`: what the model reads of them, (n, L) each, and `losses`, (n,) float32; its metadata names what the
losses were computed on. Sums of losses do not depend on the step, the data's order or the number of windows a step.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import TrainerCallback

from metalang.errors import MismatchError
from metalang.training.ranks import num_ranks

logger = logging.getLogger(__name__)

PROBE_FILE = "probe.safetensors"
_WINDOWS = 4
_TOLERANCE = 2e-3
"""Part of a window's loss that may differ on other hardware: bfloat16 has 8 bits, a sum evens them out."""


class Probe:
    """The first windows that a rank is trained on, or those of a checkpoint."""

    def __init__(self, inputs: dict[str, torch.Tensor] | None = None, losses: torch.Tensor | None = None) -> None:
        self._inputs = inputs
        self._losses = losses
        self._made_on: dict[str, str] = {}

    @classmethod
    def of(cls, checkpoint: Path) -> "Probe":
        """The one that a checkpoint holds."""
        with safe_open(checkpoint / PROBE_FILE, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            made_on = file.metadata()
        losses = tensors.pop("losses")
        probe = cls(tensors, losses)
        probe._made_on = made_on
        return probe

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """What the model reads of the windows, and their labels."""
        assert self._inputs is not None, "they are taken before"
        return self._inputs

    def take(self, inputs: dict[str, Any]) -> None:
        """Keeps the first windows of the first batch that it is shown."""
        if self._inputs is None:
            self._inputs = {name: value[:_WINDOWS].cpu().clone() for name, value in inputs.items() if name != "source"}

    def write(self, folder: Path, losses: torch.Tensor) -> None:
        """Leaves the windows and their losses in a checkpoint."""
        save_file({**self.inputs, "losses": losses}, folder / PROBE_FILE, metadata=_machine())

    def require(self, losses: torch.Tensor, checkpoint: Path) -> None:
        """Raises MismatchError where a model gives other losses than the one that wrote the checkpoint.

        On the same hardware, number of ranks and torch the bits must be the same, elsewhere each loss to 0.2 %.
        """
        then, now = self._losses, losses
        if torch.equal(then, now):
            logger.info("the model of %s gives the losses that are stored with it, bit for bit", checkpoint)
            return
        others = [f"{key} {self._made_on.get(key)} then, {value} now" for key, value in _machine().items()]
        others = [
            other for other, key in zip(others, _machine(), strict=True) if self._made_on.get(key) != _machine()[key]
        ]
        off = float(((now - then).abs() / then.abs().clamp_min(1e-6)).nan_to_num(nan=torch.inf).max())
        if others and off <= _TOLERANCE:
            logger.warning("losses are off by up to %.1e of those in %s (%s)", off, checkpoint, ", ".join(others))
            return
        raise MismatchError(
            f"the model that was loaded is not the one that {checkpoint} was written from: its windows lose "
            f"{_listed(now)} and lost {_listed(then)}; remove that checkpoint to continue from the one before it, or "
            "start anew in another --output_dir"
        )


class ProbeCheck(TrainerCallback):
    """Has the model give the losses of the probe again, behind the loading and before the first step, on every rank."""

    def __init__(
        self, probe: Probe, checkpoint: Path, losses_of: Callable[[dict[str, torch.Tensor]], torch.Tensor]
    ) -> None:
        self._probe, self._checkpoint, self._losses_of = probe, checkpoint, losses_of

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises MismatchError where a weight is missing, fresh or changed."""
        self._probe.require(self._losses_of(self._probe.inputs), self._checkpoint)


def _machine() -> dict[str, str]:
    """What the bits of a loss depend on, beside the weights."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    return {
        "device": device,
        "ranks": str(num_ranks()),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


def _listed(losses: torch.Tensor) -> str:
    return " ".join(f"{loss:.4f}" for loss in losses.tolist())
