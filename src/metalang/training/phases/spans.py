"""Where the values of a JSON file lie: one a line, or the elements of one list. Read once, a block at a time.

A kernel sees the file's blocks in turn and keeps in `state` what it knows between two of them.
"""

from pathlib import Path

import numpy as np
from numba import njit

import metalang.kernels  # noqa: F401 - it says where compiled kernels are kept
from metalang.errors import ConfigError

_BLOCK_BYTES = 2**20
_BOM = b"\xef\xbb\xbf"
_PACKED = {b"\x1f\x8b": "gunzip", b"\x28\xb5": "unzstd"}
_SPACE, _TAB, _NEWLINE, _RETURN = 32, 9, 10, 13
_QUOTE, _COMMA, _BACKSLASH = 34, 44, 92
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = 91, 93, 123, 125
_START, _DEPTH, _IN_STRING, _ESCAPED, _CLOSED = range(5)


def json_spans(path: Path) -> tuple[np.ndarray, bool]:
    """First and last byte + 1 of each value, (n, 2) int64, and whether they are the elements of one list.

    Blank lines are no values. Raises ConfigError for a file that is missing, packed or empty, or a list that is cut.
    """
    if not path.is_file():
        raise ConfigError(f"{path} {'is a folder' if path.exists() else 'does not exist'}; give one file of JSON lines")
    head = _head(path)
    if head[:2] in _PACKED:
        raise ConfigError(f"{path} is packed, and rows are read in place; unpack it: {_PACKED[head[:2]]} {path}")
    begin = len(_BOM) if head.startswith(_BOM) else 0
    is_list = head[begin:].lstrip().startswith(b"[")
    spans = _scan(path, begin, _elements if is_list else _lines, is_list=is_list)
    if not len(spans):
        raise ConfigError(f"{path} holds no rows; write one JSON object a line")
    return spans, is_list


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def _scan(path: Path, begin: int, kernel: object, *, is_list: bool) -> np.ndarray:
    state = np.array([-1, 0, 0, 0, 0], dtype=np.int64)
    room = np.empty((_BLOCK_BYTES // 2 + 1, 2), dtype=np.int64)
    parts, base = [], begin
    with open(path, "rb") as file:
        file.seek(begin)
        while block := file.read(_BLOCK_BYTES):
            count = kernel(np.frombuffer(block, dtype=np.uint8), base, state, room)
            parts.append(room[:count].copy())
            base += len(block)
    if is_list and state[_CLOSED] != 1:
        fault = "goes on behind its list" if state[_CLOSED] else "ends inside its list: it was cut"
        raise ConfigError(f"{path} {fault}; write it again, or write one JSON object a line")
    if state[_START] >= 0:
        parts.append(np.array([[state[_START], base]], dtype=np.int64))
    return np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)


@njit(cache=True)
def _lines(block: np.ndarray, base: int, state: np.ndarray, spans: np.ndarray) -> int:
    """Writes the spans of the lines that end in a block, without the space before them; gives their number."""
    count = 0
    start = state[_START]
    for place in range(len(block)):
        byte = block[place]
        if byte == _NEWLINE:
            if start >= 0:
                spans[count, 0], spans[count, 1] = start, base + place
                count += 1
            start = -1
        elif start < 0 and byte != _SPACE and byte != _TAB and byte != _RETURN:
            start = base + place
    state[_START] = start
    return count


@njit(cache=True)
def _elements(block: np.ndarray, base: int, state: np.ndarray, spans: np.ndarray) -> int:
    """Writes the spans of the elements that end in a block; gives their number. `_CLOSED`: 1 at the end, 2 past it."""
    count = 0
    start, depth, in_string, escaped = state[_START], state[_DEPTH], state[_IN_STRING], state[_ESCAPED]
    for place in range(len(block)):
        byte = block[place]
        if in_string:
            if escaped:
                escaped = 0
            elif byte == _BACKSLASH:
                escaped = 1
            elif byte == _QUOTE:
                in_string = 0
            continue
        if byte == _SPACE or byte == _TAB or byte == _NEWLINE or byte == _RETURN:
            continue
        closes = byte == _CLOSE_LIST or byte == _CLOSE_OBJECT
        if depth == 1 and (byte == _COMMA or closes):
            if start >= 0:
                spans[count, 0], spans[count, 1] = start, base + place
                count += 1
            start = -1
        elif depth == 1 and start < 0:
            start = base + place
        elif depth == 0 and state[_CLOSED]:
            state[_CLOSED] = 2
        in_string = 1 if byte == _QUOTE else 0
        depth += (byte == _OPEN_LIST or byte == _OPEN_OBJECT) - closes
        if depth == 0 and closes:
            state[_CLOSED] = max(state[_CLOSED], 1)
    state[_START], state[_DEPTH], state[_IN_STRING], state[_ESCAPED] = start, depth, in_string, escaped
    return count
