"""What a DeepSpeed JSON may say: how memory is shared out, never what the flags of the run say.

An `optimizer` or `scheduler` block would override the flags: every parameter would be decayed, LayerNorms and biases
too, and the logged learning rate would be another than the one used (transformers 5.23, deepspeed 0.19).
"""

from pathlib import Path
from typing import Any

from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

from metalang.errors import ConfigError
from metalang.specs import nearest, read_config

_FLAGS_OF_AUTO_KEYS = {
    "train_batch_size": "--per_device_train_batch_size",
    "train_micro_batch_size_per_gpu": "--per_device_train_batch_size",
    "gradient_accumulation_steps": "--gradient_accumulation_steps",
    "gradient_clipping": "--max_grad_norm",
    "bf16.enabled": "--bf16",
    "fp16.enabled": "--fp16",
}

# Keys of DeepSpeed 0.19 that a run of ours can mean; DeepSpeed itself reads past a misspelt one without a word.
_KNOWN_KEYS = (
    "activation_checkpointing aio bf16 checkpoint comms_logger communication_data_type compile csv_monitor data_types "
    "disable_allgather dump_state elasticity flops_profiler fp16 gradient_accumulation_steps gradient_clipping "
    "gradient_predivide_factor memory_breakdown monitor_config prescale_gradients "
    "seq_parallel_communication_data_type sparse_gradients steps_per_print tensorboard torch_autocast train_batch_size "
    "train_micro_batch_size_per_gpu wall_clock_breakdown wandb zero_allow_untested_optimizer "
    "zero_force_ds_cpu_optimizer zero_optimization"
).split()


def check_deepspeed_json(path: Path) -> None:
    """Raises ConfigError, with the fix, for a JSON that would override the run's flags or says what nobody reads."""
    config = read_config(path)
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds no object; take configs/ds/zero2.json as an example")
    for key, flags in (
        ("optimizer", "--optim, --learning_rate and --weight_decay"),
        ("scheduler", "--lr_scheduler_type"),
    ):
        if key in config:
            raise ConfigError(f"{path} has a {key!r} block, which would override {flags}; remove it and use the flags")
    for key in config:
        if key not in _KNOWN_KEYS:
            raise ConfigError(f"{path} has a key {key!r} that DeepSpeed does not read; {nearest(key, _KNOWN_KEYS)}")
    zero = config.get("zero_optimization", {})
    known = [field.alias or name for name, field in DeepSpeedZeroConfig.model_fields.items()]
    for key in zero:
        if key not in known:
            raise ConfigError(f"{path} has a key zero_optimization.{key} of no meaning; {nearest(key, known)}")
    for key, flag in _FLAGS_OF_AUTO_KEYS.items():
        value = _at(config, key)
        if value not in (None, "auto"):
            raise ConfigError(f'{path} sets {key} to {value!r}; write "auto" there and use {flag}')


def _at(config: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config
