"""Masked diffusion: the ids behind the masks, from all that is not masked, weighted (`metalang.training.diffusion`).

Windows come with their masks drawn (`diffusion.windows`): labels name all ids that may be masked, and what is not
masked weighs 0. So the mean over all labels is the loss of a token.
"""

from metalang.training.objectives.contract import Batch, Targets
from metalang.training.objectives.cross_entropy import IGNORED


class MaskedDiffusion:
    """Every masked id, with the weight of its window's time."""

    def prepare(self, batch: Batch, *, step: int | None) -> tuple[Batch, Targets]:
        """The ids with their masks, and the masked ones with their weights."""
        weights = batch["weights"]
        inputs = {name: values for name, values in batch.items() if name not in ("labels", "weights")}
        return inputs, Targets(batch["labels"].where(weights > 0, IGNORED), weights)
