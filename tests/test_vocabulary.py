"""Vocabularies: each law against its formula, discourses, noise, counts of a corpus."""

import json
from itertools import permutations
from math import exp
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from metalang.domains import Vocabulary, domain_types, read_domain
from metalang.domains.copying import Identity
from metalang.domains.streams import RandomTokens
from metalang.errors import ConfigError
from metalang.ids import NUM_CONTROL
from metalang.seeds import key_for
from metalang.specs import as_spec

PRESETS = Path(__file__).parents[1] / "configs/domains"
COUNTED = {"type": "corpus", "path": "runs/english", "counts": [70, 20, 10]}
GAMMA, WORD = 0x9E3779B97F4A7C15, 2**64


def _mixed(state):
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % WORD
    return state ^ (state >> 31)


def _gaussians(name, count, *, num_dimensions):
    """The vectors of a log-linear law by its definition, without any rounding."""
    key = key_for("log_linear", name, num_dimensions, 0)
    draws = [_mixed((key + place * GAMMA) % WORD) >> 48 for place in range(count * num_dimensions)]
    return np.array([NormalDist().inv_cdf((draw + 0.5) / 65536) for draw in draws]).reshape(count, num_dimensions)


def _log_linear_law(discourse, *, size, num_dimensions):
    words = _gaussians("words", size, num_dimensions=num_dimensions)
    vector = _gaussians("discourses", discourse + 1, num_dimensions=num_dimensions)[discourse]
    law = np.array([exp(sum(one * other for one, other in zip(vector, word, strict=True))) for word in words])
    return law / law.sum()


def _discourse(key, row, num_discourses):
    state = _mixed((key + row * GAMMA) % WORD) + GAMMA
    return (_mixed((state ^ 0xD15C0D15C0D15C0D) % WORD) >> 32) * num_discourses >> 32


def _source_symbols(distribution, *, replacement, size, rows):
    domain = Identity(
        vocabulary={"size": size, "distribution": distribution, "replacement": replacement}, sequence_length=2 * 8 + 2
    )
    sample = domain.sample(domain.key(0, "train"), 0, rows)
    return sample.symbols.reshape(rows, 18)[:, :8].astype(np.int64) - NUM_CONTROL


def _chi_square(counts, expected):
    """Over the symbols that are expected ten times or more, and all others as one."""
    often = expected >= 10
    counts, expected = (np.append(each[often], each[~often].sum()) for each in (counts, expected))
    return float(((counts - expected) ** 2 / np.maximum(expected, 1.0)).sum())


def test_uniform_symbols_are_uniform():
    counts = np.bincount(_source_symbols("uniform", replacement=True, size=100, rows=20_000).ravel(), minlength=100)
    assert _chi_square(counts, np.full(100, 1600.0)) < 160.0  # 99 degrees of freedom: p below 1e-4


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 2.7), (2.0, 2.7), (1.0, 0.0)])
def test_zipf_symbols_follow_both_exponents(alpha, beta):
    distribution = {"type": "zipf", "alpha": alpha, "beta": beta}
    counts = np.bincount(_source_symbols(distribution, replacement=True, size=60, rows=40_000).ravel(), minlength=60)
    law = np.array([1.0 / (rank + beta) ** alpha for rank in range(1, 61)])
    assert _chi_square(counts, 320_000 * law / law.sum()) < 110.0  # 59 degrees of freedom: p below 1e-4


def test_symbols_follow_the_counts_of_a_corpus():
    distribution = {"type": "corpus", "path": "runs/english", "counts": [50, 30, 10, 7, 2, 1, 1]}
    counts = np.bincount(_source_symbols(distribution, replacement=True, size=5, rows=20_000).ravel(), minlength=5)
    law = np.array([50, 30, 10, 7, 2]) / 99  # the five largest
    assert _chi_square(counts, 160_000 * law) < 24.0  # 4 degrees of freedom: p below 1e-4


def test_rows_of_one_discourse_follow_its_law_and_no_other():
    distribution = {"type": "log_linear", "num_dimensions": 4, "num_discourses": 3}
    domain = RandomTokens(vocabulary={"size": 40, "distribution": distribution}, sequence_length=200)
    rows = domain.sample(7, 0, 3000).symbols.reshape(3000, 200).astype(np.int64) - NUM_CONTROL
    discourses = np.array([_discourse(7, row, 3) for row in range(3000)])
    laws = [_log_linear_law(discourse, size=40, num_dimensions=4) for discourse in range(3)]
    for discourse, law in enumerate(laws):
        own = rows[discourses == discourse]
        counts = np.bincount(own.ravel(), minlength=40)
        assert 850 < len(own) < 1150  # a third of the rows, give or take six standard deviations
        assert _chi_square(counts, own.size * law) < 85.0  # at most 40 degrees of freedom: p below 1e-4
        assert _chi_square(counts, own.size * laws[discourse - 1]) > 10_000.0


def test_all_rows_together_follow_the_mean_of_the_laws():
    distribution = {"type": "log_linear", "num_dimensions": 4, "num_discourses": 16}
    domain = RandomTokens(vocabulary={"size": 40, "distribution": distribution}, sequence_length=16)
    counts = np.bincount(domain.sample(7, 0, 100_000).symbols.astype(np.int64) - NUM_CONTROL, minlength=40)
    pooled = np.mean([_log_linear_law(discourse, size=40, num_dimensions=4) for discourse in range(16)], axis=0)
    assert np.abs(counts / 1_600_000 - pooled).sum() < 0.01
    assert min(np.abs(_log_linear_law(each, size=40, num_dimensions=4) - pooled).sum() for each in range(16)) > 0.4


@pytest.mark.parametrize(
    ("distribution", "weights"),
    [
        ("uniform", [1.0, 1.0, 1.0]),
        ("zipf", [1 / 3.7, 1 / 4.7, 1 / 5.7]),
        (COUNTED, [70.0, 20.0, 10.0]),
        ({"type": "log_linear", "num_discourses": 1}, _log_linear_law(0, size=3, num_dimensions=10).tolist()),
    ],
    ids=["uniform", "zipf", "corpus", "log_linear"],
)
def test_without_replacement_every_order_has_its_probability(distribution, weights):
    """All six orders of three symbols, against the law of drawing one after the other from what is left."""
    domain = Identity(
        vocabulary={"size": 3, "distribution": distribution, "replacement": False}, sequence_length=2 * 3 + 2
    )
    rows = domain.sample(domain.key(0, "train"), 0, 60_000).symbols.reshape(-1, 8)[:, :3] - NUM_CONTROL
    found = [int((rows == order).all(axis=1).sum()) for order in permutations(range(3))]
    law = []
    for order in permutations(range(3)):
        left, probability = list(range(3)), 1.0
        for symbol in order:
            probability *= weights[symbol] / sum(weights[each] for each in left)
            left.remove(symbol)
        law.append(probability)
    assert sum(found) == 60_000
    assert _chi_square(np.array(found), 60_000 * np.array(law)) < 25.0  # 5 degrees of freedom: p below 2e-4


VOCABULARIES = [name for name, kind in domain_types().items() if "vocabulary" in kind.model_fields and name != "stack"]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_row_of_any_domain_has_one_discourse(name):
    """With two discourses some rows are, whole, those of the first alone; which ones, the key and the row say."""
    value = read_domain(PRESETS / f"{name}.json").model_dump(mode="json")
    rows = {}
    for num_discourses in (1, 2):
        value["vocabulary"]["distribution"] = {"type": "log_linear", "num_discourses": num_discourses}
        sample = as_spec(domain_types()[name], value, name).sample(7, 0, 12)
        rows[num_discourses] = [row.tolist() for row in np.split(sample.symbols, sample.ends[:-1])]
    assert [row for row in range(12) if rows[1][row] == rows[2][row]] == [0, 1, 4, 5, 7, 8, 9, 10, 11]


def test_weights_and_rows_are_golden():
    """Changed weights or rows are a change of format: say so in CHANGELOG.md."""
    noisy = Vocabulary(size=3, distribution=COUNTED, noise={"type": "multiplicative", "level": 0.5})
    added = Vocabulary(size=3, distribution=COUNTED, noise={"type": "additive", "level": 0.5})
    spoken = Vocabulary(size=3, distribution={"type": "log_linear", "num_discourses": 2})
    vocabulary = {"size": 50, "distribution": "log_linear", "noise": {"type": "additive", "level": 1}}
    row = RandomTokens(vocabulary=vocabulary, sequence_length=8).sample(7, 0, 1).symbols.tolist()
    assert {"log_linear": spoken.laws, "multiplicative": noisy.laws, "additive": added.laws, "row": row} == {
        "log_linear": [
            [
                7956748885099188909450479975484293986408,
                340282366920938463463374607431768211456,
                7744790973297529098456952466231499110519,
            ],
            [
                340282366920938463463374607431768211456,
                813235296208392427161062687449626913957200,
                117333520829243522267194884825928900293500,
            ],
        ],
        "multiplicative": [[1676973140755714410, 234675267228399780, 182769577768409470]],
        "additive": [[4279958643116285440, 1893315876942161440, 657843319071171620]],
        "row": [45, 79, 76, 62, 49, 46, 61, 62],
    }


def test_a_vector_depends_on_neither_size_nor_discourses():
    small = Vocabulary(size=2, distribution={"type": "log_linear", "num_discourses": 1}).laws[0]
    large = Vocabulary(size=300, distribution={"type": "log_linear", "num_discourses": 5}).laws[0][:2]
    assert small[0] / small[1] == pytest.approx(large[0] / large[1], rel=1e-12)


def test_multiplicative_noise_is_uniform_around_one():
    for level, low, high in [(0.25, 0.75, 1.25), (1.0, 0.0, 2.0)]:
        vocabulary = Vocabulary(size=4000, noise={"type": "multiplicative", "level": level})
        factors = np.array(vocabulary.laws[0], dtype=float) / 2.0**128 / level.as_integer_ratio()[1] / 2.0**53
        assert low < factors.min() < low + 0.01 and high - 0.01 < factors.max() < high
        assert factors.mean() == pytest.approx(1.0, abs=0.04)
        assert min(vocabulary.laws[0]) > 0


def test_additive_noise_adds_up_to_its_level_in_mean_weights():
    plain = np.array([1 / (rank + 2.7) for rank in range(1, 4001)])
    vocabulary = Vocabulary(size=4000, distribution="zipf", noise={"type": "additive", "level": 0.5})
    weights = np.array(vocabulary.laws[0], dtype=float) / 2.0**128 / 3.7 / (4000 * 2 * 2.0**53)
    added = (weights - plain) / plain.mean()
    assert 0.0 <= added.min() < 0.01 and 0.49 < added.max() < 0.5
    assert added.mean() == pytest.approx(0.25, abs=0.01)


def test_symbols_follow_the_law_with_its_noise():
    vocabulary = Vocabulary(size=50, distribution="zipf", noise={"type": "multiplicative", "level": 0.9})
    counts = np.bincount(RandomTokens(vocabulary=vocabulary, sequence_length=100).sample(7, 0, 5000).symbols)[32:]
    law = np.array(vocabulary.laws[0], dtype=float)
    plain = np.array([1 / (rank + 2.7) for rank in range(1, 51)])
    assert _chi_square(counts, 500_000 * law / law.sum()) < 95.0  # 49 degrees of freedom: p below 1e-4
    assert _chi_square(counts, 500_000 * plain / plain.sum()) > 10_000.0


def test_noise_is_one_factor_a_symbol_in_every_discourse_and_another_in_another_vocabulary():
    distribution = {"type": "log_linear", "num_discourses": 2}
    noise = {"type": "multiplicative", "level": 0.5}
    plain = Vocabulary(size=9, distribution=distribution).laws
    one, other = Vocabulary(size=9, distribution=distribution, noise=noise).laws
    assert [a * d for a, d in zip(one, plain[1], strict=True)] == [b * c for b, c in zip(other, plain[0], strict=True)]
    longer = Vocabulary(size=10, distribution=distribution, noise=noise).laws[0]
    assert one[0] * longer[1] != one[1] * longer[0]


def test_where_the_counts_lie_is_no_part_of_the_fingerprint():
    named = Vocabulary(size=3, distribution=COUNTED)
    moved = Vocabulary(size=3, distribution=COUNTED | {"path": "elsewhere"})
    recounted = Vocabulary(size=3, distribution=COUNTED | {"counts": [70, 20, 11]})
    assert named.fingerprint == moved.fingerprint
    assert named.fingerprint != recounted.fingerprint


def test_fingerprints_of_domains_are_golden_and_know_no_mask():
    """A changed fingerprint is a change of every row: say so in CHANGELOG.md."""
    expected = {
        "identity": "5f2985f10ab45dd1",
        "random_tokens": "a42e90ae041f34db",
        "flat_parens": "c18572afc505bc64",
        "lime_mix": "a1ab27ea777a20d3",
        "mqar": "8b1d6e42ed700b2b",
        "set-procedural": "89f75716c2a804a0",
    }
    domains = {name: read_domain(PRESETS / f"{name}.json") for name in expected}
    assert {name: domain.fingerprint for name, domain in domains.items()} == expected
    masked = Identity(**(domains["identity"].model_dump() | {"mask": "all"}))
    assert masked.fingerprint == expected["identity"]


def test_equal_vocabularies_share_their_tables():
    counts = list(range(50_000, 0, -1))
    one, other = (
        Vocabulary(size=1000, distribution={"type": "corpus", "path": "runs/english", "counts": counts})
        for _ in range(2)
    )
    assert one.tables is one.tables is other.tables


FAULTS = {
    "no_counts": (
        {"distribution": {"type": "corpus", "path": "runs/english"}},
        "the counts of runs/english are not filled in; give the file to synthesize.py, which reads them",
    ),
    "too_few_counts": (
        {"distribution": COUNTED},
        "vocabulary.size 9 is more than the 3 different ids that runs/english holds; lower it to that or less",
    ),
    "ascending": ({"distribution": COUNTED | {"counts": [1, 2]}}, "the most frequent first; give 1 or more"),
    "never_seen": ({"distribution": COUNTED | {"counts": [1, 0]}}, "the most frequent first; give 1 or more"),
    "too_large": (
        {"size": "1M", "distribution": "log_linear"},
        "vocabulary.size 1,000,000 x num_discourses 32 is 32,000,000 weights, and 4,194,304 is the most; lower one",
    ),
    "no_discourse": ({"distribution": {"type": "log_linear", "num_discourses": 0}}, "num_discourses: .*equal to 1"),
    "no_noise": ({"noise": {"type": "additive", "level": 0}}, "noise.additive.level: .*greater than 0"),
    "negative_weights": ({"noise": {"type": "multiplicative", "level": 1.5}}, "level: .*less than or equal to 1"),
    "unknown_noise": ({"noise": {"type": "gaussian", "level": 1}}, "'gaussian' .*'multiplicative', 'additive'"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_vocabulary_gets_one_clear_line(tmp_path, changes, message):
    path = tmp_path / "domain.json"
    path.write_text(json.dumps({"type": "random_tokens", "vocabulary": {"size": 9} | changes}))
    with pytest.raises(ConfigError, match=message) as caught:
        read_domain(path)
    assert "domain.json" in str(caught.value) and "\n" not in str(caught.value)


def test_what_cannot_have_discourses_or_noise_says_so(tmp_path):
    path = tmp_path / "domain.json"
    lengths = {"min": 1, "max": 9, "distribution": "log_linear"}
    path.write_text(json.dumps({"type": "flat_parens", "dependency_length": lengths}))
    with pytest.raises(ConfigError, match=r"dependency_length.distribution: .*'log_linear' .*'uniform', 'zipf'"):
        read_domain(path)
    noise = {"type": "additive", "level": 1}
    path.write_text(
        json.dumps(
            {"type": "stack", "vocabulary": {"size": 9, "noise": noise}, "sequence_length": {"min": 8, "max": 12}}
        )
    )
    with pytest.raises(ConfigError, match=r"vocabulary.noise does not suit stack"):
        read_domain(path)
