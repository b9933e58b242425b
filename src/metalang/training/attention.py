"""How a model attends: the kernel that --attn_implementation names."""

from transformers import PreTrainedModel, TrainingArguments

from metalang.errors import ConfigError
from metalang.specs import nearest
from metalang.text.names import first_line

ATTENTIONS = ("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention")
_ON_ANY_DEVICE = ("sdpa", "eager")
_IN_HALF_PRECISION = ("flash_attention_2", "flash_attention_3")
_FIX = "leave it out for the one that transformers takes"


def check_name(name: str | None) -> None:
    """Raises ConfigError for an attention that transformers does not have; None is its own choice."""
    if name is not None and name not in ATTENTIONS:
        raise ConfigError(f"--attn_implementation {name} is no attention; {nearest(name, list(ATTENTIONS))}")


def check_place(name: str | None, run: TrainingArguments) -> None:
    """Raises ConfigError for a kernel that a run's device or precision does not have."""
    if name is None or name in _ON_ANY_DEVICE:
        return
    if run.device.type == "cpu":
        raise ConfigError(f"--attn_implementation {name} does not train on a CPU; give sdpa, or leave it out")
    if name in _IN_HALF_PRECISION and not (run.bf16 or run.fp16):
        raise ConfigError(f"--attn_implementation {name} takes no float32; add --bf16 True, or give sdpa")


def attend_by(model: PreTrainedModel, name: str | None) -> None:
    """Has a model attend by a kernel, by that of transformers' choice for None.

    Raises ConfigError where the kernel's package is missing, or the model does not support it: never another kernel.
    """
    if name is None:
        return
    try:
        model.set_attn_implementation(name)
    except (ImportError, ValueError, RuntimeError) as error:
        said = first_line(error).partition(". ")[0].rstrip(".")
        raise ConfigError(f"--attn_implementation {name} is not to be had ({said}); {_FIX}") from None
    if model.config._attn_implementation != name:  # transformers 5.23 warns, and keeps what there was
        raise ConfigError(f"--attn_implementation {name} is none that a {type(model).__name__} takes; {_FIX}")
