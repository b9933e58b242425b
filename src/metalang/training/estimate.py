"""What a run costs, from its configuration alone: parameters, floating-point operations, memory of a GPU.

Operations are counted as in PaLM (Chowdhery et al. 2022, arXiv 2204.02311, appendix B); the bytes of a parameter under
ZeRO as in Rajbhandari et al. 2020 (arXiv 1910.02054, section 3.1).
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    PretrainedConfig,
    PreTrainedModel,
)

from metalang.errors import ConfigError
from metalang.training.objectives import cross_entropy, fused


@dataclass(frozen=True)
class ModelSize:
    """Parameters of a model, each counted once: looked-up tables, the output head, all else; the largest module.

    A head that is tied to the embedding has 0 parameters of its own, and `head_rows` x `width` multiplications as ever.
    """

    embedding: int
    head: int
    body: int
    largest_layer: int
    head_rows: int
    width: int

    @property
    def total(self) -> int:
        """All parameters."""
        return self.embedding + self.head + self.body

    @property
    def multiplied(self) -> int:
        """Parameters that an id is multiplied by: the body and the head, which looks nothing up."""
        return self.body + self.head_rows * self.width


def model_size(config: PretrainedConfig) -> ModelSize:
    """The size of the causal model, or the encoder-decoder, that `config` describes, whose weights are not made.

    Raises ConfigError for a model of another kind.
    """
    model = on_meta(config)
    head, tables = head_and_tables(model)
    own_head = 0 if id(head) in tables else head.numel()
    embedding = sum(tables.values())
    return ModelSize(
        embedding=embedding,
        head=own_head,
        body=sum(parameter.numel() for parameter in model.parameters()) - embedding - own_head,
        largest_layer=max(sum(p.numel() for p in module.parameters(recurse=False)) for module in model.modules()),
        head_rows=head.shape[0],
        width=head.shape[1],
    )


def on_meta(config: PretrainedConfig) -> PreTrainedModel:
    """The model that `config` describes, without numbers. Raises ConfigError for one that has no formula here."""
    mapping = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING if config.is_encoder_decoder else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in mapping:
        raise ConfigError(
            f"a {config.model_type} is neither a causal model nor an encoder-decoder, and its cost has no formula "
            "here; leave it out"
        )
    with torch.device("meta"):
        return mapping[type(config)](config)


def head_and_tables(model: PreTrainedModel) -> tuple[nn.Parameter, dict[int, int]]:
    """The weight of the output head, which may be a table too; parameters of each table that is looked up, by `id`."""
    tables = {
        id(module.weight): module.weight.numel() for module in model.modules() if isinstance(module, nn.Embedding)
    }
    return model.get_output_embeddings().weight, tables


def flops_per_token(config: PretrainedConfig, length: int) -> int:
    """Floating-point operations of training on one id of a window of `length`, forward and backward.

    6 N + 12 L H Q T (PaLM, appendix B): N are the parameters of body and head, as the look-up of an embedding
    multiplies nothing; attention is counted whole, though half of it is masked, and not at all in models without
    (Mamba). Recomputed activations are not counted. An encoder-decoder has `pair_costs.flops_per_pair`.

    >>> from transformers import GPTNeoXConfig
    >>> sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4}
    >>> flops_per_token(GPTNeoXConfig(vocab_size=50304, **sizes), 1024)
    55209984
    """
    assert not config.is_encoder_decoder, "one stack of layers"
    return 6 * model_size(config).multiplied + 12 * _attention_width(config) * length


def _attention_width(config: PretrainedConfig) -> int:
    """L H Q: layers, times heads, times the width of a head; 0 without attention."""
    try:
        heads = config.num_attention_heads
    except AttributeError:
        return 0
    width = config.to_dict().get("head_dim") or config.hidden_size // heads
    return config.num_hidden_layers * heads * width


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU: parameters, gradients, optimizer, DeepSpeed's reduction buckets, activations, logits."""

    parameters: int
    gradients: int
    optimizer: int
    buckets: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """The sum: an estimate of the peak, without what the allocator and the libraries keep."""
        return self.parameters + self.gradients + self.optimizer + self.buckets + self.activations + self.logits


def memory(
    config: PretrainedConfig,
    *,
    stage: int,
    gpus: int,
    windows: int,
    length: int,
    number_bytes: int,
    is_fused: bool = True,
    activations: int | None = None,
) -> Memory:
    """Memory of a GPU that trains on `windows` of `length` at a time under ZeRO-`stage` over `gpus`.

    `number_bytes`: 2 in bf16 and fp16, 4 in float32. `is_fused`: the loss is made in the output layer. `activations`:
    their bytes, where `activation_bytes` is not the formula. Parameters and gradients have the size of a number, and
    the optimizer a copy and two moments in float32 (section 3.1 of ZeRO: K = 12) and the gradient in float32 at the
    step. Stage 1 shares out the optimizer, stage 2 the gradients, which configs/ds sum in float32 from here on, stage 3
    the parameters, of which it gathers the largest module, with its gradient. But for these gradients it is what
    DeepSpeed's own `estimate_zero2_model_states_mem_needs` gives up to stage 2.
    """
    size = model_size(config)
    if activations is None:
        activations = activation_bytes(config, windows=windows, length=length, number_bytes=number_bytes)
    parameters = gradients = number_bytes * size.total
    optimizer = (8 if stage == 0 and number_bytes == 4 else 16) * size.total  # plain AdamW: two moments
    if stage >= 1:
        optimizer = -(-optimizer // gpus)
    if stage >= 2:
        gradients = -(-4 * size.total // gpus)
    if stage == 3:
        parameters = -(-parameters // gpus) + 2 * number_bytes * size.largest_layer
    return Memory(
        parameters=parameters,
        gradients=gradients,
        optimizer=optimizer,
        buckets=_BUCKETS[stage] * _BUCKET_NUMBERS * number_bytes,
        activations=activations,
        logits=loss_bytes(windows * length, size.head_rows, size.width, number_bytes, is_fused=is_fused),
    )


_BUCKET_NUMBERS = 500_000_000
_BUCKETS = {0: 0, 1: 1, 2: 2, 3: 0}
"""Buffers of `reduce_bucket_size` (DeepSpeed 0.19's default, which configs/ds leave) that are made whatever the model:
two where communication overlaps. configs/ds/zero3.json sets a small one."""


def activation_bytes(config: PretrainedConfig, *, windows: int, length: int, number_bytes: int) -> int:
    """What the layers keep for the way back: 34 s b h bytes a layer in 16 bits (Korthikanti et al. 2022, arXiv
    2205.05198, equation 2), without its term of the attention matrix, which SDPA does not keep.

    That is of a transformer whose MLP is four times as wide, without checkpointing; others differ by a small factor.
    """
    return 17 * number_bytes * windows * length * config.hidden_size * config.num_hidden_layers


def loss_bytes(num_rows: int, num_ids: int, width: int, number_bytes: int, *, is_fused: bool) -> int:
    """What the loss of `num_rows` predictions of one of `num_ids` takes at its peak.

    Fused (`objectives/fused.py`): the gradients of what the output layer reads and, in float32, of its weights, and a
    chunk of logits. Else all logits and their gradient. Either way a smaller chunk in float32, twice.

    >>> [round(loss_bytes(128 * 1024, 50304, 128, 2, is_fused=fused) / 2**30, 2) for fused in (True, False)]
    [1.56, 25.56]
    """
    num_logits = num_rows * num_ids
    softmax = 2 * 4 * min(num_logits, cross_entropy.CHUNK_LOGITS_GPU)
    if is_fused:
        gradients = number_bytes * num_rows * width + 4 * num_ids * width
        return gradients + number_bytes * min(num_logits, fused.CHUNK_LOGITS_GPU) + softmax
    return 2 * number_bytes * num_logits + softmax


def hours(flops: float, *, peak: float, gpus: int, mfu: float) -> float:
    """How long so many operations take at a share `mfu` of the peak of all GPUs together.

    >>> hours(3.6e15, peak=1e12, gpus=2, mfu=0.5)
    1.0
    """
    return flops / (peak * gpus * mfu) / 3600
