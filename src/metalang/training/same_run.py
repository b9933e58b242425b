"""Whether a checkpoint is of the model, the optimizer and the objective that a run goes on with.

DeepSpeed 0.19 and torch find out by a traceback where a tensor or a file does not fit, and not at all where the state
of the optimizer brings another weight decay than the flags say.
"""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from metalang.errors import MismatchError
from metalang.files import read_json
from metalang.mixing.reading import RUN_FILE
from metalang.training.config import Settings
from metalang.training.flags import RunArguments

_SAVING = ("dtype", "transformers_version", "use_cache", "architectures", "_name_or_path")
"""What a config says of how a model was saved."""

_OPTIMIZER = ("bf16", "fp16", "optim", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon")
_OBJECTIVE = (("run", ("max_grad_norm",)), ("loss", ("z_loss",)))


def require_same_run(checkpoint: Path, model: PreTrainedModel, settings: Settings) -> None:
    """Raises MismatchError where a run cannot go on behind a checkpoint, as its model or optimizer is another.

    Behind a checkpoint of its own the objective stays too; --branch_from may change it.
    """
    kept = [("run", _OPTIMIZER)]
    if checkpoint.parent == Path(settings.run.output_dir):
        kept += _OBJECTIVE
    said, asked = read_json(checkpoint.parent / RUN_FILE), settings.record()
    changes = _changes(_fields(AutoConfig.from_pretrained(checkpoint)), _fields(model.config), "")
    for group, flags in kept:
        then = {flag: said[group][flag] for flag in flags if flag in said.get(group, {})}
        changes += _changes(then, {flag: asked[group][flag] for flag in then}, "--")
    shared, sharing = _shared_in(checkpoint), _shared_by(settings.run)
    if shared != sharing:
        changes.append(f"ZeRO stage: {shared} then, {sharing} now")
    if changes:
        raise MismatchError(
            f"{checkpoint} does not go on with these settings ({'; '.join(changes)}); give those of then, or begin a "
            "run of its own with these weights by --init_from"
        )


def _changes(then: dict[str, Any], now: dict[str, Any], prefix: str) -> list[str]:
    keys = dict.fromkeys((*then, *now))
    return [f"{prefix}{key}: {then.get(key)} then, {now.get(key)} now" for key in keys if then.get(key) != now.get(key)]


def _fields(config: PretrainedConfig) -> dict[str, Any]:
    """What a config says of the model, as JSON has it."""
    fields = json.loads(json.dumps(config.to_dict(), default=str))
    return {key: value for key, value in fields.items() if key not in _SAVING}


def _shared_in(checkpoint: Path) -> str:
    """By which stages the parts of the ranks were made, as DeepSpeed names its files."""
    names = [path.name for path in checkpoint.glob("global_step*/*.pt")]
    if any(name.startswith("zero_pp_rank") and name.endswith("model_states.pt") for name in names):
        return "3"
    return "1 or 2" if any(name.endswith("optim_states.pt") for name in names) else "0"


def _shared_by(run: RunArguments) -> str:
    stage = run.hf_deepspeed_config.config["zero_optimization"]["stage"]
    return {0: "0", 3: "3"}.get(stage, "1 or 2")
