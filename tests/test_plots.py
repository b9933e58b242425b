"""What a corpus is made of, in numbers and in a picture."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from metalang.building import build_corpus, domain_build
from metalang.building.plots import plot_corpora
from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.corpus.statistics import LONGEST, Statistics, statistics_of, stretches
from metalang.domains.copying import Identity
from metalang.errors import ConfigError, CorpusError
from metalang.ids import IdSpace

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 500}, sequence_length=202)


def _corpus(folder, *documents, vocab_size=100):
    ids = np.concatenate([np.array(document) for document in documents])
    writer = ShardWriter(folder, 0, vocab_size)
    writer.append(Documents(ids, np.cumsum([len(document) for document in documents]), np.arange(len(documents))))
    ids = IdSpace(text_size=vocab_size, meta_size=0, eos_id=2, tokenizer="toy")
    write_manifest(folder, [writer.finish()], ids=ids, sources=["toy"], spec={"kind": "toy"})
    return Corpus(folder)


def _exponent(frequencies):
    return Statistics(np.array(frequencies), np.zeros(0), np.zeros(0), np.zeros((0, 2))).zipf_exponent


def test_frequencies_lengths_and_distances_are_counted(tmp_path):
    found = statistics_of(_corpus(tmp_path, [5, 6, 5, 5], [6, 7, 8, 6, 5]), max_tokens=100)
    assert found.frequencies.tolist() == [4, 3, 1, 1]
    assert found.lengths.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.distances.tolist() == [6, 1, 1, 1]  # six are new in their row, the second row's 6 and 5 among them


def test_a_row_longer_than_a_piece_is_one_row(tmp_path):
    found = statistics_of(_corpus(tmp_path, np.arange(600_000) % 90), max_tokens=10**9)
    assert (len(found.lengths), found.lengths[600_000]) == (600_001, 1)
    assert found.distances.tolist() == [90, *[0] * 89, 599_910]


def test_lengths_and_distances_past_the_longest_count_as_that(tmp_path):
    found = statistics_of(_corpus(tmp_path, [5, *[6] * (LONGEST + 100), 5]), max_tokens=10**9)
    assert (len(found.lengths), found.lengths[LONGEST]) == (LONGEST + 1, 1)
    assert (found.distances[:2].tolist(), found.distances[LONGEST]) == ([2, LONGEST + 99], 1)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5])
def test_the_exponent_of_an_exact_zipf_law_is_found(exponent):
    assert _exponent((1e12 / np.arange(1, 1001) ** exponent).round()) == pytest.approx(exponent, abs=1e-6)


def test_two_frequent_symbols_do_not_tilt_the_exponent_of_a_uniform_vocabulary():
    assert _exponent([15_000, 15_000, *[1_000] * 10_000]) == pytest.approx(0.02, abs=0.01)


def test_one_id_has_no_exponent():
    assert np.isnan(_exponent([7]))


def test_order_is_what_compression_loses_when_ids_are_shuffled(tmp_path):
    corpora = {}
    for control in ("none", "shuffled"):
        build_corpus(domain_build(IDENTITY, 200_000, control=control), tmp_path / control)
        corpora[control] = statistics_of(Corpus(tmp_path / control), max_tokens=200_000).bits.mean(axis=0)
    assert corpora["none"][0] < 0.7 * corpora["none"][1]
    assert 0.97 < corpora["shuffled"][0] / corpora["shuffled"][1] < 1.03


def test_bits_do_not_depend_on_where_ids_lie_nor_on_their_bytes(tmp_path):
    ids = np.arange(40_000) ** 2 % 997
    low = statistics_of(_corpus(tmp_path / "low", ids, vocab_size=1_000), max_tokens=10**9)
    high = statistics_of(_corpus(tmp_path / "high", ids + 99_000, vocab_size=100_000), max_tokens=10**9)
    assert low.bits.shape == (2, 2)
    assert low.bits.tolist() == high.bits.tolist()


def test_a_sample_comes_from_all_over_the_corpus(tmp_path):
    corpus = _corpus(tmp_path, *[[number // 1000] * 10 for number in range(100_000)])
    found = statistics_of(corpus, max_tokens=164_000)
    assert found.frequencies.sum() == 164_000
    assert found.lengths.sum() == 16_400
    assert len(found.frequencies) == 28  # two of the 100 ids at either end, three in each of eight stretches


@pytest.mark.parametrize("max_tokens", [1, 16_384, 99_999, 5_000_000, 999_999_999])
def test_a_sample_is_never_larger_than_asked_for_and_its_parts_do_not_overlap(max_tokens):
    parts = stretches(10**9, max_tokens)
    assert 0.99 * max_tokens <= sum(stop - start for start, stop in parts) <= max_tokens
    assert all(before <= start for (_, before), (start, _) in pairwise(parts))
    assert parts[0][0] == 0 and (len(parts) == 1 or parts[-1][1] == 10**9)


def test_one_long_document_is_sampled_too(tmp_path):
    found = statistics_of(_corpus(tmp_path, np.arange(300_000) % 90), max_tokens=20_000)
    assert (found.frequencies.sum(), found.lengths.sum(), found.lengths[300_000]) == (20_000, 1, 1)


def test_a_second_look_gives_the_same_numbers(tmp_path):
    build_corpus(domain_build(IDENTITY, 50_000), tmp_path)
    one, two = (statistics_of(Corpus(tmp_path), max_tokens=20_000) for _ in range(2))
    assert one.bits.tolist() == two.bits.tolist()
    assert one.frequencies.tolist() == two.frequencies.tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("documents", [[[5]], [[5], [6] * 20], [[5, 6], [7]], [[5] * 40_000], [[5, 5]] * 3])
def test_the_plainest_corpora_are_drawn(tmp_path, documents):
    _corpus(tmp_path / "toy", *documents)
    plot_corpora([("toy", tmp_path / "toy")], tmp_path / "toy.png", max_tokens=10**9)
    assert (tmp_path / "toy.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_command_line_writes_a_png_of_several_corpora(tmp_path):
    build_corpus(domain_build(IDENTITY, 20_000), tmp_path / "identity/train")
    _corpus(tmp_path / "toy", [5, 6, 5, 5], [6, 7, 8, 6, 5])
    command = [
        sys.executable, ROOT / "data_tools/domains.py", "plot", tmp_path / "identity/train", f"small={tmp_path}/toy",
        "--output", tmp_path / "both.png", "--max_tokens", "10K",
    ]  # fmt: skip
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    content = (tmp_path / "both.png").read_bytes()
    assert printed == f"{tmp_path}/both.png\n"
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(content[place : place + 4], "big") for place in (16, 20)] == [1800, 1140]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both.png", "identity", "toy"]


FAULTS = {
    "nothing": ({"max_tokens": 0}, "--max_tokens 0 looks at nothing"),
    "folder": ({"output": "."}, "is no name of a PNG file; give one such as corpora.png"),
    "other_form": ({"output": "plot.pdf"}, "plot.pdf is no name of a PNG file"),
    "no_folder": ({"output": "missing/plot.png"}, "missing is no folder; make it first"),
    "too_many": ({"count": 9}, "9 corpora do not fit into one picture"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_refused(tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    _corpus(tmp_path / "toy", [5, 6, 5, 5])
    named = [(f"toy{number}", "toy") for number in range(changes.get("count", 1))]
    with pytest.raises(ConfigError, match=message):
        plot_corpora(named, Path(changes.get("output", "plot.png")), max_tokens=changes.get("max_tokens", 10))


def test_a_folder_that_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="is no corpus: it has no manifest"):
        plot_corpora([("empty", str(tmp_path))], tmp_path / "plot.png", max_tokens=10)
    assert list(tmp_path.iterdir()) == []
