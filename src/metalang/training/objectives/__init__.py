"""What is predicted from what, and how it is weighted: a module an `--architecture`.

How a loss comes about, for a micro-batch as the collator makes it (`input_ids`, `labels`, and what a model reads):

1. An `Objective` (`contract.py`) prepares the batch: `prepare(batch, step=...)` gives what the model reads and the
   `Targets`, (B, L) ids with IGNORED where nothing is predicted, and (B, L) float32 weights or None. It draws masks,
   shifts a decoder's ids, weighs; it sees no logits. `step` is the number of steps done, None in an evaluation.
2. `TokenLoss` (`token_loss.py`) has the model's output layer answer with the loss of these targets instead of logits
   (`output_layer.py`, `fused.py`), or, where a model does something to its logits behind that layer, takes the loss of
   the logits (`cross_entropy.py`). Either way `Losses` come out: `total`, a scalar with its gradient, the weighted sum
   in nats; `each`, the weighted losses of all positions, (B, L), detached; `z_loss`, detached, the part of `total` that
   is no cross-entropy.
3. The trainer divides `total` by the number of labels of the global batch that are not IGNORED (those of the batch, not
   of the targets: an objective that masks a part of the ids is a mean over all of them), sums `each` by source, and in
   an evaluation by window.

A new objective is one module with `prepare`, and one line here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from metalang.training.objectives.causal import Causal
from metalang.training.objectives.contract import Objective
from metalang.training.objectives.masked_diffusion import MaskedDiffusion

if TYPE_CHECKING:  # flags load DeepSpeed, which those who only read rows do not need
    from metalang.training.config import Settings

OBJECTIVES: "dict[str, Callable[[Settings], Objective]]" = {
    "causal": lambda settings: Causal(),
    "seq2seq": lambda settings: Causal(),  # what a decoder reads comes with its rows, one id behind the labels
    "masked_diffusion": lambda settings: MaskedDiffusion(),
}


def objective_of(settings: "Settings") -> Objective:
    """The objective that `--architecture` names."""
    return OBJECTIVES[settings.model.architecture](settings)
