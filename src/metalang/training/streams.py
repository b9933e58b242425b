"""The streams of a run: raw text that is encoded while the run reads it, and never stored."""

from pathlib import Path
from typing import Any

from metalang.building.saved import is_saved
from metalang.building.text_mixture import is_mixture
from metalang.errors import ConfigError, MismatchError
from metalang.mixing import Stream
from metalang.mixing.bookmarks import Bookmarks
from metalang.mixing.stream import EncodedText
from metalang.text.encoding import Encoder, choose_encoder
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.tokenizer import TextTokenizer
from metalang.training.checkpoints import STREAMS
from metalang.training.config import Settings
from metalang.training.flags import DataArguments
from metalang.training.ranks import agreed

_SAMPLED_BYTES = 2**24

_Begun = tuple[dict[str, Any], str | None, Encoder]
"""What a stream is (JSON), the commit of a hub dataset, the encoder."""


def open_stream(name: str, path: str, settings: Settings, tokenizer: TextTokenizer, *, is_resumed: bool) -> Stream:
    """The stream of a path, the same on all ranks: the first says which commit of a dataset and which encoder.

    Its bookmarks lie in <output_dir>/streams. A resumed run goes on with the commit of then; raises MismatchError where
    files have changed.
    """
    data, run = settings.data, settings.run
    _refuse_what_is_stored(path)
    bookmarks = Path(run.output_dir) / STREAMS / f"{name}.jsonl"
    stream, commit, encoder = agreed(lambda: _begun(path, data, tokenizer, bookmarks, is_resumed=is_resumed))
    source = _source(path, data, commit)
    if run.process_index and source.stamp() != stream["source"]:
        raise MismatchError(f"{path} is not the same on all machines; give each the same files")
    text = EncodedText(source, encoder, tokenizer.eos_id, BadLines(skip=data.on_bad_line == "skip"))
    return Stream(
        name,
        text,
        length=data.max_length,
        max_epochs=data.max_epochs,
        bookmarks=Bookmarks(bookmarks, stream, is_writer=run.process_index == 0),
    )


def _begun(path: str, data: DataArguments, tokenizer: TextTokenizer, bookmarks: Path, *, is_resumed: bool) -> _Begun:
    """What a new or a resumed stream begins with. Bookmarks of a run that is not resumed are removed."""
    if not is_resumed:
        bookmarks.unlink(missing_ok=True)
    kept = Bookmarks(bookmarks, {}, is_writer=False).kept_stream()
    stamp = _source(path, data, _commit(kept["source"]) if kept else None).stamp()
    stream = {"source": stamp, "tokenizer": tokenizer.fingerprint, "on_bad_line": data.on_bad_line}
    Bookmarks(bookmarks, stream, is_writer=False).require_same()
    source = _source(path, data, _commit(stamp))
    if next(source.read_from(bad_lines=BadLines(skip=data.on_bad_line == "skip")), None) is None:
        raise ConfigError(f"{path} holds no text; give a source that does")
    encoder = choose_encoder(tokenizer, source, backend=data.tokenizer_backend, unit_bytes=_SAMPLED_BYTES)
    return stream, _commit(stamp), encoder


def _source(path: str, data: DataArguments, commit: str | None) -> TextSource:
    return TextSource(path, text_field=data.text_field, sample_by=data.sample_by, commit=commit)


def _commit(stamp: dict[str, Any]) -> str | None:
    return stamp.get("hub", {}).get("revision")


def _refuse_what_is_stored(path: str) -> None:
    if is_mixture(path):
        raise ConfigError(f"--streaming True: {path} is a mixture that is prepared on disk; name its sources instead")
    if is_saved(Path(path)):
        raise ConfigError(f"--streaming True: {path} holds ids, not text; leave --streaming out")
