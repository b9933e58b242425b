"""A Trainer whose weights no NaN reaches, and whose steps are looked at one by one.

DeepSpeed 0.19 makes no update from a gradient that is NaN or Inf, in fp16, bf16 and fp32, on all ranks alike, but for
ZeRO-0 in fp32, where it calls torch's optimizer like a run without DeepSpeed does: there the guard is ours. Nor does it
look at the loss: an Inf may have a finite gradient.
"""

import math
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from metalang.training.flags import HealthArguments
from metalang.training.health import Health, Step

_MOST_PENDING = 128


class GuardedTrainer(Trainer):
    """Leaves out the update of a step whose loss (`guarded`) or gradient is not finite; `health` judges every step.

    Losses stay on the device until a log, a checkpoint, or the step that DeepSpeed reports as not finite.
    """

    def __init__(self, *, health: Health | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._health = Health(HealthArguments()) if health is None else health
        self._guard = OptimizerGuard()
        self._is_log_left_open = False
        self._step_loss: torch.Tensor | None = None
        self._pending: list[tuple[int, torch.Tensor, Any, Any]] = []
        self.add_callback(self._health)
        self.add_callback(self._guard)

    def leave_log_open(self) -> None:
        """Has the next checkpoint, which the flags did not ask for, come without a log before it."""
        self._is_log_left_open = True

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **named: Any) -> torch.Tensor:
        """A step of the Trainer on a micro-batch, whose loss is added to that of the optimizer's step."""
        loss = super().training_step(model, inputs, *arguments, **named)
        self._step_loss = loss if self._step_loss is None else self._step_loss + loss
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if not self.is_deepspeed_enabled:  # which has made its step by now
            self._guard.expect(norm)
        return norm

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:
        """Logs, with `nan_steps` and `spikes` of the run so far beside a training loss."""
        if "loss" in logs:
            logs.update(self._health.counts)
            self._tr_loss.zero_()  # transformers 5.23 subtracts it from itself: one NaN would make all later logs NaN
        super().log(logs, *arguments, **named)

    def _maybe_log_save_evaluate(self, tr_loss: torch.Tensor, grad_norm: Any, *arguments: Any, **named: Any) -> None:
        # transformers 5.23 calls it behind every step, and once more behind the last of an epoch.
        norms = _if_known(grad_norm), _if_known(self._guard.norm)
        if self._step_loss is not None:
            self._pending.append((self.state.global_step, self._step_loss, *norms))
            self._step_loss = None
        is_asked_for = self.control.should_save and not self._is_log_left_open
        if is_asked_for and self.args.logging_strategy == IntervalStrategy.STEPS:
            # What comes behind a checkpoint is logged alike by the run that goes on there.
            self.control.should_log = True
        is_bad = any(isinstance(norm, float) and not math.isfinite(norm) for norm in norms)
        is_last = self.state.global_step >= self.state.max_steps or self.control.should_training_stop
        if is_bad or is_last or self.control.should_log or len(self._pending) >= _MOST_PENDING:
            self._judge()
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *arguments, **named)

    def _save_checkpoint(self, *arguments: Any, **named: Any) -> None:
        self._judge()
        self._health.keep(self.state)
        super()._save_checkpoint(*arguments, **named)

    def _judge(self) -> None:
        """Has the steps since the last call judged: the losses of all ranks come together in one reduction."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        numbers, losses, norms, guarded = zip(*pending, strict=True)
        means = self.accelerator.reduce(torch.stack(losses).double(), reduction="mean").tolist()
        for number, loss, norm, own in zip(numbers, means, _on_host(norms), _on_host(guarded), strict=True):
            is_good = all(value is None or math.isfinite(value) for value in (loss, norm, own))
            is_overflow = self.args.fp16 and math.isfinite(loss)  # the scale is halved: how fp16 finds it
            self._health.judge(Step(number, loss, norm, "good" if is_good else "overflow" if is_overflow else "nan"))


def guarded(loss: torch.Tensor) -> torch.Tensor:
    """The loss, whose gradient is NaN where it is NaN or Inf itself; any other keeps its bits."""
    factor = 1 + 0 * loss.detach()
    loss.register_hook(lambda gradient: gradient * factor)
    return loss


class OptimizerGuard(TrainerCallback):
    """Has an optimizer of torch that nothing else guards make no step from a gradient that is NaN or Inf."""

    def __init__(self) -> None:
        self.norm: torch.Tensor | None = None
        """Of the last gradient; None where something else guards."""
        self._expected: torch.Tensor | None = None

    def expect(self, norm: torch.Tensor) -> None:
        """Tells the norm of the gradient of the next step, which is then not taken once more."""
        self._expected = norm

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: Any, *, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Puts itself before the optimizer's steps: DeepSpeed's own optimizers are none of torch's."""
        inner = optimizer.optimizer  # accelerate's wrapper holds it
        if isinstance(inner, torch.optim.Optimizer) and not args.fp16:  # fp16: torch's GradScaler guards
            inner.register_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.norm, self._expected = self._expected, None
        if self.norm is None:
            self.norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
        if optimizer.defaults.get("fused"):
            # As GradScaler tells a fused optimizer, which then leaves its step out on the device.
            optimizer.grad_scale, optimizer.found_inf = None, (~torch.isfinite(self.norm)).float()
        elif not torch.isfinite(self.norm):
            for parameter in parameters:
                parameter.grad = None


def _if_known(value: Any) -> Any:
    """A number where that needs no waiting for a device."""
    if isinstance(value, torch.Tensor) and value.device.type == "cpu":
        return value.item()
    return value


def _on_host(values: tuple[Any, ...]) -> list[float | None]:
    """Numbers, after at most one wait for the device; a run's values are all of one kind."""
    if isinstance(values[0], torch.Tensor):
        return torch.stack(values).double().tolist()
    return [None if value is None else float(value) for value in values]
