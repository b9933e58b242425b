"""Brackets, dependencies, repetition, blocks and automata: what they promise beyond the contract of every domain."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.domains.automata import FlipFlop, RegexDFA
from metalang.domains.blocks import ShuffleN, WWCopy
from metalang.domains.brackets import KDyck, KShuffleDyck
from metalang.domains.dependencies import FlatParens, MixedParens, NestedParens
from metalang.domains.repetition import ModRepetition, Repetition, SparseConstant
from metalang.domains.streams import RandomTokens
from metalang.errors import ConfigError, CorpusError
from metalang.specs import as_spec

THREE = {"vocabulary": {"size": 3}, "paired": True}  # heads 32 33 34, tails 35 36 37
MANY = {"vocabulary": {"size": 20_000}, "paired": True}


def _rows(domain, count, key=0):
    sample = domain.sample(key, 0, count)
    return [row.astype(int).tolist() for row in np.split(sample.symbols, sample.ends[:-1])]


def _check(domain, row, mask=None):
    domain.check(np.array(row), np.array(mask or domain.expected_mask(row)))


def _chi_square(counts, expected):
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


GOLDEN = {
    RandomTokens(sequence_length=8): [183, 502, 57, 38, 204, 231, 36, 48],
    NestedParens(**THREE, sequence_length=8): [34, 37, 33, 33, 36, 34, 34, 37],
    FlatParens(**THREE, sequence_length=8): [32, 34, 33, 37, 36, 33, 35, 32],
    MixedParens(**THREE, sequence_length=8, mix_prob=0.5): [34, 33, 33, 34, 37, 36, 37, 36],
    Repetition(sequence_length=8, num_repeated=3): [183, 502, 57, 183, 502, 57, 38, 204],
    ModRepetition(sequence_length=8, num_repeated=3): [531, 336, 303, 421, 226, 193, 301, 133],
    SparseConstant(**THREE, sequence_length=8, match_prob=0.5, distance=2): [32, 34, 33, 33, 36, 32, 32, 33],
    WWCopy(sequence_length=8, word_length=3): [92, 88, 74, 92, 88, 74, 57, 70],
    ShuffleN(sequence_length=8, block_size=4): [9699, 9702, 9700, 9701, 12784, 12783, 12782, 12785],
    KDyck(sequence_length=8): [51, 92, 88, 152, 54, 118, 156, 115],
    KDyck(sequence_length=8, exact_balance=False, max_depth=2, max_word_length=4): [51, 92, 156, 115, 54, 57, 121, 118],
    KShuffleDyck(sequence_length=8, num_types=3): [32, 34, 34, 37, 33, 33, 37, 36],
    RegexDFA(sequence_length=8, automaton="tomita_3"): [32, 33, 33, 33, 33, 32, 32, 33],
    FlipFlop(sequence_length=8): [32, 36, 33, 36, 34, 35, 33, 36],
}


KINDS = {domain.type: type(domain) for domain in GOLDEN}


@pytest.mark.parametrize(("domain", "row"), GOLDEN.items(), ids=[domain.type for domain in GOLDEN])
def test_the_first_row_is_golden(domain, row):
    """A changed row is a change of format: say so in CHANGELOG.md."""
    assert _rows(domain, 1, key=7) == [row]


ACCEPTED = {
    "nested": (NestedParens(**THREE, sequence_length=6), [32, 33, 36, 35, 34, 34]),
    "crossing": (FlatParens(**THREE, sequence_length=6, dependency_length=2), [32, 33, 35, 36, 34, 34]),
    "crossing_same_symbol": (FlatParens(**THREE, sequence_length=4, dependency_length=2), [32, 32, 35, 35]),
    "mixed": (MixedParens(**THREE, sequence_length=6), [32, 33, 35, 36, 34, 37]),
    "repeated": (Repetition(**THREE, sequence_length=7, num_repeated=2), [32, 33, 35, 36, 34, 32, 37]),
    "residues": (
        ModRepetition(vocabulary={"size": 9}, sequence_length=7, num_repeated=2, mod=3),
        [32, 33, 38, 36, 40, 40, 34],
    ),
    "recurring": (SparseConstant(**THREE, sequence_length=5, distance=2), [32, 33, 35, 34, 32]),
    "copied": (WWCopy(sequence_length=9, word_length={"min": 2, "max": 3}), [32, 33, 32, 33, 40, 41, 42, 40, 41]),
    "blocks": (ShuffleN(sequence_length=6, block_size=3), [34, 32, 33, 90, 92, 91]),
    "balanced": (KDyck(num_types=2, sequence_length=6), [32, 33, 35, 32, 34, 34]),
    "words": (
        KDyck(num_types=2, sequence_length=7, exact_balance=False, max_depth=2, max_word_length=3),
        [32, 33, 35, 34, 33, 35, 32],
    ),
    "interleaved": (KShuffleDyck(num_types=2, sequence_length=5, max_depth=2), [32, 33, 34, 32, 35]),
    "automaton": (RegexDFA(automaton="tomita_2", sequence_length=4), [33, 32, 33, 32]),
    "flip_flop": (FlipFlop(sequence_length=8), [32, 36, 34, 35, 33, 36, 33, 36]),
}


@pytest.mark.parametrize(("domain", "row"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_row_written_by_hand_is_accepted(domain, row):
    _check(domain, row)


REFUSED = {
    "foreign": ("nested", [32, 33, 38, 35, 34, 34], "position 2: symbol 38 is not content of nested_parens"),
    "short": ("nested", [32, 33, 36], "position 3: the row has 3 symbols; it should have 6 to 6"),
    "long": ("nested", [32, 33, 36, 35, 34, 34, 34], "position 6: the row has 7 symbols"),
    "crossed": ("nested", [32, 33, 35, 36, 34, 34], "position 2: tail is 35 and should be 36"),
    "no_head": ("nested", [32, 35, 36, 34, 34, 34], "position 2: tail 36 stands where no head is open"),
    "far": ("crossing", [32, 33, 33, 33, 33, 35], "position 5: tail 35 has no head 1 to 4 places before"),
    "no_such_head": ("crossing", [32, 36, 33, 34, 34, 34], "position 1: tail 36 has no head"),
    "tail_twice": ("crossing", [32, 33, 35, 35, 34, 34], "position 3: tail 35 has no head"),
    "tail_first": ("mixed", [32, 35, 35, 32, 34, 37], "position 2: tail 35 has no head"),
    "other": ("repeated", [32, 33, 35, 35, 34, 32, 37], "position 3: symbol is 35 and should be 36"),
    "early_tail": ("repeated", [32, 36, 35, 36, 34, 32, 37], "position 1: tail 36 stands among the heads"),
    "residue": ("residues", [32, 33, 38, 37, 40, 40, 34], "position 3: symbol 37 has residue 2 and should have 1"),
    "distance": ("recurring", [32, 33, 34, 35, 32], "position 3: tail 35 has no head 2 places before it"),
    "chained": ("recurring", [32, 33, 35, 34, 35], "position 4: tail 35 has no head 2 places before it"),
    "no_copy": ("copied", [32, 33, 34, 33, 40, 41, 42, 40, 41], "position 3: symbol 33 goes on no word"),
    "late": ("copied", [32, 33, 32, 33, 40, 41, 42, 40, 43], "position 8: symbol 43 goes on no word"),
    "twice": ("blocks", [34, 32, 34, 90, 92, 91], "position 2: symbol 34 stands in its block already"),
    "gap": ("blocks", [34, 32, 33, 90, 93, 91], "position 4: symbol 93 lies 3 or more from another"),
    "unbalanced": ("balanced", [32, 33, 35, 32, 34, 33], "position 6: the row ends with 2 open brackets"),
    "wrong_type": ("balanced", [32, 33, 34, 35, 32, 34], "position 2: bracket 34 closes and should be 35"),
    "none_open": ("balanced", [32, 34, 34, 32, 34, 32], "position 2: bracket 34 closes where none is open"),
    "deep": ("words", [32, 33, 33, 35, 35, 34, 32], "position 2: bracket 33 opens at depth 2, the greatest"),
    "long_word": ("words", [32, 34, 32, 34, 32, 33, 33], "position 6: bracket 33 opens at depth 2"),
    "room": ("words", [32, 33, 35, 33, 35, 34, 32], "position 3: bracket 33 opens in a word of 3 symbols already"),
    "closes": ("interleaved", [32, 33, 34, 34, 35], "position 3: bracket 34 closes where none of its type is open"),
    "too_many": ("interleaved", [32, 33, 32, 34, 35], "position 2: bracket 32 opens while 2 are open"),
    "dead": ("automaton", [33, 33, 33, 32], "position 1: symbol 33 leads to state 2, from which nothing is accepted"),
    "stops": ("automaton", [33, 32, 33, 33], "position 3: symbol 33 leads to state 2"),
    "not_last": ("flip_flop", [32, 36, 34, 35, 33, 35, 33, 36], "position 5: bit 35 is read and 36 was written last"),
    "read_first": ("flip_flop", [33, 36, 34, 35, 33, 36, 33, 36], "position 0: the first instruction is 33"),
    "ignore_last": ("flip_flop", [32, 36, 34, 35, 33, 36, 34, 36], "position 6: the last instruction is 34"),
    "no_bit": ("flip_flop", [32, 36, 34, 33, 33, 36, 33, 36], "position 3: symbol 33 is an instruction where a bit"),
    "no_instruction": (
        "flip_flop",
        [32, 36, 36, 35, 33, 36, 33, 36],
        "position 2: symbol 36 is a bit where an instruction",
    ),
}


@pytest.mark.parametrize(("name", "row", "message"), REFUSED.values(), ids=REFUSED)
def test_check_names_the_first_position_that_breaks_the_definition(name, row, message):
    with pytest.raises(CorpusError, match=message):
        _check(ACCEPTED[name][0], row)


def test_an_end_that_does_not_accept_is_named():
    domain = RegexDFA(automaton="parity", sequence_length=3)
    with pytest.raises(CorpusError, match="position 3: the row ends in state 1, which does not accept"):
        _check(domain, [33, 33, 33])


def test_check_names_a_wrong_mask():
    with pytest.raises(CorpusError, match="position 2: mask is False and should be True"):
        _check(ACCEPTED["balanced"][0], [32, 33, 35, 32, 34, 34], [True, True, False, True, True, True])


def test_flip_flop_predicts_the_bits_that_are_read_or_all():
    row = [32, 36, 34, 35, 33, 36, 33, 36]
    assert FlipFlop(sequence_length=8).expected_mask(row) == [False] * 5 + [True, False, True]
    assert FlipFlop(sequence_length=8, mask="all").expected_mask(row) == [True] * 8


@pytest.mark.parametrize(
    ("distance", "max_displacement", "row"),
    [
        (1, 2, [32, 33, 32, 33, 32, 33, 32, 33, 32, 33, 32, 33]),
        (3, 0, [32, 32, 32, 33, 33, 33, 32, 32, 32, 33, 33, 33]),
        (0, 0, [32] * 12),
        (0, 2, [32, 33, 32, 33, 32, 33, 32, 33, 32, 33, 32, 33]),
        (7, None, [32, 32, 32, 32, 32, 32, 32, 33, 33, 33, 33, 33]),
    ],
)
def test_tails_of_one_distance_stand_where_the_definition_puts_them(distance, max_displacement, row):
    domain = FlatParens(
        vocabulary={"size": 1},
        paired=True,
        sequence_length=12,
        dependency_length={"min": distance, "max": distance},
        max_displacement=max_displacement,
    )
    assert _rows(domain, 1) == [row]


def test_the_first_head_of_a_row_has_the_law_of_dependency_lengths():
    domain = FlatParens(
        vocabulary={"size": 4000},
        paired=True,
        sequence_length=9,
        dependency_length={"min": 1, "max": 8, "distribution": {"type": "zipf", "alpha": 2.0, "beta": 0.0}},
    )
    rows = _rows(domain, 20_000)
    counts = np.bincount([row.index(row[0] + 4000) for row in rows if row[0] + 4000 in row], minlength=9)[1:]
    law = np.array([1 / rank**2 for rank in range(1, 9)])
    assert _chi_square(counts, 20_000 * law / law.sum()) < 30.0  # 7 degrees of freedom: p below 1e-4


def test_a_tail_whose_place_is_taken_goes_left_before_right():
    """Heads at 0 and 1 with distances 3 and 2, one row in four: the second tail goes to 2, though 4 is free as well."""
    rows = _rows(FlatParens(**MANY, sequence_length=6, dependency_length={"min": 2, "max": 3}), 4000)
    left = [row[2] == row[1] + 20_000 and row[3] == row[0] + 20_000 for row in rows]
    assert abs(np.mean(left) - 0.25) < 4 * (0.1875 / 4000) ** 0.5


def test_without_a_bound_on_displacement_every_head_is_served_but_those_at_the_end():
    domain = FlatParens(**MANY, sequence_length=300, dependency_length={"min": 5, "max": 40}, max_displacement=None)
    for row in _rows(domain, 20):
        served = [head + 20_000 in row for head in row[:260] if head < 20_032]
        assert all(served)


@pytest.mark.parametrize("open_prob", [0.3, 0.49, 0.6])
def test_heads_open_as_often_as_they_should(open_prob):
    opened = chances = 0
    for row in _rows(NestedParens(**MANY, open_prob=open_prob), 100):
        depth = 0
        for symbol in row:
            opens = symbol < 20_032
            opened, chances = opened + (opens and depth > 0), chances + (depth > 0)
            depth += 1 if opens else -1
    assert abs(opened / chances - open_prob) < 4 * (0.25 / chances) ** 0.5


def test_unpaired_tails_are_their_heads():
    domain = NestedParens(vocabulary={"size": 3}, sequence_length=40)
    paired = NestedParens(vocabulary={"size": 3}, sequence_length=40, paired=True)
    folded = [[(symbol - 32) % 3 + 32 for symbol in row] for row in _rows(paired, 50)]
    assert _rows(domain, 50) == folded


def test_a_mixture_of_one_kind_is_that_kind():
    nested = MixedParens(**THREE, sequence_length=60, mix_prob=0.0)
    flat = MixedParens(**THREE, sequence_length=60, mix_prob=1.0)
    for row in _rows(nested, 50):
        _check(NestedParens(**THREE, sequence_length=60), row)
    assert _rows(flat, 50) == _rows(FlatParens(**THREE, sequence_length=60), 50)


def test_heads_recur_as_often_as_they_should():
    domain = SparseConstant(**MANY, match_prob=0.1, distance=10)
    recur = [row[place + 10] == row[place] + 20_000 for row in _rows(domain, 100) for place in range(502)
             if row[place] < 20_032]  # fmt: skip
    assert abs(np.mean(recur) - 0.1) < 4 * (0.09 / len(recur)) ** 0.5


def test_quotients_are_drawn_anew_given_the_residue():
    domain = ModRepetition(vocabulary={"size": 6}, sequence_length=2, num_repeated=1, mod=2)
    pairs, counts = np.unique(_rows(domain, 18_000), axis=0, return_counts=True)
    assert len(pairs) == 18 and all((first - second) % 2 == 0 for first, second in pairs)
    assert _chi_square(counts, 1000.0) < 45.0  # 17 degrees of freedom: p below 3e-4


def test_both_halves_of_a_mod_repetition_have_the_law_of_the_vocabulary():
    vocabulary = {"size": 7, "distribution": {"type": "zipf", "alpha": 1.0, "beta": 0.0}}
    domain = ModRepetition(vocabulary=vocabulary, sequence_length=2, num_repeated=1, mod=3)
    law = 20_000 / np.arange(1, 8) / sum(1 / rank for rank in range(1, 8))
    for half in np.array(_rows(domain, 20_000)).T - 32:
        counts = np.sort(np.bincount(half, minlength=7))[::-1]
        assert _chi_square(counts, law) < 28.0  # 6 degrees of freedom: p below 1e-4


def test_another_structure_seed_gives_symbols_other_ranks():
    rows = [_rows(ModRepetition(structure_seed=seed), 1) for seed in (0, 1)]
    assert rows[0] != rows[1]


def test_words_have_uniform_lengths():
    domain = WWCopy(vocabulary={"size": 20_000}, sequence_length=40, word_length={"min": 3, "max": 7})
    sizes = [next(size for size in range(3, 8) if row[:size] == row[size : 2 * size]) for row in _rows(domain, 5000)]
    assert _chi_square(np.bincount(sizes, minlength=8)[3:], 1000.0) < 24.0  # 4 degrees of freedom: p below 1e-4


def test_blocks_start_and_stand_in_order_uniformly():
    domain = ShuffleN(vocabulary_size=6, block_size=3, sequence_length=3)
    rows, counts = np.unique(_rows(domain, 24_000), axis=0, return_counts=True)
    assert len(rows) == 24  # four starts, six orders
    assert _chi_square(counts, 1000.0) < 55.0  # 23 degrees of freedom: p below 2e-4


def _depths(row, num_types):
    return np.cumsum([1 if symbol < 32 + num_types else -1 for symbol in row])


def test_a_balanced_row_is_a_word_and_opens_all_types_alike():
    rows = _rows(KDyck(num_types=5, sequence_length=200), 400)
    assert all(_depths(row, 5)[-1] == 0 for row in rows)
    counts = np.bincount([symbol - 32 for row in rows for symbol in row], minlength=10)
    assert counts[:5].tolist() == counts[5:].tolist() and counts.sum() == 80_000
    assert _chi_square(counts[:5], 8000.0) < 24.0  # 4 degrees of freedom: p below 1e-4


@pytest.mark.parametrize(
    ("domain", "open_prob"),
    [
        (KDyck(num_types=3, exact_balance=False, open_prob=0.4), 0.4),
        (KDyck(num_types=3, exact_balance=False, open_prob=0.5, max_depth=8), 0.5),
        (KShuffleDyck(num_types=3), 0.51),
    ],
)
def test_brackets_open_as_often_as_they_should(domain, open_prob):
    opened = chances = 0
    for row in _rows(domain, 60):
        depths = _depths(row, 3)
        free = (depths[:-1] > 0) & (depths[:-1] < (domain.max_depth or 10**9))
        opened, chances = opened + np.sum(np.diff(depths)[free] > 0), chances + np.sum(free)
    assert abs(opened / chances - open_prob) < 4 * (0.25 / chances) ** 0.5


def test_a_shuffled_bracket_closes_a_type_at_random_not_an_open_one():
    """Two open brackets of a type and one of the other: either type closes half of the time, not in two of three."""
    more = less = 0
    for row in _rows(KShuffleDyck(num_types=2), 200):
        counts = [0, 0]
        for symbol in row:
            kind, opens = (symbol - 32) % 2, symbol < 34
            if not opens and sorted(counts) == [1, 2]:
                more, less = more + (counts[kind] == 2), less + (counts[kind] == 1)
            counts[kind] += 1 if opens else -1
    assert more + less > 10_000
    assert abs(more / (more + less) - 0.5) < 4 * (0.25 / (more + less)) ** 0.5


def test_words_of_brackets_end_within_their_bound():
    domain = KDyck(num_types=2, exact_balance=False, open_prob=0.6, max_depth=4, max_word_length=20)
    for row in _rows(domain, 50):
        ends = np.flatnonzero(_depths(row, 2) == 0)
        sizes = np.diff(ends, prepend=-1)
        assert sizes.max() <= 22  # 19 symbols, or 18, and up to four to close


def _no_odd_ones_before_odd_zeros(text):
    runs = [(letter, len(list(group))) for letter, group in itertools.groupby(text)]
    return not any(first[0] == "1" and first[1] % 2 and second[1] % 2 for first, second in itertools.pairwise(runs))


LANGUAGES = {
    "tomita_1": lambda text: re.fullmatch("1*", text),
    "tomita_2": lambda text: re.fullmatch("(10)*", text),
    "tomita_3": _no_odd_ones_before_odd_zeros,
    "tomita_4": lambda text: "000" not in text,
    "tomita_5": lambda text: text.count("0") % 2 == 0 and text.count("1") % 2 == 0,
    "tomita_6": lambda text: (text.count("0") - text.count("1")) % 3 == 0,
    "tomita_7": lambda text: re.fullmatch("0*1*0*1*", text),
    "parity": lambda text: text.count("1") % 2 == 0,
    "even_pairs": lambda text: (len(re.findall("(?=01)", text)) + len(re.findall("(?=10)", text))) % 2 == 0,
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_named_automaton_accepts_its_language_alone(name):
    for length in range(1, 9):
        wanted = {text for text in map("".join, itertools.product("01", repeat=length)) if LANGUAGES[name](text)}
        if not wanted:
            continue
        domain = RegexDFA(automaton=name, sequence_length=length)
        found = {text for text in map("".join, itertools.product("01", repeat=length))
                 if domain.language_fault([32 + int(letter) for letter in text]) is None}  # fmt: skip
        assert found == wanted


@pytest.mark.parametrize(
    ("name", "length", "num_strings"), [("tomita_4", 5, 24), ("tomita_5", 6, 32), ("tomita_3", 5, 18)]
)
def test_accepted_strings_are_uniform(name, length, num_strings):
    rows = _rows(RegexDFA(automaton=name, sequence_length=length), 500 * num_strings)
    strings, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(strings) == num_strings
    assert _chi_square(counts, 500.0) < 75.0  # at most 31 degrees of freedom: p below 2e-5


def test_long_strings_are_sampled_where_their_number_passes_a_float():
    for row in _rows(RegexDFA(automaton="tomita_6", sequence_length=2100), 3):
        assert (row.count(32) - row.count(33)) % 3 == 0


def test_only_lengths_with_an_accepted_string_are_drawn():
    domain = RegexDFA(automaton="tomita_5", sequence_length={"min": 1, "max": 9})
    assert domain.row_lengths == (2, 4, 6, 8)
    assert {len(row) for row in _rows(domain, 200)} == {2, 4, 6, 8}


def test_a_name_and_its_automaton_are_one_description():
    named = RegexDFA(automaton="parity")
    assert named.fingerprint == RegexDFA(automaton={"transitions": [[0, 1], [1, 0]], "accepting": [0]}).fingerprint


def test_instructions_have_their_shares():
    rows = np.array(_rows(FlipFlop(ignore_prob=0.8), 200))[:, 2:-2:2]
    counts = np.bincount(rows.ravel() - 32, minlength=3)
    assert _chi_square(counts, counts.sum() * np.array([0.1, 0.1, 0.8])) < 19.0  # 2 degrees of freedom: p below 1e-4


def test_random_symbols_follow_the_published_law_whose_ranks_count_from_zero():
    counts = np.bincount(np.array(_rows(RandomTokens(), 400)).ravel() - 32, minlength=500)
    law = 1 / (np.arange(500) + 2.7)
    assert _chi_square(counts, counts.sum() * law / law.sum()) < 630.0  # 499 degrees of freedom: p below 1e-4


FAULTS = {
    "replacement": (
        "random_tokens",
        {"vocabulary": {"size": 9, "replacement": False}},
        "replacement false has no mean",
    ),
    "no_row": ("random_tokens", {"sequence_length": 0}, "sequence_length 0 to 0 holds no row of random_tokens"),
    "odd": ("k_dyck", {"sequence_length": 7}, "with exact_balance the length of a row is even"),
    "word": ("k_dyck", {"max_word_length": 9}, "max_word_length 9 is for words end to end"),
    "open_prob": ("nested_parens", {"open_prob": 1.5}, "open_prob: .*less than or equal to 1"),
    "depth": ("k_shuffle_dyck", {"max_depth": 0}, "max_depth: .*greater than or equal to 1"),
    "upside_down": ("flat_parens", {"dependency_length": {"min": 5, "max": 2}}, "dependency_length: .*5 and max 2"),
    "empty_words": ("ww_copy", {"word_length": {"min": 0, "max": 2}}, "word_length.min 0 allows words without"),
    "block": (
        "shuffle_n",
        {"vocabulary_size": 5, "block_size": 6, "sequence_length": 6},
        "block_size 6 is more than vocabulary_size 5",
    ),
    "blocks": ("shuffle_n", {"block_size": 600}, "the length of a row is a multiple of block_size"),
    "pairs": ("flipflop", {"sequence_length": 3}, "the length of a row is even, and 4 at least"),
    "name": ("regex_dfa", {"automaton": "tomita_8"}, "'tomita_8' is no automaton; did you mean 'tomita_"),
    "rugged": ("regex_dfa", {"automaton": {"transitions": [[0, 0], [0]], "accepting": [0]}}, "state 1 has 1 transit"),
    "no_state": ("regex_dfa", {"automaton": {"transitions": [[2]], "accepting": [0]}}, "state 2 does not exist"),
    "long": ("regex_dfa", {"automaton": "parity", "sequence_length": 9000}, "max 9000 is more than 8192"),
    "pairs_of_many": ("repetition", {"vocabulary": {"size": 2**30}, "paired": True}, "is too much where paired"),
    "empty": ("regex_dfa", {"automaton": {"transitions": [[0]], "accepting": []}}, "accepts a string of that length"),
}


@pytest.mark.parametrize(("name", "changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_description_gets_one_clear_line(name, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        as_spec(KINDS[name], {"type": name} | changes, "given")
    assert "\n" not in str(caught.value)


_probability = st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1))
_small = st.integers(1, 30)
_vocabulary = st.fixed_dictionaries({"size": _small, "distribution": st.sampled_from(["uniform", "zipf"])})
_heads = {"vocabulary": _vocabulary, "paired": st.booleans()}
_crossing = _heads | {
    "dependency_length": st.builds(
        lambda low, more, law: {"min": low, "max": low + more, "distribution": law},
        st.integers(0, 20),
        st.integers(0, 60),
        st.sampled_from(["uniform", "zipf"]),
    ),
    "max_displacement": st.none() | st.integers(0, 5),
}
PARAMETERS = {
    "random_tokens": {"vocabulary": _vocabulary},
    "nested_parens": _heads | {"open_prob": _probability},
    "flat_parens": _crossing,
    "mixed_parens": _crossing | {"open_prob": _probability, "mix_prob": _probability},
    "repetition": _heads | {"num_repeated": _small},
    "mod_repetition": {"vocabulary": _vocabulary, "num_repeated": _small, "mod": _small, "structure_seed": _small},
    "sparse_constant": _heads | {"match_prob": _probability, "distance": _small},
    "ww_copy": {
        "vocabulary": _vocabulary,
        "word_length": st.builds(lambda low, more: {"min": low, "max": low + more}, _small, _small),
    },
    "shuffle_n": {"vocabulary_size": _small, "block_size": _small},
    "k_dyck": {
        "num_types": _small, "open_prob": _probability, "exact_balance": st.booleans(),
        "max_depth": st.none() | _small, "max_word_length": st.none() | st.integers(2, 30),
    },
    "k_shuffle_dyck": {"num_types": _small, "open_prob": _probability, "max_depth": _small},
    "regex_dfa": {"automaton": st.sampled_from(sorted(LANGUAGES))},
    "flipflop": {"ignore_prob": _probability, "mask": st.sampled_from(["all", "reads"])},
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(PARAMETERS)), low=st.integers(0, 80), more=st.integers(0, 60))
def test_any_valid_description_gives_rows_that_pass_their_check(data, name, low, more):
    value = data.draw(st.fixed_dictionaries(PARAMETERS[name])) | {"sequence_length": {"min": low, "max": low + more}}
    try:
        domain = as_spec(KINDS[name], value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    sample = domain.sample(data.draw(st.integers(0, 2**64 - 1)), 3, 5)
    borders = sample.ends[:-1]
    for row, mask in zip(np.split(sample.symbols, borders), np.split(sample.predicted, borders), strict=True):
        domain.check(row, mask)
        assert low <= len(row) <= low + more
