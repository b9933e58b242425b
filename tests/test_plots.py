"""What a corpus is made of, in numbers and in a picture."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metalang.building import build_corpus, domain_build
from metalang.building.plots import plot_corpora
from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.corpus.statistics import statistics_of
from metalang.domains.copying import Identity
from metalang.errors import ConfigError
from metalang.ids import IdSpace

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 500}, sequence_length=202)


def _corpus(folder, *documents):
    ids = np.concatenate([np.array(document) for document in documents])
    writer = ShardWriter(folder, 0, 100)
    writer.append(Documents(ids, np.cumsum([len(document) for document in documents]), np.arange(len(documents))))
    ids = IdSpace(text_size=100, meta_size=0, eos_id=2, tokenizer="toy")
    write_manifest(folder, [writer.finish()], ids=ids, sources=["toy"], spec={"kind": "toy"})
    return Corpus(folder)


def test_frequencies_lengths_and_distances_are_counted(tmp_path):
    found = statistics_of(_corpus(tmp_path, [5, 6, 5, 5], [6, 7, 8, 6, 5]), max_tokens=100)
    assert found.frequencies.tolist() == [4, 3, 1, 1]
    assert found.lengths.tolist() == [4, 5]
    assert found.distances.tolist() == [
        0,
        1,
        1,
        1,
    ]  # 5 after 5, 5 two behind 5, 6 three behind 6; no row looks into another


def test_order_is_what_compression_loses_when_ids_are_shuffled(tmp_path):
    corpora = {}
    for control in ("none", "shuffled"):
        build_corpus(domain_build(IDENTITY, 200_000, control=control), tmp_path / control)
        corpora[control] = statistics_of(Corpus(tmp_path / control), max_tokens=200_000)
    assert corpora["none"].compressed.mean() < 0.7 * corpora["none"].compressed_shuffled.mean()
    ratio = corpora["shuffled"].compressed.mean() / corpora["shuffled"].compressed_shuffled.mean()
    assert 0.97 < ratio < 1.03


def test_a_sample_comes_from_all_over_the_corpus(tmp_path):
    corpus = _corpus(tmp_path, *[[number // 10] * 10 for number in range(1000)])
    found = statistics_of(corpus, max_tokens=1000)
    assert 640 <= found.lengths.sum() <= 1300
    assert len(found.frequencies) >= 50


def test_a_second_look_gives_the_same_numbers(tmp_path):
    build_corpus(domain_build(IDENTITY, 50_000), tmp_path)
    one, two = (statistics_of(Corpus(tmp_path), max_tokens=20_000) for _ in range(2))
    assert one.compressed_shuffled.tolist() == two.compressed_shuffled.tolist()
    assert one.frequencies.tolist() == two.frequencies.tolist()


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
    assert [int.from_bytes(content[place : place + 4], "big") for place in (16, 20)] == [1440, 1020]


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
