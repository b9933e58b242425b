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

# Logits whose softmax is held in float32 at a time: on a CPU it stays in the cache, on a GPU it fills the device.
_CHUNK_LOGITS_CPU, CHUNK_LOGITS_GPU = 2**20, 2**27

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


def of_rows(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    *,
    z_loss: float,
    gradient: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of rows, (n,) float32, and the sum of what `z_loss` adds, (), both weighted.

    The gradient of their sum is written into `gradient` (n, V), which may be `logits` itself; None: it is not made.
    """
    each = torch.empty(len(labels), dtype=torch.float32, device=logits.device)
    total_added = torch.zeros((), dtype=torch.float32, device=logits.device)
    size = _CHUNK_LOGITS_CPU if logits.device.type == "cpu" else CHUNK_LOGITS_GPU
    chunks = slices(len(labels), max(1, size // logits.shape[1]))
    # One buffer for all chunks: fresh memory of this size costs a CPU more than what is written into it.
    buffer = torch.empty((chunks[0].stop if chunks else 0, logits.shape[1]), dtype=torch.float32, device=logits.device)
    for rows in chunks:
        scores, chosen = logits[rows], labels[rows].unsqueeze(1)
        probabilities = torch.softmax(scores, 1, dtype=torch.float32, out=buffer[: len(scores)])
        log_z = scores.amax(dim=1).float() - probabilities.amax(dim=1).log()
        factor = 1.0 if weights is None else weights[rows]
        each[rows] = (log_z - scores.gather(1, chosen).squeeze(1)) * factor
        total_added += (z_loss * log_z**2 * factor).sum()
        if gradient is None:
            continue
        if z_loss:
            probabilities *= (1 + 2 * z_loss * log_z).unsqueeze(1)
        probabilities.scatter_add_(1, chosen, torch.full_like(log_z.unsqueeze(1), -1.0))
        if weights is not None:
            probabilities *= factor.unsqueeze(1)
        gradient[rows] = probabilities
    return each, total_added


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
        each, total_added = of_rows(logits, labels, weights, z_loss=z_loss, gradient=gradient)
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
