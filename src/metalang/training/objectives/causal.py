"""Next-id prediction: the loss is the mean over the predicted ids of the whole global batch.

`labels[b, t]` is the id that follows `input_ids[b, : t + 1]`, or IGNORED: windows arrive shifted, nothing shifts them
again.
"""

import torch
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import CausalLMOutput

IGNORED = -100


def loss(outputs: CausalLMOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
    """Summed negative log-likelihood (nats) of the predicted ids of a micro-batch, over those of the global batch.

    `outputs.logits` (B, L, V), `labels` (B, L); `num_items_in_batch`: predicted ids of the global batch, or None for
    those of this micro-batch alone. Logits of ids that are only read are never turned into float32.
    """
    predicted = labels != IGNORED
    count = predicted.sum() if num_items_in_batch is None else num_items_in_batch
    total = cross_entropy(outputs.logits[predicted].float(), labels[predicted], reduction="sum")
    return total / torch.clamp(torch.as_tensor(count, device=total.device), min=1)


def window_losses(outputs: CausalLMOutput, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed negative log-likelihood (nats) and number of predicted ids of each window, (B,) float32 and (B,) int64."""
    each = cross_entropy(outputs.logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    return each.sum(dim=1), (labels != IGNORED).sum(dim=1)
