"""The kernels of LIME: symbols that a row declares, its rule, its cases and its results."""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from metalang.domains.lime import NUM_MARKS, Mark
from metalang.domains.strings import between, shuffle
from metalang.domains.vocabulary import discourse_of, draw_row
from metalang.ids import Control
from metalang.seeds import GOLDEN_GAMMA, row_state

_SEP, _EOS = int(Control.SEP), int(Control.EOS)
_UPPER, _LOWER, _MATH, _SPACE = int(Mark.UPPER), int(Mark.LOWER), int(Mark.MATH), int(Mark.SPACE)
_COLON, _OPEN, _CLOSE, _COMMA = int(Mark.COLON), int(Mark.OPEN), int(Mark.CLOSE), int(Mark.COMMA)
_RULE, _CASE, _RESULT, _SECOND_RESULT = -1, -2, -3, -4  # pieces of a layout; what is above 0 stands as it is


class Sizes(NamedTuple):
    """The numbers of a reasoning task, as the kernel reads them."""

    num_upper: int
    num_lower: int
    num_math: int
    min_variables: int
    max_variables: int
    min_constants: int
    max_constants: int
    min_length: int
    max_length: int


@njit(cache=True)
def draw_names(state, tables, discourse, names, scratch):
    """Fills `names` (num_names,) with different symbols: UPPER, then LOWER, then MATH; the state behind its draws."""
    state = draw_row(state, tables, names, scratch, discourse)
    for index in range(len(names)):
        names[index] += NUM_MARKS
    return state


@njit(cache=True)
def write_names(names, listed, num_lower, symbols, place):
    """Writes what a source begins with, and gives the place behind; `listed` (num_upper,): which variables it names."""
    symbols[place] = _UPPER
    place += 1
    num_upper = len(listed)
    for index in range(num_upper):
        if listed[index]:
            symbols[place] = names[index]
            place += 1
    symbols[place] = _LOWER
    place += 1
    for index in range(num_upper, len(names)):
        if index == num_upper + num_lower:
            symbols[place] = _MATH
            place += 1
        symbols[place] = names[index]
        place += 1
    symbols[place] = _SPACE
    return place + 1


@njit(cache=True)
def finish_row(symbols, predicted, begin, separator, place, flags):
    """Writes EOS and the mask of a row, and gives its end; `flags`: source predicted, EOS predicted, EOS there."""
    mask_source, mask_eos, eos = flags
    predicted[begin : separator + 1] = mask_source
    predicted[separator + 1 : place] = True
    if eos:
        symbols[place] = _EOS
        predicted[place] = mask_eos
        place += 1
    return place


@njit(cache=True)
def write_reasoning(key, start, tables, sizes, layouts, flags, symbols, predicted, ends):
    """Writes rows, each of one layout. A rule and its cases hold indices into `names`."""
    names = np.empty(sizes.num_upper + sizes.num_lower + sizes.num_math, np.int64)
    scratch = np.arange(tables.size + len(names))
    rule = np.empty(2 * sizes.max_variables + sizes.max_constants, np.int64)
    listed = np.empty(sizes.num_upper, np.bool_)
    values = np.empty((2, sizes.max_variables, sizes.max_length), np.int64)
    lengths = np.empty((2, sizes.max_variables), np.int64)
    place = 0
    for index in range(len(ends)):
        begin, separator = place, place
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        discourse, layout = discourse_of(tables, state), layouts[between(state, 0, len(layouts) - 1)]
        state = draw_names(state, tables, discourse, names, scratch)
        state, size = _draw_rule(state, sizes, rule, listed)
        state = _draw_case(state, sizes, listed, values[0], lengths[0])
        place = write_names(names, listed, sizes.num_lower, symbols, place)
        for code in layout:
            if code == 0:
                break
            if code == _RULE:
                for position in range(size):
                    symbols[place] = names[rule[position]]
                    place += 1
            elif code == _CASE:
                place = _write_case(names, listed, values[0], lengths[0], symbols, place)
            elif code == _RESULT:
                place = _write_result(names, rule[:size], values[0], lengths[0], symbols, place)
            elif code == _SECOND_RESULT:
                state = _draw_case(state, sizes, listed, values[1], lengths[1])
                place = _write_result(names, rule[:size], values[1], lengths[1], symbols, place)
            else:
                if code == _SEP:
                    separator = place
                symbols[place] = code
                place += 1
        place = finish_row(symbols, predicted, begin, separator, place, flags)
        ends[index] = place


@njit(cache=True)
def _draw_rule(state, sizes, rule, listed):
    """Fills `rule` with 2 c draws of c variables and some MATH, in random order; the state, and the size."""
    state += GOLDEN_GAMMA
    num_variables = between(state, sizes.min_variables, sizes.max_variables)
    state += GOLDEN_GAMMA
    constants = between(state, sizes.min_constants, sizes.max_constants)
    listed[:] = False
    size = 0
    for _ in range(2 * num_variables):
        state += GOLDEN_GAMMA
        rule[size] = between(state, 0, num_variables - 1)
        listed[rule[size]] = True
        size += 1
    for _ in range(constants):
        state += GOLDEN_GAMMA
        rule[size] = sizes.num_upper + sizes.num_lower + between(state, 0, sizes.num_math - 1)
        size += 1
    return shuffle(state, rule[:size]), size


@njit(cache=True)
def _draw_case(state, sizes, listed, values, lengths):
    """Gives each listed variable a string of LOWER and MATH; the state."""
    for variable in range(len(lengths)):
        if not listed[variable]:
            continue
        state += GOLDEN_GAMMA
        lengths[variable] = between(state, sizes.min_length, sizes.max_length)
        for position in range(lengths[variable]):
            state += GOLDEN_GAMMA
            draw = between(state, 0, sizes.num_lower + sizes.num_math - 1)
            values[variable, position] = sizes.num_upper + draw
    return state


@njit(cache=True)
def _write_case(names, listed, values, lengths, symbols, place):
    """Writes `A : [ x y ] , B : [ = z ]`; the place behind."""
    for variable in range(len(lengths)):
        if not listed[variable]:
            continue
        symbols[place] = names[variable]
        symbols[place + 1] = _COLON
        symbols[place + 2] = _OPEN
        place += 3
        for position in range(lengths[variable]):
            symbols[place] = names[values[variable, position]]
            place += 1
        symbols[place] = _CLOSE
        symbols[place + 1] = _COMMA
        place += 2
    return place - 1


@njit(cache=True)
def _write_result(names, rule, values, lengths, symbols, place):
    """Writes the rule with a case put in; the place behind."""
    for index in rule:
        if index >= len(lengths):
            symbols[place] = names[index]
            place += 1
            continue
        for position in range(lengths[index]):
            symbols[place] = names[values[index, position]]
            place += 1
    return place
