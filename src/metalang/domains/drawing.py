"""Rows as people read them."""

from itertools import pairwise

import numpy as np

from metalang.ids import NUM_CONTROL, Control

_READ, _PREDICTED = "input     ", "predicted "
_NAMES = {int(control): control.name for control in Control} | {
    Control.DIGIT_0 + digit: f"d{digit}" for digit in range(10)
}


def drawn_row(symbols: np.ndarray, predicted: np.ndarray) -> str:
    """A row, (n,) and (n,), as text: reserved symbols by name, content from 0, predicted symbols in ⟦ ⟧.

    >>> drawn_row(np.array([32, 3, 32, 2]), np.array([False, False, True, True]))
    '0 SEP ⟦0 EOS⟧'
    """
    names = _named(symbols)
    borders = [0, *(np.flatnonzero(np.diff(predicted)) + 1).tolist(), len(names)]
    runs = [(bool(predicted[start]), " ".join(names[start:end])) for start, end in pairwise(borders)]
    return " ".join(f"⟦{text}⟧" if is_predicted else text for is_predicted, text in runs)


def drawn_in_two_lines(symbols: np.ndarray, predicted: np.ndarray, *, width: int = 110) -> str:
    """A row, (n,) and (n,), with what is only read above what is predicted, broken at `width` characters.

    >>> print(drawn_in_two_lines(np.array([32, 42, 3, 32, 42, 2]), np.array([0, 0, 0, 1, 1, 1])))
    input      0 10 SEP
    predicted           0 10 EOS
    """
    parts = [(_READ, _PREDICTED)]
    for name, flag in zip(_named(symbols), predicted, strict=True):
        if len(parts[-1][0]) + 1 + len(name) > width:
            parts.append((_READ, _PREDICTED))
        above, below = parts[-1]
        blank = " " * len(name)
        parts[-1] = f"{above} {blank if flag else name}", f"{below} {name if flag else blank}"
    lines = [line.rstrip() for part in parts for line in part]
    return "\n".join(line for line in lines if line not in (_READ.rstrip(), _PREDICTED.rstrip()))


def _named(symbols: np.ndarray) -> list[str]:
    """Reserved symbols by name, content from 0."""
    return [_NAMES.get(int(symbol), str(int(symbol) - NUM_CONTROL)) for symbol in symbols]
