"""What an encoder-decoder costs on a pair of S ids to read and T to say, counted as `estimate` counts causal models.

The encoder multiplies each of S ids by its parameters. The decoder multiplies each of T ids by its own and the head,
but for the keys and values of cross attention, which are made of the S ids read (Vaswani et al. 2017, arXiv 1706.03762,
section 3.2.3; T5: Raffel et al. 2020, arXiv 1910.10683, section 2.1).
"""

from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig

from metalang.errors import ConfigError
from metalang.training.estimate import head_and_tables, on_meta

# Built of encoder and decoder layers alike, each id through every parameter of its side, attention to all ids.
KNOWN = (
    "t5",
    "mt5",
    "umt5",
    "bart",
    "mbart",
    "marian",
    "pegasus",
    "m2m_100",
    "blenderbot",
    "blenderbot-small",
    "plbart",
)
_CROSS = ("EncDecAttention", "encoder_attn")  # T5 and its kin; BART and its kin
_KEYS = (".k.weight", ".k_proj.weight")
_VALUES = (".v.weight", ".v_proj.weight")


@dataclass(frozen=True)
class _Parts:
    """Parameters of the encoder, of the decoder, of these the keys and values of cross attention; layers; H Q."""

    encoder: int
    decoder: int
    cross: int
    head: int
    encoder_layers: int
    decoder_layers: int
    attention_width: int


def flops_per_pair(config: PretrainedConfig, source: int, target: int) -> int:
    """Floating-point operations of training on one pair, forward and backward; padding, which costs too, left out.

    6 (N_enc S + (N_dec - C + N_head) T + C S) + 12 H Q (L_enc S S + L_dec (T T + T S)), with C the parameters of the
    keys and values of cross attention. Raises ConfigError for a model whose parts are not known.

    >>> from transformers import T5Config
    >>> sizes = {"d_model": 64, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_heads": 2, "vocab_size": 512}
    >>> flops_per_pair(T5Config(**sizes), source=32, target=8)
    31245312
    """
    parts = _parts(config)
    products = parts.encoder * source + (parts.decoder - parts.cross + parts.head) * target + parts.cross * source
    scores = parts.encoder_layers * source**2 + parts.decoder_layers * (target**2 + target * source)
    return 6 * products + 12 * parts.attention_width * scores


def activation_bytes_of_pairs(
    config: PretrainedConfig, *, pairs: int, source: int, target: int, number_bytes: int
) -> int:
    """What the layers keep for the way back: 34 s b h bytes an encoder layer in 16 bits (`estimate.activation_bytes`),
    and (43 t + 4 s) b h a decoder layer.

    Cross attention adds, counted as in Korthikanti et al. 2022 (arXiv 2205.05198, section 4.1), 2 t for what its norm
    reads, 4 t for queries and what makes them, 4 s for keys and values, 3 t for its output and the mask of its dropout.
    """
    parts = _parts(config)
    encoder = 34 * source * parts.encoder_layers
    decoder = (43 * target + 4 * source) * parts.decoder_layers
    return number_bytes * pairs * config.hidden_size * (encoder + decoder) // 2


def _parts(config: PretrainedConfig) -> _Parts:
    if config.model_type not in KNOWN:
        raise ConfigError(
            f"the cost of a {config.model_type} has no formula here; give one of {', '.join(KNOWN)}, or leave it out"
        )
    model = on_meta(config)
    head, tables = head_and_tables(model)
    sizes = {name: parameter for name, parameter in model.named_parameters() if id(parameter) not in tables}
    keys = {name: parameter for name, parameter in sizes.items() if name.endswith(_KEYS)}
    cross = [parameter for name, parameter in sizes.items() if _is_cross(name) and name.endswith((*_KEYS, *_VALUES))]
    encoder = [
        parameter for name, parameter in sizes.items() if ".decoder." not in f".{name}" and parameter is not head
    ]
    decoder = [parameter for name, parameter in sizes.items() if ".decoder." in f".{name}" and parameter is not head]
    return _Parts(
        encoder=_numel(encoder),
        decoder=_numel(decoder),
        cross=_numel(cross),
        head=head.numel(),
        encoder_layers=sum(".decoder." not in f".{name}" for name in keys),
        decoder_layers=sum(_is_cross(name) for name in keys),
        attention_width=cross[0].shape[0],
    )


def _is_cross(name: str) -> bool:
    return any(part in name.split(".") for part in _CROSS)


def _numel(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
