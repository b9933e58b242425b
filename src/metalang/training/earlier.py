"""The weights of an earlier run or model, in float32, under the names that a model has in memory."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig

from metalang.errors import ConfigError
from metalang.files import read_json, sha256_of
from metalang.ids import IdSpace
from metalang.run_record import RUN_FILE, read_record
from metalang.text.tokenizer import load_tokenizer
from metalang.training.checkpoints import (
    checkpoint_folder,
    marker_of,
    newest_complete,
    require_complete,
    step_of,
    steps,
)
from metalang.training.manifest import fault_of
from metalang.training.model import explained, find_model
from metalang.training.roles import whole

_MODEL = "model.safetensors"
_TOKENIZERS = ("tokenizer*", "*.model", "vocab*")
_FORMS = "the --output_dir of a run, one of its checkpoints, a model folder or a hub name"


@dataclass(frozen=True)
class Earlier:
    """Weights and what they are of. `origin` says where they were read, and how exact they are."""

    place: str
    origin: str
    config: PretrainedConfig
    tensors: dict[str, torch.Tensor]

    def ids(self) -> IdSpace:
        """Which id each row of its embeddings is. Raises ConfigError where no tokenizer lies beside the weights."""
        folder = Path(self.place)
        if folder.is_dir() and not any(path for pattern in _TOKENIZERS for path in folder.glob(pattern)):
            # transformers 5.23 would make up one with a few special tokens
            raise ConfigError(
                f"--init_from {self.place} has no tokenizer, which says what the rows of its embeddings are; put it "
                "there, or give --embeddings fresh"
            )
        return load_tokenizer(self.place).id_space


def read_earlier(name: str) -> Earlier:
    """The weights that --init_from names. All ranks call it. Raises ConfigError where there are none, or not all.

    A checkpoint of ours gives the float32 weights of its optimizer (ZeRO-1 to 3); those of its model.safetensors are
    rounded to the precision of the run.
    """
    place = _place(name)
    folder = Path(place)
    with explained(f"--init_from {name} has no usable config.json", f"give {_FORMS}"):
        config = AutoConfig.from_pretrained(place)
    if list(folder.glob("global_step*/*_optim_states.pt")):  # without ZeRO there are none
        return Earlier(place, f"float32 master weights of {place}", config, _masters(folder))
    tensors, dtype = _of_model(name, place, config)
    return Earlier(place, f"{dtype} weights of {place}", config, tensors)


def tokens_before(name: str) -> dict[str, int]:
    """`tokens_seen` and `tokens_seen_meta` of the run that --init_from names, and of those it began from in turn.

    Nothing is known, and zeros are given, of a model that is no run of ours.
    """
    place = Path(_place(name))
    run = next((folder for folder in (place, place.parent) if (folder / RUN_FILE).is_file()), None)
    # Of a run that ended with its best weights, all that it read to find them.
    states = [
        state for folder in (Path(name).expanduser(), place) if (state := folder / "trainer_state.json").is_file()
    ]
    known = ("tokens_seen", "tokens_seen_meta")
    if run is None or not states:
        return dict.fromkeys(known, 0)
    logs = [log for state in states for log in read_json(state)["log_history"]]
    earlier = read_record(run).get("before", {})
    return {key: max((log.get(key, 0) for log in logs), default=0) + earlier.get(key, 0) for key in known}


def tokens_before_branch(checkpoint: str) -> dict[str, int]:
    """What `tokens_before` gave the run that --branch_from leaves: those of its own steps are in the branch's logs."""
    return read_record(Path(checkpoint).expanduser().parent).get("before", {})


def _place(name: str) -> str:
    """The folder or hub name that holds the weights.

    Of a run its newest checkpoint, or the model that it ended with: the checkpoint of that, which is more exact.
    """
    folder = Path(name).expanduser()
    if (folder / RUN_FILE).is_file():
        checkpoint = newest_complete(folder)
        state = folder / "trainer_state.json"
        ended = read_json(state)["global_step"] if (folder / _MODEL).is_file() and state.is_file() else -1
        if checkpoint is not None and step_of(checkpoint) > ended:
            return str(checkpoint)
        if ended >= 0 and (same := _checkpoint_of_model(folder)):
            return str(same)
        if ended < 0:
            raise ConfigError(
                f"--init_from {name} is a run without a model and without a complete checkpoint; give {_FORMS}"
            )
    elif list(folder.glob("global_step*")):
        require_complete(folder)
    return find_model(name, what="--init_from", forms=_FORMS)


def _checkpoint_of_model(folder: Path) -> Path | None:
    """The newest complete checkpoint of a run whose model file has the bytes of the run's own."""
    digest = sha256_of(folder / _MODEL)
    for step in sorted(steps(folder), reverse=True):
        checkpoint = checkpoint_folder(folder, step)
        files = read_json(marker_of(checkpoint))["files"] if marker_of(checkpoint).is_file() else {}
        if files.get(_MODEL, {}).get("sha256") == digest and fault_of(checkpoint) is None:
            return checkpoint
    return None


def _masters(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights that DeepSpeed's optimizer steps. DeepSpeed 0.19 prints about them, and draws a bar."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return get_fp32_state_dict_from_zero_checkpoint(str(checkpoint))
        except ValueError as error:
            raise ConfigError(f"--init_from {checkpoint} does not read: {error}; give another checkpoint") from None


def _of_model(name: str, place: str, config: PretrainedConfig) -> tuple[dict[str, torch.Tensor], str]:
    with explained(f"--init_from {name} has no usable weights", f"give {_FORMS}"):
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model, loading = auto.from_pretrained(place, dtype=torch.float32, output_loading_info=True)
    if loading["missing_keys"]:
        raise ConfigError(
            f"--init_from {name} lacks {len(loading['missing_keys'])} weights, the first "
            f"{min(loading['missing_keys'])!r}; give a complete model"
        )
    tensors = {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        with whole(parameter):
            tensors[key] = parameter.detach().clone()
    return tensors, str(config.dtype).removeprefix("torch.")
