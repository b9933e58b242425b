"""A few windows whose losses and logits a checkpoint holds, and which a run that goes on from it has to give again.

`probe.safetensors`: what the model reads of them, (n, L) each; `losses`, (n,) float32, sums over a window; `logits`,
(8, V) float32, at the first positions of the first window, read no further (fewer of a shorter one). Its metadata names
what they were computed on. They do not depend on the step, the data's order or the number of windows a step.
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
_POSITIONS = 8
_ANSWERS = ("losses", "logits")
_TOLERANCE = 2e-3
"""Part of a window's loss that may differ on other hardware: bfloat16 has 8 bits, a sum evens them out."""
_LOGITS_TOLERANCE = 5e-2
"""Part of the logits' norm: bfloat16 and float32 differ by 1 % in 24 layers, and by 30 % if one matrix is fresh."""


class Probe:
    """The first windows that a rank is trained on, or those of a checkpoint."""

    def __init__(
        self, inputs: dict[str, torch.Tensor] | None = None, answers: dict[str, torch.Tensor] | None = None
    ) -> None:
        self._inputs = inputs
        self._answers = answers
        self._made_on: dict[str, str] = {}

    @classmethod
    def of(cls, checkpoint: Path) -> "Probe":
        """The one that a checkpoint holds."""
        with safe_open(checkpoint / PROBE_FILE, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            made_on = file.metadata()
        answers = {name: tensors.pop(name) for name in _ANSWERS if name in tensors}
        probe = cls(tensors, answers)
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

    def write(self, folder: Path, answers: dict[str, torch.Tensor]) -> None:
        """Leaves the windows, their `losses` and `logits` in a checkpoint."""
        save_file({**self.inputs, **answers}, folder / PROBE_FILE, metadata=_machine())

    def require(self, answers: dict[str, torch.Tensor], checkpoint: Path) -> None:
        """Raises MismatchError where a model gives other losses or logits than the one that wrote the checkpoint.

        On the same hardware, number of ranks and torch the bits must be the same, elsewhere each loss to 0.2 %, and the
        logits to 5 % of their norm.
        """
        then, now = self._answers, answers
        if "logits" not in then:
            logger.warning(
                "%s holds no logits: an earlier version wrote it, and its losses alone are compared", checkpoint
            )
        if all(torch.equal(then[name], now[name]) for name in then):
            logger.info("the model of %s gives the %s stored with it, bit for bit", checkpoint, " and ".join(then))
            return
        machine = _machine()
        others = [
            f"{key} {self._made_on.get(key)} then, {value} now"
            for key, value in machine.items()
            if self._made_on.get(key) != value
        ]
        lost = _largest((now["losses"] - then["losses"]).abs() / then["losses"].abs().clamp_min(1e-6))
        off = _largest((now["logits"] - then["logits"]).norm() / then["logits"].norm()) if "logits" in then else None
        if others and lost <= _TOLERANCE and (off is None or off <= _LOGITS_TOLERANCE):
            logger.warning(
                "losses are off by up to %.1e of those in %s%s (%s)", lost, checkpoint, _said(off), ", ".join(others)
            )
            return
        raise MismatchError(
            f"the model that was loaded is not the one that {checkpoint} was written from: its windows lose "
            f"{_listed(now['losses'])} and lost {_listed(then['losses'])}{_said(off)}; remove that checkpoint to "
            "continue from the one before it, or start anew in another --output_dir"
        )


class ProbeCheck(TrainerCallback):
    """Has the model give a probe's answers again, behind the loading and before the first step, on every rank."""

    def __init__(
        self, probe: Probe, checkpoint: Path, answers_of: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
    ) -> None:
        self._probe, self._checkpoint, self._answers_of = probe, checkpoint, answers_of

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises MismatchError where a weight is missing, fresh or changed."""
        self._probe.require(self._answers_of(self._probe.inputs), self._checkpoint)


def first_positions(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The beginning of the first window, whose logits a checkpoint holds.

    >>> first_positions({"input_ids": torch.zeros(4, 1024)})["input_ids"].shape
    torch.Size([1, 8])
    """
    return {name: value[:1, :_POSITIONS] for name, value in inputs.items()}


def _largest(parts: torch.Tensor) -> float:
    return float(parts.nan_to_num(nan=torch.inf).max())


def _said(off: float | None) -> str:
    return "" if off is None else f", its logits are off by {off:.1e} of their norm"


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
