"""Documents as folders of the `datasets` library: written for other programs, read back as a corpus.

    data-*.arrow, dataset_info.json, state.json   `save_to_disk`; `load_from_disk` gives torch tensors
    metalang_dataset.json                         whose ids these are, the spec, sizes and checksums; written last

A row is `input_ids` and `attention_mask`, all of one length: a document, ended by EOS, has the mask 1; what fills the
row (EOS again) has 0.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import pyarrow as pa

from metalang.building.units import Stats
from metalang.corpus import Documents, ShardWriter
from metalang.errors import ConfigError, CorpusError
from metalang.files import aside, publish, read_json, sha256_of, write_json
from metalang.ids import IdSpace
from metalang.specs import Spec, as_spec

RECORD = "metalang_dataset.json"
_STATE = "state.json"
_UNIT_ROWS = 2**16
_CHUNK_ROWS = 2**10


class SavedFile(Spec):
    """A file of the folder."""

    bytes: int
    sha256: str


class Record(Spec):
    """What a folder holds: `num_tokens` are the ids under the masks."""

    format: Literal["metalang-dataset"] = "metalang-dataset"
    version: Literal[1] = 1
    ids: IdSpace
    num_documents: int
    num_tokens: int
    shortest: int
    longest: int
    spec: dict[str, Any]
    files: dict[str, SavedFile]


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`, by whomever."""
    return (folder / _STATE).is_file()


def read_record(folder: Path) -> Record:
    """What a folder says of itself. Raises ConfigError where it says nothing, CorpusError where it is damaged."""
    path = folder / RECORD
    if not path.is_file():
        raise ConfigError(
            f"{folder} does not say of which tokenizer its ids are (it has no {RECORD}); give a folder of "
            "data_tools/generate_tiny_dataset.py, or the text itself"
        )
    record = as_spec(Record, read_json(path), str(path))
    for name, file in record.files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != file.sha256:
            raise CorpusError(f"{folder} is damaged: {name} is not the file that was written; remove and make it again")
    return record


def save_documents(
    folder: Path, documents: Sequence[np.ndarray], *, length: int, ids: IdSpace, spec: dict[str, Any]
) -> Record:
    """Writes documents, none longer than `length`, into a new folder, which appears whole or not at all."""
    sizes = np.array([len(document) for document in documents])
    filled = np.arange(length) < sizes[:, None]
    rows = np.full(filled.shape, ids.eos_id, dtype=np.int32)
    rows[filled] = np.concatenate(documents)
    columns = {"input_ids": rows, "attention_mask": filled.astype(np.int8)}
    table = pa.table({name: pa.FixedSizeListArray.from_arrays(each.ravel(), length) for name, each in columns.items()})
    unfinished = aside(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with _quiet():
            datasets.Dataset(table).with_format("torch").save_to_disk(unfinished)
        record = Record(
            ids=ids,
            num_documents=len(documents),
            num_tokens=int(sizes.sum()),
            shortest=int(sizes.min()),
            longest=int(sizes.max()),
            spec=spec,
            files={
                path.name: SavedFile(bytes=path.stat().st_size, sha256=sha256_of(path))
                for path in sorted(unfinished.iterdir())
            },
        )
        write_json(unfinished / RECORD, record.model_dump(mode="json"))
        publish(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return record


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the progress bars of `datasets`, one a shard, off the screen."""
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not shown:
            datasets.enable_progress_bars()


@dataclass(frozen=True)
class SavedBuild:
    """The documents of a folder that `save_documents` wrote, as a corpus: what the masks cover."""

    folder: Path
    window_length: None = None
    in_order: bool = False

    @property
    def ids(self) -> IdSpace:
        """Those that the folder names."""
        return self._record.ids

    @property
    def sources(self) -> tuple[str, ...]:
        """One: the folder."""
        return (str(self.folder),)

    @property
    def num_tokens(self) -> int:
        """Ids under the masks."""
        return self._record.num_tokens

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        files = {name: file.sha256 for name, file in self._record.files.items() if name.endswith(".arrow")}
        return {"kind": "saved", "files": files, "tokenizer": self.ids.tokenizer, "unit_rows": _UNIT_ROWS}

    @property
    def num_units(self) -> int:
        """Shards that will be written."""
        return -(-self._record.num_documents // _UNIT_ROWS)

    def write(self, unit: int, writer: ShardWriter) -> Iterator[Stats]:
        """Copies the documents of a unit, a thousand rows at a time."""
        rows = datasets.load_from_disk(str(self.folder)).with_format("numpy")
        last = min((unit + 1) * _UNIT_ROWS, len(rows))
        for start in range(unit * _UNIT_ROWS, last, _CHUNK_ROWS):
            chunk = rows[start : min(start + _CHUNK_ROWS, last)]
            covered = chunk["attention_mask"].astype(np.bool_)
            numbers = np.arange(start, start + len(covered), dtype=np.uint64)
            writer.append(Documents(chunk["input_ids"][covered], covered.sum(axis=1).cumsum(), numbers))
            yield {"documents": len(covered)}

    @cached_property
    def _record(self) -> Record:
        return read_record(self.folder)
