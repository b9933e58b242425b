"""The loss of a model's predictions: in its output layer, or, where that cannot be, of its logits."""

import torch
from torch import nn
from transformers import PreTrainedModel

from metalang.training.objectives import cross_entropy
from metalang.training.objectives.contract import Batch, Losses, Targets
from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.objectives.output_layer import OutputLayer, why_not_fused


class TokenLoss:
    """Losses of what a model predicts, with `z_loss` times log(Z)^2 (PaLM, Chowdhery et al. 2022, section 5).

    `description` says for the banner which of the two ways they are made, and why.
    """

    def __init__(self, model: PreTrainedModel, *, z_loss: float = 0.0) -> None:
        reason = why_not_fused(model)
        self._z_loss = z_loss
        self._layer = OutputLayer(model, z_loss=z_loss) if reason is None else None
        way = "fused linear cross-entropy" if reason is None else f"cross-entropy of logits ({reason})"
        self.description = way + (f", z-loss {z_loss:g}" if z_loss else "")

    def __call__(self, model: nn.Module, inputs: Batch, targets: Targets) -> Losses:
        """Losses of a forward of `model`, the one that was given or what wraps it."""
        if self._layer is None:
            return _of_logits(model(**inputs).logits, targets, self._z_loss)
        with self._layer.predicting(targets):
            logits = model(**inputs).logits
        return self._layer.losses(logits)


def _of_logits(logits: torch.Tensor, targets: Targets, z_loss: float) -> Losses:
    labels = targets.labels.flatten()
    predicted = labels != IGNORED
    weights = predicted.float() if targets.weights is None else predicted * targets.weights.flatten().float()
    total, each, added = cross_entropy.of_logits(
        logits.flatten(0, 1), labels.where(predicted, 0), weights, z_loss=z_loss
    )  # fmt: skip
    return Losses(total, each.view(targets.labels.shape), added)
