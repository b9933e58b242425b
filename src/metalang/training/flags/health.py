"""Flags: what is watched of a run, and what a bad step leads to."""

import math
from dataclasses import dataclass, field
from typing import Literal

from metalang.errors import ConfigError
from metalang.sizes import parse_size


@dataclass
class HealthArguments:
    """What is watched of a run, and what a bad step leads to."""

    _argument_group_name = "health and speed"

    on_nan: Literal["stop", "skip"] = field(
        default="stop",
        metadata={
            "help": "what follows a step whose loss or gradient is NaN or Inf, and whose update is never made: stop "
            "ends all ranks and names what the step read, skip goes on with the next step"
        },
    )
    max_nan_steps: int = field(
        default=10,
        metadata={"help": "with --on_nan skip: such steps in the whole run, resumes counted; one more ends it (steps)"},
    )
    spike_sigma: float = field(
        default=6.0,
        metadata={
            "help": "report a step whose loss, or logarithm of the gradient norm, lies so many standard deviations "
            "above the mean of the 128 steps before it; 0 reports none"
        },
    )
    peak_flops: str | None = field(
        default=None,
        metadata={
            "help": "what a device could do at best, for MFU, in FLOP/s, such as 989T; default: NVIDIA's figure for "
            "dense bf16 where the device is known, else neither FLOP/s nor MFU are logged"
        },
    )

    def __post_init__(self) -> None:
        if self.max_nan_steps < 0:
            raise ConfigError(f"--max_nan_steps {self.max_nan_steps} is no count; give 0 or more, such as 10")
        if not 0 <= self.spike_sigma < math.inf:
            raise ConfigError(f"--spike_sigma {self.spike_sigma} is no distance; give 6, or 0 to report no spikes")
        if self.peak_flops is not None and not _is_speed(self.peak_flops):
            raise ConfigError(f"--peak_flops {self.peak_flops} is no speed; give FLOP/s, such as 989T")


def _is_speed(text: str) -> bool:
    try:
        return parse_size(text) >= 1
    except ConfigError:
        return False
