"""Rows as people read them."""

from itertools import pairwise

import numpy as np

from metalang.ids import NUM_CONTROL, Control

_NAMES = {int(control): control.name for control in Control} | {
    Control.DIGIT_0 + digit: f"d{digit}" for digit in range(10)
}


def drawn_row(symbols: np.ndarray, predicted: np.ndarray) -> str:
    """A row, (n,) and (n,), as text: reserved symbols by name, content from 0, predicted symbols in ⟦ ⟧.

    >>> drawn_row(np.array([32, 3, 32, 2]), np.array([False, False, True, True]))
    '0 SEP ⟦0 EOS⟧'
    """
    names = [_NAMES.get(int(symbol), str(int(symbol) - NUM_CONTROL)) for symbol in symbols]
    borders = [0, *(np.flatnonzero(np.diff(predicted)) + 1).tolist(), len(names)]
    runs = [(bool(predicted[start]), " ".join(names[start:end])) for start, end in pairwise(borders)]
    return " ".join(f"⟦{text}⟧" if is_predicted else text for is_predicted, text in runs)
