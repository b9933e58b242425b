"""Cross-entropy of logits in chunks of rows: nothing of the size of all logits is ever held in float32.

The gradient is made on the way forward, in the type of the logits: 2 bytes a logit beside the logits in bf16, where
the plain form keeps a float32 copy, its log-softmax and its gradient.

`z_loss` adds factor * log(Z)^2, Z the sum of the exponentials of a row (PaLM, Chowdhery et al. 2022, section 5).
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

IGNORED = -100
"""The label of a position that is not predicted."""

# Logits of a chunk. On a CPU its float32 copy stays in the cache; on a GPU it is large enough to fill the device.
_CHUNK_LOGITS_CPU, CHUNK_LOGITS_GPU = 2**19, 2**27

Sums = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Weighted losses with `z_loss`, (), those of each row without, (N,) float32, and the sum of what `z_loss` adds, ()."""


def of_logits(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, *, z_loss: float) -> Sums:
    """Losses (nats) of `labels` (N,), none of them IGNORED, under `logits` (N, V), weighted by `weights` (N,).

    >>> logits = torch.zeros(1, 4, requires_grad=True)
    >>> total, each, _ = of_logits(logits, torch.tensor([1]), None, z_loss=0.0)
    >>> total.backward()
    >>> round(total.item(), 4), logits.grad.tolist()
    (1.3863, [[0.25, -0.75, 0.25, 0.25]])
    """
    return _OfLogits.apply(logits, labels, weights, z_loss, torch.is_grad_enabled() and logits.requires_grad)


def of_chunk(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, z_loss: float, *, with_gradient: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Losses of rows, (n,), what `z_loss` adds to each, (n,), both weighted, and the gradient (n, V) in float32."""
    chosen = labels.unsqueeze(1)
    logs = torch.log_softmax(logits, dim=1, dtype=torch.float32)
    log_z = (logits.gather(1, chosen).float() - logs.gather(1, chosen)).squeeze(1)
    losses, added = -logs.gather(1, chosen).squeeze(1), z_loss * log_z**2
    gradient = None
    if with_gradient:
        gradient = logs.exp_()
        if z_loss:
            gradient.mul_((1 + 2 * z_loss * log_z).unsqueeze(1))
        gradient.scatter_add_(1, chosen, torch.full_like(gradient[:, :1], -1.0))
    if weights is not None:
        losses, added = losses * weights, added * weights
        gradient = None if gradient is None else gradient.mul_(weights.unsqueeze(1))
    return losses, added, gradient


class _OfLogits(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        logits: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
        z_loss: float,
        with_gradient: bool,
    ) -> Sums:
        gradient = torch.empty_like(logits) if with_gradient else None
        each = torch.empty(len(labels), dtype=torch.float32, device=logits.device)
        total_added = torch.zeros((), dtype=torch.float32, device=logits.device)
        size = _CHUNK_LOGITS_CPU if logits.device.type == "cpu" else CHUNK_LOGITS_GPU
        for rows in slices(len(labels), max(1, size // logits.shape[1])):
            part = None if weights is None else weights[rows]
            each[rows], added, slope = of_chunk(
                logits[rows], labels[rows], part, z_loss, with_gradient=with_gradient
            )  # fmt: skip
            total_added += added.sum()
            if gradient is not None:
                gradient[rows] = slope
        context.gradient = gradient
        context.mark_non_differentiable(each, total_added)
        return each.sum() + total_added, each, total_added

    @staticmethod
    @once_differentiable
    def backward(context: Any, upstream: torch.Tensor, *unused: Any) -> tuple[torch.Tensor, None, None, None, None]:
        gradient = context.gradient.mul_(upstream.to(context.gradient.dtype))
        context.gradient = None
        return gradient, None, None, None, None


def slices(count: int, size: int) -> list[slice]:
    """`count` rows in slices of `size`, the last one shorter.

    >>> slices(5, 3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
