"""Cross-entropy of logits in chunks of rows: nothing of the size of all logits is ever held in float32.

The gradient is made on the way forward, in the type of the logits: 2 bytes a logit beside the logits in bf16, where
the plain form keeps a float32 copy, its log-softmax and its gradient.
"""

from typing import Any

import torch

IGNORED = -100

# Logits of a chunk. On a CPU its float32 copy stays in the cache; on a GPU it is large enough to fill the device.
_CHUNK_LOGITS_CPU, _CHUNK_LOGITS_GPU = 2**19, 2**27


def summed(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the negative log-likelihoods (nats) of `labels` (N,) under `logits` (N, V), float32, with its gradient.

    >>> logits = torch.zeros(2, 4, requires_grad=True)
    >>> total = summed(logits, torch.tensor([1, IGNORED]))
    >>> total.backward()
    >>> round(total.item(), 4), logits.grad[0].tolist(), logits.grad[1].abs().max().item()
    (1.3863, [0.25, -0.75, 0.25, 0.25], 0.0)
    """
    return _Summed.apply(logits, labels)


def each(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood (nats) of each of `labels` (N,) under `logits` (N, V), (N,) float32, 0 where ignored."""
    parts = [_chunk_losses(*chunk) for chunk in _chunks(logits, labels)]
    return torch.cat(parts)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        gradient = torch.empty_like(logits) if context.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        start = 0
        for rows, targets in _chunks(logits, labels):
            total += _chunk_losses(rows, targets).sum()
            if gradient is not None:
                gradient[start : start + len(rows)] = _chunk_gradient(rows, targets)
            start += len(rows)
        context.gradient = gradient
        return total

    @staticmethod
    def backward(context: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        gradient = context.gradient.mul_(upstream.to(context.gradient.dtype))
        context.gradient = None
        return gradient, None


def _chunks(logits: torch.Tensor, labels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    size = _CHUNK_LOGITS_CPU if logits.device.type == "cpu" else _CHUNK_LOGITS_GPU
    rows = max(1, size // logits.shape[1])
    return list(zip(logits.split(rows), labels.split(rows), strict=True))


def _chunk_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="none")


def _chunk_gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    predicted = (labels != IGNORED).unsqueeze(1)
    gradient = logits.float().softmax(dim=1)
    gradient.scatter_add_(1, labels.clamp(min=0).unsqueeze(1), torch.full_like(gradient[:, :1], -1.0))
    return gradient.mul_(predicted)
