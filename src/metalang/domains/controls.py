"""Controls: a domain's rows with its structure taken out, to tell what the structure does from what its tokens do.

shuffled     the tokens of each row in another order: the row's own tokens, no structure
iid_unigram  each token drawn from the frequencies of the domain's tokens, whatever the row
iid_uniform  each token drawn from the domain's tokens, all as likely

Lengths, masks and the symbols that lay a row out (PAD, BOS, EOS, SEP, ARG, QUERY, WORD) stay as they are.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numba import njit, uint64

from metalang.domains.contract import Domain, Sequences
from metalang.ids import Control
from metalang.seeds import GOLDEN_GAMMA, below, key_for, mix64, row_state

ControlName = Literal["none", "shuffled", "iid_unigram", "iid_uniform"]

_FIRST_TOKEN = int(Control.WORD) + 1
_REFERENCE_ROWS = 4096
_REFERENCE_TOKENS = 2**24  # of long rows fewer are enough


def sample_control(domain: Domain, control: ControlName, key: int, start: int, count: int) -> Sequences:
    """The rows [start, start + count) of a control of a domain; "none" is the domain itself."""
    rows = domain.sample(key, start, count)
    if control == "none":
        return rows
    own_key = np.uint64(key_for("control", control, key))
    if control == "shuffled":
        _shuffle_tokens(own_key, start, rows.ends, rows.symbols)
    else:
        pool = _reference_tokens(domain)
        _redraw_tokens(own_key, start, rows.ends, np.unique(pool) if control == "iid_uniform" else pool, rows.symbols)
    return rows


@lru_cache(maxsize=16)
def _reference_tokens(domain: Domain) -> np.ndarray:
    """Tokens of rows that no seed and no split has, (n,): their frequencies are those of the domain."""
    key = key_for("reference", domain.fingerprint)
    mean_length = domain.lengths(key, 0, 16).mean()
    rows = max(16, min(_REFERENCE_ROWS, int(_REFERENCE_TOKENS / mean_length)))
    symbols = domain.sample(key, 0, rows).symbols
    return symbols[symbols >= _FIRST_TOKEN]


@njit(cache=True)
def _shuffle_tokens(key, start, ends, symbols):
    """Fisher-Yates over the tokens of each row; what lays the row out keeps its place."""
    places = np.empty(len(symbols), dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state, size = row_state(key, uint64(start + index)), 0
        for place in range(begin, ends[index]):
            if symbols[place] >= _FIRST_TOKEN:
                places[size] = place
                size += 1
        for last in range(size - 1, 0, -1):
            state += GOLDEN_GAMMA
            one, other = places[last], places[below(mix64(state), uint64(last + 1))]
            symbols[one], symbols[other] = symbols[other], symbols[one]
        begin = ends[index]


@njit(cache=True)
def _redraw_tokens(key, start, ends, pool, symbols):
    """Each token of each row from `pool` (n,), whatever stood there."""
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index))
        for place in range(begin, ends[index]):
            if symbols[place] >= _FIRST_TOKEN:
                state += GOLDEN_GAMMA
                symbols[place] = pool[below(mix64(state), uint64(len(pool)))]
        begin = ends[index]
