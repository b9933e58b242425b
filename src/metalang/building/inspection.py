"""Shows what a corpus holds: counts, and documents as text with the predicted ids coloured."""

import numpy as np

from metalang.corpus import Corpus
from metalang.errors import MismatchError
from metalang.ids import Control, meta_token
from metalang.sizes import counted
from metalang.text.tokenizer import TextTokenizer, load_tokenizer

_PREDICTED, _PLAIN = "\x1b[32m", "\x1b[0m"
_CONTROL_NAMES = {int(control): control.name for control in Control}


def describe_corpus(corpus: Corpus) -> str:
    """What the manifest and the document tables say, a fact a line."""
    manifest = corpus.manifest
    ids = manifest.ids
    kind = f"symbols 0 to {ids.meta_size - 1:,}" if ids.tokenizer is None else f"ids of tokenizer {ids.tokenizer}"
    lines = [
        f"{corpus.folder}: {counted(manifest.num_tokens, 'token')} in "
        f"{counted(manifest.num_documents, 'document')}, {counted(len(manifest.shards), 'shard')}, "
        f"{manifest.dtype}, {kind}",
        f"  predicted: {manifest.num_predicted:,} ({manifest.num_predicted / manifest.num_tokens:.1%})",
        f"  content {manifest.content_hash}, spec {manifest.spec_hash[:16]} ({manifest.spec['kind']})",
    ]
    if manifest.window_length:
        lines.append(f"  a mixture, windows of {manifest.window_length} predicted ids")
    if manifest.in_order:
        lines.append("  read in the order in which it stands")
    for name, (documents, tokens) in corpus.documents_per_source().items():
        lines.append(
            f"  {name}: {counted(documents, 'document')}, {counted(tokens, 'token')} "
            f"({tokens / manifest.num_tokens:.1%})"
        )
    read = {name.replace("_", " "): count for name, count in manifest.stats.items() if count}
    counts = [f"{count:,} {name.removesuffix('s') if count == 1 else name}" for name, count in read.items()]
    if counts:
        lines.append(f"  read: {', '.join(counts)}")
    return "\n".join(lines)


def show_documents(
    corpus: Corpus, tokenizer_name: str | None, *, num_samples: int, max_tokens: int, color: bool
) -> list[str]:
    """The first documents, a string each. Predicted ids are green, or in ⟦ ⟧ without colour.

    Symbols are shown by number, reserved ones by name. Raises MismatchError for another tokenizer than the corpus has.
    """
    tokenizer = load_tokenizer(tokenizer_name) if tokenizer_name else None
    expected = corpus.manifest.ids.tokenizer
    if tokenizer and expected not in (None, tokenizer.fingerprint):
        raise MismatchError(
            f"{corpus.folder} was made with tokenizer {expected} and {tokenizer_name} is {tokenizer.fingerprint}; "
            "give the one that it was made with"
        )
    shown = []
    for number in range(min(num_samples, corpus.manifest.num_documents)):
        ids, predicted, row = corpus.document(number)
        text = marked_text(ids, predicted, corpus.manifest.ids.text_size, tokenizer, max_tokens=max_tokens, color=color)
        source = corpus.manifest.sources[row["source"]]
        shown.append(f"document {number} ({source}, row {row['row']}, {counted(len(ids), 'token')}): {text}")
    return shown


def marked_text(
    ids: np.ndarray,
    predicted: np.ndarray,
    text_size: int,
    tokenizer: TextTokenizer | None,
    *,
    max_tokens: int,
    color: bool,
) -> str:
    """The first `max_tokens` ids as text, the predicted ones green or in ⟦ ⟧; ids from `text_size` on are symbols."""
    marks = (_PREDICTED, _PLAIN) if color else ("⟦", "⟧")
    text = "".join(
        f"{marks[0]}{part}{marks[1]}" if is_predicted else part
        for is_predicted, part in (
            (flag, _text(run, text_size, tokenizer)) for flag, run in _runs(ids[:max_tokens], predicted[:max_tokens])
        )
    )
    return text + (f" … {len(ids) - max_tokens:,} more" if len(ids) > max_tokens else "")


def _runs(ids: np.ndarray, predicted: np.ndarray) -> list[tuple[bool, np.ndarray]]:
    borders = np.flatnonzero(np.diff(predicted)) + 1
    starts = [0, *borders.tolist()]
    return [(bool(predicted[start]), run) for start, run in zip(starts, np.split(ids, borders), strict=True)]


def _text(ids: np.ndarray, text_size: int, tokenizer: TextTokenizer | None) -> str:
    if tokenizer and text_size and (ids < text_size).all():
        return tokenizer.decode(ids)
    return " " + " ".join(_name(int(number), text_size, tokenizer) for number in ids) + " "


def _name(number: int, text_size: int, tokenizer: TextTokenizer | None) -> str:
    if number >= text_size:
        symbol = number - text_size
        return _CONTROL_NAMES.get(symbol, str(symbol) if text_size == 0 else meta_token(symbol))
    return tokenizer.decode([number]) if tokenizer else str(number)
