"""What a parameter is for, by its name, in GPT-NeoX and in Llama and the models built like it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import deepspeed
from torch import nn
from transformers import PreTrainedModel
from transformers.integrations import is_deepspeed_zero3_enabled

from metalang.errors import ConfigError

Role = Literal["embedding", "attention", "attention output", "mlp", "mlp output", "norm"]

_MODULES: dict[str, Role] = {
    "attention.query_key_value": "attention",
    "attention.dense": "attention output",
    "mlp.dense_h_to_4h": "mlp",
    "mlp.dense_4h_to_h": "mlp output",
    "self_attn.q_proj": "attention",
    "self_attn.k_proj": "attention",
    "self_attn.v_proj": "attention",
    "self_attn.q_norm": "attention",
    "self_attn.k_norm": "attention",
    "self_attn.o_proj": "attention output",
    "mlp.gate_proj": "mlp",
    "mlp.up_proj": "mlp",
    "mlp.down_proj": "mlp output",
}


def roles_of(model: PreTrainedModel, flag: str) -> dict[str, Role]:
    """The role of each parameter by its name. Raises ConfigError, which names `flag`, for a model of another build."""
    embeddings = embedding_names(model)
    return {name: _role(name, embeddings, model, flag) for name, _ in model.named_parameters()}


def _role(name: str, embeddings: set[str], model: PreTrainedModel, flag: str) -> Role:
    if name in embeddings:
        return "embedding"
    module = ".".join(name.split(".")[-3:-1])
    if module in _MODULES:
        return _MODULES[module]
    if module.endswith("norm"):
        return "norm"
    raise ConfigError(
        f"{flag} knows GPT-NeoX and Llama-like models, and {type(model).__name__} has a parameter {name} that it does "
        "not know; leave the flag out, or take such a model"
    )


def embedding_names(model: PreTrainedModel) -> set[str]:
    """Names of the input and the output embedding's weights."""
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = [module.weight for module in modules if module is not None]
    return {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if any(parameter is weight for weight in weights)
    }


@contextmanager
def whole(parameter: nn.Parameter) -> Iterator[None]:
    """Has a parameter whole on all ranks, under ZeRO-3 too, where what the first rank writes into it is kept."""
    if not is_deepspeed_zero3_enabled():
        yield
        return
    with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
        yield
