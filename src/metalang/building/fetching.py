"""One file over HTTP: resumed where it was cut, checked, and there only when it is whole.

NAME.part        what has come so far
NAME.part.json   of which version of the file, as its server names it: a part is never continued with another one
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from metalang.errors import ConfigError
from metalang.files import publish_as, read_json, sha256_of, write_json
from metalang.text.names import first_line

_BLOCK_BYTES = 2**12
"""Of a cut connection less than this is lost: requests drops a block that is not full."""
_TIMEOUT_SECONDS = (10, 60)
"""To connect, and between two blocks."""
_TRY_LATER = (408, 425, 429)
_ELSEWHERE = "or fetch it on another machine and give --from FILE"


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, and its name on disk; `sha256` is None where none is known to us."""

    name: str
    url: str
    sha256: str | None = None

    def fetch(self, folder: Path) -> None:
        """Puts the file into a folder, going on with what is there of it.

        A cut connection is taken up again as long as each try brings something. Raises ConfigError that tells a
        network error from a wrong address and from a wrong content.
        """
        part = folder / f"{self.name}.part"
        with _bar(self.name) as bar:
            while not self._is_whole_after_a_try(part, bar):
                pass
        _note(part).unlink(missing_ok=True)
        self._check(part, f"{self.url} gave", f"try again, {_ELSEWHERE}")
        publish_as(part, folder / self.name)

    def is_in(self, given: Path) -> bool:
        """Whether a folder holds this file, or a file has its name."""
        return (given / self.name).is_file() if given.is_dir() else given.name == self.name

    def take(self, given: Path, folder: Path) -> None:
        """Puts a copy of a file of this disk, or of a folder, into a folder, checked as if it had been fetched."""
        given = given / self.name if given.is_dir() else given
        part = folder / f"{self.name}.part"
        _note(part).unlink(missing_ok=True)
        with open(given, "rb") as source, open(part, "wb") as copy, _bar(self.name) as bar:
            while block := source.read(_BLOCK_BYTES):
                bar.update(copy.write(block))
            copy.flush()
            os.fsync(copy.fileno())
        self._check(part, f"{given} is", f"give the file of {self.url}")
        publish_as(part, folder / self.name)

    def _is_whole_after_a_try(self, part: Path, bar: tqdm) -> bool:
        held = _size(part)
        try:
            whole = self._receive(part, held, bar)
        except requests.RequestException as error:
            if _size(part) > held:
                return False
            raise ConfigError(
                f"{self.url} cannot be reached: {_reason(error)}. It is the network, not the name; {held:,} bytes are "
                f"kept. Try again, {_ELSEWHERE}"
            ) from error
        if not whole and _size(part) == held:
            raise ConfigError(f"{self.url}: its server sends nothing behind {held:,} bytes. Try again, {_ELSEWHERE}")
        return whole

    def _receive(self, part: Path, held: int, bar: tqdm) -> bool:
        """Asks for the file behind the `held` bytes and writes what comes; whether the part is whole then."""
        asked = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
        with requests.get(self.url, headers=asked, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            version = _version_of(response)
            if held and response.status_code in (206, 416) and not self._continues(part, response, version):
                part.unlink()
                return False
            if held and response.status_code == 416:
                return True
            self._require_content(response)
            if response.status_code != 206 or not held:
                held = 0
                part.unlink(missing_ok=True)
                write_json(_note(part), version)
            bar.total, bar.n = version["bytes"], held
            with open(part, "ab") as file:
                for block in response.iter_content(_BLOCK_BYTES):
                    file.write(block)
                    bar.update(len(block))
                file.flush()
                os.fsync(file.fileno())
        return version["bytes"] in (None, _size(part))

    def _continues(self, part: Path, response: requests.Response, version: dict[str, Any]) -> bool:
        """Whether an answer to a range continues the part (206), or says that nothing is missing in it (416)."""
        if not _note(part).exists() or read_json(_note(part)) != version:
            return False
        if self.sha256 is None and version["name"] is None:
            return False
        held = _size(part)
        start = f"bytes {held}-" if response.status_code == 206 else f"bytes */{held}"
        return response.headers.get("Content-Range", "").startswith(start)

    def _require_content(self, response: requests.Response) -> None:
        status = f"{response.status_code} {response.reason}"
        if response.status_code in (200, 206):
            return
        if 400 <= response.status_code < 500 and response.status_code not in _TRY_LATER:
            raise ConfigError(
                f"{self.url} is not there ({status}). It is the address, not the network: the file was moved, or may "
                f"not be had. Report it, {_ELSEWHERE}"
            )
        raise ConfigError(f"{self.url}: its server is in trouble ({status}). Try again later, {_ELSEWHERE}")

    def _check(self, part: Path, what: str, then: str) -> None:
        """Raises ConfigError, and removes the part, where it holds something else than this file."""
        found = sha256_of(part)
        if self.sha256 in (None, found):
            return
        part.unlink()
        raise ConfigError(
            f"{what} another file than {self.name}: sha256 {found}, not {self.sha256}. Nothing was kept; {then}"
        )


def _bar(name: str) -> tqdm:
    return tqdm(desc=name, unit="B", unit_scale=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _version_of(response: requests.Response) -> dict[str, Any]:
    """The name that a server gives to this version of a file (None: none), and its bytes in all (None: not said)."""
    headers = response.headers
    if response.status_code in (206, 416):
        total = headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = headers.get("Content-Length", "")
    return {
        "name": headers.get("ETag") or headers.get("Last-Modified"),
        "bytes": int(total) if total.isdecimal() else None,
    }


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom of an error of requests, which wraps that of urllib3, which wraps the socket's."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return first_line(error)
