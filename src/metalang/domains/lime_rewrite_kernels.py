"""The kernels of LIME's rewriting: strings, rules `pattern -> replacement`, and what they make of a string."""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from metalang.domains.lime import Mark
from metalang.domains.lime_kernels import draw_names, finish_row, write_names
from metalang.domains.strings import between, shuffle
from metalang.domains.vocabulary import discourse_of
from metalang.ids import Control
from metalang.seeds import GOLDEN_GAMMA, row_state

_SEP, _SPACE, _ARROW = int(Control.SEP), int(Mark.SPACE), int(Mark.ARROW)


class Sizes(NamedTuple):
    """The numbers of a rewriting task, as the kernel reads them."""

    num_upper: int
    num_lower: int
    num_math: int
    more_math: bool
    min_string: int
    max_string: int
    min_pattern: int
    max_pattern: int
    min_constants: int
    max_constants: int
    min_steps: int
    max_steps: int


@njit(cache=True)
def write_rewriting(
    key, start, tables, sizes, longest_string, longest_replacement, flags, symbols, predicted, ends
):  # fmt: skip
    """Writes rows. Rules and strings hold indices into `names`; `variable_of` is emptied behind each step."""
    num_upper, num_lower = sizes.num_upper, sizes.num_lower
    names = np.empty(num_upper + num_lower + sizes.num_math, np.int64)
    scratch = np.arange(tables.size + len(names))
    listed = np.empty(num_upper, np.bool_)
    string, other = np.empty(longest_string, np.int64), np.empty(longest_string, np.int64)
    first = np.empty(longest_string, np.int64)
    patterns = np.empty((sizes.max_steps, sizes.max_pattern), np.int64)
    replacements = np.empty((sizes.max_steps, longest_replacement), np.int64)
    pattern_sizes, replacement_sizes = np.empty(sizes.max_steps, np.int64), np.empty(sizes.max_steps, np.int64)
    letters = np.empty(num_upper, np.int64)
    variable_of = np.full(num_lower, -1, np.int64)
    place = 0
    for index in range(len(ends)):
        begin = place
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        discourse, num_steps = discourse_of(tables, state), between(state, sizes.min_steps, sizes.max_steps)
        state = draw_names(state, tables, discourse, names, scratch)
        state, size = _draw_string(state, sizes, string)
        first[:size] = string[:size]
        first_size = size
        listed[:] = not sizes.more_math
        for step in range(num_steps):
            pattern, replacement = patterns[step], replacements[step]
            state, offset, length, num_variables = _draw_pattern(
                state, sizes, string, size, pattern, letters, variable_of
            )
            listed[:num_variables] = True
            state, written = _draw_replacement(state, sizes, num_variables, replacement)
            pattern_sizes[step], replacement_sizes[step] = length, written
            rest = size - offset - length
            other[:rest] = string[offset + length : size]
            for position in range(written):
                symbol = replacement[position]
                string[offset + position] = letters[symbol] if symbol < num_upper else symbol
            size = offset + written + rest
            string[offset + written : size] = other[:rest]
        place = write_names(names, listed, num_lower, symbols, place)
        for step in range(num_steps):
            place = _write(names, patterns[step, : pattern_sizes[step]], symbols, place)
            symbols[place] = _ARROW
            place = _write(names, replacements[step, : replacement_sizes[step]], symbols, place + 1)
            symbols[place] = _SPACE
            place += 1
        separator = _write(names, first[:first_size], symbols, place)
        symbols[separator] = _SEP
        place = _write(names, string[:size], symbols, separator + 1)
        place = finish_row(symbols, predicted, begin, separator, place, flags)
        ends[index] = place


@njit(cache=True)
def _draw_string(state, sizes, string):
    """Fills `string` with s symbols of one group and 1.5 s of the other, in random order; the state, and the size."""
    state += GOLDEN_GAMMA
    small = between(state, sizes.min_string, sizes.max_string)
    large = 3 * small // 2
    large += (small & 1) & (large & 1)  # half to even
    num_math = large if sizes.more_math else small
    size = small + large
    for position in range(size):
        state += GOLDEN_GAMMA
        if position < num_math:
            string[position] = sizes.num_upper + sizes.num_lower + between(state, 0, sizes.num_math - 1)
        else:
            string[position] = sizes.num_upper + between(state, 0, sizes.num_lower - 1)
    return shuffle(state, string[:size]), size


@njit(cache=True)
def _draw_pattern(state, sizes, string, size, pattern, letters, variable_of):
    """Abstracts a part of the string: state, offset, length, variables. `letters`: what each variable stands for."""
    num_upper = sizes.num_upper
    state += GOLDEN_GAMMA
    length = between(state, min(sizes.min_pattern, size), min(sizes.max_pattern, size))
    state += GOLDEN_GAMMA
    offset = between(state, 0, size - length)
    num_variables = 0
    for symbol in string[offset : offset + length]:
        lower = symbol - num_upper
        if lower < sizes.num_lower and variable_of[lower] < 0:
            variable_of[lower] = 0
            letters[num_variables] = symbol
            num_variables += 1
    state = shuffle(state, letters[:num_variables])
    for variable in range(num_variables):
        variable_of[letters[variable] - num_upper] = variable
    for position in range(length):
        symbol = string[offset + position]
        pattern[position] = variable_of[symbol - num_upper] if symbol - num_upper < sizes.num_lower else symbol
    for variable in range(num_variables):
        variable_of[letters[variable] - num_upper] = -1
    return state, offset, length, num_variables


@njit(cache=True)
def _draw_replacement(state, sizes, num_variables, replacement):
    """Fills `replacement` with MATH symbols and each variable once, in random order; the state, and the size."""
    state += GOLDEN_GAMMA
    size = between(state, sizes.min_constants, sizes.max_constants)
    for position in range(size):
        state += GOLDEN_GAMMA
        replacement[position] = sizes.num_upper + sizes.num_lower + between(state, 0, sizes.num_math - 1)
    for variable in range(num_variables):
        replacement[size] = variable
        size += 1
    return shuffle(state, replacement[:size]), size


@njit(cache=True)
def _write(names, indices, symbols, place):
    """Writes the symbols behind some indices; the place behind."""
    for index in indices:
        symbols[place] = names[index]
        place += 1
    return place
