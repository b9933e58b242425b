"""Recall, arithmetic, groups, the Chomsky hierarchy and graphs: what each definition promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.domains import domain_types
from metalang.domains.arithmetic import Mano, ModularArithmetic
from metalang.domains.blanks import CopyMemory, SelectiveCopy
from metalang.domains.chomsky import ChomskyTask, symbols_of
from metalang.domains.decimals import Addition, Multiplication
from metalang.domains.graphs import PathStar
from metalang.domains.groups import GroupWord
from metalang.domains.mad import MadMemorization, MadNoisyRecall
from metalang.domains.recall import MQAR
from metalang.domains.retrieval import KVRetrieval, Needle
from metalang.errors import ConfigError, CorpusError
from metalang.specs import as_spec

CHOMSKY = sorted(name for name, kind in domain_types().items() if issubclass(kind, ChomskyTask))
WIDE = {"sequence_length": {"min": 1, "max": 130}}


def _domain(name, **parameters):
    return domain_types()[name](**parameters)


def _rows(sequences):
    borders = sequences.ends[:-1]
    return list(zip(np.split(sequences.symbols, borders), np.split(sequences.predicted, borders), strict=True))


GOLDEN = {
    "addition": ({"num_digits": 3}, [16, 19, 13, 4, 18, 13, 13, 3, 11, 15, 12, 16, 2]),
    "chomsky_binary_addition": (
        {"sequence_length": {"min": 12, "max": 19}},
        [33, 33, 33, 34, 32, 32, 33, 33, 32, 3, 33, 33, 32, 32, 33, 2],
    ),
    "chomsky_binary_multiplication": (
        {"sequence_length": {"min": 12, "max": 19}},
        [33, 33, 33, 34, 32, 32, 33, 33, 32, 3, 32, 32, 33, 32, 33, 32, 33, 2],
    ),
    "chomsky_bucket_sort": (
        {"sequence_length": {"min": 20, "max": 20}},
        [33, 36, 36, 35, 33, 33, 35, 36, 32, 3, 32, 33, 33, 33, 35, 35, 36, 36, 36, 2],
    ),
    "chomsky_compute_sqrt": (
        {"sequence_length": {"min": 16, "max": 16}},
        [32, 33, 33, 33, 32, 32, 33, 33, 32, 3, 32, 33, 33, 33, 33, 2],
    ),
    "chomsky_cycle_navigation": (
        {"sequence_length": {"min": 12, "max": 12}},
        [32, 34, 34, 33, 33, 33, 33, 34, 32, 3, 33, 2],
    ),
    "chomsky_duplicate_string": (
        {"sequence_length": {"min": 29, "max": 29}},
        [
            32,
            33,
            33,
            33,
            32,
            32,
            33,
            33,
            32,
            3,
            32,
            33,
            33,
            33,
            32,
            32,
            33,
            33,
            32,
            32,
            33,
            33,
            33,
            32,
            32,
            33,
            33,
            32,
            2,
        ],
    ),
    "chomsky_even_pairs": ({"sequence_length": {"min": 12, "max": 12}}, [32, 33, 33, 33, 32, 32, 33, 33, 32, 3, 32, 2]),
    "chomsky_missing_duplicate": (
        {"sequence_length": {"min": 12, "max": 12}},
        [32, 33, 34, 33, 32, 33, 33, 33, 35, 3, 33, 2],
    ),
    "chomsky_modular_arithmetic": (
        {"sequence_length": {"min": 12, "max": 12}},
        [33, 38, 36, 38, 36, 39, 35, 37, 33, 3, 33, 2],
    ),
    "chomsky_modular_arithmetic_brackets": (
        {"sequence_length": {"min": 12, "max": 12}},
        [40, 38, 36, 38, 40, 38, 35, 41, 41, 3, 36, 2],
    ),
    "chomsky_odds_first": (
        {"sequence_length": {"min": 20, "max": 20}},
        [32, 33, 33, 33, 32, 32, 33, 33, 32, 3, 33, 33, 32, 33, 32, 33, 32, 33, 32, 2],
    ),
    "chomsky_parity": ({"sequence_length": {"min": 12, "max": 12}}, [32, 33, 33, 33, 32, 32, 33, 33, 32, 3, 33, 2]),
    "chomsky_reverse_string": (
        {"sequence_length": {"min": 20, "max": 20}},
        [32, 33, 33, 33, 32, 32, 33, 33, 32, 3, 32, 33, 33, 32, 32, 33, 33, 33, 32, 2],
    ),
    "chomsky_solve_equation": (
        {"sequence_length": {"min": 12, "max": 12}},
        [40, 36, 38, 40, 42, 41, 41, 43, 33, 3, 35, 2],
    ),
    "chomsky_stack_manipulation": (
        {"sequence_length": {"min": 12, "max": 20}},
        [33, 33, 33, 35, 35, 35, 36, 34, 36, 3, 33, 32, 32, 32, 33, 33, 33, 2],
    ),
    "copy_memory": ({"sequence_length": 14, "num_copied": 3}, [36, 45, 44, 6, 6, 6, 6, 6, 6, 3, 36, 45, 44, 2]),
    "brevo": ({"num_nodes": 4, "least_nodes": 4}, [33, 32, 35, 34, 34, 33, 5, 32, 3, 35, 34, 33, 32, 2]),
    "depo": (
        {"num_nodes": 3, "alphabet_size": 3, "num_questions": 2},
        [34, 36, 33, 37, 36, 34, 36, 33, 37, 36, 39, 34, 36, 36, 42, 33, 37, 34, 36, 2],
    ),
    "group_word": ({"group": "S3", "num_elements": 4}, [33, 39, 37, 42, 37, 39, 35, 40]),
    "kv_retrieval": ({"num_pairs": 3, "num_keys": 4, "num_values": 9}, [34, 38, 32, 44, 33, 43, 5, 32, 3, 44, 2]),
    "mad_memorization": ({"sequence_length": 8, "vocabulary_size": 6}, [33, 35, 32, 37, 34, 36, 34, 36]),
    "mad_noisy_recall": (
        {"sequence_length": 12, "vocabulary_size": 6, "num_noise_symbols": 4},
        [34, 37, 33, 36, 34, 37, 41, 38, 33, 36, 33, 36],
    ),
    "mad_recall": ({"sequence_length": 12, "vocabulary_size": 6}, [34, 37, 33, 36, 34, 37, 34, 37, 34, 37, 34, 37]),
    "mano": ({"num_operations": 3}, [55, 57, 56, 45, 50, 34, 52, 3, 42, 2]),
    "mod_arith": (
        {"num_equations": 2, "operations": ["add", "divide"]},
        [52, 130, 123, 8, 61, 3, 74, 130, 66, 8, 96, 2],
    ),
    "mqar": (
        {"vocabulary_size": 12, "sequence_length": 16, "num_pairs": 2},
        [35, 43, 33, 38, 36, 39, 41, 33, 33, 38, 35, 43, 35, 41, 40, 43],
    ),
    "multiplication": ({"num_digits": 2}, [18, 13, 4, 14, 16, 3, 13, 18, 11, 18, 2]),
    "needle": (
        {"sequence_length": 20, "value_length": 2, "num_needles": 2},
        [134, 186, 4, 528, 751, 566, 265, 75, 286, 178, 4, 457, 608, 749, 5, 528, 3, 751, 566, 2],
    ),
    "path_star": ({"path_length": 3}, [66, 51, 4, 79, 76, 4, 47, 66, 4, 47, 79, 5, 47, 51, 3, 47, 66, 51, 2]),
    "selective_copy": ({"sequence_length": 14, "num_copied": 3}, [6, 6, 6, 45, 6, 36, 6, 44, 6, 3, 45, 36, 44, 2]),
}


@pytest.mark.parametrize(("name", "parameters", "row"), [(name, *case) for name, case in GOLDEN.items()], ids=GOLDEN)
def test_the_first_rows_are_golden(name, parameters, row):
    """A changed row is a change of format: say so in CHANGELOG.md."""
    domain = _domain(name, **parameters)
    sample = domain.sample(7, 0, 1)
    assert sample.symbols.tolist() == row
    domain.check(sample.symbols, sample.predicted)


SOLVED = {
    "even_pairs": [("0", "0"), ("01", "1"), ("0110", "0"), ("01011", "1")],
    "parity": [("0", "0"), ("1011", "1"), ("11", "0")],
    "cycle_navigation": [("20100", "3"), ("2220", "2"), ("0", "4"), ("222222", "1")],
    "modular_arithmetic": [("1+2*3", "2"), ("1-1-1", "4"), ("0*1+4*3-2", "0"), ("4", "4"), ("2-3*3", "3")],
    "reverse_string": [("011", "110")],
    "stack_manipulation": [("0110422", "110"), ("110222", ""), ("1", "1"), ("0222234", "10")],
    "modular_arithmetic_brackets": [("3", "3"), ("-3", "2"), ("(3)", "3"), ("(-3)", "2"), ("((-2)-(3+4))", "1")],
    "solve_equation": [("x=3", "3"), ("-x=3", "2"), ("(4-(x))=1", "3"), ("((x)-(3+4))=0", "2")],
    "duplicate_string": [("011", "011011")],
    "missing_duplicate": [("01100210", "1"), ("1011213", "0"), ("21", "1")],
    "odds_first": [("00110101", "01110100"), ("110", "110")],
    "bucket_sort": [("41303", "01334")],
    "binary_addition": [("001201101", "01011"), ("10012000001", "100101"), ("121", "01")],
    "binary_multiplication": [("001201101", "0001101"), ("10012000001", "000001001"), ("121", "1")],
    "compute_sqrt": [("100101", "110"), ("111", "10"), ("1", "1"), ("00001", "001")],
}
CASES = [(task, *case) for task, cases in SOLVED.items() for case in cases]


def _symbols(text, modulus=5):
    return symbols_of([int(letter) if letter.isdigit() else modulus + "+-*()x=".index(letter) for letter in text])


@pytest.mark.parametrize(("task", "source", "output"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_chomsky_tasks_are_solved_as_by_hand(task, source, output):
    domain = _domain(f"chomsky_{task}", **WIDE)
    row = [*_symbols(source), 3, *(_symbols(output) or [7]), 2]
    domain.check(np.array(row), np.array([place > len(source) for place in range(len(row))]))


BROKEN_SOURCES = {
    "modular_arithmetic": [("1+", 2), ("12+", 1), ("+", 0), ("1++", 2)],
    "stack_manipulation": [("20", 0), ("0210", 2), ("01", 2)],
    "modular_arithmetic_brackets": [("3+4", 1), ("(3", 2), ("(3*4)", 2), ("()", 1), ("--1", 1), ("(1+2+3)", 4)],
    "solve_equation": [("3=3", 3), ("(x+x)=3", 7), ("x+=3", 1), ("3=x", 2), ("x=+", 2), ("x13", 1)],
    "missing_duplicate": [("0112", 2), ("2200", 1), ("3021", 0), ("0110", 2), ("01021", 4), ("0101", 4), ("00", 2)],
    "binary_addition": [("0121221", 7), ("0021", 2), ("1200", 4), ("111", 3)],
    "compute_sqrt": [("000", 3), ("120", 1)],
    "parity": [("012", 2)],
}
BROKEN = [(task, *case) for task, cases in BROKEN_SOURCES.items() for case in cases]


@pytest.mark.parametrize(("task", "source", "position"), BROKEN, ids=[f"{case[0]}-{case[1]}" for case in BROKEN])
def test_chomsky_checks_name_the_first_position_that_is_no_source(task, source, position):
    with pytest.raises(CorpusError, match=f"^position {position}: "):
        _domain(f"chomsky_{task}", **WIDE).check_source(_symbols(source))


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_changed_symbol_and_mask_of_an_answer_is_found(name):
    parameters, _ = GOLDEN[name]
    domain = _domain(name, **parameters)
    sample = domain.sample(7, 0, 1)
    for position in np.flatnonzero(sample.predicted).tolist():
        if name in ("mad_recall", "mad_noisy_recall"):
            continue  # there every symbol is predicted, those that are free too
        broken = sample.symbols.copy()
        broken[position] = broken[position] + 1
        with pytest.raises(CorpusError, match=r"^position \d+: "):
            domain.check(broken, sample.predicted)
        mask = sample.predicted.copy()
        mask[position] = False
        with pytest.raises(CorpusError, match=r"^position \d+: "):
            domain.check(sample.symbols, mask)
    with pytest.raises(CorpusError, match=r"^position \d+: "):
        domain.check(sample.symbols[:-1], sample.predicted[:-1])


RECALL_FAULTS = {
    "key_twice": (2, 33, "position 2: symbol 33 is no new key"),
    "value_as_key": (0, 40, "position 0: symbol 40 is no new key"),
    "wrong_answer": (5, 39, "position 5: symbol is 39 and should be 41"),
    "unknown_query": (4, 32, "position 5: no key that was not asked for yet"),
    "asked_twice": (8, 34, "position 9: no key that was not asked for yet"),
    "foreign": (7, 31, "position 7: symbol 31 is not content"),
    "no_filler": (7, 40, "position 7: symbol is 40 and should be 32"),
}


@pytest.mark.parametrize(("place", "symbol", "message"), RECALL_FAULTS.values(), ids=RECALL_FAULTS)
def test_mqar_names_the_first_position_that_breaks_recall(place, symbol, message):
    domain = MQAR(vocabulary_size=12, sequence_length=10, num_pairs=2, random_non_queries=False)
    row = np.array([33, 38, 34, 41, 34, 41, 32, 32, 33, 38])
    predicted = np.isin(np.arange(10), [5, 9])
    domain.check(row, predicted)
    row[place] = symbol
    with pytest.raises(CorpusError, match=message):
        domain.check(row, predicted)


MAD_FAULTS = {
    "changed_value": (5, 36, "position 5: symbol is 36 and should be 35"),
    "value_as_key": (4, 36, "position 4: symbol 36 is a value"),
    "key_as_value": (1, 33, "position 1: symbol 33 cannot stand behind 32"),
    "noise_behind_key": (1, 38, "position 1: symbol 38 cannot stand behind 32"),
    "value_behind_noise": (3, 36, "position 3: symbol 36 cannot stand behind 38"),
    "new_last_key": (6, 34, "position 6: the last key was not there before"),
}


@pytest.mark.parametrize(("place", "symbol", "message"), MAD_FAULTS.values(), ids=MAD_FAULTS)
def test_mad_recall_names_the_first_position_that_breaks_it(place, symbol, message):
    domain = MadNoisyRecall(vocabulary_size=6, num_noise_symbols=2, sequence_length=8, mask="seen")
    row = np.array([32, 35, 38, 39, 32, 35, 32, 35])
    predicted = np.isin(np.arange(8), [5, 7])
    domain.check(row, predicted)
    row[place] = symbol
    with pytest.raises(CorpusError, match=message):
        domain.check(row, predicted)


def test_mad_memorization_has_one_map_for_all_rows_and_another_for_another_seed():
    one, other = MadMemorization(vocabulary_size=60), MadMemorization(vocabulary_size=60, structure_seed=1)
    assert sorted(one.values) == list(range(32 + 30, 32 + 60))
    assert one.values.tolist() != other.values.tolist()
    with pytest.raises(CorpusError, match=r"position 1: symbol is \d+ and should be"):
        one.check(np.array([32, one.values[1]]), np.array([False, True]))


def test_mqar_queries_are_near_by_the_power_law():
    """The first draw of a place has p(g) proportional to 1 / g ** 0.99."""
    domain = MQAR(sequence_length=64, num_pairs=1)
    rows = domain.sample(domain.key(0, "train"), 0, 20_000).predicted.reshape(-1, 64)
    counts = rows.sum(axis=0)[3::2]
    law = np.arange(1, 32) ** -0.99
    assert ((counts - 20_000 * law / law.sum()) ** 2 / (20_000 * law / law.sum())).sum() < 67.0  # 30 degrees: p 1e-4


@pytest.mark.parametrize(
    ("domain", "source", "output"),
    [
        (Addition(num_digits=2), [19, 19, 4, 11, 10], [11, 10, 19]),
        (Addition(num_digits=2, reversed_digits=True), [19, 19, 4, 10, 11], [19, 10, 11]),
        (Addition(num_digits=1), [11, 4, 12], [13]),
        (Multiplication(num_digits=2), [11, 12, 4, 11, 10], [11, 12, 10]),
        (Multiplication(num_digits=2, reversed_digits=True), [12, 11, 4, 10, 11], [10, 12, 11]),
        (Mano(num_operations=1), [56, 34, 35], [54]),  # 2 - 3 mod 23
        (Mano(num_operations=2), [57, 55, 54, 34, 36], [36]),  # (22 + 2) * 4 mod 23
        (KVRetrieval(num_keys=4, num_values=9, num_pairs={"min": 1, "max": 2}), [33, 40, 32, 37, 5, 33], [40]),
        (Needle(sequence_length=12, value_length=1, haystack_size=4, num_keys=2, num_values=4),
         [32, 33, 4, 37, 38, 35, 35, 5, 37], [38]),
        (SelectiveCopy(sequence_length=8, num_copied=2), [6, 33, 6, 40], [33, 40]),
        (CopyMemory(sequence_length=8, num_copied=2), [33, 40, 6, 6], [33, 40]),
        (PathStar(path_length=3), [40, 41, 4, 50, 51, 4, 50, 40, 4, 51, 52, 5, 50, 41], [50, 40, 41]),
        (PathStar(path_length=3, reversed_path=True),
         [40, 41, 4, 50, 51, 4, 50, 40, 4, 51, 52, 5, 50, 41], [41, 40, 50]),
    ],
)  # fmt: skip
def test_functions_are_solved_as_by_hand(domain, source, output):
    row = [*source, 3, *output, 2]
    domain.check(np.array(row), np.array([place > len(source) for place in range(len(row))]))


@pytest.mark.parametrize(
    ("domain", "source", "position"),
    [
        (Addition(num_digits=2), [10, 19, 4, 11, 10], 0),
        (Addition(num_digits=2, reversed_digits=True), [19, 19, 4, 11, 10], 4),
        (Addition(num_digits=2), [11, 11, 4, 11], 4),
        (Addition(num_digits=2), [11, 33, 4, 11, 11], 1),
        (Addition(num_digits=2), [11, 4, 11], 1),
        (Mano(num_operations=1), [56, 34, 35, 36], 3),
        (Mano(num_operations=1), [56, 34], 2),
        (Mano(num_operations=2), [56, 34, 35], 3),
        (KVRetrieval(num_keys=4, num_values=9, num_pairs={"min": 1, "max": 2}), [33, 33, 5, 33], 1),
        (KVRetrieval(num_keys=4, num_values=9, num_pairs={"min": 1, "max": 2}), [33, 40, 33, 41, 5, 33], 2),
        (KVRetrieval(num_keys=4, num_values=9, num_pairs={"min": 1, "max": 2}), [33, 40, 5, 32], 3),
        (KVRetrieval(num_keys=4, num_values=9, num_pairs={"min": 1, "max": 2}), [33, 40, 33, 33], 2),
        (Needle(sequence_length=12, value_length=1, haystack_size=4, num_keys=2, num_values=4),
         [32, 33, 4, 38, 38, 35, 5, 37], 3),
        (Needle(sequence_length=12, value_length=1, haystack_size=4, num_keys=2, num_values=4),
         [32, 33, 4, 37, 38, 35, 5, 36], 7),
        (SelectiveCopy(sequence_length=8, num_copied=2), [6, 33, 6, 6], 4),
        (SelectiveCopy(sequence_length=8, num_copied=2), [6, 33, 5, 6], 2),
        (CopyMemory(sequence_length=8, num_copied=2), [33, 6, 40, 6], 1),
        (PathStar(path_length=3), [40, 41, 4, 50, 51, 4, 50, 41, 4, 51, 52, 5, 50, 41], 7),
        (PathStar(path_length=3), [40, 41, 4, 50, 51, 4, 50, 40, 4, 51, 52, 5, 51, 41], 12),
        (PathStar(path_length=3), [40, 41, 4, 50, 51, 4, 50, 40, 4, 51, 52, 5, 50, 40], 13),
        (PathStar(path_length=3), [40, 41, 4, 50, 51, 4, 50, 40, 4, 41, 52, 5, 50, 51], 11),
        (PathStar(path_length=3), [40, 41, 4, 50, 51, 5, 50, 40], 5),
    ],
)  # fmt: skip
def test_checks_name_the_first_position_that_is_no_source(domain, source, position):
    with pytest.raises(CorpusError, match=f"^position {position}: "):
        domain.check_source(source)


EQUATIONS = {
    "add": (3, 5, 1),
    "subtract": (3, 5, 5),
    "multiply": (3, 5, 1),
    "divide": (3, 5, 2),
    "sum_of_squares": (3, 5, 6),
    "quadratic": (3, 5, 0),
    "cubic": (3, 5, 0),
}


@pytest.mark.parametrize(("operation", "numbers"), EQUATIONS.items(), ids=EQUATIONS)
def test_equations_mod_seven_hold_as_by_hand(operation, numbers):
    domain = ModularArithmetic(modulus=7, operations=(operation,))
    left, right, result = symbols_of(numbers)
    mask = np.arange(6) == 4
    domain.check(np.array([left, 39, right, 8, result, 2]), mask)
    with pytest.raises(CorpusError, match=r"position 4: \d does not make the equation true"):
        domain.check(np.array([left, 39, right, 8, result - 1 if result > 32 else 38, 2]), mask)
    with pytest.raises(CorpusError, match="position 3: symbol 9 cannot stand here"):
        domain.check(np.array([left, 39, right, 9, result, 2]), mask)


def test_all_equations_of_a_modulus_are_drawn_equally_often():
    domain = ModularArithmetic(modulus=5, operations=("divide",), num_equations=20_000)
    row = domain.sample(3, 0, 1).symbols.reshape(-1, 6) - 32
    pairs, counts = np.unique(row[:, [2, 4]], axis=0, return_counts=True)
    assert len(pairs) == 20 and set(pairs[:, 0].tolist()) == {1, 2, 3, 4}
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 51.0  # 19 degrees of freedom: p 1e-4


def test_groups_multiply_as_by_hand():
    """S3 in lexicographic order: 1 swaps the last two, 2 the first two; first 1, then 2, takes 0, 1, 2 to 1, 2, 0."""
    domain = GroupWord(group="S3", num_elements=2)
    domain.check(np.array([33, 39, 34, 41]), np.array([False, True, False, True]))
    with pytest.raises(CorpusError, match="position 3: symbol 42 should be 41"):
        domain.check(np.array([33, 39, 34, 42]), np.array([False, True, False, True]))
    with pytest.raises(CorpusError, match="position 2: symbol 38 is no element of S3"):
        domain.check(np.array([33, 39, 38, 42]), np.array([False, True, False, True]))


@pytest.mark.parametrize(
    ("group", "order"), [("S5", 120), ("A5", 60), ("A1", 1), ("Z60", 60), ("A4_x_Z5", 60), ("S3_x_Z2_x_A3", 36)]
)
def test_groups_have_their_orders_and_pass_their_check(group, order):
    domain = GroupWord(group=group, num_elements={"min": 1, "max": 30})
    assert domain.order == order
    for symbols, predicted in _rows(domain.sample(1, 0, 20)):
        domain.check(symbols, predicted)


CYCLE_FAULTS = {
    "two_edges": (4, 41, "position 4: a second edge leaves this node"),
    "no_cycle": (5, 42, "position 6: the 3 edges form no cycle"),
    "wrong_answer": (8, 42, "position 8: symbol is 42 and should be 43"),
    "unknown_node": (7, 44, "position 7: the row has no such node"),
    "no_steps": (6, 31, "position 6: a name should end here"),
    "no_end": (9, 3, "position 9: EOS should end the row here"),
}


@pytest.mark.parametrize(("place", "symbol", "message"), CYCLE_FAULTS.values(), ids=CYCLE_FAULTS)
def test_depo_names_the_first_position_that_breaks_the_cycle(place, symbol, message):
    domain = _domain("depo", num_nodes=3, alphabet_size=9, name_length=1, num_questions=1)
    row = np.array([42, 43, 41, 42, 43, 41, 56, 42, 43, 2])  # 7 steps on a cycle of 3 are 1
    predicted = np.arange(10) == 8
    domain.check(row, predicted)
    row[place] = symbol
    with pytest.raises(CorpusError, match=message):
        domain.check(row, predicted)


ANCESTOR_FAULTS = {
    "parent_late": (7, 34, "position 7: node 34 stands here again or before a parent"),
    "twice": (8, 33, "position 8: node 33 stands here again"),
    "foreign": (1, 40, "position 1: symbol 40 is no node"),
    "no_such_question": (5, 33, "position 4: an edge is cut off, or no QUERY q SEP about a node with parents"),
    "no_end": (10, 3, "position 10: the ancestors of the node"),
}


@pytest.mark.parametrize(("place", "symbol", "message"), ANCESTOR_FAULTS.values(), ids=ANCESTOR_FAULTS)
def test_brevo_names_the_first_position_that_breaks_the_order(place, symbol, message):
    domain = _domain("brevo", num_nodes=4)
    row = np.array([33, 34, 34, 35, 5, 35, 3, 33, 34, 35, 2])
    domain.check(row, np.arange(11) > 6)
    row[place] = symbol
    with pytest.raises(CorpusError, match=message):
        domain.check(row, np.arange(11) > 6)


def test_brevo_accepts_every_topological_order():
    domain = _domain("brevo", num_nodes=4)
    for first, second in ((33, 34), (34, 33)):
        row = np.array([33, 35, 34, 35, 5, 35, 3, first, second, 35, 2])
        domain.check(row, np.arange(11) > 6)


def test_chomsky_lengths_are_uniform_over_those_that_fit():
    domain = _domain("chomsky_modular_arithmetic", sequence_length={"min": 4, "max": 12})
    assert domain.sizes == range(1, 10, 2)
    lengths, counts = np.unique(domain.lengths(5, 0, 10_000), return_counts=True)
    assert lengths.tolist() == [4, 6, 8, 10, 12]
    assert ((counts - 2000.0) ** 2 / 2000.0).sum() < 23.5  # 4 degrees of freedom: p 1e-4


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(CHOMSKY),
    low=st.integers(0, 100),
    extra=st.integers(0, 60),
    mask=st.sampled_from(["all", "output", "output_no_eos"]),
    eos=st.booleans(),
    key=st.integers(0, 2**64 - 1),
)
def test_any_valid_chomsky_task_gives_rows_that_pass_their_check(name, low, extra, mask, eos, key):
    value = {"sequence_length": {"min": low, "max": low + extra}, "mask": mask, "eos": eos}
    try:
        domain = as_spec(domain_types()[name], value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(domain.sample(key, 3, 5)):
        domain.check(symbols, predicted)
        assert low <= len(symbols) <= low + extra


MAPPING = {"mask": st.sampled_from(["all", "output", "output_no_eos"]), "eos": st.booleans()}
SPAN = st.tuples(st.integers(1, 6), st.integers(0, 6)).map(lambda pair: {"min": pair[0], "max": sum(pair)})
PARAMETERS = {
    "addition": {"num_digits": SPAN, "reversed_digits": st.booleans(), **MAPPING},
    "multiplication": {"num_digits": SPAN, "reversed_digits": st.booleans(), **MAPPING},
    "mano": {"modulus": st.integers(2, 100), "num_operations": SPAN, **MAPPING},
    "mod_arith": {
        "modulus": st.sampled_from([2, 3, 4, 5, 97, 100]),
        "operations": st.lists(st.sampled_from(sorted(EQUATIONS)), max_size=4),
        "num_equations": st.integers(1, 9),
        "mask": st.sampled_from(["all", "output"]),
    },
    "group_word": {"group": st.sampled_from(["S4", "A4", "Z7", "Z2_x_S3"]), "num_elements": SPAN},
    "mqar": {
        "vocabulary_size": st.integers(4, 40),
        "sequence_length": st.integers(4, 80),
        "num_pairs": st.integers(1, 12),
        "power": st.sampled_from([0.0, 0.01, 1.0]),
        "random_non_queries": st.booleans(),
    },
    "mad_recall": {
        "vocabulary_size": st.integers(2, 20),
        "sequence_length": st.integers(4, 60),
        "num_noise_symbols": st.integers(0, 3),
        "noise": st.sampled_from([0.0, 0.5, 0.99]),
        "mask": st.sampled_from(["all", "seen"]),
    },
    "mad_memorization": {"vocabulary_size": st.integers(2, 20), "sequence_length": st.integers(2, 20)},
    "kv_retrieval": {"num_keys": st.integers(1, 12), "num_values": st.integers(1, 9), "num_pairs": SPAN, **MAPPING},
    "needle": {
        "sequence_length": st.integers(8, 60),
        "haystack_size": st.integers(1, 9),
        "num_keys": st.integers(1, 9),
        "num_values": st.integers(1, 9),
        "value_length": st.integers(1, 4),
        "num_needles": st.integers(1, 5),
        **MAPPING,
    },
    "selective_copy": {"sequence_length": st.integers(4, 60), "num_copied": st.integers(1, 20), **MAPPING},
    "copy_memory": {"sequence_length": st.integers(4, 60), "num_copied": st.integers(1, 20), **MAPPING},
    "depo": {
        "num_nodes": st.integers(1, 12),
        "least_nodes": st.integers(1, 6),
        "alphabet_size": st.integers(2, 6),
        "name_length": SPAN,
        "num_steps": st.integers(1, 9),
        "num_questions": st.integers(1, 4),
    },
    "brevo": {
        "num_nodes": st.integers(2, 30),
        "least_nodes": st.integers(2, 9),
        "most_parents": st.integers(1, 6),
        "mask": st.sampled_from(["all", "output"]),
    },
    "path_star": {
        "num_nodes": st.integers(2, 40),
        "degree": st.integers(1, 5),
        "path_length": st.integers(2, 7),
        "reversed_path": st.booleans(),
        **MAPPING,
    },
}


@settings(max_examples=120, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(PARAMETERS)), key=st.integers(0, 2**64 - 1))
def test_any_valid_description_gives_rows_that_pass_their_check(data, name, key):
    value = data.draw(st.fixed_dictionaries(PARAMETERS[name]))
    try:
        domain = as_spec(domain_types()[name], value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(domain.sample(key, 3, 5)):
        domain.check(symbols, predicted)
        assert symbols.max() < domain.num_symbols


FAULTS = {
    "no_length": ("chomsky_parity", {"sequence_length": 3}, "sequence_length 3 to 3 holds no length of x"),
    "even_length": ("chomsky_modular_arithmetic", {"sequence_length": 5}, "holds no length of x"),
    "long_root": ("chomsky_compute_sqrt", {"sequence_length": 1000}, "works on at most 120"),
    "no_digit": ("addition", {"num_digits": 0}, "num_digits 0 to 0 is no number of digits"),
    "no_operation": ("mano", {"num_operations": 0}, "num_operations 0 to 0 is no number of operations"),
    "composite": ("mod_arith", {"modulus": 98, "operations": ["divide"]}, "modulus 98 is not prime"),
    "nothing_to_do": ("mod_arith", {"operations": []}, "should name at least one"),
    "no_group": ("group_word", {"group": "D4"}, "group 'D4' is none"),
    "huge_group": ("group_word", {"group": "S30"}, "group 'S30' has more than 5040 elements"),
    "empty_word": ("group_word", {"num_elements": 0}, "num_elements 0 gives an empty row"),
    "odd_row": ("mqar", {"sequence_length": 65}, "sequence_length 65 should be even"),
    "crowded": ("mqar", {"num_pairs": 17}, "4 \\* num_pairs or more, 68 for 17 pairs"),
    "few_keys": ("mqar", {"vocabulary_size": 16}, "raise it to 18"),
    "noise_alone": ("mad_recall", {"noise": 0.5}, "noise 0.5 and num_noise_symbols 0 do not fit"),
    "half_pair": ("mad_memorization", {"sequence_length": 31}, "should be even"),
    "few_retrieved": ("kv_retrieval", {"num_pairs": 31}, "num_pairs 31 to 31 does not lie in 1 to num_keys"),
    "small_stack": ("needle", {"sequence_length": 10}, "sequence_length 10 is too short; the needles need 14"),
    "more_needles": ("needle", {"num_keys": 1, "num_needles": 2}, "num_needles 2 needs as many num_keys"),
    "no_blank": ("selective_copy", {"sequence_length": 30}, "16 copied symbols need 34"),
    "few_names": ("depo", {"alphabet_size": 2}, "give 6 names; 375 nodes need 750"),
    "more_least_nodes": ("brevo", {"least_nodes": 111}, "least_nodes 111 is more than num_nodes 110"),
    "small_graph": ("path_star", {"num_nodes": 8}, "num_nodes 8 is too few for 2 paths of 5 nodes; they need 9"),
}


@pytest.mark.parametrize(("name", "parameters", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_description_gets_one_clear_line(name, parameters, message):
    with pytest.raises(ConfigError, match=message) as caught:
        as_spec(domain_types()[name], parameters, "domain.json")
    assert str(caught.value).startswith("domain.json") and "\n" not in str(caught.value)


def test_a_chain_is_no_cycle():
    domain = _domain("depo", num_nodes=3, alphabet_size=9, name_length=1, num_questions=1)
    row = domain.sample(0, 0, 1)
    symbols = row.symbols.copy()
    assert symbols.tolist() == [42, 43, 41, 42, 43, 41, 56, 42, 43, 2]
    symbols[5] = 44  # 42 -> 43, 41 -> 42, 43 -> 44
    with pytest.raises(CorpusError, match="the 3 edges form no cycle"):
        domain.check(symbols, row.predicted)
