"""What wandb wrote into a run's offline file, read without wandb's server.

`run-ID.wandb`, as wandb 0.31 writes it, is a log in LevelDB's format (doc/log_format.md of LevelDB):

    header                     ":W&B", uint16 0xBEE1, uint8 0
    blocks of 32,768 bytes     the header belongs to the first; fewer than 7 bytes at the end of one are padding
    pieces in a block          uint32 CRC-32, uint16 length, uint8 kind (1 whole, 2 first, 3 middle, 4 last), the bytes

Little-endian. The pieces of a record, put together, are a protobuf message `wandb_internal.Record`.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metalang.errors import CorpusError

_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_BLOCK = 32_768
_PIECE = struct.Struct("<IHB")
_WHOLE, _FIRST, _LAST = 1, 2, 4


def read_wandb(path: str | Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The config and the rows of a run's `.wandb` file: all that `wandb.config` and `wandb.log` were given.

    A row bears wandb's own keys too (`_step`, `_runtime`, `_timestamp`); its keys are those of the Trainer,
    `train/loss`, `eval/wiki_loss`, `train/global_step`. A file that a crash cut short is read up to there. Raises
    CorpusError where it is none.
    """
    config: dict[str, Any] = {}
    rows = []
    for record in read_records(path):
        for update in (*record.run.config.update, *record.config.update):
            config |= _value(update)
        if record.HasField("history"):
            row: dict[str, Any] = {}
            for item in record.history.item:
                row |= _value(item)
            rows.append(row)
    config.pop("_wandb", None)  # wandb's own: versions, the commands that define axes
    return config, rows


def read_records(path: str | Path) -> Iterator[Any]:
    """The `wandb_internal_pb2.Record` messages of a run's `.wandb` file, in the order in which they were written."""
    from wandb.proto.wandb_internal_pb2 import Record

    for message in _messages(Path(path)):
        yield Record.FromString(message)


def _value(item: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json)}


def _messages(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if not content.startswith(_HEADER):
        raise CorpusError(f"{path} is no offline file of wandb 0.31; give a run-*.wandb of <output_dir>/wandb")
    at, message = len(_HEADER), b""
    while True:
        if _BLOCK - at % _BLOCK < _PIECE.size:
            at += _BLOCK - at % _BLOCK
        body = at + _PIECE.size
        if body > len(content):
            return
        crc, length, kind = _PIECE.unpack_from(content, at)
        piece = content[body : body + length]
        if len(piece) < length or kind == 0:
            return  # what a crash cut short
        if zlib.crc32(bytes([kind]) + piece) != crc:
            raise CorpusError(f"{path} is damaged at byte {at:,}; copy it again, or leave this run out")
        message = piece if kind in (_WHOLE, _FIRST) else message + piece
        at = body + length
        if kind in (_WHOLE, _LAST):
            yield message
