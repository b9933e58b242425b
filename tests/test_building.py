"""Builds: the same bytes for any number of workers, safe to run twice, nothing lost."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from metalang.building import (
    LocalExecutor,
    MixedBuild,
    SyntheticBuild,
    TextBuild,
    build_corpus,
    domain_build,
    synthetic,
    text,
)
from metalang.corpus import Corpus
from metalang.domains.copying import Identity
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.mixing import PlanSpec, Stage
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return str(train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok"))


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _lines(path, count):
    path.write_text(
        "".join(json.dumps({"text": f"Line {number} says {number * 7}."}) + "\n" for number in range(count))
    )
    return TextSource(str(path))


def test_one_worker_writes_the_bytes_of_two_for_a_domain(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_UNIT_TOKENS", 3000)
    build = domain_build(IDENTITY, num_token=20_000)
    for workers in (1, 2):
        build_corpus(build, tmp_path / str(workers), LocalExecutor(workers))
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "2")
    assert build.num_units == 7


def test_one_worker_writes_the_bytes_of_two_for_text(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(text, "_UNIT_BYTES", 5000)
    build = TextBuild(_lines(tmp_path / "lines.jsonl", 1000), tokenizer)
    for workers in (1, 2):
        build_corpus(build, tmp_path / str(workers), LocalExecutor(workers))
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "2")
    corpus = Corpus(tmp_path / "1")
    assert (corpus.manifest.num_documents, build.num_units) == (1000, 7)
    assert corpus.manifest.stats["documents"] == 1000


def test_a_domain_corpus_holds_the_tokens_asked_for_within_one_row(tmp_path):
    for num_tokens in (1, 999, 10_000):
        manifest = build_corpus(domain_build(IDENTITY, num_token=num_tokens), tmp_path / str(num_tokens))
        assert num_tokens <= manifest.num_tokens < num_tokens + 40


def test_rows_do_not_depend_on_how_many_are_asked_for(tmp_path):
    build_corpus(domain_build(IDENTITY, num_token=1_000), tmp_path / "short")
    build_corpus(domain_build(IDENTITY, num_token=5_000), tmp_path / "long")
    short = Corpus(tmp_path / "short")
    assert short.read(0, 1_000)[0].tolist() == Corpus(tmp_path / "long").read(0, 1_000)[0].tolist()


def test_the_rows_on_disk_are_the_rows_of_the_domain(tmp_path):
    build_corpus(domain_build(IDENTITY, num_token=5_000, seed=3), tmp_path)
    corpus = Corpus(tmp_path)
    for number in range(corpus.manifest.num_documents):
        symbols, predicted, row = corpus.document(number)
        IDENTITY.check(symbols, predicted)
        assert int(row["row"]) == number
    assert symbols.tolist() == IDENTITY.sample(IDENTITY.key(3, "train"), number, 1).symbols.tolist()


def test_every_document_of_a_text_corpus_ends_once_with_eos_and_decodes_to_itself(tmp_path, tokenizer):
    build = TextBuild(_lines(tmp_path / "lines.jsonl", 50), tokenizer)
    build_corpus(build, tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    eos = corpus.manifest.ids.eos_id
    for number in range(50):
        ids = corpus.document(number)[0].tolist()
        assert ids.count(eos) == 1 and ids[-1] == eos
        assert text._tokenizer(tokenizer).decode(ids[:-1]) == f"Line {number} says {number * 7}."


def test_train_and_validation_share_no_document_and_miss_none(tmp_path, tokenizer):
    source = _lines(tmp_path / "lines.jsonl", 400)
    counts = {}
    for split in ("train", "validation"):
        build_corpus(TextBuild(source, tokenizer, split=split, validation_ratio=0.1), tmp_path / split)
        corpus = Corpus(tmp_path / split)
        rows = {int(corpus.document(number)[2]["row"]) for number in range(corpus.manifest.num_documents)}
        counts[split] = rows
    assert counts["train"].isdisjoint(counts["validation"])
    assert len(counts["train"] | counts["validation"]) == 400
    assert 20 <= len(counts["validation"]) <= 60


def test_a_second_build_leaves_the_first_as_it_is(tmp_path):
    build = domain_build(IDENTITY, num_token=5_000)
    build_corpus(build, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    build_corpus(build, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_folder_of_another_corpus_is_refused_with_the_difference(tmp_path):
    build_corpus(domain_build(IDENTITY, num_token=5_000), tmp_path)
    before = _bytes(tmp_path)
    with pytest.raises(ConfigError, match=r"holds another corpus \(dataset.num_token: 5000 there, 6000 here\)"):
        build_corpus(domain_build(IDENTITY, num_token=6_000), tmp_path)
    assert _bytes(tmp_path) == before


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds something else \(thesis\.tex\)"):
        build_corpus(domain_build(IDENTITY, num_token=5_000), tmp_path)
    assert _bytes(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_damaged_unit_of_an_unfinished_build_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_UNIT_TOKENS", 1000)
    build = domain_build(IDENTITY, num_token=5_000)

    class Stopped(Exception):
        pass

    def write(self, unit, writer, whole=SyntheticBuild.write):
        if unit == 3:
            raise Stopped
        yield from whole(self, unit, writer)

    with monkeypatch.context() as patch:
        patch.setattr(SyntheticBuild, "write", write)
        with pytest.raises(Stopped):
            build_corpus(build, tmp_path / "stopped")
    assert not (tmp_path / "stopped/manifest.json").exists()
    damaged = tmp_path / "stopped/00001.bin"
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    build_corpus(build, tmp_path / "stopped")
    build_corpus(build, tmp_path / "whole")
    assert _bytes(tmp_path / "stopped") == _bytes(tmp_path / "whole")


def test_a_killed_build_of_text_goes_on(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(text, "_UNIT_BYTES", 5000)
    build = TextBuild(_lines(tmp_path / "lines.jsonl", 1000), tokenizer)

    def write(self, unit, writer, whole=TextBuild.write):
        if unit == 3:
            raise InterruptedError
        yield from whole(self, unit, writer)

    with monkeypatch.context() as patch:
        patch.setattr(TextBuild, "write", write)
        with pytest.raises(InterruptedError):
            build_corpus(build, tmp_path / "stopped")
    build_corpus(build, tmp_path / "stopped")
    build_corpus(build, tmp_path / "whole")
    assert _bytes(tmp_path / "stopped") == _bytes(tmp_path / "whole")


def test_two_processes_that_build_into_one_folder_give_one_corpus(tmp_path):
    command = [
        sys.executable, ROOT / "data_tools/synthesize.py", "--num_token", "100M", "--data_config",
        ROOT / "configs/domains/identity.json", "--workers", "1", "--split_ratio", "1", "0", "0",
        "--output_dir", tmp_path,
    ]  # fmt: skip
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(2)]
    printed = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], printed
    Corpus(tmp_path / "train").verify()
    assert not list((tmp_path / "train").glob("*.partial"))


def test_an_unfinished_build_without_a_unit_is_taken_over(tmp_path, tokenizer):
    (tmp_path / "lines.jsonl").write_text('{"text": "one"}\n{"text": \n')
    with pytest.raises(ConfigError, match="line 2"):
        build_corpus(TextBuild(TextSource(str(tmp_path / "lines.jsonl")), tokenizer), tmp_path / "out")
    (tmp_path / "lines.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    assert (
        build_corpus(TextBuild(TextSource(str(tmp_path / "lines.jsonl")), tokenizer), tmp_path / "out").num_documents
        == 2
    )


def test_a_build_of_nothing_is_refused_and_leaves_nothing(tmp_path, tokenizer):
    (tmp_path / "one.txt").write_text("One document alone.")
    source = TextSource(str(tmp_path / "one.txt"))
    splits = {}
    for split in ("train", "validation"):
        build = TextBuild(source, tokenizer, split=split, validation_ratio=0.5)
        try:
            splits[split] = build_corpus(build, tmp_path / split).num_documents
        except ConfigError as error:
            splits[split] = str(error)
            assert list((tmp_path / split).iterdir()) == []
    assert sorted(map(type, splits.values()), key=str) == [int, str]
    assert any("would hold no tokens" in str(value) for value in splits.values())


def test_a_mixture_on_disk_holds_the_windows_of_the_mixture_in_their_order(tmp_path, tokenizer):
    build_corpus(TextBuild(_lines(tmp_path / "lines.jsonl", 200), tokenizer), tmp_path / "text")
    build_corpus(domain_build(IDENTITY, num_token=3_000), tmp_path / "identity")
    space = text._tokenizer(tokenizer).id_space
    ids = IdSpace(space.text_size, 82, space.eos_id, space.tokenizer)
    paths = (("text", str(tmp_path / "text")), ("identity", str(tmp_path / "identity")))
    build = MixedBuild(paths, PlanSpec((Stage((2, 1)),), (1.0, 1.0), length=16, num_windows=100, seed=5), ids)
    manifest = build_corpus(build, tmp_path / "mixed")
    corpus = Corpus(tmp_path / "mixed")
    expected, predicted, _ = build.plan.read(range(100))
    stored, mask = corpus.read(0, 100 * 17)
    assert stored.tolist() == expected.ravel().tolist()
    assert mask.tolist() == predicted.ravel().tolist()
    assert manifest.window_length == 16
    assert {name: tokens for name, (_, tokens) in corpus.documents_per_source().items()} == {
        "text": 67 * 17,
        "identity": 33 * 17,
    }


# Bad input, through the command lines that people type.


def _run(script, *arguments):
    command = [sys.executable, ROOT / "data_tools" / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


def _tokenize(source, tokenizer, output, *more):
    return _run("tokenize_text.py", source, "--tokenizer", tokenizer, "--output_dir", output, "--workers", 1, *more)


def test_a_malformed_line_is_named_and_skipped_on_request(tmp_path, tokenizer):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"\n{"body": "three"}\n{"text": "four"}\n')
    code, line = _tokenize(path, tokenizer, tmp_path / "a")
    assert code == 1
    assert "lines.jsonl line 2: no JSON" in line and "--on_bad_line skip" in line
    assert not (tmp_path / "a/manifest.json").exists()
    code, _ = _tokenize(path, tokenizer, tmp_path / "b", "--on_bad_line", "skip")
    assert code == 0
    assert Corpus(tmp_path / "b").manifest.stats == {
        "documents": 2,
        "characters": 7,
        "bad_lines": 2,
        "empty_documents": 0,
    }


@pytest.mark.parametrize("name", ["empty.txt", "missing.jsonl", "letter.doc"])
def test_a_source_that_cannot_be_read_is_refused_by_name(tmp_path, tokenizer, name):
    if name != "missing.jsonl":
        (tmp_path / name).write_text("" if name == "empty.txt" else "Dear all")
    code, line = _tokenize(tmp_path / name, tokenizer, tmp_path / "out")
    assert code == 1
    assert line.startswith("tokenize_text: ") and name in line
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_compressed_source_gives_the_ids_of_the_plain_one(tmp_path, tokenizer):
    plain = _lines(tmp_path / "lines.jsonl", 30)
    with gzip.open(tmp_path / "packed.jsonl.gz", "wb") as file:
        file.write((tmp_path / "lines.jsonl").read_bytes())
    hashes = [
        build_corpus(TextBuild(source, tokenizer), tmp_path / f"out{number}").content_hash
        for number, source in enumerate([plain, TextSource(str(tmp_path / "packed.jsonl.gz"))])
    ]
    assert hashes[0] == hashes[1]


def test_a_size_that_is_none_is_refused_by_the_command_line(tmp_path):
    config = ROOT / "configs/domains/identity.json"
    code, line = _run("synthesize.py", "--num_token", "5m", "--data_config", config, "--output_dir", tmp_path)
    assert code == 1
    assert "identity.json: num_token: '5m' is not a whole number" in line


def test_inspect_shows_documents_and_finds_a_flipped_byte(tmp_path):
    build_corpus(domain_build(IDENTITY, num_token=500), tmp_path)
    shown = subprocess.run(
        [sys.executable, ROOT / "data_tools/inspect_corpus.py", tmp_path, "--num_samples", "1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    symbols = Corpus(tmp_path).document(0)[0].tolist()
    half = " ".join(map(str, symbols[: symbols.index(3)]))
    assert f" {half} SEP ⟦ {half} EOS ⟧" in shown
    assert "checked: every byte of 1 shard is as it was written" in shown
    content = bytearray((tmp_path / "00000.bin").read_bytes())
    content[100] ^= 1
    (tmp_path / "00000.bin").write_bytes(bytes(content))
    code, line = _run("inspect_corpus.py", tmp_path)
    assert code == 1
    assert "00000.bin is damaged between bytes 0 and" in line


def test_mixing_a_corpus_of_another_tokenizer_is_refused(tmp_path, tokenizer):
    other = train_tokenizer([TextSource("pydoc:")], vocab_size=500, output_dir=tmp_path / "other")
    build_corpus(TextBuild(_lines(tmp_path / "lines.jsonl", 50), str(other)), tmp_path / "text")
    code, line = _run(
        "mix.py", "--data_paths", tmp_path / "text", "--data_ratios", 1, "--tokenizer", tokenizer, "--max_length", 16,
        "--num_token", 100, "--output_dir", tmp_path / "mixed",
    )  # fmt: skip
    assert code == 1
    assert "text was tokenized with tokenizer" in line
    assert not (tmp_path / "mixed").exists()
