"""Whether a checkpoint is of the model, the optimizer, the objective and the schedule that a run goes on with.

DeepSpeed 0.19 and torch find out by a traceback where a tensor or a file does not fit, and not at all where the state
of the optimizer brings another weight decay than the flags say, or the flags another schedule than the state is of.
"""

import json
from ast import literal_eval
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from metalang.errors import MismatchError
from metalang.files import read_json
from metalang.run_record import read_record
from metalang.training.config import Settings
from metalang.training.flags import RunArguments

_SAVING = ("dtype", "transformers_version", "use_cache", "architectures", "_name_or_path")
"""What a config says of how a model was saved."""

_OPTIMIZER = (
    *("bf16", "fp16", "optim", "optim_args", "optim_target_modules"),
    *("weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"),
)
_OBJECTIVE = (("run", ("max_grad_norm", "average_tokens_across_devices", "neftune_noise_alpha")), ("loss", ("z_loss",)))
_SCHEDULE = (("run", ("learning_rate", "lr_scheduler_type", "warmup_steps")), ("schedule", ("decay_steps",)))
"""What --max_steps does to it is seen by its rates (`branch`)."""


def require_same_run(checkpoint: Path, model: PreTrainedModel, settings: Settings) -> None:
    """Raises MismatchError where a run cannot go on behind a checkpoint, as its model or optimizer is another.

    Behind a checkpoint of its own the objective and the schedule stay too; --branch_from may change them, but for where
    the stages of a curriculum end.
    """
    kept, is_own = [("run", _OPTIMIZER)], checkpoint.parent == Path(settings.run.output_dir)
    said, asked = read_record(checkpoint.parent), settings.record()
    if is_own:
        kept += [*_OBJECTIVE, *_SCHEDULE]
    changes = _changes(_fields(AutoConfig.from_pretrained(checkpoint)), _fields(model.config), "")
    for group, flags in kept:
        then = {flag: said[group][flag] for flag in flags if flag in said.get(group, {})}
        changes += _changes(then, {flag: asked[group][flag] for flag in then}, "--")
    if is_own:
        changes += _changes(_form(said["run"]), _form(asked["run"]), "--lr_scheduler_kwargs ")
    changes += _moved_stages(checkpoint, settings)
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


def _form(run: dict[str, Any]) -> dict[str, Any]:
    """--lr_scheduler_kwargs of a record, as transformers writes them there; the decay is that of --decay_steps."""
    given = literal_eval(run.get("lr_scheduler_kwargs", "None")) or {}
    return {name: value for name, value in given.items() if name != "num_decay_steps"}


def _moved_stages(checkpoint: Path, settings: Settings) -> list[str]:
    """What would end the stages of a curriculum at other steps than those of the checkpoint's run."""
    if settings.objective.curriculum == "none":
        return []
    then, now = read_json(checkpoint / "trainer_state.json")["max_steps"], settings.run.max_steps
    return (
        [] if then == now else [f"--max_steps, of which the stages of --curriculum are shares: {then} then, {now} now"]
    )


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
