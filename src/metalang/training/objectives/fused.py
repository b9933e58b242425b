"""The output layer and its cross-entropy in one: losses and gradients chunk by chunk of rows, never all logits.

Logits, losses, and the gradients with respect to what the layer reads and to its weights are made on the way forward;
backward multiplies them by one number. Peak memory is that of a chunk and of the gradients: rows × width, and width ×
vocabulary in float32, in which the weight's gradient is summed. Logits are rounded to the type of the weights, as those
of a plain layer are; all behind them is float32.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from metalang.training.objectives.cross_entropy import Sums, of_rows, slices

# Logits of a chunk, held in the type of the weights: enough rows for the matrix products to be dense.
_CHUNK_LOGITS_CPU, CHUNK_LOGITS_GPU = 2**23, 2**28


def fused_loss(
    hidden: torch.Tensor,
    layer: torch.nn.Linear,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    *,
    z_loss: float,
) -> Sums:
    """Losses (nats) of `labels` (N,), none of them IGNORED, under the logits that `layer` makes of `hidden` (N, d).

    `weights` (N,) or None: what each row counts. Honours autocast as a linear layer does.

    >>> layer = torch.nn.Linear(2, 4, bias=False)
    >>> total, each, _ = fused_loss(torch.zeros(1, 2), layer, torch.tensor([1]), None, z_loss=0.0)
    >>> round(total.item(), 4), tuple(each.shape)
    (1.3863, (1,))
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else layer.weight.dtype
    with torch.autocast(kind, enabled=False):
        return _Fused.apply(
            hidden, layer.weight, layer.bias, labels, weights, z_loss, dtype, torch.is_grad_enabled()
        )  # fmt: skip


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
        z_loss: float,
        dtype: torch.dtype,
        with_gradient: bool,
    ) -> Sums:
        wanted = [with_gradient and needed for needed in context.needs_input_grad[:3]]
        rows, matrix = hidden.to(dtype), weight.to(dtype)
        offset = None if bias is None else bias.to(dtype)
        slopes = _Slopes(rows, matrix, wanted)
        each = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        total_added = torch.zeros((), dtype=torch.float32, device=hidden.device)
        size = _CHUNK_LOGITS_CPU if hidden.device.type == "cpu" else CHUNK_LOGITS_GPU
        chunks = slices(len(labels), max(1, size // len(weight)))
        buffer = torch.empty((chunks[0].stop if chunks else 0, len(weight)), dtype=dtype, device=hidden.device)
        for part in chunks:
            logits = _logits(rows[part], matrix, offset, out=buffer[: part.stop - part.start])
            each[part], added = of_rows(
                logits,
                labels[part],
                None if weights is None else weights[part],
                z_loss=z_loss,
                gradient=logits if any(wanted) else None,
            )
            total_added += added
            if any(wanted):
                slopes.add(part, logits)
        context.slopes = slopes
        context.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        context.mark_non_differentiable(each, total_added)
        return each.sum() + total_added, each, total_added

    @staticmethod
    @once_differentiable
    def backward(context: Any, upstream: torch.Tensor, *unused: Any) -> tuple[torch.Tensor | None, ...]:
        slopes, context.slopes = context.slopes, None
        parts = (slopes.hidden, slopes.weight, slopes.bias)
        gradients = [
            None if part is None else part.mul_(upstream.to(part.dtype)).to(dtype)
            for part, dtype in zip(parts, context.dtypes, strict=True)
        ]
        return *gradients, None, None, None, None, None


def _logits(
    rows: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor | None, *, out: torch.Tensor
) -> torch.Tensor:
    """What a linear layer gives, written into `out`."""
    if offset is None:
        return torch.mm(rows, matrix.T, out=out)
    return torch.addmm(offset, rows, matrix.T, out=out)


class _Slopes:
    """Gradients of the sum of losses, as far as they are wanted; those of the layer are summed in float32."""

    def __init__(self, rows: torch.Tensor, matrix: torch.Tensor, wanted: list[bool]) -> None:
        whole = {"dtype": torch.float32, "device": rows.device}
        self._rows, self._matrix = rows, matrix
        self.hidden = torch.empty_like(rows) if wanted[0] else None
        self.weight = torch.zeros(matrix.shape, **whole) if wanted[1] else None
        self.bias = torch.zeros(len(matrix), **whole) if wanted[2] else None

    def add(self, part: slice, slope: torch.Tensor) -> None:
        """Adds what the rows of a chunk give, `slope` (n, V) with respect to their logits."""
        if self.bias is not None:
            self.bias += slope.sum(dim=0, dtype=torch.float32)
        if self.hidden is not None:
            torch.mm(slope, self._matrix, out=self.hidden[part])
        if self.weight is None:
            return
        if slope.dtype == torch.float32:
            self.weight.addmm_(slope.T, self._rows[part])
        else:
            self.weight += slope.T @ self._rows[part]
