"""What a run costs, from its configuration alone: parameters, floating-point operations, memory of a GPU.

Operations are counted as in PaLM (Chowdhery et al. 2022, arXiv 2204.02311, appendix B); the bytes of a parameter under
ZeRO as in Rajbhandari et al. 2020 (arXiv 1910.02054, section 3.1).
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PretrainedConfig

from metalang.errors import ConfigError


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
    """The size of the causal model that `config` describes, whose weights are not made.

    Raises ConfigError for a model that is not causal.
    """
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(f"a {config.model_type} is no causal model, and its cost has no formula here; leave it out")
    with torch.device("meta"):
        model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    head = model.get_output_embeddings().weight
    tables = {
        id(module.weight): module.weight.numel() for module in model.modules() if isinstance(module, nn.Embedding)
    }
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


def flops_per_token(config: PretrainedConfig, length: int) -> int:
    """Floating-point operations of training on one id of a window of `length`, forward and backward.

    6 N + 12 L H Q T (PaLM, appendix B): N are the parameters of body and head, as the look-up of an embedding
    multiplies nothing; attention is counted whole, though half of it is masked, and not at all in models without
    (Mamba). Recomputed activations are not counted. Raises ConfigError for a model that is not causal.

    >>> from transformers import GPTNeoXConfig
    >>> sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4}
    >>> flops_per_token(GPTNeoXConfig(vocab_size=50304, **sizes), 1024)
    55209984
    """
    return 6 * model_size(config).multiplied + 12 * _attention_width(config) * length


def _attention_width(config: PretrainedConfig) -> int:
    """L H Q: layers, times heads, times the width of a head; 0 without attention."""
    try:
        heads = config.num_attention_heads
    except AttributeError:
        return 0
    width = config.to_dict().get("head_dim") or config.hidden_size // heads
    return config.num_hidden_layers * heads * width
