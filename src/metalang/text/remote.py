"""A file behind an http(s) address, read as one on this disk is: forward, or from a byte on; nothing is stored."""

import http.client
import io
import time
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from metalang.errors import ConfigError
from metalang.text.names import first_line

_BUFFER_BYTES = 2**20
_TIMEOUT_SECONDS = 60
_RETRIES = 4
_FAULTS = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class _Answer:
    """What a server says of a file; `st_size` as `os.stat` calls it."""

    st_size: int
    takes_ranges: bool
    etag: str | None
    modified: str | None


@dataclass(frozen=True)
class Url:
    """An address, with the part of `pathlib.Path` that readers use.

    >>> Url("https://example.org/data/a%20b.jsonl.gz?download=1").name
    'a b.jsonl.gz'
    """

    address: str

    @staticmethod
    def is_one(name: str) -> bool:
        """Whether a name is an address."""
        return name.startswith(("http://", "https://"))

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(unquote(urlsplit(self.address).path)).name

    @property
    def suffix(self) -> str:
        """The last suffix of the name."""
        return PurePosixPath(self.name).suffix

    def stat(self) -> _Answer:
        """What the server says of the file; asked once. Raises ConfigError where it gives none."""
        return self._answer

    def open(self, mode: str = "rb") -> BinaryIO:
        """The bytes. A connection that breaks is made anew where it broke; after some tries, raises ConfigError."""
        assert mode == "rb", "an address is only read"
        return io.BufferedReader(_Body(self), _BUFFER_BYTES)

    def ask(self, start: int, stop: int | None = None) -> Any:
        """The server's response to a request for the bytes from `start` on. Raises what urllib and http.client do."""
        header = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop else {}
        return urllib.request.urlopen(urllib.request.Request(self.address, headers=header), timeout=_TIMEOUT_SECONDS)

    def not_given(self, error: BaseException) -> ConfigError:
        """The refusal of an address that gives no file."""
        return ConfigError(f"{self.address} cannot be read: {first_line(error)}; check the address and the network")

    def __str__(self) -> str:
        return self.address

    @cached_property
    def _answer(self) -> _Answer:
        try:
            with self.ask(0, 1) as response:
                headers, takes_ranges = response.headers, response.status == 206
        except HTTPError as error:
            if error.code != 416:  # no first byte: the file is empty
                raise self.not_given(error) from error
            return _Answer(0, True, error.headers["ETag"], error.headers["Last-Modified"])
        except (*_FAULTS, ValueError) as error:
            raise self.not_given(error) from error
        size = (headers["Content-Range"] or "").rpartition("/")[2] if takes_ranges else headers["Content-Length"] or ""
        if not size.isdigit():
            raise ConfigError(
                f"{self.address}: the server does not say how long the file is; download it, give the file"
            )
        return _Answer(int(size), takes_ranges, headers["ETag"], headers["Last-Modified"])


class _Body(io.RawIOBase):
    """The bytes of a file behind an address, from a position that can be set."""

    def __init__(self, url: Url) -> None:
        self._url, self._size = url, url.stat().st_size
        self._position = 0
        self._response: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position != self._position:
            self._hang_up()
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            return 0
        for attempt in range(_RETRIES + 1):
            try:
                return self._received(buffer)
            except _FAULTS as error:
                self._hang_up()
                if attempt == _RETRIES:
                    raise self._url.not_given(error) from error
                time.sleep(2**attempt / 4)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _received(self, buffer: Any) -> int:
        if self._response is None:
            self._response = self._from_here()
        count = self._response.readinto(buffer)
        if not count:  # http.client (3.11) ends silently where a connection breaks
            raise ConnectionError(f"the connection broke at byte {self._position:,} of {self._size:,}")
        self._position += count
        return count

    def _from_here(self) -> Any:
        """A response that begins at the position. A server without ranges sends what comes before it, too."""
        response = self._url.ask(self._position)
        left = self._position if response.status == 200 else 0
        while left and (block := response.read(min(left, _BUFFER_BYTES))):
            left -= len(block)
        if left:
            raise ConnectionError("the connection broke")
        return response

    def _hang_up(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response = None
