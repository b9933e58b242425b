"""What tells the rows of one domain of a dataset from those of the others: a promoter, and a delimiter of its own.

A promoter is a sequence of symbols in front of every row; it is predicted where the first symbol of the row is. A
delimiter is a sequence of symbols that stands where the row has SEP, as predicted as SEP was.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from metalang.domains.contract import Domain, Sequences
from metalang.errors import CorpusError
from metalang.ids import Control

_SEP = int(Control.SEP)


@dataclass(frozen=True)
class Marks:
    """The symbols of a `promoter` and of a `delimiter`; an empty promoter is none, an empty delimiter is SEP itself.

    >>> rows = Sequences(np.array([40, 3, 40, 2]), np.array([4]), np.array([False, False, True, True]))
    >>> Marks(promoter=(90, 91), delimiter=(92,)).on(rows).symbols.tolist()
    [90, 91, 40, 92, 40, 2]
    """

    promoter: tuple[int, ...] = ()
    delimiter: tuple[int, ...] = ()

    def on(self, rows: Sequences) -> Sequences:
        """The rows with these marks, in the same type of symbols."""
        if not self.promoter and not self.delimiter:
            return rows
        kind = rows.symbols.dtype
        delimiter = np.array(self.delimiter or [_SEP], dtype=kind)
        return Sequences(*_mark(rows.symbols, rows.ends, rows.predicted, np.array(self.promoter, kind), delimiter))

    def lengths(self, domain: Domain, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count) of a domain, marks included, (count,) int64."""
        if not self.delimiter:
            return domain.lengths(key, start, count) + len(self.promoter)
        return np.diff(self.on(domain.sample(key, start, count)).ends, prepend=0)

    def off(self, symbols: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The row that bears these marks, (n,) and (n,), without them. Raises CorpusError where they are not there."""
        row, flags = symbols.tolist(), predicted.tolist()
        promoter, delimiter = list(self.promoter), list(self.delimiter or [_SEP])
        if row[: len(promoter)] != promoter or len(row) == len(promoter):
            raise CorpusError(f"position 0: the row is {row[: len(promoter) + 1]} ... and should begin with {promoter}")
        plain, plain_flags, place = [], [], len(promoter)
        while place < len(row):
            found = row[place] in (_SEP, delimiter[0])
            if found and row[place : place + len(delimiter)] != delimiter:
                raise CorpusError(f"position {place}: symbol {row[place]} does not begin the delimiter {delimiter}")
            plain.append(_SEP if found else row[place])
            plain_flags.append(flags[place])
            place += len(delimiter) if found else 1
        again = self.on(Sequences(np.array(plain), np.array([len(plain)]), np.array(plain_flags)))
        for position, (theirs, ours) in enumerate(zip(flags, again.predicted.tolist(), strict=True)):
            if theirs != ours:
                raise CorpusError(f"position {position}: mask is {theirs} and should be {ours}")
        return np.array(plain), np.array(plain_flags)


@njit(cache=True)
def _mark(symbols, ends, predicted, promoter, delimiter):
    num_delimiters = 0
    for place in range(len(symbols)):
        num_delimiters += symbols[place] == _SEP
    size = len(symbols) + len(ends) * len(promoter) + num_delimiters * (len(delimiter) - 1)
    marked, flags = np.empty(size, dtype=symbols.dtype), np.empty(size, dtype=np.bool_)
    new_ends = np.empty(len(ends), dtype=np.int64)
    begin, out = 0, 0
    for index in range(len(ends)):
        for symbol in promoter:
            marked[out], flags[out] = symbol, predicted[begin]
            out += 1
        for place in range(begin, ends[index]):
            if symbols[place] == _SEP:
                for symbol in delimiter:
                    marked[out], flags[out] = symbol, predicted[place]
                    out += 1
            else:
                marked[out], flags[out] = symbols[place], predicted[place]
                out += 1
        begin = ends[index]
        new_ends[index] = out
    return marked, new_ends, flags
