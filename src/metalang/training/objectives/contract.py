"""What an objective promises, and what passes between it, the loss and the trainer."""

from dataclasses import dataclass
from typing import Protocol

import torch

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Targets:
    """What is predicted at each position of a model's output: `labels` (B, L) int64, IGNORED where nothing is.

    `weights` (B, L) float32: what the loss of each position counts; None: 1.
    """

    labels: torch.Tensor
    weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Losses:
    """Losses of a micro-batch in nats: `total`, (), with its gradient, is the sum of `each` and `z_loss`.

    `each` (B, L) float32, detached: weighted, 0 where nothing is predicted. `z_loss` (), detached.
    """

    total: torch.Tensor
    each: torch.Tensor
    z_loss: torch.Tensor


class Objective(Protocol):
    """What is predicted from what."""

    def prepare(self, batch: Batch, *, step: int | None) -> tuple[Batch, Targets]:
        """What the model reads, without labels, and what it is to predict. `batch` is left as it is.

        `step`: optimizer steps done, None in an evaluation.
        """
        ...
