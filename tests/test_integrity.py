"""Whatever changes in a corpus is found: by `verify`, when it is opened, or when it is first read."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from metalang.building.verification import verify_corpus
from metalang.corpus import Corpus, Documents, ShardWriter, integrity, write_manifest, writer
from metalang.corpus.integrity import pieces_of
from metalang.corpus.manifest import FileEntry
from metalang.errors import ConfigError, CorpusError
from metalang.files import is_sealed
from metalang.ids import IdSpace
from metalang.mixing import Plan, Source, Stage
from metalang.training.dataset import PlanDataset, plain_errors

ROOT = Path(__file__).parents[1]
IDS = IdSpace(text_size=50_000, meta_size=0, eos_id=2, tokenizer="toy")


def _corpus(folder, *, num_shards=3, num_documents=40, length=50, seed=0):
    """A corpus of random ids; shards 1, 3, ... have a mask."""
    rng = np.random.default_rng(seed)
    entries = []
    for number in range(num_shards):
        shard = ShardWriter(folder, number, 50_000)
        ids = rng.integers(0, 50_000, num_documents * length)
        predicted = rng.integers(0, 2, len(ids)).astype(bool) if number % 2 else None
        ends = np.arange(1, num_documents + 1) * length
        shard.append(Documents(ids, ends, np.arange(num_documents), predicted))
        entries.append(shard.finish())
    spec = {"kind": "toy", "note": "é"}
    write_manifest(folder, entries, ids=IDS, sources=["one"], spec=spec)
    return folder


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 1,000 bytes, so that a small file has several."""
    monkeypatch.setattr(integrity, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(writer, "BLOCK_BYTES", 1000)


def _flipped(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _cut(content, rng):
    return content[: rng.choice([len(content) - 1, rng.randrange(len(content))])]


def _grown(content, rng):
    return content + rng.choice([b"\0", b"\n", b" ", rng.randbytes(1000)])


def _swapped(content, rng):
    """Two stretches of equal length have changed places."""
    size = rng.randint(1, len(content) // 3)
    first = rng.randint(0, len(content) - 2 * size)
    second = rng.randint(first + size, len(content) - size)
    one, two = content[first : first + size], content[second : second + size]
    return content[:first] + two + content[first + size : second] + one + content[second + size :]


def _swap_files(folder, name, other):
    one, two = (folder / name).read_bytes(), (folder / other).read_bytes()
    (folder / name).write_bytes(two)
    (folder / other).write_bytes(one)


def _corrupt(folder, kind, name, rng):
    """Does something to a file; the names of the files that it changed."""
    path = folder / name
    content = path.read_bytes()
    if kind == "deleted":
        path.unlink()
        return {name}
    if kind == "swapped files":
        other = rng.choice([each.name for each in folder.iterdir() if each.read_bytes() != content])
        _swap_files(folder, name, other)
        return {name, other}
    change = {"flipped": _flipped, "cut": _cut, "grown": _grown, "swapped blocks": _swapped}[kind]
    changed = content
    while changed == content:
        changed = change(content, rng)
    path.write_bytes(changed)
    return {name}


KINDS = ("flipped", "cut", "grown", "swapped blocks", "swapped files", "deleted")


def _read_all(folder):
    corpus = Corpus(folder, verify_reads=True)
    order = np.random.default_rng(0).permutation(corpus.num_tokens // 100)
    for window in order.tolist():
        corpus.read(window * 100, window * 100 + 100)


def test_a_thousand_corruptions_are_found_and_the_file_is_named(tmp_path, small_blocks):
    whole = _corpus(tmp_path / "whole")
    whole_bytes = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert {Path(name).suffix for name in whole_bytes} == {".bin", ".loss", ".idx", ".npy", ".json"}
    rng, damaged = random.Random(0), tmp_path / "damaged"
    shutil.copytree(whole, damaged)
    found = {"verified": 0, "read": 0}
    for number in range(1000):
        changed = _corrupt(damaged, KINDS[number % len(KINDS)], rng.choice(sorted(whole_bytes)), rng)
        for how, look in (("verified", lambda: Corpus(damaged).verify()), ("read", lambda: _read_all(damaged))):
            with pytest.raises(CorpusError) as caught:
                look()
            found[how] += any(name in str(caught.value) for name in changed) and "\n" not in str(caught.value)
        for name in changed:
            (damaged / name).write_bytes(whole_bytes[name])
    assert found == {"verified": 1000, "read": 1000}
    Corpus(damaged).verify()
    _read_all(damaged)


def test_every_byte_of_the_manifest_counts_white_space_too(tmp_path):
    path = _corpus(tmp_path, num_shards=1) / "manifest.json"
    content = path.read_bytes()
    assert b" \n" not in content and content.endswith(b'"\n}\n')
    changes = [content[:place] + content[place + 1 :] for place in range(len(content))]
    changes += [content[:place] + b" " + content[place:] for place in range(len(content) + 1)]
    changes += [
        content[:place] + bytes([byte ^ 1 << bit]) + content[place + 1 :]
        for place, byte in enumerate(content)
        for bit in range(8)
    ]
    assert not any(is_sealed(changed) for changed in changes)
    assert is_sealed(content)


@pytest.mark.parametrize("part", ["idx", "docs.npy"])
def test_opening_finds_a_flipped_bit_of_index_and_documents(tmp_path, part):
    path = _corpus(tmp_path) / f"00001.{part}"
    path.write_bytes(_flipped(path.read_bytes(), random.Random(1)))
    with pytest.raises(
        CorpusError, match=rf"00001\.{part} is damaged between bytes 0 and [\d,]+; remove its folder and build the"
    ):
        Corpus(tmp_path)


def test_more_index_than_is_verified_at_opening_is_verified_when_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("metalang.corpus.reader._VERIFIED_AT_OPENING", 0)
    for part in ("idx", "docs.npy"):
        path = _corpus(tmp_path) / f"00001.{part}"
        path.write_bytes(_flipped(path.read_bytes(), random.Random(1)))
        corpus = Corpus(tmp_path)
        assert len(corpus.document(3)[0]) == 50
        with pytest.raises(CorpusError, match=rf"00001\.{part} is damaged"):
            corpus.document(50)


def test_a_damaged_block_of_ids_is_found_when_it_is_read_and_not_before(tmp_path, small_blocks):
    path = _corpus(tmp_path) / "00000.bin"
    content = path.read_bytes()
    path.write_bytes(content[:2500] + bytes([content[2500] ^ 1]) + content[2501:])
    assert len(Corpus(tmp_path).read(1000, 1500)[0]) == 500
    corpus = Corpus(tmp_path, verify_reads=True)
    assert len(corpus.read(0, 1000)[0]) == 1000
    assert len(corpus.read(1500, 6000)[0]) == 4500
    with pytest.raises(CorpusError, match=r"00000\.bin is damaged between bytes 2,000 and 3,000; remove its folder"):
        corpus.read(999, 1001)
    with pytest.raises(CorpusError, match="00000"):
        Corpus(tmp_path, verify_reads=True).frequencies()


def test_a_block_is_verified_once(tmp_path, small_blocks):
    path = _corpus(tmp_path) / "00000.bin"
    corpus = Corpus(tmp_path, verify_reads=True)
    corpus.read(0, 100)
    with open(path, "r+b") as file:
        file.write(b"\xff\xff")
    assert corpus.read(0, 100)[0][0] == 65_535
    with pytest.raises(CorpusError, match="between bytes 0 and 1,000"):
        Corpus(tmp_path, verify_reads=True).read(0, 100)


def test_what_a_worker_of_a_loader_finds_is_said_in_one_line(tmp_path):
    path = _corpus(tmp_path) / "00002.bin"
    path.write_bytes(_flipped(path.read_bytes(), random.Random(2)))
    plan = Plan([Source("s", tmp_path, IDS, length=100, verify_reads=True)], [Stage((1,))], length=100, seed=0)
    with pytest.raises(CorpusError) as caught, plain_errors():
        for _ in DataLoader(PlanDataset(plan, 60), batch_size=4, num_workers=1):
            pass
    said = "00002.bin is damaged between bytes 0 and 4,000; remove its folder and build the corpus again"
    assert str(caught.value) == f"{tmp_path}/{said}"


def test_windows_are_the_same_with_verified_reads(tmp_path, small_blocks):
    _corpus(tmp_path)
    batches = []
    for verify_reads in (False, True):
        plan = Plan(
            [Source("s", tmp_path, IDS, length=64, verify_reads=verify_reads)], [Stage((1,))], length=64, seed=1
        )
        batches.append(torch.stack([window["labels"] for window in PlanDataset(plan, 90).__getitems__(range(90))]))
    assert torch.equal(*batches)


def test_a_part_of_the_blocks_is_random_by_its_seed_and_never_empty():
    file = FileEntry(name="00000.bin", bytes=100 * 2**24, hash="", blocks=("",) * 100)
    chosen = {seed: [block for piece in pieces_of([file], share=0.1, seed=seed) for block in piece.blocks]
              for seed in range(5)}  # fmt: skip
    assert all(len(blocks) == 10 and blocks == sorted(set(blocks)) for blocks in chosen.values())
    assert len({tuple(blocks) for blocks in chosen.values()}) == 5
    assert chosen[0] == [block for piece in pieces_of([file], share=0.1, seed=0) for block in piece.blocks]
    assert [len(piece.blocks) for piece in pieces_of([file], share=1e-9)] == [1]
    assert [len(piece.blocks) for piece in pieces_of([file])] == [8] * 12 + [4]


def _run(*arguments):
    command = [sys.executable, ROOT / "data_tools/verify.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_line_says_what_share_was_read(tmp_path):
    folder = _corpus(tmp_path / "c")
    done = _run(folder)
    assert done.returncode == 0
    assert "the sizes of its 10 files, and 10 of 10 blocks, 19,502 of 19,502 bytes (100.00%)" in done.stdout
    assert "19.5k/19.5k" in done.stderr
    assert "and 2 of 10 blocks" in _run(folder, "--sample", "20%", "--seed", "3", "--workers", "1").stdout


def test_the_command_line_ends_with_one_line_at_a_fault(tmp_path):
    path = _corpus(tmp_path / "c") / "00001.loss"
    path.write_bytes(_flipped(path.read_bytes(), random.Random(3)))
    done = _run(tmp_path / "c")
    assert (done.returncode, done.stdout) == (1, "")
    said = "00001.loss is damaged between bytes 0 and 2,000; remove its folder and build the corpus again"
    assert done.stderr.splitlines()[-1] == f"verify: {tmp_path}/c/{said}"


@pytest.mark.parametrize("sample", ["0%", "101%", "0.01", "some"])
def test_a_sample_that_is_none_is_refused(tmp_path, sample):
    done = _run(_corpus(tmp_path / "c"), "--sample", sample)
    assert done.returncode == 1
    assert f"{sample!r} is no part of anything; write it as 1%" in done.stderr


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--workers 0 do nothing"):
        verify_corpus(_corpus(tmp_path), workers=0)
