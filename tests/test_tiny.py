"""The tiny data set: the same bytes for one seed, readable by datasets, by torch, and by our trainer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from torch.utils.data import DataLoader

from metalang.building import build_corpus
from metalang.building.saved import SavedBuild, is_saved, read_record
from metalang.building.tiny import TEMPLATES, TinyDataset, sentences_of, write_tiny_dataset
from metalang.corpus import Corpus
from metalang.errors import ConfigError, CorpusError
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
GPT2 = ROOT.parent / "shared" / "data" / "gpt2"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder))


@pytest.fixture(scope="module")
def tiny(tokenizer):
    return TinyDataset(tokenizer, max_length=256)


@pytest.fixture(scope="module")
def cache(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_dataset(tiny, folder, (40, 8, 4))
    return folder


def folder_of(cache: Path, split: str) -> Path:
    return cache / f"synthetic_tiny_{split}_bs256_wrapped.dat"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_there_are_ten_templates_and_each_holds_a_number():
    assert len(set(TEMPLATES)) == 10
    assert [template.count("{}") for template in TEMPLATES] == [1] * 10


def test_the_sentences_of_a_seed_never_change():
    assert sentences_of(0, "test", 1)[:2] == ["Run 441 ended with a lower loss.", "After 178 steps the curve is flat."]
    assert sentences_of(0, "test", 1) != sentences_of(1, "test", 1)


def test_a_sample_has_50_to_200_ids_and_ends_with_eos(tiny):
    samples = [tiny.document("train", row) for row in range(200)]
    sizes = [len(sample) for sample in samples]
    assert 50 <= min(sizes) < 60 and 190 < max(sizes) <= 200
    assert {int(sample[-1]) for sample in samples} == {2}
    assert all(2 not in sample[:-1] for sample in samples)


def test_a_sample_is_the_text_of_its_first_sentences(tiny):
    text = tiny.tokenizer.hf.decode(tiny.document("train", 7)[:-1])
    whole = " ".join(sentences_of(0, "train", 7))
    assert whole.startswith(text) and text.endswith(".")


def test_a_sample_depends_on_its_row_alone(tiny, cache, tmp_path):
    write_tiny_dataset(tiny, tmp_path, (5, 1, 1))
    few, many = (datasets.load_from_disk(str(folder_of(place, "train"))) for place in (tmp_path, cache))
    assert few["input_ids"][4].tolist() == many["input_ids"][4].tolist()
    assert few[4]["input_ids"][: int(few[4]["attention_mask"].sum())].tolist() == tiny.document("train", 4).tolist()


def test_splits_share_no_sample(cache):
    texts = [
        tuple(row["input_ids"].tolist())
        for split in ("train", "validation", "test")
        for row in datasets.load_from_disk(str(folder_of(cache, split)))
    ]
    assert (len(texts), len(set(texts))) == (52, 52)


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tiny, cache, tokenizer, tmp_path):
    write_tiny_dataset(tiny, tmp_path / "again", (40, 8, 4))
    assert content(tmp_path / "again") == content(cache)
    write_tiny_dataset(TinyDataset(tokenizer, max_length=256, seed=1), tmp_path / "other", (40, 8, 4))
    assert content(tmp_path / "other") != content(cache)


def test_rows_are_padded_to_max_length_and_the_mask_says_where(cache):
    row = datasets.load_from_disk(str(folder_of(cache, "validation")))[0]
    size = int(row["attention_mask"].sum())
    assert row["attention_mask"].tolist() == [1] * size + [0] * (256 - size)
    assert row["input_ids"][size - 1 :].tolist() == [2] * (256 - size + 1)


def test_a_sample_longer_than_max_length_is_cut_and_keeps_its_eos(tokenizer):
    whole, cut = (TinyDataset(tokenizer, max_length=length).document("train", 0) for length in (256, 50))
    assert len(whole) > 50
    assert cut.tolist() == [*whole[:49].tolist(), 2]


def test_a_data_loader_gives_batches_of_tensors(cache):
    batch = next(iter(DataLoader(datasets.load_from_disk(str(folder_of(cache, "train"))), batch_size=4)))
    assert {name: (tuple(each.shape), str(each.dtype)) for name, each in batch.items()} == {
        "input_ids": ((4, 256), "torch.int64"),
        "attention_mask": ((4, 256), "torch.int64"),
    }


def test_the_corpus_of_a_folder_holds_what_the_masks_cover(tiny, cache, tmp_path):
    assert is_saved(folder_of(cache, "train")) and not is_saved(cache)
    manifest = build_corpus(SavedBuild(folder_of(cache, "train")), tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    expected = [tiny.document("train", row).tolist() for row in range(40)]
    assert [corpus.document(number)[0].tolist() for number in range(40)] == expected
    assert manifest.num_tokens == sum(map(len, expected)) == read_record(folder_of(cache, "train")).num_tokens
    assert (manifest.ids.tokenizer, manifest.ids.eos_id) == (tiny.tokenizer.fingerprint, 2)


def test_a_folder_that_is_there_is_left_alone_and_another_is_refused(tiny, cache, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    write_tiny_dataset(tiny, cache, (40, 8, 4))
    with pytest.raises(ConfigError, match=r"train_bs256_wrapped.dat holds something else \(num_samples 40 there, 41 h"):
        write_tiny_dataset(tiny, cache, (41, 8, 4))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    folder_of(tmp_path, "test").mkdir()
    (folder_of(tmp_path, "test") / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"test_bs256_wrapped.dat holds something else"):
        write_tiny_dataset(tiny, tmp_path, (40, 8, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic_tiny_test_bs256_wrapped.dat"]


def test_a_damaged_folder_is_refused(tiny, tmp_path):
    write_tiny_dataset(tiny, tmp_path, (2, 1, 1))
    path = folder_of(tmp_path, "train") / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CorpusError, match=r"is damaged: data-00000-of-00001.arrow is not the file that was written"):
        build_corpus(SavedBuild(folder_of(tmp_path, "train")), tmp_path / "corpus")


def test_ids_of_an_unnamed_tokenizer_are_refused(tmp_path):
    datasets.Dataset.from_dict({"input_ids": np.zeros((2, 4), dtype=np.int32)}).save_to_disk(tmp_path / "theirs")
    with pytest.raises(ConfigError, match=r"theirs does not say of which tokenizer its ids are \(it has no metalang_d"):
        build_corpus(SavedBuild(tmp_path / "theirs"), tmp_path / "corpus")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-length", 49], "--max-length 49 is shorter than the shortest sample; give 50 or more, such as 1024"),
        (["--test-samples", 0], "0 samples of test are no data set; give 1 or more"),
    ],
)
def test_flags_that_cannot_be_meant_are_one_line(tokenizer, tmp_path, flags, message):
    done = script(
        "data_tools/generate_tiny_dataset.py", "--cache-dir", tmp_path, "--tokenizer", tokenizer.name, *flags
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"generate_tiny_dataset: {message}"
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_one_line_asks_for_a_folder(tmp_path):
    done = script(
        "data_tools/generate_tiny_dataset.py", "--cache-dir", tmp_path / "tiny",
        HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said.startswith("generate_tiny_dataset: 'gpt2' is nothing on this disk, and the hub did not give it")
    assert "give a Hugging Face tokenizer folder" in said


def test_gpt2_ids_are_the_documented_ones(tmp_path):
    if not GPT2.exists():
        pytest.skip("the data sample gpt2 is not beside this checkout")
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((GPT2 / name).read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    done = script(
        "data_tools/generate_tiny_dataset.py", "--cache-dir", tmp_path / "tiny", "--tokenizer", tmp_path,
        "--train-samples", 20, "--val-samples", 2, "--test-samples", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = datasets.load_from_disk(str(tmp_path / "tiny" / "synthetic_tiny_train_bs1024_wrapped.dat"))[0]
    assert row["input_ids"][:9].tolist() == [464, 5888, 5839, 38634, 649, 3835, 428, 614, 13]
    assert int(row["input_ids"][-1]) == 50256


@pytest.mark.slow
def test_the_trainer_takes_the_folders(tokenizer, cache, tmp_path):
    done = script(
        "train/pretrain.py", "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", tokenizer.name,
        "--random_initialize", "True", "--use_cpu", "True", "--data_paths", folder_of(cache, "train"),
        "--data_ratios", "1", "--nl_eval_data_path", f"held_out={folder_of(cache, 'validation')}",
        "--eval_strategy", "steps", "--eval_steps", "2", "--max_length", "32", "--per_device_train_batch_size", "2",
        "--max_steps", "2", "--logging_steps", "1", "--save_strategy", "no", "--report_to", "none",
        "--output_dir", tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in history if "loss" in entry] == [1, 2]
    assert [entry["step"] for entry in history if "eval_held_out_loss" in entry] == [2]
