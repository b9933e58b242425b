"""A split of a dataset on the hub as JSON lines, `{"text": ...}`: streamed, resumed where it was cut.

    NAME.part        what has come so far
    NAME.part.json   how many bytes of it are good, and from which row of which commit to go on; written after them

Rows without any text are left out.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from tqdm import tqdm

from metalang.errors import ConfigError
from metalang.files import publish_as, read_json, write_json
from metalang.text.hub import HubDataset, Place
from metalang.text.names import first_line
from metalang.text.sources import TextSource

_BATCH_ROWS = 10_000
_NOT_THERE = (EntryNotFoundError, DatasetNotFoundError, DataFilesNotFoundError)
_REFUSED = (401, 403, 404, 410)
_ELSEWHERE = "or fetch it on another machine and give --from with its folder"

_Batch = tuple[list[str | None], Place]


@dataclass(frozen=True)
class HubSplit:
    """A split of a dataset on the hub (or in a folder that `datasets` reads), and the file that its texts go to."""

    name: str
    dataset: str
    split: str
    text_field: str = "text"

    def fetch(self, folder: Path) -> None:
        """Puts the file into a folder, going on with what is there of it.

        Raises ConfigError that tells a network error from a wrong name.
        """
        hub, part = HubDataset(f"{self.dataset}:{self.split}", self.text_field), folder / f"{self.name}.part"
        try:
            identity = hub.identity()
            begun = _begun(part, identity)
            for num_bytes, place in _appended(part, hub.batches(_BATCH_ROWS, begun["place"]), begun["bytes"]):
                write_json(_note(part), {"identity": identity, "bytes": num_bytes, "place": place()})
        except ConfigError as error:
            raise self._in_other_words(error, part) from error
        _note(part).unlink(missing_ok=True)
        publish_as(part, folder / self.name)

    def is_in(self, given: Path) -> bool:
        """Whether a folder, or a file by its name (train.jsonl, train-00000.parquet), may be this split."""
        return given.is_dir() or given.name.startswith(self.split)

    def take(self, given: Path, folder: Path) -> None:
        """Makes the file of one on this disk, or of a folder that `datasets` reads, such as a clone of the dataset."""
        part = folder / f"{self.name}.part"
        _note(part).unlink(missing_ok=True)
        hub = HubDataset(f"{given}:{self.split}", self.text_field)
        source = None if given.is_dir() else TextSource(str(given), text_field=self.text_field)
        try:
            for _ in _appended(part, _batches_of(source) if source else hub.batches(_BATCH_ROWS), 0):
                pass
        except ConfigError as error:
            part.unlink()
            if error.__cause__ is None:
                raise
            raise ConfigError(f"{given} gives no {self.split} split: {first_line(error.__cause__)}") from error
        publish_as(part, folder / self.name)

    def _in_other_words(self, error: ConfigError, part: Path) -> ConfigError:
        cause = error.__cause__
        if cause is None:
            return error
        if _is_the_name(cause):
            return ConfigError(
                f"the hub has no {self.dataset} ({first_line(cause)}). It is the name, not the network: the dataset "
                f"was moved, or may not be had. Report it, {_ELSEWHERE}"
            )
        held = part.stat().st_size if part.exists() else 0
        return ConfigError(
            f"{self.dataset} cannot be had from the hub: {first_line(cause)}. It is the network or the hub, not the "
            f"name; {held:,} bytes are kept. Try again, {_ELSEWHERE}"
        )


def _is_the_name(cause: BaseException) -> bool:
    """Whether the hub answered, and has no such thing for us."""
    answered = isinstance(cause, HfHubHTTPError) and cause.response.status_code in _REFUSED
    return answered or isinstance(cause, _NOT_THERE)


def _begun(part: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """How far a part has come, from its note; nowhere where it is of another commit."""
    note = read_json(_note(part)) if part.exists() and _note(part).exists() else {}
    return note if note.get("identity") == identity else {"bytes": 0, "place": None}


def _appended(part: Path, batches: Iterator[_Batch], num_bytes: int) -> Iterator[tuple[int, Place]]:
    """Writes batches behind the first `num_bytes` of a part; after each, the bytes that are safe, and its place."""
    with open(part, "ab") as file, tqdm(desc=part.stem, unit="B", unit_scale=True, initial=num_bytes) as bar:
        file.truncate(num_bytes)
        for texts, place in batches:
            lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts if text and not text.isspace()]
            bar.update(file.write("".join(f"{line}\n" for line in lines).encode()))
            file.flush()
            os.fsync(file.fileno())
            yield file.tell(), place


def _batches_of(source: TextSource) -> Iterator[_Batch]:
    texts = (document.text for unit in source.units(2**26) for document in source.read(unit))
    while batch := list(islice(texts, _BATCH_ROWS)):
        yield batch, dict


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
