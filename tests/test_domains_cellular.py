"""Life-like and neural cellular automata: what a state makes of the one before."""

import gzip
from itertools import pairwise

import numpy as np
import pytest

from metalang.domains.life import Life
from metalang.domains.neural_automata import Nca
from metalang.errors import ConfigError, CorpusError
from metalang.specs import as_spec

BLINKER = [".....", "..#..", "..#..", "..#..", "....."], [".....", ".....", ".###.", ".....", "....."]
GLIDER = [
    [".#....", "..#...", "###...", "......", "......", "......"],
    ["......", "#.#...", ".##...", ".#....", "......", "......"],
    ["......", "..#...", "#.#...", ".##...", "......", "......"],
    ["......", ".#....", "..##..", ".##...", "......", "......"],
    ["......", "..#...", "...#..", ".###..", "......", "......"],
]
ACROSS_THE_SEAM = ["#..", "#..", "#.."], ["###", "###", "###"]
START, END = 10_032, 10_033
SMALL_NCA = {"width": 4, "sequence_length": 24, "complexity_frames": 2, "min_complexity": 0, "max_complexity": 9}


def _drawn(*states):
    """A row whose symbols are the cells of these drawings, and its mask."""
    cells = [32 + (cell == "#") for state in states for line in state for cell in line]
    size = len(states[0]) * len(states[0][0])
    return np.array(cells), np.arange(len(cells)) >= size


def _life(width, height, states, **changes):
    length = width * height * states
    return Life(**{"width": width, "height": height, "cells_per_symbol": 1, "sequence_length": length} | changes)


@pytest.mark.parametrize(
    ("states", "rules"),
    [
        ((*BLINKER, BLINKER[0]), ["B3/S23"]),
        (GLIDER, ["B3/S23"]),
        (GLIDER, ["B36/S23"]),
        (GLIDER, ["B2/S", "B3/S23"]),
        (GLIDER, "all"),
        (ACROSS_THE_SEAM, ["B3/S2"]),
    ],
    ids=["blinker", "glider", "glider in HighLife", "glider, one of two rules", "glider, any rule", "a closed line"],
)
def test_known_patterns_are_rows_of_life(states, rules):
    _life(len(states[0][0]), len(states[0]), len(states), rules=rules).check(*_drawn(*states))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["B3/S23"], "position 36: symbol 33 does not follow from the state before by rule B3/S23"),
        (["B2/S", "B3/S23"], "position 36: symbol 33 does not follow from the state before by any one rule"),
        ("all", "position 39: symbol 32 does not follow from the state before by any one rule"),
    ],
)
def test_a_cell_that_is_born_of_nothing_is_named(rules, message):
    symbols, predicted = _drawn(*GLIDER)
    symbols[36] = 33
    with pytest.raises(CorpusError, match=message):
        _life(6, 6, 5, rules=rules).check(symbols, predicted)


@pytest.mark.parametrize(("width", "height"), [(3, 3), (5, 4), (33, 3), (63, 5), (64, 7)])
@pytest.mark.parametrize("rules", [["B3/S23"], ["B0/S8"], ["B1357/S02468", "B/S012345678"], "all"])
def test_tori_of_any_size_and_any_rules_follow_them(width, height, rules):
    domain = _life(width, height, 4, rules=rules, density=0.3)
    rows = domain.sample(domain.key(0, "train"), 0, 5)
    for symbols, predicted in zip(np.split(rows.symbols, 5), np.split(rows.predicted, 5), strict=True):
        domain.check(symbols, predicted)


def test_symbols_of_one_cell_and_of_eight_are_the_same_cells():
    by_one, by_eight = (Life(cells_per_symbol=cells, sequence_length=256 // cells * 3) for cells in (1, 8))
    cells = by_one.sample(7, 3, 1).symbols - 32
    assert (np.packbits(cells, bitorder="little").astype(int) + 32).tolist() == by_eight.sample(
        7, 3, 1
    ).symbols.tolist()


@pytest.mark.parametrize("density", [0.5, 0.2, 0.9, 2.0**-16])
def test_a_cell_lives_at_first_with_the_density_asked_for(density):
    domain = _life(64, 64, 1, density=density)
    share = (domain.sample(domain.key(0, "train"), 0, 100).symbols == 33).mean()
    assert abs(share - density) < 4 * (density * (1 - density) / 409_600) ** 0.5


def test_the_first_states_of_life_are_golden():
    rows = {
        str(rules): Life(rules=rules, width=8, height=4, sequence_length=12).sample(7, 0, 1).symbols.tolist()
        for rules in (["B3/S23"], "all")
    }
    assert rows == {
        "['B3/S23']": [112, 123, 277, 280, 37, 39, 36, 33, 165, 45, 37, 32],
        "all": [112, 123, 277, 280, 232, 251, 77, 72, 248, 127, 93, 56],
    }


FAULTS = {
    "no_rule": (Life, {"rules": ["3/23"]}, r"rules \['3/23'\] are no rules; .* 'B3/S23', or 'all'"),
    "nine": (Life, {"rules": ["B9/S23"]}, r"rules \['B9/S23'\] are no rules"),
    "no_rules": (Life, {"rules": []}, r"rules \[\] are no rules"),
    "odd_width": (Life, {"width": 12}, "width 12 is no multiple of cells_per_symbol 8"),
    "half_a_state": (Life, {"sequence_length": 31}, "holds no row of life; a row holds whole states"),
    "odd_patches": (Nca, {"patch_width": 5}, "patch_width: .*less than or equal to 4"),
    "cut_patches": (Nca, {"width": 11}, "width 11 is no multiple of patch_width 2"),
    "many_patches": (Nca, {"patch_width": 3}, "make 1,000,000,000 patches; 1,048,576 are the most"),
    "no_band": (Nca, {"min_complexity": 1.0}, "min_complexity 1.0 is not below max_complexity 1.0"),
    "a_frame": (Nca, {"sequence_length": 38}, "holds no row of nca; a row is longer than a frame"),
}


@pytest.mark.parametrize(("kind", "changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_automaton_gets_one_clear_line(kind, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        as_spec(kind, changes, "domain.json")
    assert "\n" not in str(caught.value)


def test_frames_have_38_symbols_and_the_first_is_not_predicted():
    row = Nca().sample(7, 0, 1)
    delimiters = np.flatnonzero(row.symbols >= START)
    assert delimiters[:6].tolist() == [0, 37, 38, 75, 76, 113]
    assert row.symbols[delimiters[:4]].tolist() == [START, END, START, END]
    assert (len(row.symbols), len(delimiters), int(row.predicted.sum())) == (1024, 53, 986)
    assert row.predicted[37:39].tolist() == [False, True]


def test_the_first_states_of_a_neural_automaton_are_golden():
    rows = {
        "published": Nca().sample(7, 0, 1).symbols[37:49].tolist(),
        "small": Nca(num_colours=3, **SMALL_NCA).sample(7, 1, 1).symbols[:18].tolist(),
    }
    assert rows == {
        "published": [10033, 10032, 1809, 7743, 2253, 2804, 7753, 2456, 7754, 1589, 2316, 5303],
        "small": [113, 32, 32, 50, 101, 114, 113, 72, 72, 73, 42, 114, 113, 32, 32, 33, 92, 114],
    }


def _cells(patches):
    """Lines of cells from 36 patches of 2 x 2 cells of 10 colours."""
    cells = [[0] * 12 for _ in range(12)]
    for number, patch in enumerate(patches):
        for inside, digit in enumerate(reversed(f"{patch:04d}")):
            cells[number // 6 * 2 + inside // 2][number % 6 * 2 + inside % 2] = int(digit)
    return cells


@pytest.mark.parametrize("row", [0, 1, 10**9])
def test_a_row_runs_again_in_plain_python_from_its_number(row):
    domain = Nca()
    weights = domain.weights(7, row)
    symbols = domain.sample(7, row, 1).symbols.tolist()
    states = [_cells([symbol - 32 for symbol in symbols[at + 1 : at + 37]]) for at in range(0, 5 * 38, 38)]
    for before, after in pairwise(states):
        for y in range(12):
            for x in range(12):
                around = [before[(y + down) % 12][(x + right) % 12] for down in (-1, 0, 1) for right in (-1, 0, 1)]
                assert domain.next_colour(weights, around) == after[y][x]


def test_a_network_has_the_published_number_of_weights_and_their_law():
    domain = Nca(min_complexity=0, max_complexity=9)
    weights = np.array([domain.weights(7, row) for row in range(300)])
    assert weights.shape == (300, 3 * 3 * 12 * 4 + 4 * 16 + 16 * 10)
    assert (weights.min(), weights.max()) == (-24, 24)
    assert abs(weights.mean()) < 0.1
    assert abs(weights.std() - 10.6) < 0.1  # twelve, cut off at two deviations


@pytest.mark.parametrize(
    "changes",
    [
        {"num_colours": 2, "patch_width": 4, "width": 8, "sequence_length": {"min": 8, "max": 31}},
        {"num_colours": 16, "patch_width": 1, "width": 3, "sequence_length": 50},
        {"num_colours": 4, "patch_width": 3, "width": 9, "sequence_length": 12, "burn_in": 0},
    ],
    ids=["two colours", "cells", "wide patches"],
)
def test_tori_of_any_size_follow_a_rule(changes):
    domain = as_spec(Nca, {"min_complexity": 0, "max_complexity": 99, "complexity_frames": 3} | changes, "nca")
    rows = domain.sample(7, 0, 50)
    borders = rows.ends[:-1]
    for symbols, predicted in zip(np.split(rows.symbols, borders), np.split(rows.predicted, borders), strict=True):
        domain.check(symbols, predicted)


@pytest.mark.parametrize(
    ("place", "symbol", "message"),
    [
        (38, 40, "position 38: symbol 40 should be 10032"),
        (75, 32, "position 75: symbol 32 should be 10033"),
        (50, START, "position 50: symbol 10032 should be a patch, below 10032"),
        (50, 10_034, "position 50: symbol 10034 is not content of nca"),
        (1020, 32, "position 1020: symbol 32 is another outcome than equal neighbours had before"),
    ],
)
def test_check_names_the_first_position_that_no_neural_automaton_gives(place, symbol, message):
    domain = Nca(min_complexity=0.3, max_complexity=0.4)
    row = domain.sample(7, 0, 1)
    domain.check(row.symbols, row.predicted)
    row.symbols[place] = symbol
    with pytest.raises(CorpusError, match=message):
        domain.check(row.symbols, row.predicted)


def test_check_names_a_row_that_is_too_simple():
    row = Nca(min_complexity=0.3, max_complexity=0.4).sample(7, 0, 1)
    with pytest.raises(CorpusError, match=r"position 379: complexity 0\.3\d+ does not lie between 0.5 and 1.0"):
        Nca().check(row.symbols, row.predicted)


@pytest.mark.parametrize(
    ("patches", "complexity"),
    [
        ([5], (326 + 20.4) / 32),
        ([5, 5, 5, 5], (326 + 20.4 + 12.4) / 128),
        ([1, 2, 1, 2, 1, 3, 1, 2], (326 + 3 * 20.4 + 2 * 12.4) / 256),
        ([1, 2, 3, 2, 1], (326 + 3 * 20.4 + 2 * 12.4) / 160),
    ],
)
def test_complexity_counts_patches_that_are_new_and_phrases_that_are_copied(patches, complexity):
    assert Nca().complexity(patches) == pytest.approx(complexity, rel=1e-12)


def test_complexity_is_near_gzip_on_the_published_form():
    domain = Nca(sequence_length=380, min_complexity=0, max_complexity=9)
    rows = domain.sample(domain.key(3, "train"), 0, 500).symbols.reshape(500, 10, 38)[:, :, 1:-1].reshape(500, 360)
    patches = rows.astype("<i4") - 32
    zipped = np.array([len(gzip.compress(row.tobytes(), 9)) / 1440 for row in patches])
    ours = np.array([domain.complexity(row) for row in patches.tolist()])
    assert np.abs(ours - zipped).mean() < 0.01
    assert ((ours > 0.5) == (zipped > 0.5)).mean() > 0.97


def test_a_band_without_rules_is_refused_in_one_line():
    domain = Nca(width=4, burn_in=0, complexity_frames=1, min_complexity=8.5, max_complexity=9, sequence_length=12)
    with pytest.raises(ConfigError, match="none of 10,000 rules of row 3 has a complexity between min_complexity 8"):
        domain.sample(7, 3, 1)
