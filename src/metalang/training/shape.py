"""An architecture in other sizes, by flags."""

from typing import TYPE_CHECKING

from transformers import PretrainedConfig

from metalang.errors import ConfigError
from metalang.text.tokenizer import TextTokenizer

if TYPE_CHECKING:  # it imports DeepSpeed, as in model.py
    from metalang.training.flags import ModelArguments


def reshape(config: PretrainedConfig, arguments: "ModelArguments", tokenizer: TextTokenizer) -> None:
    """Gives an architecture the sizes of --hidden_size and --num_hidden_layers, and holds --vocab_size against its ids.

    Heads keep their size, the MLP its share of the hidden size. Raises ConfigError where heads do not fit.
    """
    if arguments.vocab_size is not None and arguments.vocab_size != tokenizer.text_size:
        raise ConfigError(
            f"--vocab_size {arguments.vocab_size:,} is not the {tokenizer.text_size:,} ids of tokenizer "
            f"{tokenizer.name!r}; take another --tokenizer_name, or leave it out"
        )
    if arguments.num_hidden_layers is not None:
        if config.to_dict().get("layer_types"):
            raise ConfigError(
                f"--num_hidden_layers {arguments.num_hidden_layers}: {arguments.model_name_or_path} says the kind of "
                "each of its layers; change it there"
            )
        config.num_hidden_layers = arguments.num_hidden_layers
    if arguments.hidden_size is not None:
        _widen(config, arguments.hidden_size)


def _widen(config: PretrainedConfig, width: int) -> None:
    before, heads = config.hidden_size, config.num_attention_heads
    head = before // heads
    if width % head:
        raise ConfigError(f"--hidden_size {width} is no multiple of {head}, the width of a head; give one")
    for size in ("intermediate_size", "num_attention_heads", "num_key_value_heads"):
        value = config.to_dict().get(config.attribute_map.get(size, size))
        if value is not None:
            setattr(config, size, value * width // before)
    config.hidden_size = width
