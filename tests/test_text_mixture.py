"""Mixtures of texts: exact counts, no leak, the same bytes whoever works on them and however often they are killed."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from metalang.building import LocalExecutor, pools
from metalang.building.text_mixture import DatasetMixer
from metalang.corpus import Corpus
from metalang.errors import ConfigError, CorpusError
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]


def _lines(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def _mixture(tmp_path, *parts, name="mix", **more):
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"metadata": {"phase": "p", "seed": 1}, "datasets": list(parts)} | more))
    return path


def _part(tmp_path, name, count, ratio, **more):
    source = _lines(tmp_path / f"{name}.jsonl", [f"{name} document {number}" for number in range(count)])
    return {"name": name, "source": source, "mix_ratio": ratio} | more


def _prepared(path, output, split="train", **more):
    return [json.loads(line) for line in DatasetMixer.from_yaml(path).prepare_dataset(output, split, **more).open()]


def test_eighty_thousand_samples_at_60_to_40_give_48_000_and_32_000_lines(tmp_path):
    stories = _part(tmp_path, "stories", 60_000, 0.6, max_samples=50_000)
    custom = _part(tmp_path, "custom", 30_000, 0.4, max_samples=30_000)
    path = _mixture(tmp_path, stories, custom)
    lines = _prepared(path, tmp_path / "out.jsonl")
    assert Counter(line["source"] for line in lines) == {"stories": 48_000, "custom": 32_000}
    times = Counter(Counter(line["text"] for line in lines if line["source"] == "custom").values())
    assert times == {1: 28_000, 2: 2_000}  # 30,000 different ones, 2,000 of them twice
    assert len({line["text"] for line in lines if line["source"] == "stories"}) == 48_000
    stats = json.loads((tmp_path / "out.stats.json").read_text())["sources"]["custom"]
    assert (stats["read"], stats["written"], stats["epochs"]) == (30_000, 32_000, 1.0667)


def test_train_and_validation_share_no_document_and_have_their_shares(tmp_path):
    parts = _part(tmp_path, "one", 6000, 0.5), _part(tmp_path, "two", 6000, 0.5)
    path = _mixture(tmp_path, *parts, validation={"ratio": 0.05})
    train, held_out = (_prepared(path, tmp_path / f"{split}.jsonl", split) for split in ("train", "validation"))
    assert {line["text"] for line in train}.isdisjoint(line["text"] for line in held_out)
    assert Counter(line["source"] for line in train) == {"one": 5700, "two": 5700}
    assert 500 <= len(held_out) <= 600


def test_lines_are_shuffled_by_the_seed(tmp_path):
    parts = _part(tmp_path, "one", 300, 0.5), _part(tmp_path, "two", 300, 0.5)
    orders = []
    for number, seed in enumerate((1, 1, 2)):
        path = _mixture(tmp_path, *parts, name=f"m{number}", metadata={"phase": "p", "seed": seed})
        orders.append([line["text"] for line in _prepared(path, tmp_path / f"{number}.jsonl")])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert 100 < sum(one != other for one, other in zip(orders[0], orders[0][1:], strict=False))
    assert sum(text.startswith("one") for text in orders[0][:100]) not in (0, 100)


def test_workers_and_units_change_no_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "_UNIT_BYTES", 4000)
    path = _mixture(tmp_path, _part(tmp_path, "one", 900, 0.5), _part(tmp_path, "two", 500, 0.5))
    written = []
    for workers in (1, 2, 4):
        output, cache = tmp_path / f"{workers}.jsonl", tmp_path / f"cache{workers}"
        DatasetMixer.from_yaml(path).prepare_dataset(output, cache_dir=cache, executor=LocalExecutor(workers))
        written.append(output.read_bytes())
    assert written[0] == written[1] == written[2]
    assert len(list((tmp_path / "cache1").glob("one-*/*.jsonl"))) == 7


def test_equal_texts_are_kept_once_wherever_they_stand(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "_UNIT_BYTES", 100)
    one = {"name": "one", "source": _lines(tmp_path / "one.jsonl", ["a b", "c d", "a b", *"efghij"]), "mix_ratio": 0.5}
    two = {"name": "two", "source": _lines(tmp_path / "two.jsonl", ["c d", "x y", "a b", *"klmnop"]), "mix_ratio": 0.5}
    lines = _prepared(_mixture(tmp_path, one, two), tmp_path / "out.jsonl")
    sources = {line["text"]: line["source"] for line in lines}
    assert sources["a b"] == sources["c d"] == "one" and sources["x y"] == "two"
    stats = json.loads((tmp_path / "out.stats.json").read_text())["sources"]
    assert (stats["one"]["duplicates"], stats["two"]["duplicates"]) == (1, 2)


def test_texts_that_are_alike_are_kept_once_on_request(tmp_path):
    def story(place):
        letters = ((97 + (place * 7 + word * word) % 26, 97 + word % 26) for word in range(200))
        return " ".join(f"{chr(one)}{chr(other)}x" for one, other in letters)

    near = f"{story(3)} end"
    one = {"name": "one", "source": _lines(tmp_path / "one.jsonl", [story(1), story(3)]), "mix_ratio": 0.5}
    two = {"name": "two", "source": _lines(tmp_path / "two.jsonl", [near, story(5)]), "mix_ratio": 0.5}
    assert near != story(3)
    path = _mixture(tmp_path, one, two, deduplicate={"near": {}})
    texts = {line["text"] for line in _prepared(path, tmp_path / "out.jsonl")}
    assert story(3) in texts and near not in texts
    stats = json.loads((tmp_path / "out.stats.json").read_text())["sources"]
    assert (stats["one"]["duplicates"], stats["two"]["duplicates"]) == (0, 1)


def test_what_a_filter_refuses_is_counted_and_kept_on_request(tmp_path):
    part = {"name": "one", "source": _lines(tmp_path / "one.jsonl", ["abc", "a", "abcdefgh", "abcd"]), "mix_ratio": 1.0}
    part["filters"] = [{"type": "length", "min_chars": 2, "max_chars": 5}]
    path = _mixture(tmp_path, part)
    DatasetMixer.from_yaml(path, keep_rejected=True).prepare_dataset(tmp_path / "out.jsonl")
    rejected = next(tmp_path.glob("pools/one-*/*.rejected.jsonl")).read_text().splitlines()
    assert [json.loads(line)["reason"] for line in rejected] == ["too_few_chars", "too_many_chars"]
    assert sorted(line["text"] for line in map(json.loads, (tmp_path / "out.jsonl").open())) == ["abc", "abcd"]
    stats = json.loads((tmp_path / "out.stats.json").read_text())["sources"]["one"]
    assert (stats["filter length: too_few_chars"], stats["filter length: too_many_chars"], stats["written"]) == (
        1,
        1,
        2,
    )


def test_a_changed_mixture_is_prepared_again_and_an_equal_one_is_left_alone(tmp_path):
    part = _part(tmp_path, "one", 100, 1.0)
    path = _mixture(tmp_path, part)
    output = DatasetMixer.from_yaml(path).prepare_dataset(tmp_path / "out.jsonl")
    before = output.stat().st_mtime_ns
    DatasetMixer.from_yaml(path).prepare_dataset(output)
    assert output.stat().st_mtime_ns == before
    _mixture(tmp_path, part | {"filters": [{"type": "length", "max_chars": 14}]})
    assert len(_prepared(path, output)) == 10
    (tmp_path / "one.jsonl").write_text('{"text": "other"}\n')
    assert _prepared(path, output) == [{"text": "other", "source": "one"}]


def test_a_source_that_is_too_short_is_refused_with_what_would_do(tmp_path):
    parts = _part(tmp_path, "large", 1000, 0.5), _part(tmp_path, "small", 50, 0.5)
    with pytest.raises(ConfigError, match=r"small has 50 documents and is asked for 525, 10\.50 epochs"):
        DatasetMixer.from_yaml(_mixture(tmp_path, *parts)).prepare_dataset(tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_every_fault_of_a_mixture_is_listed_at_once(tmp_path):
    parts = [
        {"name": "one", "source": str(tmp_path / "missing.jsonl"), "mix_ratio": 0.5},
        {"name": "one", "source": "pydoc:", "mix_ratio": 0.4, "filters": [{"type": "length", "min_char": 3}]},
        {"name": "two", "source": "pydoc:", "mix_ratio": 0.2, "filters": [{"type": "language", "languages": ["xx"]}]},
    ]
    path = _mixture(tmp_path, *parts, validaton={"ratio": 0.1})
    found = DatasetMixer.from_yaml(path).validate_mixture()
    assert (found["is_valid"], found["total_ratio"], found["num_datasets"]) == (False, 1.1, 3)
    expected = (
        "unknown key 'validaton'; did you mean 'validation'",
        "unknown key 'min_char'",
        "mix_ratio 0.5 0.4 0.2 sum to 1.1 and should sum to 1",
        "2 datasets are called 'one'",
        "missing.jsonl' does not exist",
        "language: langid does not know 'xx'",
    )
    assert len(found["errors"]) == len(expected)
    for part in expected:
        assert any(part in error for error in found["errors"])
    with pytest.raises(ConfigError, match=r"sum to 1\.1") as caught:
        DatasetMixer.from_yaml(path).prepare_dataset(tmp_path / "out.jsonl")
    assert "validaton" in str(caught.value) and "\n" not in str(caught.value)


def test_ratios_may_be_strings_and_what_is_no_number_gives_no_wrong_sum(tmp_path):
    one, two = _part(tmp_path, "one", 10, "0.6"), _part(tmp_path, "two", 10, "0.4")
    assert DatasetMixer.from_yaml(_mixture(tmp_path, one, two)).validate_mixture()["total_ratio"] == 1.0
    assert len(_prepared(_mixture(tmp_path, one, two), tmp_path / "out.jsonl")) == 20
    found = DatasetMixer.from_yaml(_mixture(tmp_path, one, two | {"mix_ratio": "x"})).validate_mixture()
    assert len(found["errors"]) == 1 and "unable to parse string as a number (got 'x')" in found["errors"][0]


def test_a_split_that_is_none_is_refused(tmp_path):
    path = _mixture(tmp_path, _part(tmp_path, "one", 100, 1.0), validation={"ratio": 0.1})
    with pytest.raises(ConfigError, match="split is 'val'; it can be train, validation"):
        _prepared(path, tmp_path / "out.jsonl", "val")


@pytest.mark.parametrize(("ratio", "split"), [(1e-9, "validation"), (0.999999, "train")])
def test_a_validation_ratio_that_leaves_a_split_empty_is_refused(tmp_path, ratio, split):
    path = _mixture(tmp_path, _part(tmp_path, "one", 100, 1.0), validation={"ratio": ratio})
    with pytest.raises(ConfigError, match=rf"ratio {ratio:g} of 100 documents leaves none for {split}"):
        _prepared(path, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["00000.jsonl", "00000.npy"])
def test_a_pool_that_was_cut_off_is_refused(tmp_path, name):
    path = _mixture(tmp_path, _part(tmp_path, "one", 100, 1.0))
    _prepared(path, tmp_path / "out.jsonl")
    cut = next(tmp_path.glob(f"pools/one-*/{name}"))
    os.truncate(cut, 300)
    with pytest.raises(CorpusError, match=rf"{name} is not as it was written; remove .*one-"):
        _prepared(path, tmp_path / "again.jsonl", cache_dir=tmp_path / "pools")
    assert not (tmp_path / "again.jsonl").exists()


def test_stats_of_something_else_are_written_again(tmp_path):
    path = _mixture(tmp_path, _part(tmp_path, "one", 10, 1.0))
    (tmp_path / "out.stats.json").write_text("{}")
    assert len(_prepared(path, tmp_path / "out.jsonl")) == 10


def test_a_held_out_file_beside_a_mixture_that_holds_nothing_out_is_refused(tmp_path):
    part = _part(tmp_path, "one", 400, 1.0)
    command = _command(_mixture(tmp_path, part, validation={"ratio": 0.1}), tmp_path / "out")
    subprocess.run(command, check=True, capture_output=True)
    before = (tmp_path / "out/p_mix_train.jsonl").read_bytes()
    _mixture(tmp_path, part)
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1 and "p_mix_val.jsonl is of a mixture that held documents out" in refused.stderr
    assert (tmp_path / "out/p_mix_train.jsonl").read_bytes() == before


def test_a_check_that_finds_faults_ends_with_1(tmp_path):
    path = _mixture(tmp_path, _part(tmp_path, "one", 10, 0.9))
    checked = subprocess.run(_command(path, tmp_path / "out", "--check"), capture_output=True, text=True)
    assert checked.returncode == 1 and json.loads(checked.stdout)["is_valid"] is False
    assert "Traceback" not in checked.stderr and not (tmp_path / "out").exists()


def test_a_valid_mixture_is_said_to_be_one(tmp_path):
    path = _mixture(tmp_path, _part(tmp_path, "one", 10, 0.6), _part(tmp_path, "two", 10, 0.4))
    assert DatasetMixer.from_yaml(path).validate_mixture() == {
        "is_valid": True, "total_ratio": 1.0, "num_datasets": 2, "errors": [],
    }  # fmt: skip


def _command(path, output, *more):
    return [
        sys.executable, ROOT / "data_tools/prepare_dataset.py", "--mixture_config", path, "--output_dir", output, *more
    ]  # fmt: skip


def test_the_command_line_writes_splits_corpora_and_a_table(tmp_path):
    tokenizer = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path / "tokenizer")
    part = _part(tmp_path, "one", 400, 1.0, filters=[{"type": "length", "max_chars": 15}])
    path = _mixture(tmp_path, part, validation={"ratio": 0.1})
    command = _command(path, tmp_path / "out", "--tokenizer", tokenizer, "--workers", "1")
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "out/p_mix_train.jsonl").exists() and (tmp_path / "out/p_mix_val.jsonl").exists()
    assert Corpus(tmp_path / "out/corpora/p_mix_train").manifest.num_documents == 90
    assert "too many chars" in printed and "300" in printed and "tokens" in printed
