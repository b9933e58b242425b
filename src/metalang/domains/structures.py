"""Draws for what all rows of a description share: a grammar, a chain, an automaton."""

from collections.abc import Iterator
from typing import Any

from metalang.seeds import GOLDEN_GAMMA, key_for, mix64, row_state


def structure_draws(*names: Any) -> Iterator[int]:
    """Endless 64-bit draws of the stream that bears these names.

    >>> next(structure_draws("grammar", 0)) == next(structure_draws("grammar", 0))
    True
    """
    state = int(row_state(key_for(*names), 0))
    while True:
        state = (state + int(GOLDEN_GAMMA)) % 2**64
        yield int(mix64(state))
