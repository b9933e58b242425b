"""`manifest.json`: what a corpus is. It is written last, so a folder without one is no corpus.

It is JSON in two-space indentation, UTF-8. Its last key, `hash`, is the xxh3_128 of all bytes before that key's line;
what follows the digits is a quotation mark, a line end, a brace and a line end. So no byte of it can change unseen,
white space included.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from metalang.corpus.layout import DTYPE_RULE
from metalang.digests import digest_of
from metalang.errors import CorpusError
from metalang.files import is_sealed
from metalang.ids import IdSpace
from metalang.specs import Spec, as_spec

FORMAT = "metalang-corpus"
VERSION = 2
FILE_NAME = "manifest.json"
REBUILD = "remove its folder and build the corpus again"


class FileEntry(Spec):
    """A file of a shard: its size in bytes, its xxh3_128 and that of each 16 MiB block."""

    name: str
    bytes: int
    hash: str
    blocks: tuple[str, ...]


class ShardEntry(Spec):
    """A shard: what it holds, and its files (`bin`, `idx`, `docs`, and `loss` where some ids are only read)."""

    number: int
    num_tokens: int
    num_documents: int
    num_predicted: int
    files: dict[str, FileEntry]


class Manifest(Spec):
    """What a corpus is: ids, contents, how it was built, by which versions."""

    format: Literal["metalang-corpus"] = FORMAT
    version: Literal[2] = VERSION
    dtype: Literal["uint16", "int32"]
    dtype_rule: str = DTYPE_RULE
    ids: IdSpace
    vocab_size: int
    num_tokens: int
    num_documents: int
    num_predicted: int
    window_length: int | None = None
    """Ids predicted in a window, where the corpus is a mixture written to disk; None: documents, end to end."""
    in_order: bool = False
    """Whether its windows are read in the order in which they stand: a mixture on disk, a curriculum."""
    sources: tuple[str, ...]
    spec: dict[str, Any]
    spec_hash: str
    stats: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str]
    shards: tuple[ShardEntry, ...]

    @property
    def files(self) -> list[FileEntry]:
        """The files of all shards."""
        return [file for shard in self.shards for file in shard.files.values()]

    @property
    def content_hash(self) -> str:
        """16 hexadecimal digits that name the shards' ids and masks in their order, wherever the corpus lies."""
        payload = [[shard.files[part].hash for part in ("bin", "loss") if part in shard.files] for shard in self.shards]
        order = self.window_length or ("in order" if self.in_order else None)
        return digest_of([self.dtype, order, payload])[:16]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a corpus.

    Raises CorpusError where there is none, one of another format or version, or one that is not as it was written.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise CorpusError(f"{folder} is no corpus: it has no {FILE_NAME}; build it (again), or give another folder")
    content = path.read_bytes()
    value = _object_in(content)
    found = (value.get("format"), value.get("version"))
    if value and found != (FORMAT, VERSION):
        raise CorpusError(
            f"{path} says format {found[0]!r}, version {found[1]!r}; this program reads {FORMAT!r}, version {VERSION}; "
            f"{REBUILD}"
        )
    if not is_sealed(content):
        raise CorpusError(f"{path} is damaged between bytes 0 and {len(content):,}; {REBUILD}")
    del value["hash"]
    return as_spec(Manifest, value, str(path))


def _object_in(content: bytes) -> dict[str, Any]:
    """The JSON object that a file holds; an empty one for anything else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
