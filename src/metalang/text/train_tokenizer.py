"""Training a SentencePiece BPE model on sources of text, in a folder that transformers loads too.

    tokenizer.model            the SentencePiece model
    tokenizer.json, ..._config.json   the same ids for transformers' AutoTokenizer
    metalang_tokenizer.json    sources, settings, versions and checksums; written last

Text is taken as it is: no normalization, spaces kept, unknown characters and newlines as bytes, every digit alone.
"""

import hashlib
import importlib.metadata
import io
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from metalang.errors import ConfigError
from metalang.files import aside, publish, write_json, written
from metalang.text.names import first_line
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer

MANIFEST = "metalang_tokenizer.json"
_MODEL = "tokenizer.model"
_VERSION = 1
_UNIT_BYTES = 2**24
_MAX_LINE_BYTES = 4096
_CONTROL_PIECES = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True)
class TokenizerSettings:
    """What decides a tokenizer beside its text.

    At most `max_bytes` of text are read, an equal share from the beginning of each source: SentencePiece holds them
    in memory.
    """

    vocab_size: int
    character_coverage: float = 0.9995
    user_defined_symbols: tuple[str, ...] = ()
    max_bytes: int = 1_000_000_000

    def __post_init__(self) -> None:
        smallest = len(_CONTROL_PIECES) + 256 + len(self.user_defined_symbols)
        if self.vocab_size <= smallest:
            raise ConfigError(
                f"vocab_size {self.vocab_size:,} leaves no room beside {smallest} reserved ids; give more"
            )
        if not 0 < self.character_coverage <= 1:
            raise ConfigError(f"character_coverage {self.character_coverage} does not lie in (0, 1]; 0.9995 is usual")
        if self.max_bytes < 1:
            raise ConfigError(f"max_bytes {self.max_bytes} leaves no text; give 1 or more")
        if clash := set(self.user_defined_symbols) & {*_CONTROL_PIECES, ""}:
            raise ConfigError(f"user_defined_symbols {sorted(clash)} are reserved; leave them out")


def train_tokenizer(
    sources: Sequence[TextSource],
    *,
    vocab_size: int,
    output_dir: Path,
    character_coverage: float = 0.9995,
    user_defined_symbols: Sequence[str] = (),
    max_bytes: int = 1_000_000_000,
    bad_lines: BadLines | None = None,
) -> Path:
    """The folder of a SentencePiece BPE tokenizer with exactly `vocab_size` ids, trained on the sources.

    Equal sources and settings give equal bytes; a folder that holds their tokenizer already is left as it is. Raises
    ConfigError for a folder that holds anything else, for a `vocab_size` that does not fit the text, and for a line
    that cannot be read (unless `bad_lines` skips it).
    """
    settings = TokenizerSettings(vocab_size, character_coverage, tuple(user_defined_symbols), max_bytes)
    recipe = {"settings": asdict(settings), "sources": [source.identity() for source in sources]}
    recipe = json.loads(json.dumps(recipe))
    if _is_there(output_dir, recipe):
        return output_dir
    policy = bad_lines or BadLines()
    texts = (text for source in sources for text in _beginning(source, max_bytes // len(sources), policy))
    lines = sentences(texts)
    first = next(lines, None)
    if first is None:
        names = ", ".join(repr(source.name) for source in sources)
        raise ConfigError(f"{names} holds no text; name a source that does")
    model = _trained(chain([first], lines), settings)
    unfinished = aside(output_dir)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _write(unfinished, model, recipe)
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


def _trained(lines: Iterator[str], settings: TokenizerSettings) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=settings.vocab_size,
            character_coverage=settings.character_coverage,
            user_defined_symbols=list(settings.user_defined_symbols),
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,  # with a prefix, user-defined symbols have no exact counterpart in tokenizers
            allow_whitespace_only_pieces=True,
            max_sentence_length=2 * _MAX_LINE_BYTES,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise _refused(error, settings) from error
    return model.getvalue()


def _refused(error: Exception, settings: TokenizerSettings) -> ConfigError:
    """SentencePiece's complaint in our words."""
    asked = f"vocab_size {settings.vocab_size:,}"
    if high := re.search(r"value <= (\d+)", str(error)):
        return ConfigError(
            f"{asked} is too much for this text; it gives at most {int(high[1]):,} ids. Ask for that, or add text"
        )
    if low := re.search(r"smaller than required_chars\D*\d+ vs (\d+)", str(error)):
        return ConfigError(
            f"{asked} is too little for the characters of this text, which need {int(low[1]):,} ids; raise it "
            f"above that, or lower --character_coverage (now {settings.character_coverage})"
        )
    return ConfigError(f"SentencePiece cannot train on this text: {first_line(error)}; give other text or settings")


def _beginning(source: TextSource, max_bytes: int, bad_lines: BadLines) -> Iterator[str]:
    """The first documents of a source, until they hold `max_bytes`."""
    documents = chain.from_iterable(source.read(unit, bad_lines=bad_lines) for unit in source.units(_UNIT_BYTES))
    for document in documents:
        yield document.text
        max_bytes -= len(document.text.encode())
        if max_bytes <= 0:
            return


def sentences(texts: Iterator[str]) -> Iterator[str]:
    """Lines, long ones cut at spaces: SentencePiece learns nothing across newlines and drops overlong sentences.

    What holds nothing but NUL, which SentencePiece takes for nothing, is left out.

    >>> list(sentences(iter(["one\\n\\ntwo ", "three"])))
    ['one', 'two ', 'three']
    """
    for text in texts:
        for line in text.split("\n"):
            yield from (part for part in _cut(line) if part.strip("\0"))


def _cut(line: str) -> Iterator[str]:
    start, bytes_left = 0, len(line.encode())
    while bytes_left > _MAX_LINE_BYTES:
        longest = start + _MAX_LINE_BYTES // 4
        space = line.rfind(" ", start + 1, longest)
        stop = space if space > 0 else longest
        yield line[start:stop]
        bytes_left -= len(line[start:stop].encode())
        start = stop
    yield line[start:]


def _write(folder: Path, model: bytes, recipe: dict[str, Any]) -> None:
    with written(folder / _MODEL) as file:
        file.write(model)
    tokenizer = load_tokenizer(str(folder / _MODEL))
    tokenizer.save(folder)
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
