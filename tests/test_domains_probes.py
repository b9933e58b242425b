"""Motifs, compression, tracked variables, frequent words and the attractor of Lorenz: what each definition promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.domains import domain_types
from metalang.domains.flows import Lorenz
from metalang.domains.frequencies import FreqWords, ZetaWords
from metalang.domains.mad import MadCompress
from metalang.domains.motifs import MadFuzzy
from metalang.domains.tracking import VarTracking
from metalang.errors import ConfigError, CorpusError
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit
from metalang.specs import as_spec

COMMON = {"type": "common", "num_common": 2, "freq_common": 3, "num_uncommon": 2, "freq_uncommon": 1}
SMALL = {
    "mad_fuzzy": MadFuzzy(sequence_length=20, vocabulary_size=9),
    "mad_fuzzy seen": MadFuzzy(sequence_length=20, vocabulary_size=9, mask="seen"),
    "mad_compress": MadCompress(sequence_length=13),
    "var_tracking": VarTracking(sequence_length=24, haystack_size=4, num_variables=9, num_values=4, num_hops=2),
    "var_tracking of chains": VarTracking(
        sequence_length=24, haystack_size=4, num_variables=9, num_values=4, num_chains=2, num_hops=1
    ),
    "freq_words": FreqWords(vocabulary_size=9, counts=COMMON),
    "freq_words zeta": FreqWords(vocabulary_size=9, counts={"type": "zeta", "size": 20, "num_asked": 2}),
    "lorenz": Lorenz(num_bins=64, sequence_length=12),
}
GOLDEN = {
    "mad_fuzzy": [0, 0, 0, 0, 33, 35, 37, 38, 32, 35, 34, 38, 36, 40, 32, 35, 34, 38, 36, 40],
    "mad_fuzzy seen": [0, 0, 0, 0, 33, 35, 37, 38, 32, 35, 34, 38, 36, 40, 32, 35, 34, 38, 36, 40],
    "mad_compress": [36, 46, 45, 41, 37, 37, 3, 36, 46, 45, 41, 37, 37],
    "var_tracking": [35, 32, 35, 4, 38, 47, 4, 44, 38, 34, 33, 4, 37, 44, 35, 34, 35, 5, 47, 3, 38, 44, 37, 2],
    "var_tracking of chains": [4, 38, 47, 33, 35, 34, 35, 4, 44, 46, 33, 4, 37, 38, 32, 4, 42, 44, 5, 46, 3, 44, 42, 2],
    "freq_words": [34, 40, 33, 34, 40, 40, 38, 34, 3, 34, 40, 2],
    "freq_words zeta": [40, 34, 6, 34, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 34, 3, 34, 40, 2],
    "lorenz": [69, 68, 67, 67, 67, 66, 66, 66, 66, 67, 67, 67],
}


def _rows(domain, count, *, key=7, start=0):
    sequences = domain.sample(key, start, count)
    borders = sequences.ends[:-1]
    return list(zip(np.split(sequences.symbols, borders), np.split(sequences.predicted, borders), strict=True))


def _fault(domain, row, predicted):
    """The message of check for a row of which the places in `predicted` are; None where it is as defined."""
    try:
        domain.check(np.array(row), np.isin(np.arange(len(row)), list(predicted)))
    except CorpusError as error:
        return str(error)
    return None


def _changed(row, place, symbol):
    return [*row[:place], symbol, *row[place + 1 :]]


@pytest.mark.parametrize("name", SMALL)
def test_the_first_row_is_golden(name):
    """A changed row is a change of format: say so in CHANGELOG.md."""
    assert _rows(SMALL[name], 1)[0][0].tolist() == GOLDEN[name]


@pytest.mark.parametrize("name", SMALL)
def test_rows_do_not_depend_on_the_chunk(name):
    far = 10**9
    chunk = _rows(SMALL[name], 70, start=far)
    for index in (0, 1, 15, 16, 69):
        alone = _rows(SMALL[name], 1, start=far + index)[0]
        assert alone[0].tolist() == chunk[index][0].tolist()
        assert alone[1].tolist() == chunk[index][1].tolist()


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("mad_fuzzy", "lorenz")])
def test_every_changed_symbol_and_mask_of_an_answer_is_found(name):
    symbols, predicted = _rows(SMALL[name], 1)[0]
    places = np.flatnonzero(predicted).tolist()
    for place in places:
        assert _fault(SMALL[name], _changed(symbols.tolist(), place, symbols[place] + 1), places).startswith("position")
        assert _fault(SMALL[name], symbols, [each for each in places if each != place]) == (
            f"position {place}: mask is False and should be True"
        )
    assert _fault(SMALL[name], symbols[:-1], places).startswith("position")


FUZZY = MadFuzzy(sequence_length=12, vocabulary_size=6, key_size={"min": 1, "max": 2}, value_size={"min": 1, "max": 2})
FUZZY_ROW = [0, 0, 0, 32, 35, 36, 33, 32, 37, 32, 35, 36]  # 32: 35 36; 33 32: 37; 32: 35 36
FUZZY_FAULTS = {
    "other_value": (_changed(FUZZY_ROW, 11, 37), "position 11: the value of this key was [35, 36] before"),
    "shorter_value": (FUZZY_ROW[:11], "position 11: the value of this key was [35, 36] before"),
    "new_last_key": (_changed(FUZZY_ROW, 9, 34), "position 9: the last key was not there before"),
    "symbol_twice": (_changed(FUZZY_ROW, 5, 35), "position 5: a key has 0 symbols; it should have 1 to 2"),
    "no_value": (_changed(FUZZY_ROW, 8, 31), "position 8: a value has 0 symbols; it should have 1 to 2"),
    "pad_inside": (_changed(FUZZY_ROW, 6, 0), "position 6: a key has 0 symbols; it should have 1 to 2"),
    "too_long": ([*FUZZY_ROW, 37], "position 12: the last pair ends here; the row has 13 symbols, of 12"),
    "pad_missing": (FUZZY_ROW[1:], "position 11: the last pair ends here; the row has 11 symbols, of 12"),
    "too_few_pairs": (
        [0, 0, 0, 0, 0, 0, 32, 35, 36, 32, 35, 36],
        "position 12: a key has 0 symbols; it should have 1 to 2",
    ),
}


def test_a_motif_is_recalled_and_padding_is_not_predicted():
    seen = FUZZY.model_copy(update={"mask": "seen"})
    assert _fault(FUZZY, FUZZY_ROW, range(3, 12)) is None
    assert _fault(seen, FUZZY_ROW, [10, 11]) is None
    assert _fault(FUZZY, FUZZY_ROW, range(2, 12)) == "position 2: mask is True and should be False"
    assert _fault(seen, FUZZY_ROW, [8, 10, 11]) == "position 8: mask is True and should be False"


@pytest.mark.parametrize(("row", "message"), FUZZY_FAULTS.values(), ids=FUZZY_FAULTS)
def test_fuzzy_recall_names_the_first_position_that_breaks_it(row, message):
    assert _fault(FUZZY, row, range(3, len(row))) == message


def test_every_order_of_the_symbols_of_a_motif_is_as_likely():
    domain = MadFuzzy(sequence_length=8, vocabulary_size=6, key_size=3, value_size=1)
    keys = domain.sample(3, 0, 12_000).symbols.reshape(-1, 8)[:, :3]
    orders, counts = np.unique(keys, axis=0, return_counts=True)
    assert len(orders) == 6
    assert ((counts - 2000) ** 2 / 2000).sum() < 25.0  # 5 degrees of freedom: p below 2e-4


def test_every_size_of_a_motif_is_as_likely():
    domain = MadFuzzy(sequence_length=8, vocabulary_size=6, key_size=1, value_size={"min": 1, "max": 3})
    rows = domain.sample(3, 0, 12_000).symbols.reshape(-1, 8)
    sizes = np.bincount(8 - (rows == 0).sum(axis=1), minlength=9)  # a row is one pair, twice
    assert sizes.nonzero()[0].tolist() == [4, 6, 8]
    assert ((sizes[[4, 6, 8]] - 4000) ** 2 / 4000).sum() < 19.0  # 2 degrees of freedom: p below 1e-4


def test_compression_writes_x_behind_the_symbol_that_compresses_it():
    domain = MadCompress(sequence_length=5)
    assert _fault(domain, [33, 40, 3, 33, 40], [3, 4]) is None
    assert _fault(domain, [33, 40, 3, 40, 33], [3, 4]) == "position 3: symbol is 40 and should be 33"
    assert MadCompress().lengths(7, 0, 2).tolist() == [63, 63]


CHAINS = VarTracking(
    sequence_length=20, haystack_size=4, num_variables=4, num_values=2, num_chains=2, num_hops=1
)  # haystack 32 to 35, variables 36 to 39, values 40 and 41
CHAINS_ROW = [4, 36, 40, 33, 4, 39, 41, 4, 38, 36, 4, 37, 39, 32, 5, 40, 3, 36, 38, 2]
CHAIN_FAULTS = {
    "value_twice": (6, 40, "position 6: here should be a new value or the last variable of a chain with hops left"),
    "variable_twice": (5, 36, "position 5: no new variable is assigned here"),
    "own_value": (9, 38, "position 9: here should be a new value"),
    "chain_that_went_on": (9, 39, "position 12: here should be a new value or the last variable of a chain"),
    "loose_variable": (3, 36, "position 3: symbol 36 is neither haystack nor the ARG of an assignment"),
    "no_query": (14, 33, "position 15: symbol 40 is neither haystack nor the ARG of an assignment"),
    "unknown_value": (15, 39, "position 15: QUERY and the value of a chain should end x"),
    "other_value": (15, 41, "position 17: symbol is 36 and should be 39"),
    "wrong_answer": (18, 37, "position 18: symbol is 37 and should be 38"),
}


@pytest.mark.parametrize(("place", "symbol", "message"), CHAIN_FAULTS.values(), ids=CHAIN_FAULTS)
def test_tracking_names_the_first_position_that_breaks_it(place, symbol, message):
    assert _fault(CHAINS, CHAINS_ROW, [17, 18, 19]) is None
    assert _fault(CHAINS, _changed(CHAINS_ROW, place, symbol), [17, 18, 19]).startswith(message)


def test_a_chain_has_all_its_hops():
    domain = VarTracking(sequence_length=13, haystack_size=2, num_variables=3, num_values=1, num_hops=1)
    assert _fault(domain, [4, 34, 37, 4, 35, 34, 5, 37, 3, 34, 35, 2], [9, 10, 11]) == (
        "position 8: x has 0 symbols of haystack and should have 1"
    )
    assert _fault(domain, [4, 34, 37, 32, 33, 32, 33, 5, 37, 3, 34, 2], [10, 11]) == (
        "position 9: x has 1 chains of hops [0]"
    )


def test_chains_interleave_in_every_order_alike():
    """Two chains of two assignments, no haystack: six orders of those asked for and the others."""
    domain = VarTracking(sequence_length=18, haystack_size=1, num_variables=4, num_values=2, num_chains=2, num_hops=1)
    rows = domain.sample(3, 0, 12_000).symbols.reshape(-1, 18)
    assert domain.haystack_length == 0
    asked = np.stack([(rows[:, 1 + 3 * number, None] == rows[:, 15:17]).any(axis=1) for number in range(4)], axis=1)
    orders, counts = np.unique(asked, axis=0, return_counts=True)
    assert len(orders) == 6
    assert ((counts - 2000) ** 2 / 2000).sum() < 25.0  # 5 degrees of freedom: p below 2e-4


def test_common_words_are_answered_in_the_order_in_which_they_occur():
    domain = SMALL["freq_words"]
    row = [40, 35, 33, 33, 40, 36, 33, 40, 3, 40, 33, 2]
    assert _fault(domain, row, [9, 10, 11]) is None
    swapped = [40, 35, 33, 33, 40, 36, 33, 40, 3, 33, 40, 2]
    assert _fault(domain, swapped, [9, 10, 11]) == "position 9: symbol is 33 and should be 40"
    other = [40, 35, 33, 33, 40, 35, 33, 40, 3, 40, 33, 2]
    assert _fault(domain, other, [9, 10, 11]) == (
        "position 8: x has 0 blanks and 3 words whose counts are not those wanted"
    )


def test_frequent_words_are_answered_from_the_most_frequent_on():
    """20 r ** -2 / 1.596 is 12.5, 3.1, 1.4, 0.8: 12 blanks, one word three times, one once."""
    domain = SMALL["freq_words zeta"]
    row = [6, 40, 6, 33, 6, 6, 6, 33, 6, 6, 6, 6, 6, 33, 6, 6, 3, 33, 40, 2]
    assert _fault(domain, row, [17, 18, 19]) is None
    assert _fault(domain, _changed(row, 0, 33), [17, 18, 19]) == (
        "position 16: x has 11 blanks and 2 words whose counts are not those wanted"
    )


def test_words_follow_the_law_of_zeta():
    tally = ZetaWords().tally()
    assert tally.num_blanks == 622 and tally.num_asked == 3
    assert tally.counts.tolist() == [155, 69, 38, 24, 17, 12, 9, 7, 6, 5, 4, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]


def test_every_word_is_asked_for_alike_and_stands_anywhere():
    domain = FreqWords(vocabulary_size=4, counts={**COMMON, "num_common": 1, "num_uncommon": 1})
    rows = domain.sample(3, 0, 12_000).symbols.reshape(-1, 7)
    asked, counts = np.unique(rows[:, 5], return_counts=True)
    assert asked.tolist() == [32, 33, 34, 35]
    assert ((counts - 3000) ** 2 / 3000).sum() < 22.0  # 3 degrees of freedom: p below 1e-4
    places = np.bincount((rows[:, :4] != rows[:, 5, None]).argmax(axis=1))
    assert ((places - 3000) ** 2 / 3000).sum() < 22.0


def _slope(x, y, z, rho):
    return 10.0 * (y - x), x * (rho - z) - y, x * y - (8.0 / 3.0) * z


def _simulated(domain, key, row):
    """A row in plain Python, whose floats are neither fused nor reordered."""
    state, draws = int(row_state(np.uint64(key), np.uint64(row))) + int(GOLDEN_GAMMA), []
    for _ in range(4):
        state = (state + int(GOLDEN_GAMMA)) % 2**64
        draws.append(unit(mix64(np.uint64(state))))
    rho = domain.rho_min + (domain.rho_max - domain.rho_min) * draws[0]
    point = [10.0 * draws[1] - 5.0, 10.0 * draws[2] - 5.0, 10.0 * draws[3] - 5.0 + (rho - 1.0)]
    step, symbols = domain.step_size, []
    for time in range(domain.burn_in + domain.sequence_length.max):
        if time >= domain.burn_in:
            symbols.append(32 + int((point[0] / (0.75 * domain.rho_max) + 1.0) * domain.num_bins / 2))
        first = _slope(*point, rho)
        second = _slope(*(each + step / 2 * part for each, part in zip(point, first, strict=True)), rho)
        third = _slope(*(each + step / 2 * part for each, part in zip(point, second, strict=True)), rho)
        fourth = _slope(*(each + step * part for each, part in zip(point, third, strict=True)), rho)
        slopes = zip(point, first, second, third, fourth, strict=True)
        point = [each + step / 6 * (a + 2.0 * (b + c) + d) for each, a, b, c, d in slopes]
    return symbols


@pytest.mark.parametrize("row", [0, 1, 17, 10**9])
def test_the_flow_is_that_of_runge_and_kutta_bit_for_bit(row):
    """Chaos makes of the last bit of a float another row within some 40 units of time, 2,000 steps."""
    domain = Lorenz(sequence_length=3_000)
    assert _rows(domain, 1, start=row)[0][0].tolist() == _simulated(domain, 7, row)


def test_the_flow_visits_both_wings_within_its_bins():
    rows = Lorenz().sample(3, 0, 2_000).symbols.astype(np.int64) - 32
    assert 5 < rows.min() < 30 and 225 < rows.max() < 250
    assert abs(rows.mean() - 127.5) < 1.0


def test_the_flow_bends_only_so_much():
    domain = Lorenz(sequence_length=4)  # 5 (40 x 0.02) ** 2 = 3.2, of bins of 60 / 256, and 2 bins: 15.65
    assert _fault(domain, [150, 150, 165, 170], range(4)) is None
    assert _fault(domain, [150, 150, 150, 166], range(4)) == (
        "position 3: symbol 166 bends the row by 16 bins; the flow bends it by 15.7 at most"
    )


@pytest.mark.parametrize(("rho", "step"), [(25.0, 0.02), (25.0, 0.001), (100.0, 0.03)])
def test_no_flow_bends_more_than_its_check_allows(rho, step):
    domain = Lorenz(rho_min=25.0, rho_max=rho, step_size=step, num_bins=4096, burn_in=0, sequence_length=1_000)
    for symbols, predicted in _rows(domain, 60):
        domain.check(symbols, predicted)
        assert 32 < symbols.min() and symbols.max() < 32 + 4095


MAPPING = {"mask": st.sampled_from(["all", "output", "output_no_eos"]), "eos": st.booleans()}
SPAN = st.tuples(st.integers(0, 4), st.integers(0, 3)).map(lambda span: {"min": span[0], "max": sum(span)})
PARAMETERS = {
    "mad_fuzzy": {
        "vocabulary_size": st.integers(2, 20),
        "sequence_length": st.integers(4, 60),
        "key_size": SPAN,
        "value_size": SPAN,
        "mask": st.sampled_from(["all", "seen"]),
    },
    "var_tracking": {
        "sequence_length": st.integers(8, 90),
        "haystack_size": st.integers(1, 9),
        "num_variables": st.integers(1, 20),
        "num_values": st.integers(1, 5),
        "num_chains": st.integers(1, 4),
        "num_hops": st.integers(0, 4),
        **MAPPING,
    },
    "freq_words": {
        "vocabulary_size": st.integers(1, 40),
        "counts": st.one_of(
            st.fixed_dictionaries(
                {
                    "type": st.just("common"),
                    "num_common": st.integers(1, 6),
                    "freq_common": st.integers(1, 9),
                    "num_uncommon": st.integers(0, 9),
                    "freq_uncommon": st.integers(1, 3),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("zeta"),
                    "alpha": st.sampled_from([1.1, 1.5, 2.0, 4.0]),
                    "size": st.integers(1, 300),
                    "num_asked": st.integers(1, 5),
                }
            ),
        ),
        **MAPPING,
    },
    "lorenz": {
        "rho_min": st.sampled_from([25.0, 28.0, 99.0]),
        "rho_max": st.sampled_from([28.0, 60.0, 100.0]),
        "step_size": st.sampled_from([0.0001, 0.01, 0.03]),
        "num_bins": st.integers(2, 3000),
        "burn_in": st.integers(0, 100),
        "sequence_length": SPAN,
    },
}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(PARAMETERS)), key=st.integers(0, 2**64 - 1))
def test_any_valid_description_gives_rows_that_pass_their_check(data, name, key):
    value = data.draw(st.fixed_dictionaries(PARAMETERS[name]))
    try:
        domain = as_spec(domain_types()[name], value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(domain, 5, key=key, start=3):
        domain.check(symbols, predicted)
        assert symbols.max() < domain.num_symbols


FAULTS = {
    "big_motif": ("mad_fuzzy", {"vocabulary_size": 5}, "key_size 1 to 3 does not lie in 1 to 2, the symbols that"),
    "empty_motif": ("mad_fuzzy", {"value_size": 0}, "value_size 0 to 0 does not lie in 1 to 8"),
    "many_keys": ("mad_fuzzy", {"vocabulary_size": 300}, "makes more than 1,048,576 keys; lower vocabulary_size"),
    "one_pair": ("mad_fuzzy", {"sequence_length": 11}, "sequence_length 11 is too short for two pairs; they need 12"),
    "no_row": ("mad_compress", {"sequence_length": 2}, "sequence_length 2 to 2 holds no row `x SEP y EOS`"),
    "no_haystack": (
        "var_tracking",
        {"sequence_length": 20},
        "sequence_length 20 is too short; the assignments need 24",
    ),
    "few_variables": ("var_tracking", {"num_variables": 4}, "num_variables 4 is too few; 1 chains of 4 hops need 5"),
    "few_values": ("var_tracking", {"num_values": 1, "num_chains": 2}, "num_chains 2 needs as many num_values"),
    "not_common": ("freq_words", {"counts": {"type": "common", "freq_common": 3}}, "freq_common 3 should be more than"),
    "tied": (
        "freq_words",
        {"counts": {"type": "zeta", "num_asked": 12}},
        "size 1024 gives two of the first 13 words the same count, 3; raise size, or lower num_asked 12",
    ),
    "nothing_left": ("freq_words", {"counts": {"type": "zeta", "size": 9}}, "the first 4 words the same count, 0"),
    "few_words": ("freq_words", {"vocabulary_size": 246}, "vocabulary_size 246 is too few; counts has 247 different"),
    "unknown_law": ("freq_words", {"counts": {"type": "zipf"}}, "'zipf'.*'common', 'zeta'"),
    "swapped": ("lorenz", {"rho_min": 41.0}, "rho_min 41.0 lies above rho_max 40.0; swap them"),
    "at_rest": ("lorenz", {"rho_min": 24.0}, "rho_min: .*greater than or equal to 25"),
    "big_step": ("lorenz", {"step_size": 0.05}, "step_size: .*less than or equal to 0.03"),
}


@pytest.mark.parametrize(("name", "parameters", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_description_gets_one_clear_line(name, parameters, message):
    with pytest.raises(ConfigError, match=message) as caught:
        as_spec(domain_types()[name], parameters, "domain.json")
    assert str(caught.value).startswith("domain.json") and "\n" not in str(caught.value)
