"""Flags: what is minimised beside the cross-entropy."""

from dataclasses import dataclass, field

from metalang.errors import ConfigError


@dataclass
class LossArguments:
    """What is minimised beside the cross-entropy."""

    _argument_group_name = "the loss"

    z_loss: float = field(
        default=0.0,
        metadata={
            "help": "adds this times log(Z)^2 for each predicted id, Z the sum of the exponentials of its logits: "
            "keeps logits from drifting in long runs in bf16; 1e-4 in PaLM (Chowdhery et al. 2022, section 5). Logged "
            "as z_loss; loss stays the cross-entropy"
        },
    )

    def __post_init__(self) -> None:
        if not 0 <= self.z_loss < 1:
            raise ConfigError(f"--z_loss {self.z_loss:g} is no factor; give 0 for none, or a small one such as 1e-4")
