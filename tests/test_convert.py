"""Conversions: the bytes of other programs' formats, nothing copied that can be linked, nothing lost unsaid.

Their own readers are asked in tests/interop.
"""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

from metalang.building.conversion.exported import export_corpus, export_work
from metalang.building.conversion.imported import ImportBuild, import_corpus
from metalang.building.executors import LocalExecutor
from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.errors import ConfigError, CorpusError, MismatchError
from metalang.files import link_or_copy
from metalang.ids import IdSpace
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
HERE = LocalExecutor()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """600 ids; EOS is 2, as it is among symbols."""
    return str(train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok"))


def _write(folder, documents, ids):
    """A corpus of one shard."""
    writer = ShardWriter(folder, 0, ids.vocab_size)
    for row, (numbers, mask) in enumerate(documents):
        predicted = None if mask is None else np.array(mask, dtype=bool)
        writer.append(Documents(np.array(numbers), np.array([len(numbers)]), np.array([row]), predicted))
    write_manifest(folder, [writer.finish()], ids=ids, sources=["toy"], spec={"kind": "toy"})
    return folder


@pytest.fixture
def plain(tmp_path, tokenizer):
    return _write(tmp_path / "plain", [([5, 6, 2], None), ([7, 2], None)], load_tokenizer(tokenizer).id_space)


@pytest.fixture
def masked(tmp_path, tokenizer):
    return _write(tmp_path / "masked", [([5, 6, 2], None), ([7, 8, 2], [0, 1, 1])], load_tokenizer(tokenizer).id_space)


@pytest.fixture
def symbols(tmp_path):
    return _write(tmp_path / "symbols", [([40, 3, 41, 2], [0, 0, 1, 1])], IdSpace.of_domain(50))


def _export(folder, to, output, *, tokenizer=None, num_meta_lang_tokens=None, drop_mask=False):
    work = export_work(folder, to, tokenizer=tokenizer, num_meta_lang_tokens=num_meta_lang_tokens, drop_mask=drop_mask)
    return export_corpus(work, output, HERE)


def _import(path, program, tokenizer, output, **settings):
    return import_corpus(ImportBuild(path, program, tokenizer, **settings), output, HERE)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_megatron_gets_links_alone(plain, tmp_path):
    said = _export(plain, "megatron", tmp_path / "m")
    assert _names(tmp_path / "m") == ["00000.bin", "00000.idx", "conversion.json"]
    assert (tmp_path / "m/00000.bin").samefile(plain / "00000.bin")
    assert (tmp_path / "m/00000.idx").samefile(plain / "00000.idx")
    assert "2 of 2 files are hard links to the corpus, 0 were written" in said
    assert "5 tokens in 2 documents for megatron, 5 tokens predicted\n" in said


def test_datatrove_gets_ends_in_ids_and_the_width(plain, tmp_path):
    _export(plain, "datatrove", tmp_path / "d")
    assert _names(tmp_path / "d") == ["00000.ds", "00000.ds.index", "00000.ds.metadata", "conversion.json"]
    assert (tmp_path / "d/00000.ds").samefile(plain / "00000.bin")
    assert (tmp_path / "d/00000.ds.index").read_bytes().hex() == "0300000000000000" + "0500000000000000"
    fingerprint = Corpus(plain).manifest.ids.tokenizer
    assert (tmp_path / "d/00000.ds.metadata").read_text() == f"{fingerprint}|2\n5\n5 tokens"


def test_olmo_gets_ids_and_mask_as_links_and_borders_in_ids(masked, tmp_path):
    _export(masked, "olmo", tmp_path / "o")
    assert _names(tmp_path / "o") == [
        "conversion.json", "labels_mask_part_00000.npy", "token_ids_part_00000.csv.gz", "token_ids_part_00000.npy",
    ]  # fmt: skip
    assert (tmp_path / "o/token_ids_part_00000.npy").samefile(masked / "00000.bin")
    assert (tmp_path / "o/labels_mask_part_00000.npy").samefile(masked / "00000.loss")
    assert gzip.decompress((tmp_path / "o/token_ids_part_00000.csv.gz").read_bytes()) == b"0,3\n3,6\n"


def test_neox_gets_int32_labels_of_minus_100_where_ids_are_only_read(masked, tmp_path):
    _export(masked, "neox", tmp_path / "n")
    assert _names(tmp_path / "n") == [
        "00000.bin", "00000.idx", "00000_label.bin", "00000_label.idx", "conversion.json",
    ]  # fmt: skip
    labels = (tmp_path / "n/00000_label.bin").read_bytes()
    assert labels.hex() == "0500000006000000020000009cffffff0800000002000000"
    index = (tmp_path / "n/00000_label.idx").read_bytes()
    assert index[17:].hex() == (
        "04" + "0200000000000000" + "0300000000000000" + "03000000" * 2 + "0000000000000000" + "0c00000000000000"
        "0000000000000000" + "0100000000000000" + "0200000000000000"
    )


def test_neox_gets_no_labels_where_all_is_predicted(plain, tmp_path):
    assert "train_label_data_paths" not in _export(plain, "neox", tmp_path / "n")
    assert _names(tmp_path / "n") == ["00000.bin", "00000.idx", "conversion.json"]


def test_jsonl_is_a_line_a_document(masked, tmp_path):
    _export(masked, "jsonl", tmp_path / "j")
    assert (tmp_path / "j/00000.jsonl").read_text() == (
        '{"input_ids":[5,6,2],"labels":[5,6,2]}\n{"input_ids":[7,8,2],"labels":[-100,8,2]}\n'
    )


def test_datasets_loads_a_row_a_document(masked, tmp_path):
    _export(masked, "hf", tmp_path / "h")
    rows = datasets.load_from_disk(str(tmp_path / "h"))
    assert list(rows) == [
        {"input_ids": [5, 6, 2], "labels": [5, 6, 2]},
        {"input_ids": [7, 8, 2], "labels": [-100, 8, 2]},
    ]


@pytest.mark.parametrize("to", ["megatron", "datatrove"])
def test_a_mask_is_not_lost_unsaid(to, masked, tmp_path):
    with pytest.raises(
        ConfigError, match=rf"{to} has no place for the mask of .*masked, which predicts 5 of 6 ids; take "
    ):
        _export(masked, to, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert "6 tokens predicted (the mask is dropped)" in _export(masked, to, tmp_path / "x", drop_mask=True)
    assert json.loads((tmp_path / "x/conversion.json").read_text())["num_predicted"] == 6


def test_a_dropped_mask_is_dropped_where_it_could_be_kept(masked, tmp_path):
    _export(masked, "jsonl", tmp_path / "j", drop_mask=True)
    assert '"labels":[7,8,2]' in (tmp_path / "j/00000.jsonl").read_text()


def test_symbols_without_a_tokenizer_are_refused_with_the_next_step(symbols, tmp_path):
    with pytest.raises(ConfigError, match="holds symbols, which are nobody's ids yet; give the model's --tokenizer"):
        _export(symbols, "jsonl", tmp_path / "j")


def test_symbols_become_the_ids_of_their_tokens(symbols, tokenizer, tmp_path):
    said = _export(symbols, "jsonl", tmp_path / "j", tokenizer=tokenizer)
    assert (tmp_path / "j/00000.jsonl").read_text() == (
        '{"input_ids":[640,603,641,2],"labels":[-100,-100,641,2]}\n'
    )  # 600 + symbol; EOS is the tokenizer's
    assert "ids of uint16, 0 to 649, EOS 2" in said


def test_of_symbols_only_what_has_the_same_bytes_is_linked(symbols, tokenizer, tmp_path):
    assert "1 of 3 files are hard links" in _export(symbols, "olmo", tmp_path / "o", tokenizer=tokenizer)
    assert (tmp_path / "o/token_ids_part_00000.npy").read_bytes().hex() == "80025b0281020200"
    _export(symbols, "neox", tmp_path / "n", tokenizer=tokenizer, num_meta_lang_tokens=65_000)
    assert (tmp_path / "n/00000.bin").read_bytes().hex() == "800200005b0200008102000002000000"
    assert (tmp_path / "n/00000.idx").read_bytes()[17] == 4


def test_too_few_meta_language_tokens_are_refused(symbols, tokenizer, tmp_path):
    with pytest.raises(MismatchError, match="set --num_meta_lang_tokens 50"):
        _export(symbols, "jsonl", tmp_path / "j", tokenizer=tokenizer, num_meta_lang_tokens=49)


def test_another_tokenizer_than_that_of_the_text_is_refused(tmp_path, tokenizer):
    other = _write(tmp_path / "other", [([5, 2], None)], IdSpace(600, 0, 2, "0123456789abcdef"))
    with pytest.raises(MismatchError, match="was tokenized with tokenizer 0123456789abcdef"):
        _export(other, "jsonl", tmp_path / "j", tokenizer=tokenizer)


@pytest.mark.parametrize("to", ["megatron", "olmo", "jsonl"])
def test_a_damaged_corpus_is_not_given_away(to, masked, tmp_path):
    (masked / "00000.bin").write_bytes(np.array([5, 6, 2, 7, 9, 2], "<u2").tobytes())
    with pytest.raises(CorpusError, match=r"00000\.bin is damaged between bytes 0 and 12"):
        _export(masked, to, tmp_path / to, drop_mask=True)
    assert not (tmp_path / to / "conversion.json").exists()


def test_a_conversion_is_safe_to_run_twice_and_refuses_another(plain, masked, tmp_path):
    _export(plain, "jsonl", tmp_path / "j")
    before = (tmp_path / "j/00000.jsonl").stat()
    _export(plain, "jsonl", tmp_path / "j")
    assert (tmp_path / "j/00000.jsonl").stat().st_ino == before.st_ino
    with pytest.raises(ConfigError, match="holds another corpus"):
        _export(masked, "jsonl", tmp_path / "j")
    with pytest.raises(ConfigError, match=r"holds something else"):
        _export(plain, "jsonl", plain)


def test_a_conversion_that_was_killed_goes_on(plain, tmp_path):
    _export(plain, "olmo", tmp_path / "whole")
    record = json.loads((tmp_path / "whole/conversion.json").read_text())
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/build.json").write_text(json.dumps({"spec": record["spec"]}))
    os.link(plain / "00000.bin", tmp_path / "cut/token_ids_part_00000.npy")
    (tmp_path / "cut/token_ids_part_00000.csv.gz.1.partial").write_bytes(b"half")
    _export(plain, "olmo", tmp_path / "cut")
    assert _names(tmp_path / "cut") == _names(tmp_path / "whole")
    assert json.loads((tmp_path / "cut/conversion.json").read_text()) == record


def test_where_a_disk_cannot_link_the_bytes_are_copied(tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk")
    (tmp_path / "here").write_bytes(b"ids")
    there = memory / f"metalang-{os.getpid()}"
    try:
        assert link_or_copy(tmp_path / "here", there) is False
        assert there.read_bytes() == b"ids"
    finally:
        there.unlink(missing_ok=True)


def test_a_link_replaces_what_was_there_and_follows_a_symbolic_one(tmp_path):
    (tmp_path / "real").write_bytes(b"ids")
    (tmp_path / "name").symlink_to("real")
    (tmp_path / "target").write_bytes(b"older")
    assert link_or_copy(tmp_path / "name", tmp_path / "target") is True
    assert link_or_copy(tmp_path / "name", tmp_path / "target") is True
    assert _names(tmp_path) == ["name", "real", "target"]
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target").samefile(tmp_path / "real")


def test_a_megatron_file_becomes_a_corpus_of_the_same_bytes(plain, tokenizer, tmp_path):
    _export(plain, "megatron", tmp_path / "m")
    (tmp_path / "m/conversion.json").unlink()
    said = _import(tmp_path / "m", "megatron", tokenizer, tmp_path / "back")
    assert said == "1 of 1 files of ids and masks are hard links, 0 copies"
    for name in ("00000.bin", "00000.idx", "00000.docs.npy"):
        assert (tmp_path / "back" / name).read_bytes() == (plain / name).read_bytes()
    assert (tmp_path / "back/00000.bin").samefile(plain / "00000.bin")
    ours, back = Corpus(plain).manifest, Corpus(tmp_path / "back").manifest
    assert (back.content_hash, back.ids) == (ours.content_hash, ours.ids)


@pytest.mark.parametrize("program", ["datatrove", "olmo"])
def test_there_and_back_is_the_same_corpus(program, masked, tokenizer, tmp_path):
    _export(masked, program, tmp_path / "there", drop_mask=program == "datatrove")
    _import(tmp_path / "there", program, tokenizer, tmp_path / "back")
    corpus = Corpus(tmp_path / "back")
    corpus.verify()
    assert corpus.document(1)[0].tolist() == [7, 8, 2]
    assert corpus.document(1)[1].tolist() == ([True] * 3 if program == "datatrove" else [False, True, True])
    if program == "olmo":
        assert corpus.manifest.content_hash == Corpus(masked).manifest.content_hash


def _index(code, lengths, borders, starts=None):
    """A .idx, from its definition."""
    width = {8: 2, 4: 4, 5: 8}[code]
    starts = [sum(lengths[:number]) * width for number in range(len(lengths))] if starts is None else starts
    head = b"MMIDIDX\x00\x00" + np.array([1], "<u8").tobytes() + bytes([code])
    counts = np.array([len(lengths), len(borders)], "<u8").tobytes()
    return head + counts + np.array(lengths, "<i4").tobytes() + np.array(starts + borders, "<i8").tobytes()


def _megatron(folder, ids, index, dtype="<u2"):
    folder.mkdir()
    (folder / "a.bin").write_bytes(np.array(ids, dtype).tobytes())
    (folder / "a.idx").write_bytes(index)
    return folder


def test_sequences_of_one_megatron_document_are_joined_and_empty_documents_left_out(tokenizer, tmp_path):
    theirs = _megatron(tmp_path / "m", [5, 6, 2, 7, 8], _index(8, [2, 1, 2], [0, 2, 2, 3]))
    _import(theirs, "megatron", tokenizer, tmp_path / "c")
    corpus = Corpus(tmp_path / "c")
    assert [corpus.document(number)[0].tolist() for number in (0, 1)] == [[5, 6, 2], [7, 8]]
    assert [int(corpus.document(number)[2]["row"]) for number in (0, 1)] == [0, 2]
    assert corpus.manifest.stats == {"empty_documents": 1, "documents": 2, "documents_without_eos": 1}


def test_int32_ids_of_a_small_vocabulary_stay_int32(tokenizer, tmp_path):
    theirs = _megatron(tmp_path / "m", [5, 6, 0], _index(4, [3], [0, 1]), "<i4")
    _import(theirs, "megatron", tokenizer, tmp_path / "c")
    corpus = Corpus(tmp_path / "c")
    assert (corpus.manifest.dtype, corpus.manifest.dtype_rule) == ("int32", "as megatron wrote them")
    assert corpus.read(0, 3)[0].tolist() == [5, 6, 0]
    corpus.verify()
    assert "2 of 2 files are hard links" in _export(tmp_path / "c", "megatron", tmp_path / "again")


@pytest.mark.parametrize(
    ("ids", "index", "reason"),
    [
        ([5, 6, 0], b"MMIDIDX\x00\x00", "its .idx is not that of an indexed dataset"),
        ([5, 6, 0], _index(5, [3], [0, 1]), "version 1 and type 5; only 1 and 8"),
        ([5, 6, 0], _index(8, [3], [0, 1]) + b"\x00", "its .idx has 63 bytes and should have 62"),
        ([5, 6, 0], _index(8, [1, 2], [0, 2], [4, 0]), "the sequences of its .idx do not lie end to end"),
        ([5, 6, 0], _index(8, [1, 2], [0, 1]), "the documents of its .idx do not cover its sequences"),
        ([5, 6, 0], _index(8, [2], [0, 1]), "it has 6 bytes and its documents 4"),
        ([5, 6, 0], _index(8, [2, -1, 2], [0, 3], [0, 4, 2]), "the sequences of its .idx do not lie end to end"),
        ([5, 6, 0], _index(8, [], [0]), "its .idx lists no document"),
        ([5, 650, 0], _index(8, [3], [0, 1]), "holds id 650 and the ids of .* are 0 to 599; give the --tokenizer"),
    ],
)
def test_a_megatron_file_that_does_not_hold_is_refused(ids, index, reason, tokenizer, tmp_path):
    theirs = _megatron(tmp_path / "m", ids, index)
    with pytest.raises(ConfigError, match=reason):
        _import(theirs, "megatron", tokenizer, tmp_path / "c")
    assert not (tmp_path / "c/manifest.json").exists()


def test_ids_of_symbols_come_in_with_num_meta_lang_tokens(tokenizer, tmp_path):
    theirs = _megatron(tmp_path / "m", [5, 649, 0], _index(8, [3], [0, 1]))
    _import(theirs, "megatron", tokenizer, tmp_path / "c", num_meta_lang_tokens=50)
    assert Corpus(tmp_path / "c").manifest.vocab_size == 650


def test_a_missing_index_is_named(tokenizer, tmp_path):
    theirs = _megatron(tmp_path / "m", [5, 0], _index(8, [2], [0, 1]))
    (theirs / "a.idx").unlink()
    with pytest.raises(ConfigError, match=r"a\.idx is missing"):
        _import(theirs, "megatron", tokenizer, tmp_path / "c")


def test_without_a_table_of_documents_the_width_is_asked_for_and_eos_ends_them(tokenizer, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/wiki.npy").write_bytes(np.array([5, 6, 2, 7, 2, 8], "<u4").tobytes())
    with pytest.raises(ConfigError, match=r"wiki\.npy tells how wide its ids are; give --id_bytes 2 or 4"):
        _import(tmp_path / "o", "olmo", tokenizer, tmp_path / "c")
    said = _import(tmp_path / "o", "olmo", tokenizer, tmp_path / "c", id_bytes=4)
    assert said.endswith("1 of 1 files do not say where documents end: behind each EOS")
    corpus = Corpus(tmp_path / "c")
    assert [corpus.document(number)[0].tolist() for number in range(3)] == [[5, 6, 2], [7, 2], [8]]


def test_a_width_that_the_files_deny_is_refused(plain, tokenizer, tmp_path):
    _export(plain, "datatrove", tmp_path / "d")
    with pytest.raises(ConfigError, match=r"--id_bytes is 4 and the ids of .* are 2 bytes wide; leave it out"):
        _import(tmp_path / "d", "datatrove", tokenizer, tmp_path / "c", id_bytes=4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x93NUMPY\x01\x00v\x00{}", "it begins with a NumPy header, and OLMo-core's arrays have none"),
        (b"\x05\x06\x00", "its ids are 1 bytes wide, and a corpus has ids of 2 or 4 bytes"),
    ],
)
def test_an_array_that_is_not_raw_ids_of_two_or_four_bytes_is_refused(content, reason, tokenizer, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/a.npy").write_bytes(content)
    (tmp_path / "o/a.csv.gz").write_bytes(gzip.compress(b"0,3\n"))
    with pytest.raises(ConfigError, match=reason):
        _import(tmp_path / "o", "olmo", tokenizer, tmp_path / "c")


@pytest.mark.parametrize("line", [b"3,6", b"2,99999999999999999999", b"2,\xc2\xb2"])
def test_borders_with_a_gap_are_refused(line, tokenizer, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/a.npy").write_bytes(bytes(12))
    (tmp_path / "o/a.csv.gz").write_bytes(gzip.compress(b"0,2\n" + line + b"\n"))
    with pytest.raises(ConfigError, match=r"line 2 of its \.csv\.gz does not go on where the one before ends, at 2"):
        _import(tmp_path / "o", "olmo", tokenizer, tmp_path / "c")


def test_a_table_of_ends_that_was_cut_is_refused(tokenizer, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.ds").write_bytes(np.array([5, 6, 0], "<u2").tobytes())
    (tmp_path / "d/a.ds.index").write_bytes(np.array([3, 5], "<u8").tobytes()[:-5])
    with pytest.raises(ConfigError, match=r"a\.ds\.index beside it has 11 bytes and should have 8 a document"):
        _import(tmp_path / "d", "datatrove", tokenizer, tmp_path / "c")


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (b"\x01\x02\x01", "is no mask: it holds 2"),
        (b"\x00", "masks 1 ids and .* has 3; take the mask away"),
        (b"", "masks 0 ids and .* has 3; take the mask away"),
    ],
)
def test_what_is_no_mask_is_refused(mask, reason, tokenizer, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.ds").write_bytes(np.array([5, 6, 0], "<u2").tobytes())
    (tmp_path / "d/a.ds.index").write_bytes(np.array([3], "<u8").tobytes())
    (tmp_path / "d/a.ds.loss").write_bytes(mask)
    with pytest.raises(ConfigError, match=reason):
        _import(tmp_path / "d", "datatrove", tokenizer, tmp_path / "c")


def test_a_mask_of_ones_is_no_mask(tokenizer, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.ds").write_bytes(np.array([5, 6, 0], "<u2").tobytes())
    (tmp_path / "d/a.ds.index").write_bytes(np.array([3], "<u8").tobytes())
    (tmp_path / "d/a.ds.loss").write_bytes(b"\x01\x01\x01")
    _import(tmp_path / "d", "datatrove", tokenizer, tmp_path / "c")
    assert _names(tmp_path / "c") == ["00000.bin", "00000.docs.npy", "00000.idx", "manifest.json"]


def test_a_change_of_the_original_in_place_is_found(tokenizer, tmp_path):
    theirs = _megatron(tmp_path / "m", [5, 6, 0], _index(8, [3], [0, 1]))
    _import(theirs, "megatron", tokenizer, tmp_path / "c")
    with open(theirs / "a.bin", "r+b") as file:
        file.write(b"\x07")
    with pytest.raises(CorpusError, match=r"00000\.bin is damaged"):
        Corpus(tmp_path / "c").verify()


def _run(*arguments):
    command = [sys.executable, ROOT / "data_tools" / "convert.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_line_converts_there_and_back(plain, tokenizer, tmp_path):
    done = _run(plain, "--to", "megatron", "--output_dir", tmp_path / "m")
    assert (done.returncode, done.stdout.splitlines()[1]) == (
        0,
        "  2 of 2 files are hard links to the corpus, 0 were written",
    )
    back = ["--from", "megatron", "--tokenizer", tokenizer, "--output_dir", tmp_path / "back"]
    done = _run(tmp_path / "m", *back)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "1 of 1 files of ids and masks are hard links, 0 copies"
    assert _run(tmp_path / "m", *back).stdout == done.stdout


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--from", "olmo"], "--from needs --tokenizer"),
        (["--to", "olmo", "--id_bytes", "2"], "--id_bytes belongs to --from"),
        (["--to", "olmo", "--from", "olmo"], "not allowed with"),
        (["--to", "olmo", "--num_meta_lang_tokens", "9"], "--num_meta_lang_tokens needs --tokenizer"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, reason, plain, tmp_path):
    done = _run(plain, *flags, "--output_dir", tmp_path / "x")
    assert (done.returncode, reason in done.stderr) == (2, True)
