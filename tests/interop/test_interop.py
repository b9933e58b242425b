"""Converted corpora, read by the programs that they are for; and what those programs write, read by us.

Their programs live in .venv-interop, which `make test-interop` makes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-interop" / "bin" / "python"
DATA = Path(os.environ.get("METALANG_TEST_DATA", ROOT.parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-interop; make test-interop makes it")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    neox = DATA / "neox" / "20B_tokenizer.json"
    if neox.exists():
        return str(neox)
    return str(train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok"))


@pytest.fixture(scope="module")
def text(tmp_path_factory, tokenizer):
    """A corpus of text: wikitext-2's test lines, or Python's reference where they are not."""
    folder = tmp_path_factory.mktemp("text") / "text"
    wiki = DATA / "wikitext-2" / "test.txt"
    source = TextSource(str(wiki), sample_by="line") if wiki.exists() else TextSource("pydoc:")
    build_corpus(TextBuild(source, tokenizer), folder)
    return folder


@pytest.fixture(scope="module")
def symbols(tmp_path_factory):
    """A corpus of a domain whose mask covers the second half of each row."""
    folder = tmp_path_factory.mktemp("symbols") / "identity"
    identity = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
    build_corpus(domain_build(identity, num_token=20_000), folder)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory, tokenizer):
    """Three shards; the mask begins in the second."""
    folder = tmp_path_factory.mktemp("shards") / "three"
    ids = load_tokenizer(tokenizer).id_space
    contents = [[([5, 6, 0], None), ([7, 0], None)], [([8, 9, 10, 0], [0, 0, 1, 1])], [([11, 12, 0], None)]]
    entries = []
    for number, documents in enumerate(contents):
        writer = ShardWriter(folder, number, ids.vocab_size)
        for row, (document, mask) in enumerate(documents):
            predicted = None if mask is None else np.array(mask, dtype=bool)
            writer.append(Documents(np.array(document), np.array([len(document)]), np.array([row]), predicted))
        entries.append(writer.finish())
    write_manifest(folder, entries, ids=ids, sources=["toy"], spec={"kind": "toy"})
    return folder


def _convert(*arguments):
    command = [sys.executable, ROOT / "data_tools" / "convert.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _theirs(*arguments, given=None):
    command = [PYTHON, ROOT / "tests" / "interop" / "readers.py", *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def _ours(folder, tokenizer=None):
    """Ids and mask of all documents; symbols as ids of a tokenizer, by the definition in ids.py."""
    corpus = Corpus(folder)
    ids, predicted = corpus.read(0, corpus.num_tokens)
    if tokenizer:
        model = load_tokenizer(tokenizer)
        ids = np.array([model.eos_id if symbol == 2 else model.text_size + int(symbol) for symbol in ids])
    ends = np.cumsum([len(corpus.document(number)[0]) for number in range(corpus.manifest.num_documents)])
    return ids.tolist(), predicted.tolist(), [part.tolist() for part in np.split(ids, ends[:-1])]


def _labels(documents, predicted):
    flags = iter(predicted)
    return [[number if next(flags) else -100 for number in document] for document in documents]


def test_megatron_reads_the_documents_of_text(text, tmp_path):
    said = _convert(text, "--to", "megatron", "--output_dir", tmp_path / "m")
    assert "2 of 2 files are hard links" in said
    assert _theirs("read", "megatron", tmp_path / "m")["documents"] == _ours(text)[2]


def test_megatron_reads_symbols_as_ids_of_the_tokenizer(symbols, tokenizer, tmp_path):
    _convert(symbols, "--to", "megatron", "--drop_mask", "--tokenizer", tokenizer, "--output_dir", tmp_path / "m")
    assert _theirs("read", "megatron", tmp_path / "m")["documents"] == _ours(symbols, tokenizer)[2]


@pytest.mark.parametrize("name", ["text", "symbols"])
def test_datatrove_reads_the_ids(name, tokenizer, tmp_path, request):
    folder = request.getfixturevalue(name)
    mapped = tokenizer if name == "symbols" else None
    flags = ["--drop_mask", "--tokenizer", tokenizer] if mapped else []
    _convert(folder, "--to", "datatrove", *flags, "--output_dir", tmp_path / "d")
    read = _theirs("read", "datatrove", tmp_path / "d")
    ids, _, documents = _ours(folder, mapped)
    assert read["ids"] == ids
    assert read["positions"] == [place for document in documents for place in range(len(document))][:128]


@pytest.mark.parametrize("name", ["text", "symbols"])
def test_olmo_core_reads_ids_mask_and_borders(name, tokenizer, tmp_path, request):
    folder = request.getfixturevalue(name)
    mapped = tokenizer if name == "symbols" else None
    _convert(folder, "--to", "olmo", *(["--tokenizer", tokenizer] if mapped else []), "--output_dir", tmp_path / "o")
    read = _theirs("read", "olmo", tmp_path / "o")
    ids, predicted, documents = _ours(folder, mapped)
    assert read["ids"] == ids
    assert read["mask"] == (predicted if mapped else None)
    assert read["next_labels"] == [*_labels([ids], predicted)[0][1:], -100]
    assert [end - start for start, end in read["documents"][0]] == [len(document) for document in documents]


@pytest.mark.parametrize("to", ["hf", "jsonl"])
@pytest.mark.parametrize("name", ["text", "symbols"])
def test_datasets_reads_documents_and_labels(to, name, tokenizer, tmp_path, request):
    folder = request.getfixturevalue(name)
    mapped = tokenizer if name == "symbols" else None
    _convert(folder, "--to", to, *(["--tokenizer", tokenizer] if mapped else []), "--output_dir", tmp_path / "h")
    read = _theirs("read", to, tmp_path / "h")
    _, predicted, documents = _ours(folder, mapped)
    assert read["documents"] == documents
    assert read["labels"] == _labels(documents, predicted)


def test_neox_labels_are_an_indexed_dataset_that_megatron_reads(symbols, tokenizer, tmp_path):
    """GPT-NeoX is on no index of packages; its files have Megatron-LM's format."""
    _convert(symbols, "--to", "neox", "--tokenizer", tokenizer, "--output_dir", tmp_path / "n")
    read = _theirs("read", "megatron", tmp_path / "n")
    _, predicted, documents = _ours(symbols, tokenizer)
    assert read["documents"] == documents
    assert read["labels"] == _labels(documents, predicted)


@pytest.mark.parametrize("to", ["megatron", "datatrove", "olmo", "hf", "jsonl", "neox"])
def test_three_shards_are_read_in_their_order(to, shards, tmp_path):
    flags = ["--drop_mask"] if to in ("megatron", "datatrove") else []
    _convert(shards, "--to", to, *flags, "--output_dir", tmp_path / "s")
    read = _theirs("read", "megatron" if to == "neox" else to, tmp_path / "s")
    if "ids" in read:
        assert read["ids"] == [5, 6, 0, 7, 0, 8, 9, 10, 0, 11, 12, 0]
    if "documents" in read and to != "olmo":
        assert read["documents"] == [[5, 6, 0], [7, 0], [8, 9, 10, 0], [11, 12, 0]]
    if to == "olmo":
        assert [place for place, is_predicted in enumerate(read["mask"]) if not is_predicted] == [5, 6]
        assert read["documents"] == [[[0, 3], [3, 5]], [[0, 4]], [[0, 3]]]
    if to in ("hf", "jsonl", "neox"):
        assert read["labels"] == [[5, 6, 0], [7, 0], [-100, -100, 10, 0], [11, 12, 0]]


@pytest.mark.parametrize("program", ["megatron", "datatrove", "olmo"])
def test_what_they_write_is_a_corpus_without_a_copy(program, tokenizer, tmp_path):
    contents = [
        {"documents": [[5, 6, 0], [7, 8, 9, 0]], "masks": [[1, 1, 1], [0, 0, 1, 1]]},
        {"documents": [[10, 11, 0]], "masks": [[1, 1, 1]]},
    ]
    _theirs("write", program, tmp_path / "theirs", given=json.dumps(contents))
    said = _convert(tmp_path / "theirs", "--from", program, "--tokenizer", tokenizer, "--output_dir", tmp_path / "ours")
    files = 2 if program == "megatron" else 3
    assert f"{files} of {files} files of ids and masks are hard links, 0 copies" in said
    corpus = Corpus(tmp_path / "ours")
    corpus.verify()
    assert [corpus.document(number)[0].tolist() for number in range(3)] == [[5, 6, 0], [7, 8, 9, 0], [10, 11, 0]]
    masked = [] if program == "megatron" else [7, 8]
    ids, predicted = corpus.read(0, 10)
    assert ids[~predicted].tolist() == masked
