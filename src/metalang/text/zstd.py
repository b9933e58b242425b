"""Reading zstandard files, with an error where a file ends too early: the library's own reader ends silently (0.25)."""

import io
from typing import Any, BinaryIO

_BLOCK_BYTES = 2**17


class _ZstdBytes(io.RawIOBase):
    """The bytes that the frames of a zstandard file hold."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._file = file
        self._frame: Any = None
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._more_packed():
            self._unpack()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _more_packed(self) -> bool:
        self._packed = self._packed or self._file.read(_BLOCK_BYTES)
        if not self._packed and self._frame is not None:
            raise EOFError("it ends within a frame")
        return bool(self._packed)

    def _unpack(self) -> None:
        self._frame = self._frame or self._new_frame()
        try:
            self._ready = memoryview(self._frame.decompress(self._packed))
        except self._error as error:
            raise OSError(str(error)) from None
        self._packed = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame


def open_zstd(file: BinaryIO) -> BinaryIO:
    """A buffered reader of what an open zstandard file holds. Reading raises EOFError where the file is cut off."""
    return io.BufferedReader(_ZstdBytes(file), _BLOCK_BYTES)
