"""Models: fresh or loaded, with an embedding that holds the text vocabulary and the meta-language tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    set_seed,
)

from metalang.errors import ConfigError
from metalang.specs import nearest, read_config
from metalang.text.names import first_line, local_path
from metalang.text.tokenizer import TextTokenizer
from metalang.training.attention import attend_by
from metalang.training.diffusion.network import is_diffusion, require_known, see_both_ways
from metalang.training.shape import reshape

if TYPE_CHECKING:  # it imports DeepSpeed, which writes to stdout; train/generate.py needs neither
    from metalang.training.flags import ModelArguments

_EMBEDDING_MULTIPLE = 128
_REQUIRED_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads")
_SIZES = (*_REQUIRED_SIZES, "intermediate_size", "num_key_value_heads", "max_position_embeddings")
_FORMS = "a model folder with a config.json, a hub name, or an architecture such as configs/models/pythia-14m.json"


def build_model(
    arguments: "ModelArguments", tokenizer: TextTokenizer, *, seed: int, max_length: int
) -> PreTrainedModel:
    """The model of a run, in float32. Raises ConfigError where a weight is missing or windows are too long for it."""
    config = read_architecture(arguments.model_name_or_path)
    reshape(config, arguments, tokenizer)
    positions = positions_of(config)
    if positions is not None and max_length > positions:
        raise ConfigError(
            f"--max_length {max_length} is more than the {positions} positions of {arguments.model_name_or_path}; "
            f"give at most {positions}"
        )
    _require_architecture(arguments, config)
    with_mask = arguments.architecture == "masked_diffusion"
    build = _fresh if arguments.random_initialize else _loaded
    model = build(arguments.model_name_or_path, config, padded_vocab_size(tokenizer, more=int(with_mask)), seed=seed)
    attend_by(model, arguments.attn_implementation)
    if with_mask:
        see_both_ways(model, mask_id_of(tokenizer))
    special = tokenizer.hf
    for each in (model.config, model.generation_config):
        each.eos_token_id = tokenizer.eos_id
        each.bos_token_id = tokenizer.eos_id if special.bos_token_id is None else special.bos_token_id
        each.pad_token_id = pad_id_of(tokenizer)
        if config.is_encoder_decoder:
            each.decoder_start_token_id = pad_id_of(tokenizer)
    return model


def mask_id_of(tokenizer: TextTokenizer) -> int:
    """The id that masks another one: the first behind text and symbols."""
    return tokenizer.id_space.vocab_size


def pad_id_of(tokenizer: TextTokenizer) -> int:
    """The id that pads, and starts what a decoder says: the tokenizer's own, or EOS where it has none."""
    return tokenizer.eos_id if tokenizer.hf.pad_token_id is None else tokenizer.hf.pad_token_id


def _require_architecture(arguments: "ModelArguments", config: PretrainedConfig) -> None:
    """Raises ConfigError for a model that --architecture has no use for."""
    if arguments.architecture == "masked_diffusion":
        require_known(config)
    elif is_diffusion(config):
        raise ConfigError(
            f"--architecture {arguments.architecture} would see what it has to predict: {arguments.model_name_or_path} "
            "was trained by masked diffusion and sees both ways; set --architecture masked_diffusion, or name its "
            "architecture and give its weights by --init_from"
        )
    if config.is_encoder_decoder != (arguments.architecture == "seq2seq"):
        fit = "an encoder-decoder, such as configs/models/tiny-t5.json" if not config.is_encoder_decoder else "seq2seq"
        what = "--model_name_or_path" if not config.is_encoder_decoder else "--architecture"
        raise ConfigError(
            f"--architecture {arguments.architecture} does not fit {arguments.model_name_or_path}, a "
            f"{config.model_type}; give {fit} as {what}"
        )


def read_architecture(name: str) -> PretrainedConfig:
    """The configuration of a model: an architecture file of ours, a model folder, or a hub name."""
    if name.endswith(".json"):
        return _from_file(name)
    place = find_model(name, what="--model_name_or_path", forms=_FORMS)
    with explained(f"--model_name_or_path {name} has no usable config.json", f"mend it, or give {_FORMS}"):
        return AutoConfig.from_pretrained(place)


def find_model(name: str, *, what: str, forms: str) -> str:
    """The folder or hub name that `name` means. Raises ConfigError, which calls it `what`, where neither is there."""
    folder = local_path(name, what=what, suffixes=(), forms=forms)
    if folder is None:
        return _from_hub(name, what=what, forms=forms)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{what} {name} is no model folder (no config.json); give {forms}")
    return str(folder)


def _from_file(name: str) -> PretrainedConfig:
    fields = read_config(Path(name))
    if not isinstance(fields, dict):
        raise ConfigError(f"{name} holds no object; take configs/models/pythia-14m.json as an example")
    fields = dict(fields)
    kind = fields.pop("model_type", None)
    if str(kind) not in CONFIG_MAPPING:
        matches = get_close_matches(str(kind), CONFIG_MAPPING, n=1)
        hint = f"did you mean {matches[0]!r}?" if matches else 'write one that it knows, such as "gpt_neox"'
        raise ConfigError(f"{name} has the model_type {kind!r}, which transformers does not know; {hint}")
    with explained(f"{name} is no architecture", "mend the file; configs/models/pythia-14m.json is an example"):
        _check_keys(name, kind, fields)
        return AutoConfig.for_model(kind, **fields)


def _check_keys(name: str, kind: str, fields: dict[str, Any]) -> None:
    """Refuses what the library would keep unread, and sizes that it would choose for itself."""
    make = CONFIG_MAPPING[kind]
    aliases = dict(make.attribute_map)  # gpt2: hidden_size -> n_embd
    defaults = make().to_dict()
    known = [*defaults, *aliases, "model_type", "torch_dtype"]
    for key, value in fields.items():
        # A key of an older release (rotary_pct) is turned into a newer one; one that nobody reads is kept as it is.
        if key not in known and key in make(**{key: value}).to_dict():
            raise ConfigError(f"{name} has a key {key!r} that {kind} does not read; {nearest(key, known)}")
    for size in _SIZES:
        alias = aliases.get(size, size)
        given = fields.get(size, fields.get(alias))
        if given is None and size in _REQUIRED_SIZES and alias in defaults:
            raise ConfigError(f"{name} does not say {alias}; write it down: the default of {kind} is not what is meant")
        if isinstance(given, int) and given < 1:
            raise ConfigError(f"{name} has {alias} {given}; give 1 or more")


def positions_of(config: PretrainedConfig) -> int | None:
    """The longest window that a model takes, None where it knows no limit (Mamba)."""
    try:
        return config.max_position_embeddings
    except AttributeError:
        return None


@contextmanager
def explained(wrong: str, fix: str) -> Iterator[None]:
    """Turns what a library says about a model that a person named into one line of ours."""
    try:
        yield
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        SafetensorError,
        StrictDataclassError,
    ) as error:
        cause = error.__cause__ if isinstance(error, StrictDataclassError) and error.__cause__ else error
        raise ConfigError(f"{wrong}: {first_line(cause).rstrip('.!')}; {fix}") from None


def _from_hub(name: str, *, what: str, forms: str) -> str:
    """The name, once it is in the cache or the hub knows it: transformers asks a hub that is not there for minutes."""
    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return name
        HfApi().model_info(name)
    except Exception as error:  # no network, no such name, no leave: whatever the hub's client raises
        raise ConfigError(
            f"{what} {name} is no folder on this disk, and the hub did not give it ({first_line(error)}); give {forms}"
        ) from None
    return name


def padded_vocab_size(tokenizer: TextTokenizer, *, more: int = 0) -> int:
    """Rows of the embedding: all ids and `more`, rounded up to a multiple of 128, which tensor cores like."""
    return -(-(tokenizer.id_space.vocab_size + more) // _EMBEDDING_MULTIPLE) * _EMBEDDING_MULTIPLE


def _auto(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _fresh(name: str, config: PretrainedConfig, vocab_size: int, *, seed: int) -> PreTrainedModel:
    config.vocab_size = vocab_size
    set_seed(seed)
    with explained(f"{name} describes a model that cannot be made", "mend its sizes"):
        return _auto(config).from_config(config, dtype=torch.float32)


def _loaded(name: str, config: PretrainedConfig, vocab_size: int, *, seed: int) -> PreTrainedModel:
    with explained(f"{name} has no usable weights", "give a complete model, or --random_initialize True"):
        model, loading = _auto(config).from_pretrained(
            str(Path(name).expanduser()), dtype=torch.float32, output_loading_info=True
        )
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
