"""String functions: what each of them says of a row that is written out by hand, and how the rows are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.domains.copying import Reverse
from metalang.domains.counting import Count, Length
from metalang.domains.ends import FirstToken, LastToken
from metalang.domains.ordering import SortBySequence, SortNumbers, Stack
from metalang.domains.repeats import Deduplicate, Set
from metalang.domains.replacing import Replace, ReplaceMany
from metalang.domains.searching import Delete, Filter, GetIndex, Search
from metalang.domains.sets import Intersect, SetDiffAB, SetDiffBA, Union
from metalang.domains.words import FindArrayElement, LongestWord
from metalang.errors import ConfigError, CorpusError
from metalang.ids import NUM_CONTROL
from metalang.specs import as_spec

KINDS = [
    Deduplicate, Set, Union, Intersect, SetDiffAB, SetDiffBA, SortBySequence, SortNumbers, Stack, Replace, ReplaceMany,
    Delete, Filter, Search, GetIndex, Count, Length, FirstToken, LastToken, LongestWord, FindArrayElement,
]  # fmt: skip
TYPES = {kind.model_fields["type"].default: kind for kind in KINDS}
SEP, ARG, WORD, EMPTY, EOS = 3, 4, 6, 7, 2


def _domain(kind, *, size=50, low=12, high=40, **parameters):
    lengths = {} if kind in (FindArrayElement, "find_array_element") else {"sequence_length": {"min": low, "max": high}}
    value = {"vocabulary": {"size": size}} | lengths | parameters
    return as_spec(TYPES[kind] if isinstance(kind, str) else kind, value, "given")


def _rows(domain, count, *, key=5):
    sample = domain.sample(key, 0, count)
    return list(
        zip(np.split(sample.symbols, sample.ends[:-1]), np.split(sample.predicted, sample.ends[:-1]), strict=True)
    )


def _fields(domain, count, *, key=5):
    """x and y of each row, without the delimiters between and behind them."""
    rows = [symbols.tolist() for symbols, _ in _rows(domain, count, key=key)]
    return [(row[: row.index(SEP)], row[row.index(SEP) + 1 : -1]) for row in rows]


def _chi_square(counts, expected):
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


GOLDEN = {
    "deduplicate": "51 51 36 54 54 48 48 48 56 56 3 51 36 54 48 56 2",
    "set": "64 64 79 79 37 60 60 60 64 64 3 64 79 37 60 2",
    "union": "79 60 79 60 4 60 60 60 65 64 3 79 60 65 64 2",
    "intersect": "79 60 79 60 4 60 60 60 65 64 3 60 2",
    "set_diff_a_b": "79 60 79 60 4 60 60 60 65 64 3 79 2",
    "set_diff_b_a": "79 60 79 60 4 60 60 60 65 64 3 65 64 2",
    "sort_by_sequence": "79 60 60 60 79 60 4 79 60 64 3 79 79 60 60 60 60 2",
    "sort_numbers": "56 79 60 64 64 37 3 37 56 60 64 64 79 2",
    "stack": "79 64 38 39 51 50 7 7 75 7 3 39 38 64 79 2",
    "replace": "79 60 64 64 37 51 36 4 64 48 3 79 60 48 48 37 51 36 2",
    "replace_many": "37 51 64 60 64 79 4 79 65 51 74 3 37 74 64 60 64 65 2",
    "delete": "54 48 60 64 56 60 64 60 64 60 64 4 60 64 3 54 48 56 60 64 60 64 60 64 2",
    "filter": "54 48 60 64 56 60 64 60 64 60 64 4 60 64 3 54 48 56 2",
    "search": "74 32 79 77 46 60 64 64 37 49 64 54 60 64 64 37 62 79 77 67 4 60 64 64 37 3 11 2",
    "get_index": "63 74 32 79 77 60 64 64 37 46 49 60 64 64 37 64 54 62 79 4 60 64 64 37 3 15 2",
    "count": "56 56 56 56 56 56 56 56 56 56 4 56 3 11 10 2",
    "length": "56 79 60 64 64 37 51 36 54 48 56 47 3 11 12 2",
    "first_token": "56 79 60 64 64 37 51 36 54 48 56 47 3 56 2",
    "last_token": "56 79 60 64 64 37 51 36 54 48 56 47 3 47 2",
    "longest_word": "79 60 64 6 37 51 36 54 48 56 47 3 37 51 36 54 48 56 47 2",
    "find_array_element": "64 64 37 6 36 54 48 56 6 73 65 43 4 73 65 43 3 73 65 43 2",
}


@pytest.mark.parametrize("kind", TYPES)
def test_the_first_rows_are_golden(kind):
    """A changed row is a change of format: say so in CHANGELOG.md."""
    sizes = {"num_elements": 3, "element_length": {"min": 2, "max": 4}} if kind == "find_array_element" else {}
    row = _domain(kind, low=12, high=28, **sizes).sample(9, 0, 1).symbols
    assert " ".join(map(str, row.tolist())) == GOLDEN[kind]


# type, x, y: written out by hand. Symbols 41, 42, 43 ... read as a, b, c ...
ORACLE = [
    ("deduplicate", [41, 41, 42, 42, 43, 42], [41, 42, 43, 42]),
    ("set", [41, 41, 42, 42, 43, 42], [41, 42, 43]),
    ("union", [42, 41, 42, ARG, 43, 41], [42, 41, 43]),
    ("union", [ARG, 43, 41, 43], [43, 41]),
    ("intersect", [42, 41, 42, 43, ARG, 43, 42], [42, 43]),
    ("intersect", [41, ARG, 42], [EMPTY]),
    ("set_diff_a_b", [42, 41, 42, 43, ARG, 43, 44], [42, 41]),
    ("set_diff_a_b", [41, ARG, 41, 42], [EMPTY]),
    ("set_diff_b_a", [42, 41, ARG, 44, 41, 44, 43], [44, 43]),
    ("set_diff_b_a", [41, ARG], [EMPTY]),
    ("sort_by_sequence", [41, 42, 43, 41, ARG, 43, 41, 42], [43, 41, 41, 42]),
    ("sort_by_sequence", [41, 42, 42, ARG, 41, 42, 41], [42, 42, 41]),  # the last place of 41 counts
    ("sort_numbers", [43, 41, 43, 42], [41, 42, 43, 43]),
    ("stack", [41, 42, 43, EMPTY, 44, EMPTY], [42, 41]),
    ("stack", [41, 42, EMPTY, 42], [42, 41]),
    ("replace", [41, 42, 41, ARG, 41, 43], [43, 42, 43]),
    ("replace_many", [41, 42, 43, ARG, 41, 42, 42, 41], [42, 41, 43]),  # all at once, not one after the other
    ("delete", [41, 42, 41, 42, ARG, 41, 42], [41, 42]),
    ("delete", [41, 41, 41, ARG, 41, 41], [41]),
    ("delete", [41, 42, ARG, 42, 41], [41, 42]),
    ("delete", [41, 42, ARG, 41, 42], [EMPTY]),
    ("delete", [ARG, 41, 42], [EMPTY]),
    ("filter", [41, 41, 42, 42, 43, ARG, 41, 42], [43]),  # the second 41 42 is formed by deleting the first
    ("filter", [41, 42, 41, 42, 41, ARG, 41, 42, 41], [42, 41]),  # leftmost first
    ("filter", [41, 41, ARG, 41], [EMPTY]),
    ("search", [41, 42, 43, ARG, 42, 43], [11]),
    ("search", [41, 42, 43, ARG, 43, 42], [10]),
    ("search", [41, 42, 43, ARG, 41, 42, 43, 44], [10]),
    ("get_index", [41, 42, 43, 42, 43, ARG, 42, 43], [11]),
    ("get_index", [41] * 12 + [42, ARG, 42], [11, 12]),
    ("get_index", [41, ARG, 42], [EMPTY]),
    ("count", [41, 42, 41, ARG, 41], [12]),
    ("count", [41, 42, 41, ARG, 43], [10]),
    ("count", [41] * 10 + [ARG, 41], [11, 10]),
    ("length", [41] * 107, [11, 10, 17]),
    ("first_token", [41, 42, 43], [41]),
    ("last_token", [41, 42, 43], [43]),
    ("longest_word", [41, WORD, 42, 43, WORD, 44, 45], [42, 43]),
    ("find_array_element", [41, 42, 43, WORD, 42, 43, 44, WORD, 45, 45, 45, ARG, 43, 44], [42, 43, 44]),
]


@pytest.mark.parametrize(("kind", "source", "target"), ORACLE)
def test_solve_and_check_agree_with_rows_written_by_hand(kind, source, target):
    domain = _domain(kind, low=0, high=200)
    row = [*source, SEP, *target, EOS]
    assert domain.solve(source) == target
    domain.check(np.array(row), np.arange(len(row)) > len(source))


# type, row, message
BROKEN = [
    ("set", [41, 41, 42, SEP, 41, 41, EOS], "position 5: symbol is 41 and should be 42"),
    ("set", [41, ARG, 42, SEP, 41, 42, EOS], "position 1: symbol 4 is not content of set"),
    ("set", [SEP, EOS], "position 0: x has no symbol"),
    ("deduplicate", [41, 41, 42, SEP, 41, 42, 42, EOS], "position 6: symbol is 42 and should be 2"),
    ("union", [41, 42, SEP, 41, 42, EOS], "position 2: x has 1 parts and should have 2"),
    ("union", [41, ARG, 42, ARG, 43, SEP, 41, EOS], "position 3: symbol 4 is not content"),
    ("intersect", [41, ARG, 42, SEP, EOS], "position 4: symbol is 2 and should be 7"),
    ("set_diff_a_b", [41, ARG, 42, SEP, 42, EOS], "position 4: symbol is 42 and should be 41"),
    ("set_diff_b_a", [41, ARG, 42, SEP, 41, EOS], "position 4: symbol is 41 and should be 42"),
    ("sort_by_sequence", [41, 42, 43, ARG, 42, 41, SEP, 42, 41, 43, EOS], "position 2: symbol 43 is not in the order"),
    ("sort_by_sequence", [41, 42, ARG, 42, 41, SEP, 41, 42, EOS], "position 6: symbol is 41 and should be 42"),
    ("sort_numbers", [42, 41, SEP, 42, 41, EOS], "position 3: symbol is 42 and should be 41"),
    ("stack", [41, EMPTY, 42, SEP, 42, EOS], "position 1: a stack of 1 symbols is popped"),
    ("stack", [41, 42, 41, EMPTY, SEP, 42, 41, EOS], "position 2: symbol 41 is pushed and is on the stack"),
    ("stack", [41, 42, 43, SEP, 43, 42, 41, EOS], "position 2: the last step pushes onto a stack of 2"),
    ("stack", [41, WORD, SEP, 41, EOS], "position 1: symbol 6 is not content of stack"),
    ("stack", [41, 42, 43, EMPTY, SEP, 41, 42, EOS], "position 5: symbol is 41 and should be 42"),
    ("replace", [41, 42, ARG, 43, 41, SEP, 41, 42, EOS], "position 3: symbol 43 is replaced and is not in w"),
    ("replace", [41, 42, ARG, 41, SEP, 41, 42, EOS], "position 4: 1 symbols follow ARG"),
    ("replace", [41, ARG, 41, 43, SEP, 41, EOS], "position 5: symbol is 41 and should be 43"),
    ("replace_many", [41, ARG, 41, 43, SEP, 43, EOS], "position 4: 2 symbols follow ARG"),
    ("replace_many", [41, 42, ARG, 41, 43, 41, 44, SEP, 43, 42, EOS], "position 5: symbol 41 is replaced twice"),
    ("delete", [41, 42, ARG, SEP, 41, 42, EOS], "position 3: the query has 0 symbols and should have 1 or more"),
    ("delete", [41, 42, ARG, 41, SEP, 41, EOS], "position 5: symbol is 41 and should be 42"),
    ("filter", [41, 42, 41, ARG, 41, SEP, 42, 41, EOS], "position 7: symbol is 41 and should be 2"),
    ("search", [41, 42, ARG, 41, SEP, 10, EOS], "position 5: symbol is 10 and should be 11"),
    ("get_index", [41, 42, ARG, 42, SEP, 10, EOS], "position 5: symbol is 10 and should be 11"),
    ("count", [41, 42, ARG, 42, 41, SEP, 11, EOS], "position 5: the query has 2 symbols and should have 1"),
    ("count", [41, 42, ARG, 42, SEP, 12, EOS], "position 5: symbol is 12 and should be 11"),
    ("length", [41, 42, SEP, 11, EOS], "position 3: symbol is 11 and should be 12"),
    ("first_token", [41, 42, SEP, 42, EOS], "position 3: symbol is 42 and should be 41"),
    ("last_token", [41, 42, SEP, 41, EOS], "position 3: symbol is 41 and should be 42"),
    ("longest_word", [41, WORD, WORD, 42, SEP, 41, EOS], "position 2: a word without symbols ends"),
    ("longest_word", [41, WORD, SEP, 41, EOS], "position 2: a word without symbols ends"),
    ("longest_word", [41, ARG, SEP, 41, EOS], "position 1: symbol 4 is not content of longest_word"),
    ("longest_word", [41, WORD, 42, SEP, 42, EOS], "position 4: symbol is 42 and should be 41"),
    ("find_array_element", [41, WORD, 42, SEP, 41, EOS], "position 3: .* has 0 symbols"),
    ("find_array_element", [41, 42, WORD, 42, ARG, 42, SEP, 42, EOS], "position 6: .* stands in 2 elements"),
    ("find_array_element", [41, WORD, 42, ARG, 41, WORD, SEP, 42, EOS], "position 5: symbol 6 is not content"),
    ("find_array_element", [41, WORD, 42, ARG, 41, SEP, 42, EOS], "position 6: symbol is 42 and should be 41"),
]


@pytest.mark.parametrize(("kind", "row", "message"), BROKEN)
def test_check_names_the_first_position_that_breaks_the_definition(kind, row, message):
    with pytest.raises(CorpusError, match=message):
        _domain(kind).check(np.array(row), np.arange(len(row)) > row.index(SEP))


def test_check_names_a_substring_that_is_no_prefix_or_suffix():
    row = np.array([41, 42, 43, WORD, 44, ARG, 42, SEP, 41, 42, 43, EOS])
    for substring in ("prefix", "suffix"):
        with pytest.raises(CorpusError, match=f"position 6: the string behind ARG is no {substring} of its element"):
            _domain(FindArrayElement, substring=substring).check(row, np.arange(12) > 7)


def test_check_names_a_longer_query_where_one_symbol_is_meant():
    row = np.array([41, 42, ARG, 41, 42, SEP, EMPTY, EOS])
    with pytest.raises(CorpusError, match="position 5: the query has 2 symbols and should have 1"):
        _domain(Delete, query="symbol").check(row, np.arange(8) > 5)


@pytest.mark.parametrize("kind", TYPES)
def test_check_names_a_wrong_mask(kind):
    domain = _domain(kind)
    symbols, predicted = _rows(domain, 1)[0]
    predicted[2] = True
    with pytest.raises(CorpusError, match="position 2: mask is True and should be False"):
        domain.check(symbols, predicted)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(TYPES)),
    size=st.sampled_from([1, 2, 3, 10, 300]),
    low=st.integers(0, 60),
    extra=st.integers(0, 90),
    distribution=st.sampled_from(["uniform", {"type": "zipf", "alpha": 1.5, "beta": 0.0}]),
    replacement=st.sampled_from([True, True, False]),
    mask=st.sampled_from(["all", "output", "output_no_eos"]),
    eos=st.booleans(),
    key=st.integers(0, 2**64 - 1),
    data=st.data(),
)
def test_any_valid_description_gives_rows_that_pass_their_check(
    kind, size, low, extra, distribution, replacement, mask, eos, key, data
):
    choices = {
        "source": ["parts", "independent"], "pool_ratio": [None, 0.5, 1.0], "division": ["uniform", "halves"],
        "query": ["string", "symbol"], "present": [0.0, 0.5, 1.0], "push": [0.0, 1.0], "pop": [0.0, 0.5],
        "num_elements": [1, {"min": 1, "max": 6}], "element_length": [1, {"min": 1, "max": 9}],
        "substring": ["anywhere", "prefix", "suffix"],
    }  # fmt: skip
    names = sorted(set(TYPES[kind].model_fields) & set(choices))
    chosen = {name: data.draw(st.sampled_from(choices[name])) for name in names if data.draw(st.booleans())}
    vocabulary = {"size": size, "distribution": distribution, "replacement": replacement}
    lengths = {} if kind == "find_array_element" else {"sequence_length": {"min": low, "max": low + extra}}
    value = {"vocabulary": vocabulary, "mask": mask, "eos": eos} | lengths | chosen
    try:
        domain = as_spec(TYPES[kind], value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(domain, 8, key=key):
        domain.check(symbols, predicted)
        source = symbols.tolist()[: symbols.tolist().index(SEP)]
        assert len(source) in domain.source_length
        assert kind == "find_array_element" or low <= len(symbols) <= low + extra
        if not replacement:
            assert len(set(source)) == len(source)


def test_no_row_is_an_empty_sample():
    sample = _domain(Set).sample(7, 0, 0)
    assert (len(sample.symbols), len(sample.ends), len(sample.predicted)) == (0, 0, 0)


def test_many_symbols_are_stored_in_32_bits():
    domain = _domain(Set, size=100_000)
    symbols, predicted = _rows(domain, 1)[0]
    domain.check(symbols, predicted)
    assert symbols.dtype == np.int32


def test_published_lengths_of_x_follow_from_lengths_of_rows():
    assert _domain(Set, low=13, high=442).source_length == range(10, 221)
    assert _domain(SortBySequence, low=17, high=440).source_length == range(10, 221)
    assert _domain(Set, low=66, high=129, source="independent", eos=False).source_length == range(64, 65)
    assert _domain(Delete, low=130, high=131, query="symbol", eos=False).source_length == range(66, 67)


@pytest.mark.parametrize("kind", [Deduplicate, Set])
def test_the_number_of_parts_is_uniform_and_their_sizes_are_multinomial(kind):
    """8 symbols among 60,000: two parts share a symbol in one row of 2,000, so y has a symbol for each part."""
    fields = _fields(_domain(kind, size=60_000, low=11, high=18), 40_000)
    counts = np.bincount([len(target) for _, target in fields], minlength=9)[1:]
    assert _chi_square(counts, np.full(8, 5000.0)) < 35.0  # 7 degrees of freedom: p below 1e-4
    smaller = [min(source.count(symbol) for symbol in target) for source, target in fields if len(target) == 2]
    law = np.array([2, 12, 30, 20]) / 64  # of the smaller of 1 + binomial(6, 1/2) and the rest
    assert _chi_square(np.bincount(smaller, minlength=5)[1:], law * len(smaller)) < 22.0  # 3 degrees of freedom


def test_set_shuffles_its_parts_and_deduplicate_does_not():
    rows = {kind: _fields(_domain(kind, size=60_000, low=33, high=62), 2000) for kind in (Deduplicate, Set)}
    repeats = {
        kind: sum(len(source) - len(_domain(Deduplicate).solve(source)) for source, _ in fields)
        for kind, fields in rows.items()
    }
    assert repeats[Set] < 0.5 * repeats[Deduplicate]


def test_both_sides_of_a_set_operation_share_a_pool_half_as_large():
    fields = _fields(_domain(Union, size=60_000, low=24, high=43), 20_000)
    parts = [(source[: source.index(ARG)], source[source.index(ARG) + 1 :]) for source, _ in fields]
    totals = {len(first) + len(second) for first, second in parts}
    assert totals == {20}  # rows of 24 to 43 symbols have 21 in x
    counts = np.bincount([len(first) for first, _ in parts], minlength=21)
    assert _chi_square(counts, np.full(21, 20_000 / 21)) < 55.0  # 20 degrees of freedom: p below 1e-4
    assert max(len(target) for _, target in fields) == 10


def test_the_order_to_sort_by_is_uniform_in_length():
    """Rows of 17 to 440 symbols are x of 10 to 220: the order has 5 to 109 symbols, and w as many or more."""
    fields = _fields(_domain(SortBySequence, low=17, high=440), 10_500)
    sizes = [(source.index(ARG), len(source) - source.index(ARG) - 1) for source, _ in fields]
    counts = np.bincount([order for _, order in sizes], minlength=110)
    assert counts[:5].sum() == 0 and len(counts) == 110
    assert _chi_square(counts[5:], np.full(105, 100.0)) < 165.0  # 104 degrees of freedom: p below 2e-4
    assert all(text >= order for text, order in sizes)


def test_a_stack_grows_for_two_thirds_of_its_steps_and_then_shrinks():
    """64 steps, so the stack is deep at 20 to 50: push 3/4 up to step 41, pop 3/4 from step 42, pop at the last.

    A stack of one symbol is pushed to; in 7 rows of 100 it has come down to that.
    """
    domain = _domain(Stack, size=99, low=66, high=127, eos=False)
    sample = [row[:64] for row, _ in _rows(domain, 20_000)]
    pushes = (np.array(sample) != EMPTY).mean(axis=0)
    assert np.abs(pushes[[25, 35, 40, 41]] - 0.75).max() < 0.015
    assert np.abs(pushes[[42, 43, 46]] - 0.25).max() < 0.015
    assert pushes[:2].tolist() == [1.0, 1.0] and pushes[63] < 0.07


def test_a_stack_pushes_any_symbol_not_on_it_with_the_same_probability():
    rows = np.array([row[:2] for row, _ in _rows(_domain(Stack, size=3, low=20, high=40), 30_000)])
    orders, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(orders) == 6
    assert _chi_square(counts, np.full(6, 5000.0)) < 25.0  # 5 degrees of freedom: p below 2e-4


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_queries_are_present_in_the_share_asked_for(share):
    domain = _domain(Search, size=30_000, low=13, high=223, present=share)
    found = np.mean([target == [11] for _, target in _fields(domain, 20_000)])
    assert abs(found - share) < 0.015


def test_shares_default_to_the_published_ones():
    kinds = (Delete, Filter, Search, GetIndex)
    assert [_domain(kind).present for kind in kinds] == [0.75, 0.75, 0.5, 0.75]


def test_a_query_is_absent_from_two_symbols_too():
    fields = _fields(_domain(Search, size=2, low=8, high=60, present=0.0), 2000)
    assert {tuple(target) for _, target in fields} == {(10,)}


def test_one_absent_query_of_a_hundred_is_longer_than_its_text():
    fields = _fields(_domain(Search, size=30_000, low=13, high=223, present=0.0), 40_000)
    longer = np.mean([source.index(ARG) < len(source) - source.index(ARG) - 1 for source, _ in fields])
    assert 0.008 < longer < 0.012


def test_copies_to_count_are_uniform_in_number():
    """Rows of 14 symbols have 9 in w; of 60,000 symbols, the independent ones are hardly ever the query."""
    fields = _fields(_domain(Count, size=60_000, low=14, high=14), 20_000)
    counts = np.bincount([target[0] - 10 for _, target in fields], minlength=10)
    assert _chi_square(counts, np.full(10, 2000.0)) < 36.0  # 9 degrees of freedom: p below 1e-4


def test_any_different_symbol_of_a_text_is_replaced_with_the_same_probability():
    distribution = {"type": "zipf", "alpha": 3.0, "beta": 0.0}  # 32 is eight times as frequent as 33
    domain = _domain(Replace, low=23, high=23, vocabulary={"size": 2, "distribution": distribution})
    keys = [source[-2] for source, _ in _fields(domain, 20_000) if len(set(source[:-3])) == 2]
    assert len(keys) > 10_000
    assert abs(np.mean(np.array(keys) == 32) - 0.5) < 0.015


def test_replace_many_has_two_pairs_to_a_third_of_its_symbols():
    fields = _fields(_domain(ReplaceMany, size=31_998, low=15, high=437), 7200)
    counts = np.bincount([(len(source) - source.index(ARG) - 1) // 2 for source, _ in fields])
    assert counts[:2].sum() == 0 and len(counts) == 74
    assert _chi_square(counts[2:], np.full(72, 100.0)) < 125.0  # 71 degrees of freedom: p below 1e-4


def test_words_are_uniform_in_number():
    fields = _fields(_domain(LongestWord, size=1000, low=13, high=442), 11_000)
    counts = np.bincount([source.count(WORD) + 1 for source, _ in fields])
    assert counts[0] == 0 and len(counts) == 111
    assert _chi_square(counts[1:], np.full(110, 100.0)) < 175.0  # 109 degrees of freedom: p below 1e-4


def test_arrays_have_the_sizes_asked_for():
    fields = _fields(_domain(FindArrayElement, size=1000), 13_000)
    counts = np.bincount([source.count(WORD) + 1 for source, _ in fields])
    assert counts[:4].sum() == 0 and len(counts) == 17
    assert _chi_square(counts[4:], np.full(13, 1000.0)) < 42.0  # 12 degrees of freedom: p below 1e-4
    assert {len(target) for _, target in fields} == {3, 4, 5, 6, 7, 8}


FAULTS = {
    "no_length_of_x": (Set, {"low": 20, "high": 20}, "sequence_length 20 to 20 holds no length of x .* of 13 to 22"),
    "too_short": (ReplaceMany, {"low": 0, "high": 9}, "sequence_length 0 to 9 holds no length of x"),
    "no_repeats": (Set, {"vocabulary": {"size": 90, "replacement": False}}, "replacement false does not suit set"),
    "too_few_symbols": (
        SortNumbers, {"vocabulary": {"size": 9, "replacement": False}}, "needs 19 different symbols and vocab",
    ),
    "small_pool": (Union, {"size": 8}, "pool_ratio 0.5 needs up to 9 different symbols and vocabulary.size is 8"),
    "no_pool": (Union, {"pool_ratio": 0}, "pool_ratio: .*greater than 0"),
    "uneven_stack": (Stack, {"vocabulary": {"size": 9, "distribution": "zipf"}}, "'zipf' does not suit stack"),
    "one_symbol_stack": (Stack, {"size": 1}, "vocabulary.size 1 is too small for stack; give it 2 or more"),
    "idle_present": (Delete, {"query": "symbol", "present": 0.5}, "present 0.5 has no effect where query is 'symbol'"),
    "never_absent": (Search, {"size": 1}, "present 0.5 needs strings without the query and vocabulary.size is 1"),
    "sure_present": (Search, {"present": 1.5}, "present: .*less than or equal to 1"),
    "few_keys": (ReplaceMany, {"size": 4}, "needs up to 6 different symbols and vocabulary.size is 4"),
    "one_element": (FindArrayElement, {"size": 1}, "vocabulary.size 1 leaves find_array_element no different elements"),
    "no_element": (FindArrayElement, {"num_elements": 0}, "num_elements.min 0 and .* leave x empty"),
    "elements_differ": (
        FindArrayElement, {"vocabulary": {"size": 90, "replacement": False}}, "replacement false does not suit",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_description_gets_one_clear_line(kind, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        _domain(kind, **changes)
    assert "\n" not in str(caught.value)


def test_content_begins_behind_the_control_block():
    assert all(_domain(kind).content.start == NUM_CONTROL and _domain(kind).num_symbols == 82 for kind in KINDS)


def test_a_row_of_another_length_than_described_is_refused():
    row = np.array([41, 42, SEP, 42, 41, EOS])
    mask = np.arange(6) > 2
    reverse = Reverse(vocabulary={"size": 50}, sequence_length=6)
    reverse.check(row, mask)
    with pytest.raises(CorpusError, match="position 6: the row has 6 symbols and should have 8 to 20"):
        Reverse(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 20}).check(row, mask)
