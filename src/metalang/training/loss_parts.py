"""The training loss by source, since the last log: sums on the device, put together over ranks when they are logged."""

from collections.abc import Callable

import torch

from metalang.training.objectives.contract import Losses
from metalang.training.objectives.cross_entropy import IGNORED


class LossParts:
    """`loss_<source>`, the mean over the predicted ids of a source since the last log, and `z_loss`, over all of them.

    Sources without a predicted id are left out of a log. A rank adds its own windows, without waiting for a device.
    """

    def __init__(self, names: list[str], *, has_z_loss: bool) -> None:
        self.names = names
        """Of the sources, by their number."""
        self._has_z_loss = has_z_loss
        self._numbers: torch.Tensor | None = (
            None  # sums of losses and numbers of ids, by source and (last) of the z-loss
        )

    def add(self, losses: Losses, labels: torch.Tensor, sources: torch.Tensor | None) -> None:
        """Adds a micro-batch: `labels` (n, L), and the number of the source of each window, (n,)."""
        if self._numbers is None:
            dtype = torch.float32 if labels.device.type == "mps" else torch.float64
            self._numbers = torch.zeros(2, len(self.names) + 1, dtype=dtype, device=labels.device)
        counts = (labels != IGNORED).sum(dim=1)
        self._numbers[:, -1] += torch.stack((losses.z_loss, counts.sum()))
        if sources is not None and self.names:
            sums = losses.each.sum(dim=1, dtype=self._numbers.dtype)
            self._numbers.index_add_(1, sources, torch.stack((sums, counts.to(sums.dtype))))

    @property
    def sums(self) -> list[float]:
        """What this rank has added since the last log."""
        return [0.0] * 2 * (len(self.names) + 1) if self._numbers is None else self._numbers.flatten().tolist()

    def take_up(self, sums: list[float], device: torch.device) -> None:
        """Goes on with the `sums` of another process."""
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._numbers = torch.tensor(sums, dtype=dtype, device=device).view(2, -1)

    def take(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """What a log bears. All ranks call it; `reduce` gives the sum over them."""
        if self._numbers is None:
            return {}
        sums, counts = reduce(self._numbers).tolist()
        self._numbers.zero_()
        keys = [f"loss_{name}" for name in self.names] + ["z_loss"] * self._has_z_loss
        return {
            key: total / count for key, total, count in zip(keys, sums, counts, strict=False) if count
        }  # fmt: skip
