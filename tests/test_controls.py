"""Controls: the structure is gone, everything else is there."""

from pathlib import Path

import numpy as np
import pytest

from metalang.building import build_corpus, domain_build
from metalang.building.catalogue import check_rows
from metalang.corpus import Corpus
from metalang.domains import read_domain
from metalang.domains.controls import sample_control
from metalang.domains.copying import Identity
from metalang.errors import ConfigError, CorpusError

PRESETS = sorted((Path(__file__).parents[1] / "configs/domains").glob("*.json"))
ZIPF = Identity(
    vocabulary={"size": 40, "distribution": {"type": "zipf", "alpha": 1.0, "beta": 0.0}},
    sequence_length={"min": 20, "max": 60},
)
CONTROLS = ["shuffled", "iid_unigram", "iid_uniform"]


def _rows(sequences):
    return [row.tolist() for row in np.split(sequences.symbols, sequences.ends[:-1])]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("path", PRESETS[::8], ids=lambda path: path.stem)
def test_lengths_masks_and_layout_stay(path, control):
    domain = read_domain(path)
    key = domain.key(0, "train")
    plain, controlled = (sample_control(domain, name, key, 0, 30) for name in ("none", control))
    assert controlled.ends.tolist() == plain.ends.tolist()
    assert controlled.predicted.tolist() == plain.predicted.tolist()
    layout = plain.symbols < 7
    assert controlled.symbols[layout].tolist() == plain.symbols[layout].tolist()
    assert (controlled.symbols[~layout] >= 7).all() and controlled.symbols.max() < domain.num_symbols


def test_a_shuffled_row_has_the_tokens_of_the_row_in_another_order():
    plain, shuffled = (_rows(sample_control(ZIPF, name, 1, 0, 50)) for name in ("none", "shuffled"))
    assert [sorted(row) for row in plain] == [sorted(row) for row in shuffled]
    assert sum(one == two for one, two in zip(plain, shuffled, strict=True)) == 0


def test_unigram_keeps_the_frequencies_and_uniform_levels_them():
    plain, unigram, uniform = (
        np.bincount(sample_control(ZIPF, name, 1, 0, 4000).symbols, minlength=72)[32:]
        for name in ("none", *CONTROLS[1:])
    )
    assert abs(plain[0] / plain.sum() - unigram[0] / unigram.sum()) < 0.01
    assert plain[0] / plain.sum() > 0.2
    assert 0.02 < uniform[0] / uniform.sum() < 0.03


@pytest.mark.parametrize("control", CONTROLS)
def test_the_copy_is_gone(control):
    rows = sample_control(ZIPF, control, 1, 0, 200)
    broken, start = 0, 0
    for end in rows.ends.tolist():
        try:
            ZIPF.check(rows.symbols[start:end], rows.predicted[start:end])
        except CorpusError:
            broken += 1
        start = end
    assert broken == 200


@pytest.mark.parametrize("control", CONTROLS)
def test_a_row_of_a_control_is_the_same_alone_and_far_out(control):
    together = _rows(sample_control(ZIPF, control, 1, 10**9, 10))
    assert together == [_rows(sample_control(ZIPF, control, 1, 10**9 + number, 1))[0] for number in range(10)]


def test_a_control_on_disk_says_what_it_is_and_is_not_checked_as_its_domain(tmp_path):
    build_corpus(domain_build(ZIPF, num_token=2_000, control="shuffled"), tmp_path)
    corpus = Corpus(tmp_path)
    assert corpus.manifest.sources == ("identity-shuffled",)
    with pytest.raises(ConfigError, match=r"is a control \(shuffled\); only rows of a domain"):
        check_rows(corpus)
