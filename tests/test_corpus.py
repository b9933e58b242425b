"""Corpora on disk: bytes, reading, and the refusal of whatever is damaged."""

import json
import subprocess
import sys

import numpy as np
import pytest

from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.errors import CorpusError
from metalang.ids import IdSpace


def _write(folder, shards, *, vocab_size=100):
    """A corpus; `shards` holds lists of (ids, predicted or None)."""
    entries = []
    for number, documents in enumerate(shards):
        writer = ShardWriter(folder, number, vocab_size)
        for row, (ids, predicted) in enumerate(documents):
            mask = None if predicted is None else np.array(predicted, dtype=bool)
            writer.append(Documents(np.array(ids), np.array([len(ids)]), np.array([row]), mask))
        entries.append(writer.finish())
    ids = IdSpace(text_size=vocab_size, meta_size=0, eos_id=2, tokenizer="toy")
    return write_manifest(folder, entries, ids=ids, sources=["toy"], spec={"kind": "toy"})


@pytest.fixture
def folder(tmp_path):
    _write(tmp_path, [[([5, 6, 2], None), ([7, 2], [0, 1])], [([8, 9, 10, 2], None)]])
    return tmp_path


def test_the_bytes_of_a_shard_are_these(folder):
    assert (folder / "00000.bin").read_bytes().hex() == "0500060002000700" + "0200"
    assert (folder / "00000.loss").read_bytes().hex() == "0101010001"
    assert (
        (folder / "00000.idx").read_bytes().hex()
        == (
            "4d4d4944494458" + "0000"  # MMIDIDX
            "0100000000000000" + "08"  # version 1, uint16
            "0200000000000000" + "0300000000000000"  # two documents, three borders
            "03000000" + "02000000"  # their lengths
            "0000000000000000" + "0600000000000000"  # where they begin, in bytes
            "0000000000000000" + "0100000000000000" + "0200000000000000"
        )
    )


def test_a_shard_whose_ids_are_all_predicted_has_no_loss_file(folder):
    assert not (folder / "00001.loss").exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000.bin", "00000.docs.npy", "00000.idx", "00000.loss",
        "00001.bin", "00001.docs.npy", "00001.idx", "manifest.json",
    ]  # fmt: skip


def test_reading_crosses_shards(folder):
    ids, predicted = Corpus(folder).read(2, 8)
    assert ids.tolist() == [2, 7, 2, 8, 9, 10]
    assert predicted.tolist() == [True, False, True, True, True, True]


def test_documents_are_read_by_number(folder):
    corpus = Corpus(folder)
    ids, predicted, row = corpus.document(1)
    assert (ids.tolist(), predicted.tolist(), int(row["row"])) == ([7, 2], [False, True], 1)
    assert corpus.document(2)[0].tolist() == [8, 9, 10, 2]
    assert corpus.documents_per_source() == {"toy": (3, 9)}


@pytest.mark.parametrize(
    ("part", "starts", "lengths"),
    [((0, 9), [0, 3, 5], [3, 2, 4]), ((1, 6), [3, 5], [2, 4]), ((3, 5), [3], [2]), ((1, 3), [], []), ((6, 9), [], [])],
)
def test_documents_are_found_by_where_they_begin(folder, part, starts, lengths):
    assert [found.tolist() for found in Corpus(folder).documents_from(*part)] == [starts, lengths]


def test_ids_take_two_bytes_up_to_65536_ids_and_four_beyond(tmp_path):
    assert _write(tmp_path / "a", [[([5, 65_535], None)]], vocab_size=65_536).dtype == "uint16"
    assert _write(tmp_path / "b", [[([5, 65_536], None)]], vocab_size=65_537).dtype == "int32"
    assert Corpus(tmp_path / "b").read(0, 2)[0].tolist() == [5, 65_536]


def test_equal_contents_have_equal_hashes_however_they_were_appended(tmp_path):
    one = _write(tmp_path / "one", [[([5, 6, 2], None), ([7, 2], None)]])
    writer = ShardWriter(tmp_path / "two", 0, 100)
    writer.append(Documents(np.array([5, 6, 2, 7, 2]), np.array([3, 5]), np.array([0, 1])))
    two = write_manifest(tmp_path / "two", [writer.finish()], ids=one.ids, sources=["toy"], spec={"kind": "toy"})
    assert two == one
    assert (tmp_path / "two/manifest.json").read_bytes() == (tmp_path / "one/manifest.json").read_bytes()


def test_a_mask_that_begins_late_covers_the_ids_before_it(tmp_path):
    _write(tmp_path, [[([5, 2], None), ([6, 2], [0, 1])]])
    assert Corpus(tmp_path).read(0, 4)[1].tolist() == [True, True, False, True]


def test_a_folder_without_a_manifest_is_no_corpus(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(CorpusError, match=r"is no corpus: it has no manifest\.json"):
        Corpus(folder)


@pytest.mark.parametrize("name", ["00000.bin", "00000.idx", "00000.loss", "00001.docs.npy"])
def test_a_truncated_file_is_refused_with_both_sizes(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(
        CorpusError, match=rf"{name} has {len(content) - 1} bytes and should have {len(content)}: it is trunc"
    ):
        Corpus(folder)


def test_a_missing_file_is_named(folder):
    (folder / "00001.bin").unlink()
    with pytest.raises(CorpusError, match=r"00001\.bin is missing"):
        Corpus(folder)


def test_a_corpus_of_many_shards_needs_few_file_descriptors(tmp_path):
    _write(tmp_path, [[([number % 90, 2], None)] for number in range(300)])
    code = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))\n"
        "from metalang.corpus import Corpus\ncorpus = Corpus(sys.argv[1])\n"
        "print(int(corpus.read(0, 600)[0].sum()), corpus.documents_per_source())"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == f"{sum(number % 90 + 2 for number in range(300))} {{'toy': (300, 600)}}\n", done.stderr[-500:]


def test_another_version_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": 1}))
    with pytest.raises(CorpusError, match="version 1; this program reads 'metalang-corpus', version 2; remove its f"):
        Corpus(folder)


@pytest.mark.parametrize("name", ["00000.bin", "00000.loss", "00000.docs.npy", "00001.idx"])
def test_one_flipped_bit_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(CorpusError, match=rf"{name} is damaged between bytes 0 and {len(content)}"):
        Corpus(folder).verify()


def test_megatrons_reader_would_find_every_document(folder):
    """Megatron-LM's `IndexedDataset` slices the .bin by the pointers of the .idx; so does this, from its definition."""
    index = (folder / "00000.idx").read_bytes()
    count = int(np.frombuffer(index, "<u8", 1, offset=18)[0])
    lengths = np.frombuffer(index, "<i4", count, offset=34)
    pointers = np.frombuffer(index, "<i8", count, offset=34 + 4 * count)
    content = (folder / "00000.bin").read_bytes()
    documents = [
        np.frombuffer(content, "<u2", length, offset=pointer).tolist()
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    assert documents == [[5, 6, 2], [7, 2]]
