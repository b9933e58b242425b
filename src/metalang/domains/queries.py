"""Strings with a query that stands in them, or does not: how kernels draw both, and find the one in the other.

Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139: their generator.
"""

import numpy as np
from numba import njit, uint64

from metalang.domains.strings import between, draw_partition
from metalang.domains.vocabulary import draw_row
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, mix64, unit

_LONGER = 0.01  # share of the absent queries that are longer than the text
_TRIES = 64  # draws of both before the query is taken out of the text by hand: tiny vocabularies alone come to that


@njit(cache=True)
def draw_present(state, request, tables, discourse, text, query, gaps):
    """|w| and |q|, with q in w."""
    scratch = np.empty(0, dtype=np.int64)
    size, query_size = -1, 0
    while size + 1 + query_size < request.low:
        state += GOLDEN_GAMMA
        query_size = between(state, 1, (request.high - 1) // 3)
        state += GOLDEN_GAMMA
        size = between(state, 2 * query_size, request.high - 1 - query_size)
    state = draw_row(state, tables, query[:query_size], scratch, discourse)
    state += GOLDEN_GAMMA
    occurrences = between(state, 1, size // query_size)
    gaps[: occurrences + 1] = 0
    state = draw_partition(state, size - occurrences * query_size, gaps[: occurrences + 1])
    place = 0
    for gap in range(occurrences + 1):
        state = draw_row(state, tables, text[place : place + gaps[gap]], scratch, discourse)
        place += gaps[gap]
        if gap < occurrences:
            for position in range(query_size):
                text[place + position] = query[position]
            place += query_size
    return size, query_size


@njit(cache=True)
def draw_absent(state, request, tables, discourse, text, query):
    """|w| and |q|, with no q in w."""
    scratch = np.empty(0, dtype=np.int64)
    least = max(1, min(request.low, request.high // 4))
    state += GOLDEN_GAMMA
    longer = unit(mix64(state)) < _LONGER
    size, query_size = -1, 0
    while size + 1 + query_size < request.low or size + 1 + query_size > request.high:
        state += uint64(2) * GOLDEN_GAMMA
        if longer:
            query_size = between(state - GOLDEN_GAMMA, least + 1, request.high)
            size = between(state, 0, query_size - 1)
        else:
            size = between(state - GOLDEN_GAMMA, least, request.high)
            query_size = between(state, least, size)
    for _ in range(_TRIES):
        state = draw_row(state, tables, query[:query_size], scratch, discourse)
        state = draw_row(state, tables, text[:size], scratch, discourse)
        if find_first(text[:size], query[:query_size]) < 0:
            return size, query_size
    for position in range(size):
        if text[position] == query[0]:
            text[position] = NUM_CONTROL + (text[position] - NUM_CONTROL + 1) % tables.size
    return size, query_size


@njit(cache=True)
def find_first(text, query):
    """The first place of `query` in `text`, or -1."""
    for start in range(len(text) - len(query) + 1):
        if text[start] == query[0] and stands_at(text, start, query):
            return start
    return -1


@njit(cache=True)
def stands_at(text, start, query):
    """Whether `query` stands in `text` from `start` on."""
    for position in range(len(query) - 1, -1, -1):
        if text[start + position] != query[position]:
            return False
    return True
