"""Networks that see both ways: causal models of transformers (5.23) whose attention is told to be none.

`config.is_causal` False has them make masks for attention both ways (`masking_utils.create_causal_mask`); where no mask
is needed, scaled dot product attention asks the attention modules themselves. Only the first is saved with a model:
whoever loads one calls `see_both_ways` again.
"""

from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from metalang.errors import ConfigError

# Of the models that were tried, those in which a later id changes an earlier logit (tests/test_diffusion.py).
_KNOWN = ("gpt_neox", "gpt2", "llama", "mistral", "olmo2", "opt", "phi", "qwen2", "qwen3")


def is_diffusion(config: PretrainedConfig) -> bool:
    """Whether a saved model was trained by masked diffusion."""
    fields = config.to_dict()
    return fields.get("is_causal") is False and isinstance(fields.get("mask_token_id"), int)


def require_known(config: PretrainedConfig) -> None:
    """Raises ConfigError for a kind of model that is not known to see both ways."""
    if config.model_type not in _KNOWN:
        raise ConfigError(
            f"--architecture masked_diffusion needs a model that can see both ways, and {config.model_type} is not "
            f"known to; give one of {', '.join(_KNOWN)}, such as configs/models/tiny-diffusion.json"
        )


def see_both_ways(model: PreTrainedModel, mask_id: int) -> None:
    """Has every position of a model attend to all others, and names the mask in what is saved with it.

    Raises ConfigError for a model whose mask is another id.
    """
    held: Any = model.config.to_dict().get("mask_token_id")
    if isinstance(held, int) and held != mask_id:
        raise ConfigError(
            f"the model has its mask at id {held} and the tokenizer's ids end before {mask_id}; give the tokenizer and "
            "the --num_meta_lang_tokens that it was trained with"
        )
    model.config.is_causal = False
    model.config.mask_token_id = mask_id
    model.config.use_cache = False  # what was computed of a position changes with each id that is found
    for module in _attentions(model):
        module.is_causal = False


def _attentions(model: PreTrainedModel) -> list[nn.Module]:
    found = [module for module in model.modules() if hasattr(module, "is_causal")]
    assert found, "a model whose attention says whether it is causal"
    return found
