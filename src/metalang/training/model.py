"""Models: fresh or loaded, with an embedding that holds the text vocabulary and the meta-language tokens."""

from pathlib import Path

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel, set_seed

from metalang.errors import ConfigError
from metalang.specs import read_config
from metalang.text.names import first_line
from metalang.text.tokenizer import TextTokenizer
from metalang.training.config import ModelArguments

_EMBEDDING_MULTIPLE = 128


def build_model(arguments: ModelArguments, tokenizer: TextTokenizer, *, seed: int, max_length: int) -> PreTrainedModel:
    """The model of a run, in float32. Raises ConfigError where a weight is missing or windows are too long for it."""
    config = read_architecture(arguments.model_name_or_path)
    positions = getattr(config, "max_position_embeddings", max_length)
    if max_length > positions:
        raise ConfigError(
            f"--max_length {max_length} is more than the {positions} positions of {arguments.model_name_or_path}; "
            f"give at most {positions}"
        )
    build = _fresh if arguments.random_initialize else _loaded
    model = build(arguments.model_name_or_path, config, padded_vocab_size(tokenizer), seed=seed)
    special = tokenizer.hf
    for each in (model.config, model.generation_config):
        each.eos_token_id = tokenizer.eos_id
        each.bos_token_id = tokenizer.eos_id if special.bos_token_id is None else special.bos_token_id
        each.pad_token_id = tokenizer.eos_id if special.pad_token_id is None else special.pad_token_id
    return model


def read_architecture(name: str) -> PretrainedConfig:
    """The configuration of a model: an architecture file of ours, a model folder, or a hub name."""
    if not name.endswith(".json"):
        return AutoConfig.from_pretrained(name if Path(name).is_dir() else _from_hub(name))
    fields = dict(read_config(Path(name)))
    kind = fields.pop("model_type", None)
    try:
        return AutoConfig.for_model(kind, **fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{name} is no architecture: {str(error).splitlines()[0]}") from None


def _from_hub(name: str) -> str:
    """The name, once it is in the cache or the hub knows it: transformers asks a hub that is not there for minutes."""
    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return name
    try:
        HfApi().model_info(name)
    except Exception as error:  # no network, no such name, no leave: whatever the hub's client raises
        raise ConfigError(
            f"--model_name_or_path {name} is no folder on this disk, and the hub did not give it "
            f"({first_line(error)}); give a folder with a config.json, or an architecture such as "
            "configs/models/pythia-14m.json"
        ) from None
    return name


def padded_vocab_size(tokenizer: TextTokenizer) -> int:
    """Rows of the embedding: all ids, rounded up to a multiple of 128, which tensor cores like."""
    return -(-tokenizer.id_space.vocab_size // _EMBEDDING_MULTIPLE) * _EMBEDDING_MULTIPLE


def _fresh(name: str, config: PretrainedConfig, vocab_size: int, *, seed: int) -> PreTrainedModel:
    config.vocab_size = vocab_size
    set_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _loaded(name: str, config: PretrainedConfig, vocab_size: int, *, seed: int) -> PreTrainedModel:
    model, loading = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ConfigError(
            f"{name} lacks {len(missing)} weights of {type(model).__name__}, the first {missing[0]!r}; "
            "give a complete model, or --random_initialize True"
        )
    if vocab_size > config.vocab_size:
        set_seed(seed)
        model.resize_token_embeddings(vocab_size, mean_resizing=False)
    return model
