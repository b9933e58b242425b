"""Sources and dynamical systems: chains, triggers, hidden Markov models, automata, grammars, cells, maps and noise."""

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.domains.automata_in_context import RegbenchPfa
from metalang.domains.cellular import Eca
from metalang.domains.dynamics import ChaoticMap, LinearRecurrence
from metalang.domains.grammars import PcfgLevels
from metalang.domains.hidden_markov import Ginc
from metalang.domains.markov import IclMarkov, Ngram
from metalang.domains.noise import DiscretizedFbm
from metalang.domains.suffix_trees import Vom
from metalang.domains.transitions import stationary_of
from metalang.domains.triggers import BigramTrigger
from metalang.errors import ConfigError, CorpusError
from metalang.ids import NUM_CONTROL
from metalang.specs import as_spec

SMALL = {
    "icl_markov": IclMarkov(num_states=3, sequence_length=12),
    "icl_markov of trigrams": IclMarkov(num_states=3, ngram_size=3, sequence_length=12),
    "ngram": Ngram(num_states=9, sequence_length=12),
    "bigram_trigger": BigramTrigger(num_states=9, sequence_length=12),
    "vom": Vom(sequence_length=12),
    "ginc": Ginc(sequence_length=12),
    "regbench_pfa": RegbenchPfa(num_automata=50, num_words=3, word_length={"min": 1, "max": 4}),
    "pcfg_levels": PcfgLevels(level_sizes=[1, 3, 3], num_rules={"min": 1, "max": 2}, sequence_length=12),
    "fbm": DiscretizedFbm(sequence_length=12),
    "fbm by rank": DiscretizedFbm(sequence_length=12, bins="quantile", ratio=2.0, vocab_size=100),
    "fbm increments": DiscretizedFbm(sequence_length=12, bins="increments", symbol_order="shuffled"),
    "fbm shuffled": DiscretizedFbm(sequence_length=12, symbol_order="shuffled_per_row"),
    "eca": Eca(rules="all", width=24, sequence_length=12),
    "linear_recurrence": LinearRecurrence(modulus=7, sequence_length=12),
    "chaotic_map": ChaoticMap(num_bins=10, sequence_length=12),
    "chaotic_map tent": ChaoticMap(map="tent", parameter_min=1.5, parameter_max=1.9, sequence_length=12),
}
GOLDEN = {
    "icl_markov": [33, 33, 32, 33, 32, 34, 34, 32, 33, 33, 34, 32],
    "icl_markov of trigrams": [32, 32, 33, 33, 34, 33, 33, 34, 33, 32, 32, 33],
    "ngram": [34, 39, 39, 38, 34, 35, 36, 38, 32, 40, 34, 40],
    "bigram_trigger": [35, 36, 33, 37, 33, 37, 36, 35, 36, 38, 35, 32],
    "vom": [32, 32, 32, 32, 32, 32, 33, 33, 32, 32, 32, 33],
    "ginc": [62, 36, 62, 36, 58, 67, 58, 36, 58, 67, 58, 36],
    "regbench_pfa": [44, 33, 3, 44, 45, 37, 45, 3, 44, 45, 42, 44],
    "pcfg_levels": [1, 32, 33, 34, 34, 34, 32, 2, 1, 32, 33, 34],
    "fbm": [33, 32, 33, 35, 40, 40, 41, 42, 41, 43, 43, 42],
    "fbm by rank": [32, 32, 48, 48, 65, 65, 82, 98, 82, 115, 115, 98],
    "fbm increments": [36, 38, 34, 34, 36, 43, 42, 33, 38, 36, 40, 38],
    "fbm shuffled": [38, 39, 38, 42, 35, 35, 43, 34, 43, 36, 36, 34],
    "eca": [112, 87, 224, 118, 213, 255, 118, 213, 240, 118, 213, 246],
    "linear_recurrence": [36, 34, 37, 37, 36, 37, 34, 32, 35, 35, 34, 35],
    "chaotic_map": [41, 34, 38, 40, 35, 40, 36, 41, 35, 40, 37, 41],
    "chaotic_map tent": [272, 56, 71, 96, 136, 200, 173, 218, 144, 215, 150, 223],
}


def _rows(domain, count, *, key=7, start=0):
    sequences = domain.sample(key, start, count)
    borders = sequences.ends[:-1]
    return list(zip(np.split(sequences.symbols, borders), np.split(sequences.predicted, borders), strict=True))


def _fault(domain, row, mask=None):
    """The message of check for a row of which all is predicted, or the places in `mask`."""
    flags = np.ones(len(row), dtype=bool) if mask is None else np.array(mask, dtype=bool)
    try:
        domain.check(np.array(row), flags)
    except CorpusError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", SMALL)
def test_the_first_row_is_golden(name):
    """A changed row is a change of format: say so in CHANGELOG.md."""
    assert _rows(SMALL[name], 1)[0][0].tolist() == GOLDEN[name]


@pytest.mark.parametrize("name", SMALL)
def test_rows_do_not_depend_on_the_chunk(name):
    far = 10**9
    chunk = _rows(SMALL[name], 70, start=far)
    for index in (0, 1, 63, 64, 69):
        alone = _rows(SMALL[name], 1, start=far + index)[0]
        assert alone[0].tolist() == chunk[index][0].tolist()
        assert alone[1].tolist() == chunk[index][1].tolist()


@pytest.mark.parametrize("name", SMALL)
def test_a_foreign_symbol_and_a_wrong_mask_are_found(name):
    symbols, predicted = (part.copy() for part in _rows(SMALL[name], 1)[0])
    predicted[4] ^= True
    assert _fault(SMALL[name], symbols, predicted).startswith("position 4: mask is")
    predicted[4] ^= True
    symbols[3] = 31
    assert _fault(SMALL[name], symbols, predicted).startswith("position 3: ")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), key=st.integers(0, 2**64 - 1), low=st.integers(1, 40), extra=st.integers(0, 40))
def test_any_valid_description_gives_rows_that_pass_their_check(data, key, low, extra):
    kind, fields = data.draw(
        st.one_of(
            st.tuples(
                st.sampled_from([IclMarkov, Ngram]),
                st.fixed_dictionaries(
                    {
                        "num_states": st.integers(2, 9),
                        "ngram_size": st.integers(1, 3),
                        "start": st.sampled_from(["stationary", "uniform"]),
                    }
                ),
            ),
            st.tuples(
                st.just(BigramTrigger),
                st.fixed_dictionaries(
                    {
                        "num_states": st.integers(3, 20),
                        "num_triggers": st.integers(1, 5),
                        "triggers": st.sampled_from(["drawn", "fixed"]),
                        "trigger_outputs": st.booleans(),
                        "mask": st.sampled_from(["all", "outputs"]),
                    }
                ),
            ),
            st.tuples(st.just(Vom), st.fixed_dictionaries({"max_depth": st.integers(0, 6)})),
            st.tuples(
                st.just(Ginc),
                st.fixed_dictionaries(
                    {
                        "num_values": st.integers(1, 5),
                        "num_slots": st.integers(1, 5),
                        "num_content": st.integers(2, 9),
                        "keep_value": st.sampled_from([0.0, 0.8, 1.0]),
                    }
                ),
            ),
            st.tuples(
                st.just(PcfgLevels),
                st.fixed_dictionaries(
                    {
                        "level_sizes": st.sampled_from([[1, 3], [1, 2, 3], [1, 3, 3, 4]]),
                        "num_rules": st.sampled_from([1, 2, {"min": 1, "max": 2}]),
                        "rule_length": st.sampled_from([2, 3, {"min": 2, "max": 4}]),
                    }
                ),
            ),
            st.tuples(
                st.just(DiscretizedFbm),
                st.fixed_dictionaries(
                    {
                        "hurst_min": st.floats(0.1, 0.6),
                        "bins": st.sampled_from(["range", "quantile", "increments"]),
                        "ratio": st.sampled_from([0.4, 1.0, 2.5]),
                        "direction": st.sampled_from(["ascending", "descending"]),
                        "symbol_order": st.sampled_from(["ordinal", "shuffled", "shuffled_per_row"]),
                        "vocab_size": st.sampled_from([None, 250]),
                    }
                ),
            ),
            st.tuples(
                st.just(Eca),
                st.fixed_dictionaries(
                    {
                        "rules": st.sampled_from(["all", [110], [30, 90, 184]]),
                        "width": st.sampled_from([8, 64, 72, 136]),
                        "window": st.sampled_from([None, 8, 16]),
                        "stride": st.integers(1, 3),
                        "cells_per_symbol": st.sampled_from([1, 2, 4, 8]),
                    }
                ),
            ),
            st.tuples(
                st.just(LinearRecurrence),
                st.fixed_dictionaries(
                    {"modulus": st.sampled_from([2, 3, 97, 65521]), "order": st.integers(1, 5)},
                ),
            ),
            st.tuples(
                st.just(ChaoticMap),
                st.fixed_dictionaries(
                    {"num_bins": st.sampled_from([2, 10, 256, 2**16]), "burn_in": st.integers(0, 3)},
                ),
            ),
        )
    )
    value = {"type": kind.model_fields["type"].default, "sequence_length": {"min": low, "max": low + extra}} | fields
    try:
        domain = as_spec(kind, value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(domain, 5, key=key, start=3):
        domain.check(symbols, predicted)
        assert low <= len(symbols) <= low + extra


@settings(max_examples=15, deadline=None)
@given(key=st.integers(0, 2**64 - 1), states=st.integers(4, 9), used=st.integers(3, 6), words=st.integers(1, 4))
def test_rows_of_any_automata_pass_their_check(key, states, used, words):
    domain = RegbenchPfa(
        alphabet_size=6, num_automata=20, num_states={"min": 4, "max": states}, num_used={"min": 3, "max": used},
        num_words={"min": 1, "max": words}, word_length={"min": 1, "max": 9},
    )  # fmt: skip
    for symbols, predicted in _rows(domain, 5, key=key):
        domain.check(symbols, predicted)


def _transition_counts(symbols, size):
    pairs = (symbols[:, :-1].astype(np.int64) - NUM_CONTROL) * size + symbols[:, 1:] - NUM_CONTROL
    return np.bincount(pairs.ravel(), minlength=size * size).reshape(size, size)


def test_a_chain_follows_its_transitions_and_starts_stationary():
    domain = Ngram(num_states=4, distribution="zipf", sequence_length=20)
    symbols = domain.sample(3, 0, 20_000).symbols.reshape(-1, 20)
    counts = _transition_counts(symbols, 4)
    law = np.array([domain.predictive([32 + state, 32])[1] for state in range(4)])
    expected = counts.sum(axis=1, keepdims=True) * law
    assert ((counts - expected) ** 2 / expected).sum() < 40.0  # 12 degrees of freedom: p below 1e-4
    stationary = stationary_of(4, 2, domain.distribution, 0)
    assert np.abs(stationary @ law - stationary).max() < 1e-12
    for place in (0, 19):
        shares = np.bincount(symbols[:, place] - NUM_CONTROL, minlength=4)
        expected = 20_000 * stationary
        assert ((shares - expected) ** 2 / expected).sum() < 21.0  # 3 degrees of freedom: p below 2e-4


def test_chains_in_context_are_dirichlet():
    """With 2 symbols p is uniform on (0, 1), so a step stays where it is half of the time, and the start is fair."""
    symbols = IclMarkov(sequence_length=2, start="uniform").sample(3, 0, 40_000).symbols.reshape(-1, 2)
    counts = _transition_counts(symbols, 2).ravel()
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 21.0
    longer = IclMarkov(sequence_length=3, start="uniform").sample(4, 0, 40_000).symbols.reshape(-1, 3)
    same = (longer == 32).all(axis=1).mean()
    assert abs(same - 1 / 6) < 0.01  # 1/2 x E[p ** 2] = 1/2 x 1/3


def test_the_bayes_predictor_of_chains_counts():
    rows = IclMarkov(num_states=3, sequence_length=6).predictive([32, 33, 32, 33, 32, 34])
    assert rows == [
        [1 / 3] * 3,
        [1 / 3] * 3,
        [1 / 3] * 3,
        [1 / 4, 2 / 4, 1 / 4],
        [2 / 4, 1 / 4, 1 / 4],
        [1 / 5, 3 / 5, 1 / 5],
    ]
    trigrams = IclMarkov(num_states=2, ngram_size=3, sequence_length=6).predictive([32, 33, 32, 33, 32, 32])
    assert trigrams == [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [2 / 3, 1 / 3], [1 / 3, 2 / 3]]


@pytest.mark.parametrize("num_states", [2, 3])
def test_no_predictor_that_adds_another_count_beats_the_bayes_optimal_one_on_chains(num_states):
    """Adding 1 is optimal for Dirichlet(1) rows; the loss lies between the entropy of the chain and the uniform one."""
    domain = IclMarkov(num_states=num_states, sequence_length=101)
    rows = [[symbol - 32 for symbol in row.tolist()] for row, _ in _rows(domain, 600)]
    losses = {added: _mean_loss(rows, num_states, added) for added in (0.5, 1.0, 2.0)}
    laws = [domain.predictive([symbol + 32 for symbol in row]) for row in rows]
    bayes = [
        -math.log(law[s])
        for each, row in zip(laws, rows, strict=True)
        for law, s in zip(each[1:], row[1:], strict=True)
    ]
    assert math.isclose(sum(bayes) / len(bayes), losses[1.0])
    assert losses[1.0] < min(losses[0.5], losses[2.0])
    entropy = {2: 1 / 2, 3: 1 / 2 + 1 / 3}[num_states]  # of a Dirichlet(1) row, in nats: 1/2 + ... + 1/k
    assert entropy - 0.02 < losses[1.0] < entropy + 0.1  # what is learned about the chain costs the rest


def _mean_loss(rows, num_states, added):
    total = 0.0
    for row in rows:
        counts = [[added] * num_states for _ in range(num_states)]
        for state, following in pairwise(row):
            total -= math.log(counts[state][following] / sum(counts[state]))
            counts[state][following] += 1
    return total / sum(len(row) - 1 for row in rows)


def test_context_tree_weighting_is_the_mixture_of_all_trees():
    domain = Vom(max_depth=1, split_prob=0.25, sequence_length=3)
    laws = domain.predictive([33, 33, 32])
    leaf, split = 0.75 * (1 / 2) * (3 / 4), 0.25 * (1 / 2) * (1 / 2)  # of 1 1, by hand
    assert math.isclose(laws[1][1], (leaf + split) / (1 / 2))
    leaf, split = leaf * (1 / 6), split * (1 / 4)  # then a 0 that follows 1 1
    assert math.isclose(laws[2][0], (leaf + split) / (leaf * 6 + split * 4))


def test_context_tree_weighting_beats_every_fixed_order_on_its_own_source():
    domain = Vom(sequence_length=256)
    rows = [row.tolist() for row, _ in _rows(domain, 40)]

    def bits(laws_of):
        return sum(-math.log2(law[symbol - 32]) for row in rows for law, symbol in zip(laws_of(row), row, strict=True))

    orders = [IclMarkov(ngram_size=order, start="uniform", sequence_length=256).predictive for order in (1, 3, 6)]
    assert bits(domain.predictive) < min(bits(order) for order in orders)


def test_trigger_outputs_are_one_and_the_same_within_a_row():
    domain = BigramTrigger(num_states=6, num_triggers=2, triggers="fixed", sequence_length=8, mask="outputs")
    first, second = domain.fixed_triggers
    other = next(symbol for symbol in range(32, 38) if symbol not in (first, second))
    third = next(symbol for symbol in range(32, 38) if symbol not in (first, second, other))
    row = [first, other, first, other, second, third, second, third]
    flags = [False, False, False, True, False, False, False, True]
    assert _fault(domain, row, flags) is None
    assert _fault(domain, [*row[:7], other], flags).startswith(f"position 7: symbol {second} is followed by {other}")
    assert _fault(domain, row, [*flags[:7], False]) == "position 7: mask is False and should be True"


def test_rows_without_enough_triggers_are_refused():
    domain = BigramTrigger(num_states=4, num_triggers=2, sequence_length=8)
    assert _fault(domain, [32, 33, 32, 34, 33, 33, 34, 33]) is None
    assert _fault(domain, [32, 33, 32, 34, 33, 33, 34, 34]) == (
        "position 7: symbol 34 is followed by 34, and only 1 triggers are left"
    )


def test_triggers_that_are_no_outputs_never_follow_one():
    domain = BigramTrigger(triggers="fixed", trigger_outputs=False, sequence_length=64)
    triggers = set(domain.fixed_triggers)
    for symbols, _ in _rows(domain, 50):
        row = symbols.tolist()
        assert not any(before in triggers and after in triggers for before, after in pairwise(row))


def test_a_hidden_markov_row_needs_a_path():
    """With this seed slots never move, slot 0 holds symbol 32 and slot 1 holds 33, whatever the value."""
    domain = Ginc(num_values=2, num_slots=2, num_content=3, num_concepts=1, sequence_length=4)
    assert domain.concepts.memory.tolist() == [[0, 1], [0, 1]]
    assert _fault(domain, [33, 33, 33, 33]) is None
    assert _fault(domain, [33, 33, 32, 32]) == "position 2: symbol 32 follows by no concept that gives all before it"
    laws = domain.predictive([33, 33])
    assert [round(share, 4) for share in laws[0]] == [0.5025, 0.4975, 0.0]
    assert laws[1] == pytest.approx([0.0, 1.0, 0.0])


def test_the_forward_algorithm_predicts_as_well_as_it_says():
    """The mean of -log p(drawn symbol) is the mean entropy of the laws, if the laws are those of the rows."""
    domain = Ginc(sequence_length=100)
    surprise, entropy, spread = [], [], 0.0
    for symbols, _ in _rows(domain, 40):
        for law, symbol in zip(domain.predictive(symbols.tolist()), symbols.tolist(), strict=True):
            surprise.append(-math.log(law[symbol - 32]))
            entropy.append(-sum(share * math.log(share) for share in law if share > 0))
    spread = np.std(np.array(surprise) - np.array(entropy)) / math.sqrt(len(surprise))
    assert abs(np.mean(surprise) - np.mean(entropy)) < 4 * spread


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([33, 32, 33, 3, 33], None),
        ([33, 33, 3, 33], None),
        ([33, 34, 3, 33], "position 1: symbol 34 follows by no automaton that gives all before it"),
        ([33, 32, 3, 32], "position 3: symbol 32 follows by no automaton that gives all before it"),
        ([33, 33, 33, 32, 3, 33], "position 3: the word goes beyond 3 symbols"),
        ([33, 3, 3], "position 2: SEP ends word 2 of 0 symbols, too early or too late"),
        ([33, 3, 33, 3, 33], "position 3: SEP ends word 2 of 1 symbols, too early or too late"),
        ([33, 32, 33], "position 3: the row ends in word 1 after 3 symbols, too early"),
        ([33, 3], "position 2: the row ends in word 2 after 0 symbols, too early"),
    ],
)
def test_words_are_walks_of_one_automaton(row, message):
    """0 -33-> 3; 1 -32-> 3, -34-> 2; 2 -33-> 3, -34-> 1; 3 -32-> 0, -33-> 2."""
    domain = RegbenchPfa(
        alphabet_size=4, num_automata=1, num_states=4, num_used=4, num_arcs={"min": 1, "max": 2}, num_words=2,
        word_length={"min": 1, "max": 3},
    )  # fmt: skip
    arcs = [
        sorted(zip(*(part[0, state, :count].tolist() for part in domain.automata[1:]), strict=True))
        for state, count in enumerate(domain.automata.num_arcs[0])
    ]
    assert arcs == [[(1, 3)], [(0, 3), (2, 2)], [(1, 3), (2, 1)], [(0, 0), (1, 2)]]
    assert _fault(domain, row, [symbol != 3 for symbol in row]) == message


def test_automata_have_the_published_numbers_of_states_arcs_and_symbols():
    automata = RegbenchPfa().automata
    states = (automata.num_arcs > 0).sum(axis=1)
    assert np.bincount(states).nonzero()[0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert np.bincount(automata.num_arcs.ravel())[1:].tolist() == pytest.approx([40_000 / 3] * 3, rel=0.05)
    for index in range(0, 5000, 50):
        for state, count in enumerate(automata.num_arcs[index].tolist()):
            targets = automata.targets[index, state, :count].tolist()
            assert len(set(targets)) == len(set(automata.symbols[index, state, :count].tolist())) == count
            assert state not in targets and all(automata.num_arcs[index, target] > 0 for target in targets)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 32, 32, 33, 32, 2, 1, 34], None),
        ([1, 34, 33, 32, 32, 2, 1, 33], None),
        ([1, 34, 34, 32, 32, 2, 1, 33], "position 2: symbol 34 continues no sentence of the grammar"),
        ([1, 34, 32, 34, 32, 2, 1, 33], "position 3: symbol 34 continues no sentence of the grammar"),
        ([1, 32, 32, 33, 2, 1, 34, 33], "position 4: EOS stands where the sentence is not complete"),
        ([1, 32, 32, 33, 32, 32, 2, 1], "position 5: symbol 32 continues no sentence of the grammar"),
        ([1, 32, 32, 33, 32, 2, 2, 1], "position 6: symbol 2 stands where BOS should begin a sentence"),
        ([1, 32, 32, 33, 32, 2, 1], "position 7: the row has 7 symbols; it should have 8 to 8, and "),
    ],
)
def test_sentences_are_derived_by_the_grammar(row, message):
    """S -> B B | A B; A -> 34 33 | 34 32; B -> 32 32 | 33 32."""
    domain = PcfgLevels(level_sizes=[1, 2, 3], num_rules=2, rule_length=2, sequence_length=8)
    assert domain.rules == ((((1, 1), (0, 1)),), (((2, 1), (2, 0)), ((0, 0), (1, 0))))
    found = _fault(domain, row)
    assert found is None if message is None else found.startswith(message)


def test_rules_are_as_likely_as_one_another():
    domain = PcfgLevels(level_sizes=[1, 2, 3], num_rules=2, rule_length=2, sequence_length=6)
    rows = domain.sample(3, 0, 8_000).symbols.reshape(-1, 6)
    sentences, counts = np.unique(rows[:, 1:5], axis=0, return_counts=True)
    assert len(sentences) == 8 and (rows[:, 5] == 2).all()
    assert ((counts - 1000) ** 2 / 1000).sum() < 32.0  # 7 degrees of freedom: p below 1e-4


@pytest.mark.parametrize(
    ("rule", "row", "message"),
    [
        (90, [33, 162, 100], None),
        (110, [33, 161], None),
        (124, [33, 35], None),
        (110, [33, 35], "position 1: symbol 35 does not follow from the state before by rule 110"),
        (90, [33, 162, 101], "position 2: symbol 101 does not follow from the state before by rule 90"),
    ],
)
def test_cells_follow_their_rule(rule, row, message):
    domain = Eca(rules=[rule], width=8, sequence_length={"min": 2, "max": 3})
    assert _fault(domain, row, [False, *[True] * (len(row) - 1)]) == message


def test_one_rule_must_give_the_whole_row():
    domain = Eca(rules=[90, 110], width=8, sequence_length=3)
    assert _fault(domain, [33, 162, 100], [False, True, True]) is None
    assert _fault(domain, [33, 161, 100], [False, True, True]) == (
        "position 2: symbol 100 does not follow from the state before by any one rule"
    )


def test_a_window_leaves_its_outermost_cells_open():
    domain = Eca(rules=[90], width=16, window=8, sequence_length=2)
    for edges in (0, 1, 128, 129):
        assert _fault(domain, [32 + 16, 32 + 40 + edges], [False, True]) is None
    assert _fault(domain, [32 + 16, 32 + 42], [False, True]).startswith("position 1: symbol 74 does not follow")


def test_rings_of_many_words_are_rings():
    """Rule 2 moves a 1 to the left, rule 16 to the right; the check knows no words."""
    for rule in (2, 16, 30):
        for width in (63, 64, 65, 128, 130):
            domain = Eca(rules=[rule], width=width, cells_per_symbol=1, sequence_length=3 * width)
            for symbols, predicted in _rows(domain, 3):
                domain.check(symbols, predicted)


def test_recurrences_are_followed_once_their_coefficients_are_known():
    domain = LinearRecurrence(modulus=7, order=1, sequence_length=6)  # x -> 3 x + 1
    assert _fault(domain, [33, 36, 38, 37, 34, 32]) is None
    assert _fault(domain, [33, 36, 38, 37, 34, 33]) == (
        "position 5: symbol 33 follows by no coefficients that give all before it"
    )
    assert _fault(domain, [33, 36, 38, 36, 34, 33]).startswith("position 3: symbol 36")


def test_coefficients_are_uniform():
    rows = LinearRecurrence(modulus=3, order=1, sequence_length=2).sample(3, 0, 9_000).symbols.reshape(-1, 2)
    counts = _transition_counts(rows, 3)
    assert ((counts - 1000) ** 2 / 1000).sum() < 34.0  # 8 degrees of freedom: p below 1e-4


def test_a_map_has_one_parameter_throughout_a_row():
    domain = ChaoticMap(num_bins=100, sequence_length={"min": 2, "max": 3})
    assert _fault(domain, [32 + 50, 32 + 90]) is None
    assert _fault(domain, [32 + 90, 32 + 35]) is None
    assert _fault(domain, [32 + 50, 32 + 80]) == (
        "position 1: symbol 112 follows 82 by no parameter that gives all before it"
    )
    assert _fault(domain, [32 + 50, 32 + 90, 32 + 35]).startswith("position 2: symbol 67 follows 122 by no parameter")


def test_the_tent_map_does_not_die():
    domain = ChaoticMap(map="tent", parameter_min=1.99, parameter_max=1.9999, sequence_length=1000)
    assert all(len(set(symbols[-100:].tolist())) > 20 for symbols, _ in _rows(domain, 50))


def _noise(hurst, rows):
    """Increments of a motion, (rows, 1024), read back from the middles of their bins."""
    domain = DiscretizedFbm(hurst_min=hurst, hurst_max=hurst, bins="increments", ratio=0.125)
    symbols = domain.sample(3, 0, rows).symbols.reshape(rows, 1024) - NUM_CONTROL
    scores = np.array([NormalDist().inv_cdf((each + 0.5) / 8192) for each in range(8192)])
    return scores[symbols]


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7, 0.9])
def test_noise_has_the_variance_and_the_correlations_of_its_exponent(hurst):
    """Var(B(t + d) - B(t)) = d ** 2H, from lag 1 to 32."""
    noise = _noise(hurst, 400)
    motion = np.concatenate([np.zeros((400, 1)), np.cumsum(noise, axis=1)], axis=1)
    lags = np.array([1, 2, 4, 8, 16, 32])
    variances = np.array([((motion[:, lag:] - motion[:, :-lag]) ** 2).mean() for lag in lags])
    slope = np.polyfit(np.log(lags), np.log(variances), 1)[0]
    assert abs(slope - 2 * hurst) < 0.05
    correlations = (noise[:, 1:] * noise[:, :-1]).mean(axis=1) / variances[0]
    error = correlations.std() / math.sqrt(len(correlations))
    assert abs(correlations.mean() - (2 ** (2 * hurst - 1) - 1)) < 4 * error + 0.003
    assert abs(variances[0] - 1) < (0.02 if hurst < 0.8 else 0.1)


@pytest.mark.parametrize("row", [[32, 33, 34, 35], [35, 33, 32, 34]])
def test_motion_touches_both_outermost_bins(row):
    domain = DiscretizedFbm(sequence_length=4)
    assert _fault(domain, row) is None
    low = [max(33, symbol) for symbol in row]
    assert _fault(domain, low) == "position 4: symbol 32, an outermost bin, is missing"


def test_ranks_fill_every_bin_alike():
    domain = DiscretizedFbm(sequence_length=4, bins="quantile", ratio=2.0, vocab_size=10)
    assert _fault(domain, [32, 37, 37, 32]) is None
    assert _fault(domain, [32, 37, 32, 32]) == "position 3: symbol 32 occurs for the 3. time and should 2 times"
    assert _fault(domain, [32, 36, 32, 32]) == "position 1: symbol 36 is none of the 2 bins of its row"


def test_descending_ranks_are_ascending_ranks_upside_down():
    up, down = (
        DiscretizedFbm(sequence_length=16, bins="quantile", direction=word) for word in ("ascending", "descending")
    )
    assert (up.sample(3, 0, 5).symbols + down.sample(3, 0, 5).symbols == 32 + 32 + 15).all()


FAULTS = {
    "too_many_transitions": (Ngram, {"num_states": 1024, "ngram_size": 3}, "make 1,073,741,824 transitions; lower one"),
    "no_stationary_law": (IclMarkov, {"num_states": 9, "ngram_size": 3}, "set start to 'uniform'"),
    "no_chain_left": (BigramTrigger, {"num_triggers": 40}, "num_triggers 40 are more than half of 65 symbols"),
    "many_slots": (Ginc, {"num_slots": 256, "num_concepts": 99}, "make 6,488,064 transitions"),
    "no_targets": (RegbenchPfa, {"num_states": 3}, "num_arcs 1 to 3 do not fit num_states 3 to 3"),
    "few_symbols": (RegbenchPfa, {"alphabet_size": 9}, "num_used 4 to 18 do not fit"),
    "empty_words": (RegbenchPfa, {"word_length": {"min": 0, "max": 4}}, "word_length begin below 1"),
    "no_levels": (PcfgLevels, {"level_sizes": [2, 3]}, "level_sizes \\[2, 3\\] are no levels"),
    "no_rules": (PcfgLevels, {"num_rules": 0}, "num_rules from 0"),
    "few_sides": (PcfgLevels, {"level_sizes": [1, 9, 2]}, "9 symbols of 4 rules need 72 right sides"),
    "upside_down": (DiscretizedFbm, {"hurst_min": 0.9, "hurst_max": 0.8}, "hurst_min 0.9 lies above hurst_max 0.8"),
    "straight_line": (DiscretizedFbm, {"hurst_max": 1.0}, "hurst_max: .*less than or equal to 0.999"),
    "one_bin": (DiscretizedFbm, {"ratio": 900.0}, "ratio 900.0 leaves a row of 1024 symbols 1 bins"),
    "few_bins": (DiscretizedFbm, {"vocab_size": 9}, "vocab_size 9 is below the 1024 bins"),
    "no_rule": (Eca, {"rules": [256]}, "rules \\[256\\] are no rules"),
    "wide_window": (Eca, {"window": 72}, "window 72 is wider than the ring of width 64"),
    "part_of_a_symbol": (Eca, {"window": 60}, "60 cells are no multiple of cells_per_symbol 8"),
    "no_whole_state": (
        Eca,
        {"sequence_length": 7},
        "sequence_length 7 to 7 holds no row of eca; a row holds whole states",
    ),
    "composite": (LinearRecurrence, {"modulus": 91}, "modulus 91 is 7 x 13; give a prime"),
    "escapes": (ChaoticMap, {"parameter_max": 4.1}, "parameter_max 4.1 is too high for the logistic map; at most 4.0"),
    "swapped": (ChaoticMap, {"parameter_min": 3.9, "parameter_max": 3.8}, "parameter_min 3.9 lies above"),
}


@pytest.mark.parametrize(("kind", "changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_description_gets_one_clear_line(kind, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        as_spec(kind, changes, "domain.json")
    assert "\n" not in str(caught.value)
