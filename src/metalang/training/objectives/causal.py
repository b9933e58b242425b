"""Next-id prediction.

`labels[b, t]` is the id that follows `input_ids[b, : t + 1]`, or IGNORED: windows arrive shifted, nothing shifts them
again.
"""

from metalang.training.objectives.contract import Batch, Targets


class Causal:
    """Every id from those before it, all of them alike."""

    def prepare(self, batch: Batch, *, step: int | None) -> tuple[Batch, Targets]:
        """The batch without its labels, and the labels."""
        return {name: values for name, values in batch.items() if name != "labels"}, Targets(batch["labels"])
