"""The kernels of neural cellular automata. Weights are small whole numbers, so that every sum is exact.

A weight is at most 24, and 48 where two are one; a sum of nine is at most 432, a hidden value 41,472, a logit
15,925,248: below 2**24, to which float32 holds whole numbers. So order and fusion of the sums change no bit.
"""

from typing import NamedTuple

import numpy as np
from numba import float32, int32, int64, njit, uint64

from metalang.domains.vocabulary import Tables, draw_one
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state

INNER, HIDDEN = 4, 16
"""Channels behind the first convolution and behind the second."""
HEADER, NEW, COPY, RAW = 3260, 204, 124, 320
"""Tenths of a bit: a compressed text, a patch in it that did not stand before, a copied phrase; a raw patch."""
_LANE, _LANES = 16, 0xFFFF  # four sums of nine lie in one word
_BIAS = 64  # added to each of the nine, so that none is negative


class Rules(NamedTuple):
    """What kernels draw rules and first states from, and which rules are kept.

    `weights` are the tables of a network's weights, their middle rank 0; `logits` those of a first state's, and `odds`
    (logits.size,) uint64 the exponentials of these. A rule is kept where the complexity of its first `frames` states
    lies between the two bounds.
    """

    weights: Tables
    logits: Tables
    odds: np.ndarray
    burn_in: int
    frames: int
    min_complexity: float
    max_complexity: float
    max_candidates: int


class Automaton(NamedTuple):
    """A network, its torus and room to work in, of W x W cells and C colours.

    `drawn` (9 (C + 2) 4 + 4 16 + 16 C,) int64, the weights in order; `trios` (3, C**3) uint64, what three cells of a
    line add to the sum of nine, four channels to a word; `second` (16, 4) and `third` (C, 16) float32; `cells` (W W,)
    int32; `ringed` ((W + 2)**2,) uint8, the cells with those across the seam around them, and `codes` of each three
    of them; then sums, planes, hidden values and best logits of a step.
    """

    width: int
    patch_width: int
    drawn: np.ndarray
    trios: np.ndarray
    second: np.ndarray
    third: np.ndarray
    cells: np.ndarray
    ringed: np.ndarray
    codes: np.ndarray
    sums: np.ndarray
    planes: np.ndarray
    hidden: np.ndarray
    best: np.ndarray


def automaton_of(width: int, num_colours: int, patch_width: int) -> Automaton:
    """Room for a network and its torus; nothing in it is drawn yet."""
    size, num_weights = width * width, 9 * (num_colours + 2) * INNER + INNER * HIDDEN + HIDDEN * num_colours
    return Automaton(
        width,
        patch_width,
        np.zeros(num_weights, np.int64),
        np.zeros((3, num_colours**3), np.uint64),
        np.zeros((HIDDEN, INNER), np.float32),
        np.zeros((num_colours, HIDDEN), np.float32),
        np.zeros(size, np.int32),
        np.zeros((width + 2) ** 2, np.uint8),
        np.zeros((width + 2) ** 2 - 2, np.uint16),
        np.zeros(size, np.uint64),
        np.zeros((INNER, size), np.float32),
        np.zeros((HIDDEN, size), np.float32),
        np.zeros(size, np.float32),
    )


@njit(cache=True)
def fill_rows(key, start, ends, rules, automaton, patches, last, symbols):
    """Writes rows as START, patches, END, START, ...; the number of the row for which no rule is kept, or -1.

    `patches` (states, patches of a state) int32 is room for the longest row; `last` (num_patches,) int32 is all -1.
    """
    begin, per_state = 0, patches.shape[1]
    for index in range(len(ends)):
        if not find_rule(key, start + index, rules, automaton, patches, last):
            return start + index
        frame_start, state = begin, 0
        while frame_start < ends[index]:
            if state >= rules.frames:
                _step(automaton)
                _write_patches(automaton, patches[state])
            symbols[frame_start] = NUM_CONTROL + len(last)
            inside = min(per_state, ends[index] - frame_start - 1)
            for number in range(inside):
                symbols[frame_start + 1 + number] = NUM_CONTROL + patches[state, number]
            if frame_start + 1 + per_state < ends[index]:
                symbols[frame_start + 1 + per_state] = NUM_CONTROL + len(last) + 1
            frame_start += per_state + 2
            state += 1
        begin = ends[index]
    return -1


@njit(cache=True)
def find_rule(key, row, rules, automaton, patches, last):
    """Whether one of the row's candidates is kept: then it stands in `automaton`, its first states in `patches`."""
    state = row_state(key, uint64(row)) + GOLDEN_GAMMA
    first_states = patches[: rules.frames].reshape(-1)
    before = np.empty(len(first_states), dtype=np.int32)
    for _ in range(rules.max_candidates):
        state = _draw_network(state, rules, automaton)
        state = _draw_cells(state, rules, automaton)
        for _ in range(rules.burn_in):
            _step(automaton)
        for frame in range(rules.frames):
            if frame > 0:
                _step(automaton)
            _write_patches(automaton, patches[frame])
        cost = _compressed(first_states, last, before)
        if rules.min_complexity < cost / (RAW * len(first_states)) < rules.max_complexity:
            return True
    return False


@njit(cache=True)
def _draw_network(state, rules, automaton):
    """Draws the weights and lays them out for `_step`; the state behind the last draw."""
    drawn, num_colours = automaton.drawn, automaton.third.shape[0]
    first = np.empty((9, num_colours), dtype=np.uint64)
    top = (rules.weights.size - 1) // 2
    for number in range(len(drawn)):
        state += GOLDEN_GAMMA
        drawn[number] = int64(draw_one(mix64(state), rules.weights)) - top
    for offset in range(9):
        kernel = drawn[offset * (num_colours + 2) * INNER :]
        for colour in range(num_colours):
            word = uint64(0)
            for channel in range(INNER):
                weight = kernel[(colour + 1) * INNER + channel]
                if colour == 0:
                    weight += kernel[(num_colours + 1) * INNER + channel]
                if colour == num_colours - 1:
                    weight += kernel[channel]
                word |= uint64(weight + _BIAS) << uint64(_LANE * channel)
            first[offset, colour] = word
    for line in range(3):
        left, middle, right = first[3 * line], first[3 * line + 1], first[3 * line + 2]
        for pair in range(num_colours**2):
            word = left[pair // num_colours] + middle[pair % num_colours]
            for colour in range(num_colours):
                automaton.trios[line, pair * num_colours + colour] = word + right[colour]
    behind_first = 9 * (num_colours + 2) * INNER
    for channel in range(INNER):
        for unit in range(HIDDEN):
            automaton.second[unit, channel] = drawn[behind_first + channel * HIDDEN + unit]
    for unit in range(HIDDEN):
        for colour in range(num_colours):
            automaton.third[colour, unit] = drawn[behind_first + INNER * HIDDEN + unit * num_colours + colour]
    return state


@njit(cache=True)
def _draw_cells(state, rules, automaton):
    """Draws the first state, its cells alike; the state behind the last draw."""
    num_colours, cells = automaton.third.shape[0], automaton.cells
    upto, total = np.empty(num_colours, dtype=np.uint64), uint64(0)
    for colour in range(num_colours):
        state += GOLDEN_GAMMA
        total += rules.odds[int64(draw_one(mix64(state), rules.logits))]
        upto[colour] = total
    for place in range(len(cells)):
        state += GOLDEN_GAMMA
        draw, colour = below(mix64(state), total), 0
        while draw >= upto[colour]:
            colour += 1
        cells[place] = colour
    return state


@njit(cache=True)
def _step(automaton):
    """The next state: of each cell the colour of the highest logit, the lower of two that are equal."""
    _sum_neighbours(automaton)
    planes, hidden = automaton.planes, automaton.hidden
    for unit in range(HIDDEN):
        weights = automaton.second[unit]
        by_0, by_1, by_2, by_3 = weights[0], weights[1], weights[2], weights[3]
        for place in range(hidden.shape[1]):
            value = (
                planes[0, place] * by_0 + planes[1, place] * by_1 + planes[2, place] * by_2 + planes[3, place] * by_3
            )
            hidden[unit, place] = max(value, float32(0))
    _take_highest(hidden, automaton.third, automaton.best, automaton.cells)


@njit(cache=True)
def _sum_neighbours(automaton):
    """What the first convolution gives, in `planes` (4, W W)."""
    width, ringed, codes, sums = automaton.width, automaton.ringed, automaton.codes, automaton.sums
    side, num_colours = width + 2, automaton.third.shape[0]
    for line in range(width):
        begin = (line + 1) * side
        for column in range(width):
            ringed[begin + column + 1] = automaton.cells[line * width + column]
        ringed[begin], ringed[begin + width + 1] = ringed[begin + width], ringed[begin + 1]
    for column in range(side):
        ringed[column], ringed[(width + 1) * side + column] = ringed[width * side + column], ringed[side + column]
    for place in range(len(codes)):
        codes[place] = (ringed[place] * num_colours + ringed[place + 1]) * num_colours + ringed[place + 2]
    for line in range(width):
        for column in range(width):
            above = line * side + column
            word = automaton.trios[0, codes[above]] + automaton.trios[1, codes[above + side]]
            sums[line * width + column] = word + automaton.trios[2, codes[above + 2 * side]]
    for channel in range(INNER):
        for place in range(len(sums)):
            lane = int32((sums[place] >> uint64(_LANE * channel)) & uint64(_LANES))
            automaton.planes[channel, place] = float32(lane - int32(9 * _BIAS))


@njit(cache=True)
def _take_highest(hidden, third, best, cells):
    for colour in range(third.shape[0]):
        for place in range(len(best)):
            logit = float32(0)
            for unit in range(HIDDEN):
                logit += hidden[unit, place] * third[colour, unit]
            higher = colour == 0 or logit > best[place]
            best[place] = logit if higher else best[place]
            cells[place] = colour if higher else cells[place]


@njit(cache=True)
def _write_patches(automaton, out):
    """The state as patches, lines from the top; in a patch the first cell is the lowest digit."""
    width, size, num_colours = automaton.width, automaton.patch_width, automaton.third.shape[0]
    number = 0
    for line in range(0, width, size):
        for column in range(0, width, size):
            patch = 0
            for down in range(size - 1, -1, -1):
                for right in range(size - 1, -1, -1):
                    patch = patch * num_colours + automaton.cells[(line + down) * width + column + right]
            out[number] = patch
            number += 1


@njit(cache=True)
def _compressed(patches, last, before):
    """What `patches` (n,) cost, read from the left: a new patch, or the longest phrase that began before.

    `last` (num_patches,), all -1, and `before` (n,): where a patch stood last, and where the one at a place did before.
    """
    cost, place = HEADER, 0
    while place < len(patches):
        longest, source = 0, last[patches[place]]
        while source >= 0 and place + longest < len(patches):
            if patches[source + longest] == patches[place + longest]:
                length = 1
                while place + length < len(patches) and patches[source + length] == patches[place + length]:
                    length += 1
                longest = max(longest, length)
            source = before[source]
        cost += COPY if longest > 0 else NEW
        for behind in range(place, place + max(1, longest)):
            before[behind] = last[patches[behind]]
            last[patches[behind]] = behind
        place += max(1, longest)
    for place in range(len(patches)):
        last[patches[place]] = -1
    return cost
