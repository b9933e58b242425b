"""Well-known data sets: fetched, checked, cut, in a folder that appears when all of it is there.

DIR.part/     the work: whole files, parts of files, and `claim`, which says of which data set; locked while in use
DIR/          the files, and metalang_download.json: which data set, its licence, sizes and checksums
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from metalang.building.known import KnownDataset, Part
from metalang.errors import ConfigError, CorpusError
from metalang.files import publish_as, read_json, sha256_of, write_json, written
from metalang.specs import Spec, as_spec

RECORD = "metalang_download.json"
_CLAIM = "claim"
_CUT = ("train.txt", "val.txt")


class DownloadedFile(Spec):
    """A file of the folder."""

    bytes: int
    sha256: str


class Download(Spec):
    """What a folder holds."""

    format: Literal["metalang-download"] = "metalang-download"
    version: Literal[1] = 1
    dataset: str
    licence: str
    files: dict[str, DownloadedFile]


def download(dataset: KnownDataset, output_dir: Path, *, given: Path | None = None) -> Download:
    """Makes the folder of a data set, from the network or from `given` (a file or folder of this disk).

    What is there already is left alone; what was begun goes on. Raises ConfigError, in one line, where it cannot.
    """
    folder = Path(os.path.abspath(output_dir))
    if given and not given.exists():
        raise ConfigError(f"--from {given} does not exist; give a file or a folder")
    record = _finished(dataset, folder)
    if record:
        return record
    with _claimed(dataset, folder) as work:
        for part in dataset.parts:
            if not (work / part.name).exists():
                _bring(dataset, part, work, given)
        missing = [part.name for part in dataset.parts if not (work / part.name).exists()]
        if missing:
            kept = f"what it has is kept in {work}; " if _held(work) else ""
            raise ConfigError(
                f"{given} has no {' and no '.join(missing)}, so {dataset.name} is not whole; {kept}give the rest by "
                "--from, or leave --from out to fetch it"
            )
        return _finish(dataset, work, folder)


def cut_at_line(text: str, share: float) -> tuple[str, str]:
    """A text in two: the first holds the `share` of the characters, and what is missing to the end of the line there.

    >>> cut_at_line("one\\ntwo\\nthree\\n", 0.5)
    ('one\\ntwo\\n', 'three\\n')
    """
    end = text.find("\n", max(0, int(len(text) * share) - 1)) + 1 or len(text)
    return text[:end], text[end:]


def _finished(dataset: KnownDataset, folder: Path) -> Download | None:
    """The data set in `folder`, None where nothing is. Raises ConfigError for anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    path = folder / RECORD
    if not path.is_file():
        raise ConfigError(f"{folder} holds something else; give another --output_dir, or remove this one")
    record = as_spec(Download, read_json(path), str(path))
    if record.dataset != dataset.name:
        raise ConfigError(f"{folder} holds {record.dataset}, not {dataset.name}; give another --output_dir")
    for name, file in record.files.items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != file.bytes:
            raise CorpusError(f"{folder / name} is not the {file.bytes:,} bytes that were written; remove {folder}")
    return record


@contextmanager
def _claimed(dataset: KnownDataset, folder: Path) -> Iterator[Path]:
    """The folder of the work, ours alone. Raises ConfigError where another process, or data set, has it."""
    work = folder.with_name(f"{folder.name}.part")
    work.mkdir(parents=True, exist_ok=True)
    with open(work / _CLAIM, "a+") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{work} is in use by another process; wait for it, or change --output_dir") from None
        claim.seek(0)
        begun = claim.read() or dataset.name
        if begun != dataset.name and _held(work):
            raise ConfigError(f"{work} holds a part of {begun}; remove it, or give another --output_dir")
        claim.truncate(0)
        claim.write(dataset.name)
        claim.flush()
        try:
            yield work
        finally:
            if work.exists() and not _held(work):
                (work / _CLAIM).unlink()
                work.rmdir()


def _held(work: Path) -> list[str]:
    return [path.name for path in work.iterdir() if path.name != _CLAIM]


def _bring(dataset: KnownDataset, part: Part, work: Path, given: Path | None) -> None:
    """Fetches a part, or takes it from `given` where that has it."""
    if given is None:
        part.fetch(work)
    elif (given.is_file() and len(dataset.parts) == 1) or part.is_in(given):
        part.take(given, work)


def _finish(dataset: KnownDataset, work: Path, folder: Path) -> Download:
    """Cuts the text if asked for, writes the record, and gives the folder its name."""
    names = [part.name for part in dataset.parts]
    if dataset.train_share:
        whole = (work / names[0]).read_bytes().decode()
        for name, text in zip(_CUT, cut_at_line(whole, dataset.train_share), strict=True):
            with written(work / name) as file:
                file.write(text.encode())
        (work / names[0]).unlink()
        names = list(_CUT)
    files = {name: {"bytes": (work / name).stat().st_size, "sha256": sha256_of(work / name)} for name in names}
    record = as_spec(Download, {"dataset": dataset.name, "licence": dataset.licence, "files": files}, RECORD)
    write_json(work / RECORD, record.model_dump(mode="json"))
    for path in work.iterdir():
        if path.name not in (*names, RECORD):
            path.unlink()
    publish_as(work, folder)
    return record
