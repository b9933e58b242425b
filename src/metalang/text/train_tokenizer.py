"""Training a tokenizer on sources of text, in a folder that transformers loads.

tokenizer.model            the SentencePiece model (only for the kind "sentencepiece")
tokenizer.json, ..._config.json   what transformers' AutoTokenizer reads
metalang_tokenizer.json    sources, settings, versions and checksums; written last
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from metalang.errors import ConfigError
from metalang.files import aside, publish, write_json
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.tokenizer_settings import Kind, TokenizerSettings
from metalang.text.train_byte_level import write_byte_level
from metalang.text.train_sentencepiece import write_sentencepiece

MANIFEST = "metalang_tokenizer.json"
_VERSION = 1
_UNIT_BYTES = 2**24
_WRITERS = {"sentencepiece": write_sentencepiece, "byte_level": write_byte_level}


def train_tokenizer(
    sources: Sequence[TextSource],
    *,
    vocab_size: int,
    output_dir: Path,
    kind: Kind = "sentencepiece",
    character_coverage: float | None = None,
    user_defined_symbols: Sequence[str] = (),
    max_bytes: int = 1_000_000_000,
    bad_lines: BadLines | None = None,
) -> Path:
    """The folder of a BPE tokenizer with exactly `vocab_size` ids, trained on the sources; see `TokenizerSettings`.

    Equal sources and settings give equal bytes; a folder that holds their tokenizer already is left as it is. Raises
    ConfigError for a folder that holds anything else, for a `vocab_size` that does not fit the text, and for a line
    that cannot be read (unless `bad_lines` skips it).
    """
    settings = TokenizerSettings(vocab_size, character_coverage, tuple(user_defined_symbols), max_bytes, kind)
    recipe = {"settings": asdict(settings), "sources": [source.identity() for source in sources]}
    recipe = json.loads(json.dumps(recipe))
    if _is_there(output_dir, recipe):
        return output_dir
    policy = bad_lines or BadLines()
    texts = (text for source in sources for text in _beginning(source, max_bytes // len(sources), policy))
    unfinished = aside(output_dir)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        if not _WRITERS[kind](unfinished, texts, settings):
            names = ", ".join(repr(source.name) for source in sources)
            raise ConfigError(f"{names} holds no text; name a source that does")
        _write_manifest(unfinished, recipe)
        publish(output_dir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return output_dir


def bytes_per_token(folder: Path, sources: Sequence[TextSource]) -> float:
    """How many bytes of text one id of a tokenizer stands for, on the first megabyte of each source."""
    texts = [text for source in sources for text in _beginning(source, 1_000_000, BadLines(skip=True))]
    return sum(len(text.encode()) for text in texts) / max(1, len(load_tokenizer(str(folder)).encode(texts)[0]))


def _is_there(folder: Path, recipe: dict[str, Any]) -> bool:
    """Whether a folder holds the tokenizer of a recipe. Raises ConfigError if it holds something else."""
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    if not folder.exists():
        return False
    advice = "nothing was changed; name another --output_dir, or delete this one"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("version") != _VERSION:
        raise ConfigError(
            f"{folder} exists and holds no tokenizer of ours (no {MANIFEST} of version {_VERSION}); {advice}"
        )
    for part in ("settings", "sources"):
        if manifest.get(part) != recipe[part]:
            raise ConfigError(
                f"{folder} holds a tokenizer of other {part}: {_difference(manifest, recipe, part)}; {advice}"
            )
    damaged = [name for name, digest in manifest.get("sha256", {}).items() if _sha256(folder / name) != digest]
    if damaged:
        raise ConfigError(f"{folder} is damaged: {', '.join(damaged)} changed since it was written; {advice}")
    return True


def _difference(manifest: dict[str, Any], recipe: dict[str, Any], part: str) -> str:
    old, new = manifest.get(part), recipe[part]
    if part == "settings" and isinstance(old, dict):
        return ", ".join(
            f"{key} {old.get(key)!r} there and {new[key]!r} now" for key in new if old.get(key) != new[key]
        )
    return "another text, or another text_field or sample_by"


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _beginning(source: TextSource, max_bytes: int, bad_lines: BadLines) -> Iterator[str]:
    """The first documents of a source, until they hold `max_bytes`."""
    documents = chain.from_iterable(source.read(unit, bad_lines=bad_lines) for unit in source.units(_UNIT_BYTES))
    for document in documents:
        yield document.text
        max_bytes -= len(document.text.encode())
        if max_bytes <= 0:
            return


def _write_manifest(folder: Path, recipe: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(str(folder))
    versions = {name: importlib.metadata.version(name) for name in ("sentencepiece", "tokenizers", "transformers")}
    names = sorted(path.name for path in folder.iterdir())
    manifest = {
        "version": _VERSION,
        "fingerprint": tokenizer.fingerprint,
        "text_size": tokenizer.text_size,
        **recipe,
        "versions": versions,
        "sha256": {name: _sha256(folder / name) for name in names},
    }
    write_json(folder / MANIFEST, manifest)
