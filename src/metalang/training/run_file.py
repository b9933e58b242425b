"""A run described in a file: the YAML of --config as flags.

A key is the name of a flag. Keys may stand in sections, whose names are for the reader:

    data: {max_length: 1024}            --max_length 1024
    curriculum: {stage_1_end: 0.33}     --stage_1_end 0.33 (what a curriculum is; --curriculum importance asks for one)

A list gives a flag with several values, null nothing, and a mapping

    lr_scheduler_kwargs: {num_cycles: 2}                               --lr_scheduler_kwargs '{"num_cycles": 2}'
    importance_ranges: {easy: [0.0, 0.4], hard: [0.6, 1.0]}            --importance_ranges easy=0.0-0.4 hard=0.6-1.0

The names that other programs' files use in their sections are known too (`NAMES`). Loads no torch: what a file says of
--use_cpu has to be known before.
"""

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from metalang.errors import ConfigError
from metalang.specs import nearest, read_config

logger = logging.getLogger(__name__)

NAMES = {
    "model.name": "model_name_or_path",
    "model.hidden_dim": "hidden_size",
    "model.num_layers": "num_hidden_layers",
    "data.train_path": "data_paths",
    "data.val_path": "nl_eval_data_path",
    "data.batch_size": "per_device_train_batch_size",
    "data.num_workers": "dataloader_num_workers",
    "training.total_steps": "max_steps",
    "training.log_every_n_steps": "logging_steps",
    "training.eval_every_n_steps": "eval_steps",
    "training.save_every_n_steps": "save_steps",
    "log_dir": "output_dir",
}
"""Names of flags in files of other programs, with their section, and ours."""

_OF_JSON = ("lr_scheduler_kwargs", "accelerator_config", "gradient_checkpointing_kwargs", "fsdp_config")
_OF_NAMES = ("importance_ranges",)
_PASSED_OVER = {"data.test_path": "a test set is for when the training is over"}
_IMPLIED = {
    "data.train_path": ("--data_ratios", "1"),
    "training.eval_every_n_steps": ("--eval_strategy", "steps"),
}
_CONFIG = "--config"
_LOG_DIR = ("--log_dir", "--log-dir")


def with_file(argv: Sequence[str], known: Collection[str], several: Collection[str] | None = None) -> list[str]:
    """A command line with the flags of its --config before its own, which therefore win.

    Raises ConfigError for a key that is none of the `known` flags, with the nearest, and for several values of a flag
    that is none of `several` (None: whatever the flag).
    """
    return [*file_flags(argv, known, several), *map(_our_name, argv)]


def file_flags(
    argv: Sequence[str], known: Collection[str] | None = None, several: Collection[str] | None = None
) -> list[str]:
    """The flags of the file that --config names on a command line, none without it. `known` None: any key is taken."""
    path = _path(argv)
    if path is None:
        return []
    content = read_config(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no mapping of flags; take configs/runs/tiny.yaml as an example")
    given: dict[str, str] = {}
    words: list[str] = []
    implied: list[str] = []
    for key, value in _entries(content):
        if key in _PASSED_OVER:
            logger.warning("%s: %s is not read: %s", path, key, _PASSED_OVER[key])
            continue
        flag = NAMES.get(key, key.rpartition(".")[2])
        if flag == "config":
            raise ConfigError(f"{path} has the key {key!r}, and a file of flags cannot name another one; leave it out")
        if known is not None and flag not in known:
            raise ConfigError(f"{path} has the key {key!r}, which is no flag; {_hint(key, known)}")
        if fault := _fault(flag, value, several):
            raise ConfigError(f"{path} says {key}: {value}, and {fault}")
        if flag in given:
            raise ConfigError(f"{path} says --{flag} twice, as {given[flag]!r} and as {key!r}; keep one")
        given[flag] = key
        if value is not None and value != []:
            words += [f"--{flag}", *_words(flag, value)]
            implied += _implied(key, known)
    return [*implied, *words]


def _implied(key: str, known: Collection[str] | None) -> tuple[str, ...]:
    """What a key says beside its own flag, where the flag of that is known."""
    words = _IMPLIED.get(key, ())
    return words if words and (known is None or words[0].removeprefix("--") in known) else ()


def _path(argv: Sequence[str]) -> str | None:
    found = None
    for place, word in enumerate(argv):
        if word.startswith(f"{_CONFIG}="):
            found = word.removeprefix(f"{_CONFIG}=")
        elif word == _CONFIG and argv[place + 1 :]:
            found = argv[place + 1]
    return found


def _our_name(word: str) -> str:
    flag, equals, value = word.partition("=")
    return f"--output_dir{equals}{value}" if flag in _LOG_DIR else word


def _entries(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(key, value), the key of a section with its section."""
    for key, value in content.items():
        if isinstance(value, dict) and key not in (*_OF_JSON, *_OF_NAMES):
            yield from ((f"{key}.{inner}", each) for inner, each in value.items())
        else:
            yield str(key), value


def _fault(flag: str, value: Any, several: Collection[str] | None) -> str | None:
    """What is wrong with the shape of a value, and what would be right; None where nothing is.

    >>> _fault("max_steps", [3, 4], ["data_paths"])
    '--max_steps takes one value; write one'
    >>> _fault("data_paths", [["a", "b"]], ["data_paths"])
    '--data_paths takes values side by side; write them as [a, b]'
    """
    if flag in _OF_JSON and isinstance(value, dict):
        return None if _is_json(value) else f"--{flag} takes what JSON can say; write numbers, texts and lists"
    if not isinstance(value, list | dict):
        return None
    if several is not None and flag not in several:
        return f"--{flag} takes one value; write one"
    parts = list(value.values()) if isinstance(value, dict) else value
    inner = [
        each for part in parts for each in (part if isinstance(value, dict) and isinstance(part, list) else [part])
    ]
    if any(each is None or isinstance(each, list | dict) for each in inner):
        return f"--{flag} takes values side by side; write them as [a, b]"
    return None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:  # a date, or a set: YAML has more words than JSON
        return False
    return True


def _hint(key: str, known: Collection[str]) -> str:
    """The nearest key: a flag, or a known name of the same section."""
    section, _, name = key.rpartition(".")
    if section in known and section != "curriculum":  # the one flag that is a section too
        return f"--{section} takes a value, no keys"
    of_section = [each.rpartition(".")[2] for each in NAMES if each.rpartition(".")[0] == section]
    hint = nearest(name, [*known, *of_section])
    return hint if hint.startswith("did you") else "train/pretrain.py --help names them all"


def _words(flag: str, value: Any) -> list[str]:
    """A value as a command line has it.

    >>> _words("bf16", True), _words("data_paths", ["a", "b"]), _words("lr_scheduler_kwargs", {"num_cycles": 2})
    (['True'], ['a', 'b'], ['{"num_cycles": 2}'])
    >>> _words("importance_ranges", {"easy": [0.0, 0.4]})
    ['easy=0.0-0.4']
    >>> _words("save_strategy", False)
    ['no']
    """
    if value is False and flag.endswith("_strategy"):
        return ["no"]  # which YAML reads as False
    if isinstance(value, dict) and flag in _OF_JSON:
        return [json.dumps(value)]
    if isinstance(value, dict):
        return [f"{name}={'-'.join(_words(flag, each))}" for name, each in value.items()]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
