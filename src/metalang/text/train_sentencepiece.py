"""A SentencePiece BPE model, and the same ids for transformers.

Text is taken as it is: no normalization, spaces kept, unknown characters and newlines as bytes, every digit alone.
With bytes for all that is unknown no text gives <unk>, so it is the padding token too, as is usual for Llama's models.
"""

import io
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from metalang.errors import ConfigError
from metalang.files import written
from metalang.text.names import first_line
from metalang.text.tokenizer import load_tokenizer
from metalang.text.tokenizer_settings import TokenizerSettings, too_large

_MODEL = "tokenizer.model"
_MAX_LINE_BYTES = 4096


def write_sentencepiece(folder: Path, texts: Iterator[str], settings: TokenizerSettings) -> bool:
    """Writes tokenizer.model and what transformers reads beside it. False, and nothing written, where no text is.

    Raises ConfigError for a `vocab_size` that does not fit the text.
    """
    lines = sentences(texts)
    first = next(lines, None)
    if first is None:
        return False
    model = _trained(chain([first], lines), settings)
    with written(folder / _MODEL) as file:
        file.write(model)
    tokenizer = load_tokenizer(str(folder / _MODEL))
    tokenizer.hf.add_special_tokens({"pad_token": tokenizer.hf.unk_token})
    tokenizer.save(folder)
    return True


def _trained(lines: Iterator[str], settings: TokenizerSettings) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    faults: list[Exception] = []
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_noting(lines, faults),
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
        raise faults[0] if faults else _refused(error, settings) from error
    return model.getvalue()


def _noting(lines: Iterator[str], faults: list[Exception]) -> Iterator[str]:
    """The same lines; what reading them raises is noted, for SentencePiece makes an error of its own of it."""
    try:
        yield from lines
    except Exception as error:
        faults.append(error)
        raise


def _refused(error: Exception, settings: TokenizerSettings) -> ConfigError:
    """SentencePiece's complaint in our words."""
    asked = f"vocab_size {settings.vocab_size:,}"
    if high := re.search(r"value <= (\d+)", str(error)):
        return too_large(settings.vocab_size, int(high[1]))
    if low := re.search(r"smaller than required_chars\D*\d+ vs (\d+)", str(error)):
        return ConfigError(
            f"{asked} is too little for the characters of this text, which need {int(low[1]):,} ids; raise it "
            f"above that, or lower --character_coverage (now {settings.character_coverage})"
        )
    return ConfigError(f"SentencePiece cannot train on this text: {first_line(error)}; give other text or settings")


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
