"""A model's output layer that answers with a loss: its `forward`, on the instance, is ours while a batch is open.

The layer stays where it is in the model, so that what is hooked on it goes on working: ZeRO-3 gathers its weight around
it, DistributedDataParallel and DeepSpeed see its parameters get their gradients, and weights may be tied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from transformers import PreTrainedModel

from metalang.training.objectives.contract import Losses, Targets
from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.objectives.fused import fused_loss


class OutputLayer:
    """The output layer of a model, an `nn.Linear` whose logits the model gives out as they are (`why_not_fused`)."""

    def __init__(self, model: PreTrainedModel, *, z_loss: float) -> None:
        self._layer = model.get_output_embeddings()
        self._plain = self._layer.forward
        self._z_loss = z_loss
        self._targets: Targets | None = None
        self._losses: Losses | None = None
        self._layer.forward = self._forward

    @contextmanager
    def predicting(self, targets: Targets) -> Iterator[None]:
        """While it lasts, the model's logits are the total loss of `targets`, (1, 1, 1)."""
        self._targets, self._losses = targets, None
        try:
            yield
        finally:
            self._targets = None

    def losses(self, logits: torch.Tensor) -> Losses:
        """The losses of a forward that gave `logits`, (1, 1, 1), which the gradient flows back through."""
        losses, self._losses = self._losses, None
        assert losses is not None and logits.numel() == 1, "the output layer was not asked, or not last"
        return Losses(logits.view(()), losses.each, losses.z_loss)

    @torch.compiler.disable  # how many ids are predicted differs from batch to batch
    def _forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self._targets is None:
            return self._plain(hidden)
        total, self._losses = _predict(self._layer, hidden, self._targets, z_loss=self._z_loss)
        return total.view(1, 1, 1)


def _predict(
    layer: torch.nn.Linear, hidden: torch.Tensor, targets: Targets, *, z_loss: float
) -> tuple[torch.Tensor, Losses]:
    """The total loss of `hidden` (B, L, d), with its gradient, and all of it without: of predicted positions only."""
    labels = targets.labels.flatten()
    places = (labels != IGNORED).nonzero().squeeze(1)
    weights = None if targets.weights is None else targets.weights.flatten()[places].float()
    total, chosen, added = fused_loss(
        hidden.flatten(0, 1)[places], layer, labels[places], weights, z_loss=z_loss
    )  # fmt: skip
    each = torch.zeros(len(labels), dtype=torch.float32, device=hidden.device).index_copy_(0, places, chosen)
    return total, Losses(total.detach(), each.view(targets.labels.shape), added)


def why_not_fused(model: PreTrainedModel) -> str | None:
    """Why the output layer of a model cannot answer with the loss, None where it can.

    What the layer gives must be what the model gives: logits that are scaled or capped behind it (Gemma 2, Cohere) are
    not, nor are those that a bias is added to (BART). Found out by forwards of a model of the same configuration
    without weights (memory that nothing was written to), whose layer gives numbers that are known, and then one number,
    as a loss is; so it costs little, draws nothing, and weights may be partitioned.
    """
    config = deepcopy(model.config)
    config._attn_implementation = "eager"  # flash attention has no CPU
    with torch.device("meta"):
        twin = type(model)(config)
    twin = twin.eval().to(torch.bfloat16).to_empty(device="cpu")
    for buffer in twin.buffers():
        buffer.zero_()
    layer = twin.get_output_embeddings()
    if type(layer) is not torch.nn.Linear:
        return f"its output layer is a {type(layer).__name__}"
    known = torch.linspace(-99.0, 99.0, 2 * layer.out_features).view(1, 2, -1)
    asked = []
    layer.forward = lambda hidden: asked.append(hidden.shape) or (known if len(asked) == 1 else known[:, :1, :1])
    ids = torch.zeros(1, 2, dtype=torch.int64)
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        try:
            logits, number = (twin(input_ids=ids, **more).logits for _ in range(2))
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError) as error:
            return f"a trial without weights failed: {type(error).__name__}"
    if asked != 2 * [(1, 2, layer.in_features)]:
        return "its output layer is not asked once for all positions"
    return (
        None if torch.equal(logits, known) and number.numel() == 1 else "it changes its logits behind the output layer"
    )
