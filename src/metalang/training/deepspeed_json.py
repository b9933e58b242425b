"""What a DeepSpeed JSON may say: how memory is shared out, never what the flags of the run say.

An `optimizer` or `scheduler` block would override the flags: every parameter would be decayed, LayerNorms and biases
too, and the logged learning rate would be another than the one used (transformers 5.23, deepspeed 0.19).
"""

import json
from pathlib import Path
from typing import Any

from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
from deepspeed.runtime.zero.offload_config import DeepSpeedZeroOffloadOptimizerConfig, DeepSpeedZeroOffloadParamConfig
from pydantic import BaseModel, ValidationError

from metalang.errors import ConfigError
from metalang.specs import nearest

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

_BLOCKS: dict[str, type[BaseModel]] = {
    "bf16": DeepSpeedBF16Config,
    "fp16": DeepSpeedFP16Config,
    "zero_optimization": DeepSpeedZeroConfig,
    "zero_optimization.offload_optimizer": DeepSpeedZeroOffloadOptimizerConfig,
    "zero_optimization.offload_param": DeepSpeedZeroOffloadParamConfig,
}

# Without these DeepSpeed 0.19 makes its update from a gradient that is NaN, or does not tell that it was.
_GUARDS = ("bf16.check_grad_overflow", "zero_optimization.compute_grad_norm")

_GATHER = "stage3_gather_16bit_weights_on_model_save"


def check_deepspeed_json(path: Path, *, gather_weights: bool = True) -> None:
    """Raises ConfigError, with the fix, for a JSON that would override the run's flags or says what nobody reads.

    With `gather_weights` a run ends with a complete model folder, which ZeRO-3 has to be told.
    """
    config = _read(path)
    for key, flags in (
        ("optimizer", "--optim, --learning_rate and --weight_decay"),
        ("scheduler", "--lr_scheduler_type"),
    ):
        if key in config:
            raise ConfigError(f"{path} has a {key!r} block, which would override {flags}; remove it and use the flags")
    for key in config:
        if key not in _KNOWN_KEYS:
            raise ConfigError(f"{path} has a key {key!r} that DeepSpeed does not read; {nearest(key, _KNOWN_KEYS)}")
    for block, model in _BLOCKS.items():
        _check_block(path, block, _at(config, block, {}), model)
    for key, flag in _FLAGS_OF_AUTO_KEYS.items():
        value = _at(config, key)
        if value not in (None, "auto"):
            raise ConfigError(f'{path} sets {key} to {value!r}; write "auto" there and use {flag}')
    for key in _GUARDS:
        if _at(config, key, True) is not True:
            raise ConfigError(f"{path} turns {key} off, so a NaN gradient would reach the weights; remove it")
    zero = config.get("zero_optimization", {})
    if gather_weights and zero.get("stage") == 3 and zero.get(_GATHER) is not True:
        raise ConfigError(
            f'{path} has ZeRO stage 3 without "{_GATHER}": true, so --gather_weights True would find no weights to '
            "save; add that to zero_optimization, or set --gather_weights False"
        )
    _check_values(path, config)
    _require_auto(path, config)


def _check_values(path: Path, config: dict[str, Any]) -> None:
    for block, model in _BLOCKS.items():
        if "." in block:
            continue  # is checked with the block that it is part of
        try:
            model(**{key: value for key, value in _at(config, block, {}).items() if value != "auto"})
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join([block, *map(str, fault["loc"])])
            raise ConfigError(f"{path} sets {where} to {fault['input']!r}: {fault['msg']}; mend it") from None


def _require_auto(path: Path, config: dict[str, Any]) -> None:
    """Raises ConfigError where DeepSpeed would not hear of a flag, but take its own default (no clipping, float32)."""
    for key, flag in _FLAGS_OF_AUTO_KEYS.items():
        if _at(config, key) is None:
            raise ConfigError(
                f'{path} does not say {key}, so {flag} would have no effect; write "auto" there, as '
                "configs/ds/zero2.json"
            )
    if _at(config, "zero_optimization.stage") is None:
        raise ConfigError(
            f"{path} does not say zero_optimization.stage; write 0 (nothing is shared out), 1, 2 or 3, as "
            "configs/ds/zero2.json"
        )


def _read(path: Path) -> dict[str, Any]:
    """What the file holds, read as accelerate reads it: JSON without comments."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; give the path of a DeepSpeed JSON, such as configs/ds/zero2.json"
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"{path} is not JSON: {error}; mend it (JSON has no comments and no trailing commas)"
        ) from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds no object; take configs/ds/zero2.json as an example")
    return config


def _check_block(path: Path, block: str, value: Any, model: type[BaseModel]) -> None:
    known = [field.alias or name for name, field in model.model_fields.items()]
    if not isinstance(value, dict):
        raise ConfigError(f"{path} has {block} {value!r}, which is no object; its keys can be {', '.join(known)}")
    for key in value:
        if key not in known:
            raise ConfigError(f"{path} has a key {block}.{key} of no meaning; {nearest(key, known)}")


def _at(config: dict[str, Any], key: str, otherwise: Any = None) -> Any:
    """The value under a dotted key, `otherwise` where there is none."""
    *blocks, last = key.split(".")
    for block in blocks:
        config = config.get(block, {})
    return config.get(last, otherwise)
