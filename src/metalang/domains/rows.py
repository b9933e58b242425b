"""Rows whose lengths only a kernel knows, and the check of languages that are none of functions.

A kernel writes rows end to end into room for the longest ones; what it leaves is cut off.
"""

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numba import int64, njit, uint64

from metalang.domains.contract import Domain, Mapping, Sequences
from metalang.domains.strings import Request, between
from metalang.errors import CorpusError
from metalang.ids import id_dtype
from metalang.seeds import GOLDEN_GAMMA, row_state

Kernel = Callable[..., None]
"""Writes `symbols` (room,), `predicted` (room,) and `ends` (count,), its last three arguments."""


def written(kernel: Kernel, *arguments: object, count: int, longest_row: int, num_symbols: int) -> Sequences:
    """The `count` rows of at most `longest_row` symbols that a kernel writes."""
    room = count * longest_row
    symbols, predicted = np.empty(room, dtype=id_dtype(num_symbols)), np.empty(room, dtype=np.bool_)
    ends = np.zeros(count, dtype=np.int64)
    kernel(*arguments, symbols, predicted, ends)
    total = int(ends[-1]) if count else 0
    return Sequences(symbols[:total], ends, predicted[:total])


def request_for(domain: Mapping, key: int, start: int, low: int, high: int) -> Request:
    """The rows from `start` on; the first draw of each lies in [low, high]."""
    return Request(np.uint64(key), start, low, high, domain.mask == "all", domain.mask != "output_no_eos", domain.eos)


def fault(position: int, message: str) -> CorpusError:
    """The error that names the first position at which a row breaks its definition."""
    return CorpusError(f"position {position}: {message}")


class Replayed(Domain):
    """A language whose rows a slow replay reads from the left."""

    @abstractmethod
    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have. Raises CorpusError with the first position that breaks the definition.

        `predicted` is the mask it has: where fillers look like queries, only that tells them apart.
        """

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        row, flags = [int(symbol) for symbol in symbols], [bool(flag) for flag in predicted]
        for position, (theirs, ours) in enumerate(zip(flags, self.replay(row, flags), strict=True)):
            if theirs != ours:
                raise fault(position, f"mask is {theirs} and should be {ours}")


@njit(cache=True, inline="always")
def open_row(request, index):
    """The state behind the first draw of a row, and that draw: a number in [low, high] of the request."""
    state = row_state(request.key, uint64(request.start + index)) + GOLDEN_GAMMA
    return state, between(state, request.low, request.high)


@njit(cache=True)
def draw_codes(state, size, first, out):
    """Fills `out` (n,) with symbols, each uniform in [first, first + size); the state behind the last draw."""
    for position in range(len(out)):
        state += GOLDEN_GAMMA
        out[position] = int64(first) + between(state, 0, size - 1)
    return state
