"""LIME, random machines and nonsense summaries: what a rule, a program and a keyword call for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.domains.lime_reasoning import (
    LimeAbduct,
    LimeDeduct,
    LimeInduct,
    LimeInductHard,
    LimeInductV2,
    LimeInductV3,
    LimeMix,
)
from metalang.domains.lime_rewrite import LimeRewrite, LimeRewriteMulti
from metalang.domains.machines import BrainphoqueUtm
from metalang.domains.nonsense import NonsenseSummary
from metalang.domains.nonsense_symbols import FIRST_KEYWORD, FIRST_WORD, KEYWORDS, KINDS, word_symbol
from metalang.errors import ConfigError, CorpusError
from metalang.specs import as_spec

REASONING = [LimeDeduct, LimeInduct, LimeAbduct, LimeInductV2, LimeInductV3, LimeInductHard, LimeMix]
NAMES = {"vocabulary": {"size": 12, "replacement": False}, "num_upper": 2, "num_lower": 2, "num_math": 2}
SMALL = {
    **NAMES,
    "num_variables": 2,
    "num_constants": {"min": 1, "max": 2},
    "substitution_length": {"min": 1, "max": 2},
}
STRINGS = {**NAMES, "string_size": 2, "pattern_length": 2, "num_constants": 1}
A, B, X, Y, PLUS, IS = range(41, 47)
DECLARED = [32, A, B, 33, X, Y, 34, PLUS, IS, 35]
RULE, CASE = [A, B, PLUS, A, B], [A, 36, 37, X, 38, 39, B, 36, 37, Y, IS, 38]
RESULT = [X, Y, IS, PLUS, X, Y, IS]
SPACE, ARROW, SEP, EOS, PAD = 35, 40, 3, 2, 0
GOLDEN = [
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        48,
        48,
        48,
        41,
        52,
        46,
        35,
        48,
        36,
        37,
        52,
        38,
        39,
        41,
        36,
        37,
        47,
        52,
        38,
        3,
        52,
        52,
        52,
        47,
        52,
        52,
        46,
        2,
    ],
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        52,
        52,
        52,
        47,
        52,
        52,
        46,
        35,
        48,
        36,
        37,
        52,
        38,
        39,
        41,
        36,
        37,
        47,
        52,
        38,
        3,
        48,
        48,
        48,
        41,
        52,
        46,
        2,
    ],
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        48,
        48,
        48,
        41,
        52,
        46,
        35,
        52,
        52,
        52,
        47,
        52,
        52,
        46,
        3,
        48,
        36,
        37,
        52,
        38,
        39,
        41,
        36,
        37,
        47,
        52,
        38,
        2,
    ],
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        52,
        52,
        52,
        47,
        52,
        52,
        46,
        3,
        48,
        36,
        37,
        52,
        38,
        39,
        41,
        36,
        37,
        47,
        52,
        38,
        35,
        48,
        48,
        48,
        41,
        52,
        46,
        2,
    ],
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        52,
        52,
        52,
        47,
        52,
        52,
        46,
        35,
        52,
        52,
        52,
        52,
        52,
        52,
        52,
        52,
        46,
        3,
        48,
        48,
        48,
        41,
        52,
        46,
        2,
    ],
    [32, 48, 41, 33, 49, 47, 34, 46, 52, 35, 52, 52, 52, 47, 52, 52, 46, 3, 48, 48, 48, 41, 52, 46, 2],
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        48,
        48,
        48,
        41,
        52,
        46,
        35,
        52,
        52,
        52,
        47,
        52,
        52,
        46,
        3,
        48,
        36,
        37,
        52,
        38,
        39,
        41,
        36,
        37,
        47,
        52,
        38,
        2,
    ],
    [32, 33, 49, 47, 34, 46, 52, 35, 46, 52, 40, 46, 35, 49, 46, 52, 49, 52, 3, 49, 46, 49, 52, 2],
    [
        32,
        48,
        41,
        33,
        49,
        47,
        34,
        46,
        52,
        35,
        46,
        48,
        40,
        46,
        48,
        35,
        46,
        48,
        40,
        52,
        48,
        35,
        49,
        46,
        47,
        49,
        52,
        3,
        49,
        52,
        47,
        49,
        52,
        2,
    ],
    [32, 32, 33, 39, 39, 39, 39, 39, 39, 39, 39, 39],
    [32, 32, 33, 39, 39, 39, 39, 39, 39, 39, 39, 39],
    [
        438,
        439,
        437,
        435,
        442,
        32,
        441,
        126,
        423,
        437,
        420,
        32,
        97,
        441,
        441,
        442,
        436,
        436,
        32,
        435,
        440,
        440,
        437,
        440,
        32,
        442,
        442,
        128,
        442,
        440,
        32,
        3,
        441,
        126,
        423,
        437,
        32,
        441,
        126,
        420,
        32,
        44,
        131,
        44,
        132,
        441,
        126,
        423,
        437,
        420,
        32,
        44,
        133,
        442,
        442,
        128,
        442,
        440,
        32,
        441,
        441,
        442,
        436,
        436,
        32,
        2,
    ],
]


def _rows(sequences):
    borders = sequences.ends[:-1]
    return list(zip(np.split(sequences.symbols, borders), np.split(sequences.predicted, borders), strict=True))


def _check(domain, source, target):
    """Whether a row of a source and a target passes; the message where it does not."""
    row = [*DECLARED, *source, SEP, *target, EOS]
    mask = [False] * (len(row) - len(target) - 1) + [True] * (len(target) + 1)
    domain.check(np.array(row), np.array(mask))


def test_the_first_rows_are_golden():
    """A changed row is a change of format: say so in CHANGELOG.md."""
    domains = [kind(**SMALL) for kind in REASONING]
    domains += [LimeRewrite(**STRINGS), LimeRewriteMulti(**STRINGS, steps=2)]
    domains += [BrainphoqueUtm(sequence_length=12), BrainphoqueUtm(sequence_length=12, packed=True)]
    domains += [NonsenseSummary(vocabulary={"size": 9}, sentences=5, words=5)]
    assert [domain.sample(7, 1, 1).symbols.tolist() for domain in domains] == GOLDEN


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        (LimeDeduct, [*RULE, SPACE, *CASE], RESULT),
        (LimeInduct, [*RESULT, SPACE, *CASE], RULE),
        (LimeAbduct, [*RULE, SPACE, *RESULT], CASE),
        (LimeInductV2, RESULT, [*CASE, SPACE, *RULE]),
        (LimeInductV3, [*RESULT, SPACE, Y, X, PLUS, Y, X], RULE),
        (LimeInductHard, RESULT, RULE),
        (LimeMix, [*RULE, SPACE, *CASE], RESULT),
    ],
)
def test_a_case_put_into_a_rule_gives_the_result(kind, source, target):
    _check(kind(**SMALL), source, target)


def test_any_case_that_gives_the_result_answers_an_abduction():
    other = [A, 36, 37, X, Y, 38, 39, B, 36, 37, IS, 38]
    _check(LimeAbduct(**SMALL), [*RULE, SPACE, *RESULT], other)
    with pytest.raises(CorpusError, match="position 18: the case does not turn the rule into this result"):
        _check(LimeAbduct(**SMALL), [*RULE, SPACE, *RESULT], [A, 36, 37, X, Y, 38, 39, B, 36, 37, PLUS, 38])


def test_any_rule_that_gives_the_result_answers_an_induction():
    result, case = [X, Y, PLUS, X, Y, PLUS], [A, 36, 37, X, 38, 39, B, 36, 37, Y, 38]
    _check(LimeInductHard(**SMALL), result, [A, B, PLUS, A, B, PLUS])
    _check(LimeInductHard(**SMALL), [Y, Y, IS, Y, Y], [A, B, IS, B, A])
    with pytest.raises(CorpusError, match="position 12: the case does not turn"):
        _check(LimeInduct(**SMALL), [*result, SPACE, *case], [A, B, IS, A, B])


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ([A, B, PLUS, A, SPACE, *CASE], RESULT, "position 14: the rule holds 3 variables"),
        ([A, A, PLUS, A, A, SPACE, *CASE], RESULT, "position 15: the rule does not hold every declared variable"),
        ([A, B, X, A, B, SPACE, *CASE], RESULT, "position 12: symbol 43 is not a declared variable or MATH"),
        ([A, B, A, B, SPACE, *CASE], RESULT, "position 14: the rule holds 0 MATH symbols"),
        ([*RULE, SPACE, *CASE[:-1]], RESULT, "position 27: a string of 2 symbols"),
        ([*RULE, SPACE, *CASE, B], RESULT, "position 28: the case goes on"),
        ([*RULE, SPACE, B, *CASE[1:]], RESULT, "position 16: the case should go on with 41"),
        ([*RULE, SPACE, *CASE], RESULT[:-1], "position 35: the case does not turn"),
        ([*RULE, SPACE, *CASE], [X, Y, IS, PLUS, X, X, IS], "position 34: the case does not turn"),
        ([*RULE, SPACE, *CASE], [X, A], "position 30: symbol 41 is not LOWER or MATH"),
        (RULE, RESULT, "position 10: 1 part stands here and should be rule, case"),
    ],
)
def test_check_names_the_first_position_that_breaks_a_deduction(source, target, message):
    with pytest.raises(CorpusError, match=message):
        _check(LimeDeduct(**SMALL), source, target)


@pytest.mark.parametrize(
    ("place", "symbol", "message"),
    [
        (0, 33, "position 0: here should stand UPPER, 32"),
        (2, 41, "position 2: symbol 41 is declared twice"),
        (5, 33, "position 5: 1 symbols follow LOWER and should be 2"),
        (9, 41, "position 9: symbol 41 is declared twice"),
        (-1, 41, "position 37: the row should end with EOS, 2"),
        (28, 41, "position 37: the row has no SEP"),
    ],
)
def test_check_names_what_is_wrong_with_the_frame_of_a_row(place, symbol, message):
    row = np.array([*DECLARED, *RULE, SPACE, *CASE, SEP, *RESULT, EOS])
    row[place] = symbol
    with pytest.raises(CorpusError, match=message):
        LimeDeduct(**SMALL).check(row, np.arange(37) > 28)


def test_check_names_a_wrong_mask():
    row = np.array([*DECLARED, *RULE, SPACE, *CASE, SEP, *RESULT, EOS])
    with pytest.raises(CorpusError, match="position 28: mask is True and should be False"):
        LimeDeduct(**SMALL).check(row, np.arange(37) > 27)
    LimeDeduct(**SMALL, mask="all").check(row, np.ones(37, bool))
    LimeDeduct(**SMALL, mask="output_no_eos").check(row, (np.arange(37) > 28) & (np.arange(37) < 36))


ROOMY = {**NAMES, "string_size": {"min": 1, "max": 9}, "pattern_length": {"min": 1, "max": 9}, "num_constants": 1}


def test_a_rewriting_replaces_the_pattern_at_any_place_where_it_fits():
    task = LimeRewriteMulti(**ROOMY, steps={"min": 1, "max": 2})
    string = [X, PLUS, Y, PLUS, X]
    rule = [A, PLUS, ARROW, IS, A]
    _check(task, [*rule, SPACE, *string], [IS, X, Y, PLUS, X])
    _check(task, [*rule, SPACE, *string], [X, PLUS, IS, Y, X])
    with pytest.raises(CorpusError, match="position 24: the rules do not give this string"):
        _check(task, [*rule, SPACE, *string], [X, PLUS, X, IS, X])


def test_rewritings_follow_each_other():
    task = LimeRewriteMulti(**ROOMY, steps={"min": 1, "max": 2})
    first, second, string = [A, PLUS, ARROW, IS, A], [IS, B, ARROW, B, PLUS], [X, PLUS, Y, PLUS, X]
    _check(task, [*first, SPACE, *second, SPACE, *string], [X, PLUS, Y, PLUS, X])
    with pytest.raises(CorpusError, match="position 16: the pattern of this rule fits nowhere"):
        _check(task, [*first, SPACE, IS, IS, ARROW, IS, SPACE, *string], string)


def test_two_variables_of_a_pattern_stand_for_two_symbols():
    task = LimeRewriteMulti(**ROOMY, steps=1)
    with pytest.raises(CorpusError, match="position 10: the pattern of this rule fits nowhere"):
        _check(task, [A, B, ARROW, IS, A, B, SPACE, X, X, PLUS, PLUS, X], [IS, X, X, PLUS, PLUS, X])


@pytest.mark.parametrize(
    ("rule", "string", "message"),
    [
        ([A, PLUS, IS, A], [X, PLUS, Y, PLUS, X], "position 10: this part is no rule"),
        ([X, PLUS, ARROW, IS, A], [X, PLUS, Y, PLUS, X], "position 10: symbol 43 is not a variable or MATH"),
        ([A, PLUS, ARROW, IS], [X, PLUS, Y, PLUS, X], "position 14: the replacement does not hold each variable"),
        ([A, PLUS, ARROW, IS, IS, A], [X, PLUS, Y, PLUS, X], "position 16: the replacement has 2 MATH symbols"),
        ([A, PLUS, ARROW, IS, A], [X, PLUS, Y, Y], "position 20: 1 MATH of 4 symbols"),
        ([A, *[PLUS] * 9, ARROW, IS, A], [X, PLUS, Y, PLUS, X], "position 20: a pattern of 10 symbols"),
    ],
)
def test_check_names_the_first_position_that_breaks_a_rewriting(rule, string, message):
    with pytest.raises(CorpusError, match=message):
        _check(LimeRewriteMulti(**ROOMY, steps=1), [*rule, SPACE, *string], string)


def test_lime_has_the_published_frame():
    """24 LOWER, 20 MATH; strings of 10 to 20 symbols of one group and 1.5 times as many of the other."""
    for row, _ in _rows(LimeRewrite().sample(3, 0, 50)):
        line = row.tolist()
        assert (line.index(34) - line.index(33), line.index(35) - line.index(34)) == (25, 21)
        string = line[len(line) - line[::-1].index(35) : line.index(3)]
        math = sum(symbol in line[line.index(34) : line.index(35)] for symbol in string)
        assert (len(string) - math, math) in {(size, round(1.5 * size)) for size in range(10, 21)}


def test_lengths_of_substitutions_are_uniform():
    symbols = LimeAbduct().sample(5, 0, 5000).symbols.astype(np.int64)
    lengths = np.flatnonzero(symbols == 38) - np.flatnonzero(symbols == 37) - 1
    counts = np.bincount(lengths, minlength=9)
    assert counts[:2].sum() == 0 and len(counts) == 9
    expected = counts.sum() / 7
    assert ((counts[2:] - expected) ** 2 / expected).sum() < 28.0  # 6 degrees of freedom: p below 1e-4


def test_the_modes_of_a_mixture_are_equally_likely():
    rows = _rows(LimeMix().sample(5, 0, 6000))
    kinds = {"case_in_target": 0, "result_in_target": 0, "rule_in_target": 0}
    for row, _ in rows:
        source, target = row[: row.tolist().index(3)], row[row.tolist().index(3) + 1 :]
        named = row[1 : row.tolist().index(33)]
        kind = "case" if 36 in target else "rule" if np.isin(target, named).any() else "result"
        assert (36 in source) != (kind == "case")
        kinds[f"{kind}_in_target"] += 1
    assert all(abs(count - 2000) < 150 for count in kinds.values())


@settings(max_examples=60, deadline=None)
@given(data=st.data(), key=st.integers(0, 2**64 - 1))
def test_any_valid_lime_task_gives_rows_that_pass_their_check(data, key):
    def ranges(low, high):
        return st.tuples(st.integers(low, high), st.integers(low, high)).map(
            lambda pair: {"min": min(pair), "max": max(pair)}
        )

    kind = data.draw(st.sampled_from([*REASONING, LimeRewrite, LimeRewriteMulti]))
    value = {
        "type": kind.model_fields["type"].default,
        "vocabulary": {
            "size": data.draw(st.integers(10, 40)),
            "replacement": False,
            "distribution": data.draw(st.sampled_from(["uniform", "zipf"])),
        },
        "num_upper": data.draw(st.integers(1, 6)),
        "num_lower": data.draw(st.integers(1, 6)),
        "num_math": data.draw(st.integers(1, 6)),
        "num_constants": data.draw(ranges(0, 6)),
        "mask": data.draw(st.sampled_from(["all", "output", "output_no_eos"])),
        "eos": data.draw(st.booleans()),
    }
    if kind in REASONING:
        value |= {"num_variables": data.draw(ranges(0, 4)), "substitution_length": data.draw(ranges(0, 4))}
    else:
        value |= {"string_size": data.draw(ranges(1, 6)), "pattern_length": data.draw(ranges(0, 6))}
    try:
        task = as_spec(kind, value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(task.sample(key, 3, 3)):
        task.check(symbols, predicted)
        assert symbols.max() < task.num_symbols


@pytest.mark.parametrize(
    ("program", "max_steps", "output"),
    [
        ("+.>.<.", 99, [33, 32, 33]),
        ("-.+.", 99, [34, 32]),
        ("<+.>>.", 99, [33, 32]),
        ("+[.+]>.", 99, [33, 34, 32]),
        ("+[.]", 10, [33, 33, 33]),
        ("[+].", 99, [33]),  # the loop is skipped at a cell of 0, and `+` is what follows it
        ("+[>[+<].-]", 30, [33, 33]),  # the inner loop is skipped, and its body, `.-`, is read when it is entered
        ("+[>[+<].-]", 31, [33, 33, 33]),
        ("]].", 3, [32]),
        ("]].", 2, []),
    ],
)
def test_programs_put_out_what_they_do_by_hand(program, max_steps, output):
    assert BrainphoqueUtm(alphabet_size=3, memory_size=3, max_steps=max_steps).run(program) == output


@settings(max_examples=60, deadline=None)
@given(
    alphabet_size=st.integers(2, 5),
    memory_size=st.integers(1, 5),
    max_steps=st.integers(1, 300),
    max_program_length=st.integers(1, 120),
    sequence_length=st.integers(1, 60),
    packed=st.booleans(),
    key=st.integers(0, 2**64 - 1),
)
def test_programs_run_again_give_their_rows(
    alphabet_size, memory_size, max_steps, max_program_length, sequence_length, packed, key
):
    machine = BrainphoqueUtm(
        alphabet_size=alphabet_size,
        memory_size=memory_size,
        max_steps=max_steps,
        max_program_length=max_program_length,
        sequence_length=sequence_length,
        packed=packed,
    )
    for index, (symbols, predicted) in enumerate(_rows(machine.sample(key, 5, 3)), start=5):
        outputs = [output for program in machine.programs(key, index) if (output := machine.run(program))]
        expected = [symbol for output in outputs for symbol in (*output, EOS if packed else PAD)]
        assert symbols.tolist() == [*expected, *[PAD] * sequence_length][:sequence_length]
        machine.check(symbols, predicted)


def test_a_program_of_an_unknown_instruction_is_refused():
    with pytest.raises(CorpusError, match="program '\\+,' holds more than the instructions"):
        BrainphoqueUtm().run("+,")


@pytest.mark.parametrize(
    ("packed", "row", "message"),
    [
        (False, [33, 0, 33, 0], "position 2: symbol 33 is no output"),
        (False, [33, 35, 0, 0], "position 1: symbol 35 is no output"),
        (False, [33, 33, 33, 33], "position 3: symbol 33 is no output"),
        (False, [33, 0, 0], "position 3: a row has 4 symbols, not 3"),
        (True, [33, 2, 2, 33], "position 2: symbol 2 is no output"),
        (True, [2, 33, 33, 33], "position 0: symbol 2 is no output"),
        (True, [33, 0, 0, 0], "position 1: symbol 0 is no output"),
    ],
)
def test_check_names_the_first_position_that_no_machine_writes(packed, row, message):
    machine = BrainphoqueUtm(alphabet_size=3, sequence_length=4, max_steps=3, packed=packed)
    with pytest.raises(CorpusError, match=message):
        machine.check(np.array(row), np.array(row) >= 32)


def test_the_end_of_an_output_is_not_predicted():
    machine = BrainphoqueUtm(sequence_length=4, packed=True)
    machine.check(np.array([33, 2, 33, 33]), np.array([True, False, True, True]))
    with pytest.raises(CorpusError, match="position 1: mask is True"):
        machine.check(np.array([33, 2, 33, 33]), np.array([True, True, True, True]))


def test_instructions_are_drawn_alike():
    machine = BrainphoqueUtm(max_steps=1)
    drawn = [machine.programs(11, row)[0] for row in range(7000)]
    counts = np.array([drawn.count(instruction) for instruction in "+-<>.[]"])
    assert counts.sum() == 7000
    assert ((counts - 1000) ** 2 / 1000).sum() < 28.0  # 6 degrees of freedom: p below 1e-4


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (LimeDeduct, {"vocabulary": {"size": 1000}}, "vocabulary.replacement is true"),
        (LimeDeduct, {"vocabulary": {"size": 67, "replacement": False}}, "vocabulary.size 67 is less than the 68"),
        (LimeDeduct, {"num_variables": {"min": 0, "max": 3}}, "num_variables 0 to 3 does not lie within 1"),
        (LimeDeduct, {"num_upper": 4}, "num_variables 3 to 5 does not lie within 1 and num_upper 4"),
        (LimeDeduct, {"substitution_length": 0}, "substitution_length begins at 0"),
        (LimeMix, {"modes": []}, "modes"),
        (LimeMix, {"modes": ["reduce"]}, "modes"),
        (LimeRewrite, {"num_upper": 19}, "num_upper 19 is less than the 20 variables"),
        (LimeRewrite, {"pattern_length": {"min": 0, "max": 9}}, "pattern_length begins at 0"),
        (LimeRewriteMulti, {"steps": {"min": 0, "max": 5}}, "num_steps begins at 0"),
        (NonsenseSummary, {"sentences": 4}, "sentences begins at 4"),
        (NonsenseSummary, {"words": 4}, "words begins at 4 and 3 modifiers may take 5"),
        (NonsenseSummary, {"num_modifiers": 17, "words": 30}, "num_modifiers 17 is more than the 16 modifiers"),
        (NonsenseSummary, {"modifiers": ["copy_keyword", "copy_keyword"]}, "names one twice"),
        (NonsenseSummary, {"vocabulary": {"size": 9, "replacement": False}}, "vocabulary.replacement is false"),
        (BrainphoqueUtm, {"alphabet_size": 1}, "alphabet_size"),
        (BrainphoqueUtm, {"sequence_length": 0}, "sequence_length"),
    ],
)
def test_a_faulty_description_gets_one_clear_line(kind, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        as_spec(kind, changes, "given")
    assert "\n" not in str(caught.value)


U, V, W = range(FIRST_WORD, FIRST_WORD + 3)
STOP = 32


def _keyword(kind, number=0):
    return FIRST_KEYWORD[KINDS.index(kind)] + number


def _phrase(words):
    return [int(word) + 10 if word.isdigit() else word_symbol(word) for word in words.split()]


def _check_summary(kinds, lines, summary):
    """Whether a document of these sentences, and plain ones up to five, passes with this summary."""
    domain = NonsenseSummary(
        vocabulary={"size": 3}, sentences=5, words={"min": 4, "max": 6}, modifiers=kinds, num_modifiers=len(kinds)
    )
    document = [symbol for line in (*lines, *[[U, V, W, U, V, STOP]] * (5 - len(lines))) for symbol in line]
    row = np.array([*document, SEP, *summary, EOS])
    domain.check(row, np.arange(len(row)) > len(document))


def _line(kind, number=0, second=None):
    """`U V keyword W U .`; with a second number, `U V keyword W keyword .`"""
    return [U, V, _keyword(kind, number), W, U if second is None else _keyword(kind, second), STOP]


def _lines(kind, *numbers):
    return [_line(kind, number) for number in numbers]


SUMMARIES = {
    "copy_keyword": ([4], [U, V, _keyword("copy_keyword", 4), W, U, STOP]),
    "copy_keywords": ([4, 1, 4], [*_line("copy_keywords", 4), *_line("copy_keywords", 1), *_line("copy_keywords", 4)]),
    "copy_keywords_sorted": (
        [4, 9, 1],
        [symbol for number in (1, 4, 9) for symbol in _line("copy_keywords_sorted", number)],
    ),
    "copy_keywords_shuffled": (
        [4, 9, 1],
        [symbol for number in (9, 1, 4) for symbol in _line("copy_keywords_shuffled", number)],
    ),
    "classify_keyword": ([4], _phrase("the keyword was positive .")),
    "replace_class_keyword": ([5], [U, V, _keyword("replace_class_keyword", 9 + 1), W, U, STOP]),
    "majority_keyword": ([1, 0, 1], _phrase("The keyword 2 occurred more number of times .")),
    "topic_segregation": (
        [8, 1],
        [
            *(word_symbol("section"), _keyword("topic_segregation", 9), *_line("topic_segregation", 1)),
            *(word_symbol("section"), _keyword("topic_segregation", 10)),
            *(word_symbol("section"), _keyword("topic_segregation", 11), *_line("topic_segregation", 8)),
        ],
    ),
    "threshold_number": ([50], _phrase("the number was above or equal to threshold .")),
    "largest_number": ([7, 42, 9], _phrase("The largest number is 4 2 .")),
    "paraphrase_words": ([19], [U, V, _keyword("paraphrase_words", 20 + 3 * 19 + 2), W, U, STOP]),
    "join_clauses": (
        [3, 0, 1],
        [
            *_phrase("The combined sentence is"),
            *(symbol for number in (3, 0, 1) for symbol in (_keyword("join_clauses", number), W, U)),
            STOP,
        ],
    ),
    "truncate_sentence": ([0], [U, V, STOP]),
}


@pytest.mark.parametrize("kind", SUMMARIES)
def test_a_keyword_calls_for_its_summary(kind):
    numbers, summary = SUMMARIES[kind]
    _check_summary([kind], _lines(kind, *numbers), summary)
    with pytest.raises(CorpusError, match="no order of the modifiers gives this summary"):
        _check_summary([kind], _lines(kind, *numbers), [*summary, STOP])


def test_quotes_bullets_and_breaks_call_for_their_summaries():
    begin, end = _keyword("copy_quoted"), _keyword("copy_quoted", 1)
    _check_summary(["copy_quoted"], [[U, begin, V, W, end, U, V, STOP]], [V, W, STOP])
    _check_summary(["copy_quoted"], [[U, V, W, begin, V, STOP, end]], [V, STOP])
    _check_summary(["copy_bulleted"], [[_keyword("copy_bulleted"), U, V, W, U, STOP]], [U, V, W, U, STOP])
    parts = [U, V, _keyword("break_clauses", 2), W, STOP, U, V, _keyword("break_clauses", 0), STOP]
    _check_summary(["break_clauses"], [_line("break_clauses", 2, 0)], parts)


def test_modifiers_add_to_a_summary_in_any_order():
    kinds = ["threshold_number", "truncate_sentence"]
    lines = [_line("threshold_number", 49), _line("truncate_sentence", 0)]
    below = _phrase("the number was below threshold .")
    _check_summary(kinds, lines, [*below, U, V, STOP])
    _check_summary(kinds, lines, [U, V, STOP, *below])
    with pytest.raises(CorpusError, match="position 38: no order"):
        _check_summary(kinds, lines, [*below, U, W, STOP])


@pytest.mark.parametrize(
    ("kind", "lines", "message"),
    [
        ("copy_keyword", [], "position 30: the document holds the keywords of no modifier"),
        ("copy_keyword", _lines("copy_keyword", 1, 2), "position 30: the keywords of copy_keyword do not stand"),
        ("join_clauses", _lines("join_clauses", 1, 2, 1), "position 30: the keywords of join_clauses do not stand"),
        ("majority_keyword", _lines("majority_keyword", *[1] * 4), "position 30: the keywords of majority_keyword"),
        ("copy_keyword", [[U, _keyword("copy_keyword"), W, STOP]], "position 4: a sentence of 3 words ends here"),
        ("copy_keyword", [[U, V, W, 33, STOP]], "position 3: symbol 33 is no word and no keyword"),
        ("copy_keyword", [[U, V, W, U, STOP]] * 6, "position 30: the document has 6 sentences"),
    ],
)
def test_check_names_what_is_wrong_with_a_document(kind, lines, message):
    with pytest.raises(CorpusError, match=message):
        _check_summary([kind], lines, [])


@pytest.mark.parametrize("kind", KINDS)
def test_each_modifier_alone_gives_rows_that_pass_their_check(kind):
    domain = NonsenseSummary(vocabulary={"size": 20}, modifiers=[kind], num_modifiers=1)
    for symbols, predicted in _rows(domain.sample(3, 0, 100)):
        domain.check(symbols, predicted)


def test_many_modifiers_find_room_in_the_smallest_documents():
    domain = NonsenseSummary(vocabulary={"size": 20}, sentences=5, words=7, num_modifiers=5, mask="all", eos=False)
    for symbols, predicted in _rows(domain.sample(3, 0, 100)):
        domain.check(symbols, predicted)


def test_every_modifier_is_as_likely_as_any_other():
    """Of 4,000 documents with 3 of 16 modifiers, 750 hold the keywords of each."""
    rows = [row[: row.tolist().index(3)] for row, _ in _rows(NonsenseSummary().sample(9, 0, 4000))]
    for kind, first, count in zip(KINDS, FIRST_KEYWORD, KEYWORDS, strict=True):
        held = sum(bool(((row >= first) & (row < first + count)).any()) for row in rows)
        assert abs(held - 750) < 120, kind
