"""What a speed is worth: FLOP/s, and their share of what the devices could do."""

from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from metalang.sizes import parse_size
from metalang.training.estimate import flops_per_token
from metalang.training.pair_costs import KNOWN, flops_per_pair

# Dense bf16 FLOP/s on tensor cores, accumulated in float32, as in NVIDIA's data sheets (where these give a number "with
# sparsity", half of it). A name is looked for in that of the device, from above; several forms of a card stand first.
_BF16_PEAKS = (
    ("GB200", 2.5e15),
    ("B200", 2.25e15),
    ("GH200", 989e12),
    ("H200 NVL", 836e12),
    ("H200", 989e12),
    ("H100 NVL", 836e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("H800", 989e12),
    ("H20", 148e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("A30", 165e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("RTX 6000 Ada", 364e12),
    ("RTX 4090", 165e12),
)


@dataclass(frozen=True)
class Yardstick:
    """FLOPs of a token, forward and backward, and what all devices of a run together could do in a second."""

    flops_per_token: float
    peak_flops: float

    def measured(self, tokens_per_second: float) -> dict[str, float]:
        """`flops_per_second`, and `mfu`, their share of `peak_flops`.

        >>> Yardstick(flops_per_token=55e6, peak_flops=989e12).measured(2e6)
        {'flops_per_second': 110000000000000.0, 'mfu': 0.1112, 'peak_flops': 989000000000000.0}
        """
        speed = tokens_per_second * self.flops_per_token
        return {
            "flops_per_second": speed,
            "mfu": round(speed / self.peak_flops, 4),
            "peak_flops": self.peak_flops,
        }


def yardstick(
    config: PretrainedConfig,
    length: int | tuple[int, int],
    device: torch.device,
    *,
    num_devices: int,
    peak_flops: str | None,
) -> Yardstick | None:
    """For a model on windows of `length` ids, or on pairs of so many to read and to say.

    None where the device is not known and `peak_flops` (one's) not given, or the model's cost is not known. Of pairs a
    token is one that is read or said, and costs their mean.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    peak = bf16_peak(name) if peak_flops is None else float(parse_size(peak_flops))
    if peak is None or (config.is_encoder_decoder and config.model_type not in KNOWN):
        return None
    flops = (
        flops_per_pair(config, *length) / sum(length) if isinstance(length, tuple) else flops_per_token(config, length)
    )
    return Yardstick(flops, peak * num_devices)


def bf16_peak(device_name: str) -> float | None:
    """FLOP/s of a GPU, dense, in bf16; None for one that is not in the table.

    >>> bf16_peak("NVIDIA A100-SXM4-80GB"), bf16_peak("NVIDIA L40S"), bf16_peak("Tesla V100-SXM2-16GB")
    (312000000000000.0, 362000000000000.0, None)
    """
    words = device_name.replace("-", " ").split()
    return next((peak for name, peak in _BF16_PEAKS if _is_named(name.split(), words)), None)


def _is_named(name: list[str], words: list[str]) -> bool:
    """Whether the words of a name stand among those of a device, in their order."""
    found = iter(words)
    return all(word in found for word in name)
