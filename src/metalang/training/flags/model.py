"""Flags: which model, with which ids."""

from dataclasses import dataclass, field
from typing import Literal

from metalang.errors import ConfigError
from metalang.training.attention import check_name


@dataclass
class ModelArguments:
    """Which model, with which ids."""

    _argument_group_name = "the model"

    model_name_or_path: str = field(
        metadata={"help": "hub name, model folder, or an architecture: configs/models/pythia-14m.json"}
    )
    tokenizer_name: str | None = field(
        default=None,
        metadata={
            "help": "tokenizer folder, tokenizer.json, SentencePiece .model or hub name; default: the model's own"
        },
    )
    num_meta_lang_tokens: int = field(
        default=0, metadata={"help": "tokens <meta_lang_0>, <meta_lang_1>, ... behind the text vocabulary"}
    )
    random_initialize: bool = field(
        default=False, metadata={"help": "fresh weights, drawn from --seed, instead of the model's own"}
    )
    architecture: Literal["causal", "seq2seq", "masked_diffusion"] = field(
        default="causal",
        metadata={
            "help": "what is predicted from what. causal: each id from those before it; masked_diffusion: masked ids "
            "from all others (Sahoo et al. 2024); seq2seq: an encoder-decoder's answers, from pairs"
        },
    )

    hidden_size: int | None = field(
        default=None,
        metadata={"help": "width of the architecture instead of its own; heads keep their size, the MLP its ratio"},
    )
    num_hidden_layers: int | None = field(
        default=None, metadata={"help": "layers of the architecture instead of its own number"}
    )
    attn_implementation: str | None = field(
        default=None,
        metadata={
            "help": "how attention is computed: sdpa (PyTorch's fused kernels), eager (plain products, which hold all "
            "of L x L), flash_attention_2 or flash_attention_3 (packages of their own; a GPU and --bf16), "
            "flex_attention (compiled; a GPU). Default: sdpa where the model has it, else eager; the banner says which"
        },
    )
    vocab_size: int | None = field(
        default=None, metadata={"help": "text ids that the tokenizer must have, such as 50257; else the run is refused"}
    )

    def __post_init__(self) -> None:
        for flag, size in (("hidden_size", self.hidden_size), ("num_hidden_layers", self.num_hidden_layers)):
            if size is not None and size < 1:
                raise ConfigError(f"--{flag} {size} is no size; give 1 or more")
            if size is not None and not self.random_initialize:
                raise ConfigError(
                    f"--{flag} {size} cannot change weights that are there; set --random_initialize True, or leave it "
                    "out"
                )
        check_name(self.attn_implementation)
        if self.num_meta_lang_tokens < 0:
            raise ConfigError(f"--num_meta_lang_tokens {self.num_meta_lang_tokens} is no count; give 0 or more")
        is_architecture = self.model_name_or_path.endswith(".json")
        if is_architecture and not self.random_initialize:
            raise ConfigError(
                f"--model_name_or_path {self.model_name_or_path} is an architecture without weights; "
                "set --random_initialize True, or name a model that has weights"
            )
        if is_architecture and self.tokenizer_name is None:
            raise ConfigError(
                f"--model_name_or_path {self.model_name_or_path} is an architecture without a tokenizer; "
                "name one by --tokenizer_name"
            )
