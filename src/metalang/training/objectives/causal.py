"""Next-id prediction: the loss is the mean over the predicted ids of the whole global batch.

`labels[b, t]` is the id that follows `input_ids[b, : t + 1]`, or IGNORED: windows arrive shifted, nothing shifts them
again.
"""

import torch
from transformers.modeling_outputs import CausalLMOutput

from metalang.training.objectives import cross_entropy
from metalang.training.objectives.cross_entropy import IGNORED


def loss(outputs: CausalLMOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
    """Summed negative log-likelihood (nats) of the predicted ids of a micro-batch, over those of the global batch.

    `outputs.logits` (B, L, V), `labels` (B, L); `num_items_in_batch`: predicted ids of the global batch, or None for
    those of this micro-batch alone.
    """
    count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    total = cross_entropy.summed(outputs.logits.flatten(0, 1), labels.flatten())
    return total / torch.clamp(torch.as_tensor(count, device=total.device), min=1)


def window_losses(outputs: CausalLMOutput, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed negative log-likelihood (nats) and number of predicted ids of each window, (B,) float32 and (B,) int64."""
    losses = cross_entropy.each(outputs.logits.flatten(0, 1), labels.flatten())
    return losses.view(labels.shape).sum(dim=1), (labels != IGNORED).sum(dim=1)
