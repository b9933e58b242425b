"""The tokenizer of a parallel corpus: every provenance tag one id, and a separator that no text gives."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from metalang.errors import ConfigError
from metalang.files import aside, publish
from metalang.text.added_tokens import with_added_tokens
from metalang.text.tokenizer import TextTokenizer, load_tokenizer

PAD_TOKEN = "<pad>"


def parallel_tokenizer(name: str, tags: Sequence[str], *, separator: str | None, folder: Path) -> TextTokenizer:
    """The tokenizer of a name with the tags and the separator (None: a padding token instead), saved in a folder.

    What it has already stays as it is; a folder that holds the same tokenizer is left alone. Raises ConfigError for a
    folder that holds anything else.
    """
    tokenizer = with_added_tokens(load_tokenizer(name), tags)
    if separator == tokenizer.eos_token:
        raise ConfigError(f"--separator {separator!r} ends documents for tokenizer {name!r}; give another, as <sep>")
    if separator is not None:
        tokenizer = with_added_tokens(tokenizer, [separator], special=True)
    elif tokenizer.hf.pad_token is None:
        tokenizer = with_added_tokens(tokenizer, [PAD_TOKEN], special=True)
        tokenizer.hf.add_special_tokens({"pad_token": PAD_TOKEN})
    if folder.exists():
        _require_same(folder, tokenizer)
        return load_tokenizer(str(folder))
    unfinished = aside(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tokenizer.save(unfinished)
    publish(folder)
    return load_tokenizer(str(folder))


def _require_same(folder: Path, tokenizer: TextTokenizer) -> None:
    held = load_tokenizer(str(folder))
    if held.fingerprint != tokenizer.fingerprint:
        raise ConfigError(
            f"{folder} holds tokenizer {held.fingerprint} and {tokenizer.name!r} with these tags is "
            f"{tokenizer.fingerprint}; give another --output_dir, or remove this one"
        )
