"""Mixtures of a run: one file for corpora, texts and domains, in stages; what it would read; what is wrong with it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from metalang.building import LocalExecutor, build_corpus, domain_build
from metalang.building.plan_report import describe_plan, plan_value
from metalang.building.text_mixture import DatasetMixer
from metalang.building.token_mixture import MixtureCorpora, is_token_mixture, read_token_mixture
from metalang.corpus import Corpus
from metalang.domains import read_domain
from metalang.errors import ConfigError
from metalang.mixing import model_ids
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
IDENTITY = ROOT / "configs" / "domains" / "demo-identity.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tokenizer, a text, and a corpus of symbols."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    lines = [json.dumps({"text": f"Document {number} tells of {'word ' * (number % 40)}"}) for number in range(400)]
    (folder / "news.jsonl").write_text("\n".join(lines) + "\n")
    build_corpus(domain_build(read_domain(IDENTITY), num_token=20_000, seed=9), folder / "identity")
    return folder


def _value(folder, **more):
    return {
        "metadata": {"seed": 3},
        "unit": "tokens",
        "datasets": [
            {"name": "meta", "domain": str(IDENTITY), "num_token": "8K", "mix_ratio": 0.25, "max_epochs": 2},
            {"name": "held", "corpus": str(folder / "identity"), "mix_ratio": 0.25},
            {
                "name": "news",
                "source": str(folder / "news.jsonl"),
                "filters": [{"type": "length", "min_chars": 60}],
                "mix_ratio": 0.5,
            },
        ],
    } | more


def _written(tmp_path, value):
    path = tmp_path / "mixture.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def _opened(path, folder, cache, *, num_windows=200, length=32, split="train"):
    mixture = read_token_mixture(path)
    tokenizer = str(folder / "tokenizer")
    folders = MixtureCorpora(mixture, tokenizer, cache, LocalExecutor()).folders(split)
    ids = model_ids(load_tokenizer(tokenizer).id_space, [place for _, place in folders])
    return mixture.plan_spec(length=length, num_windows=num_windows, seed=1).plan(folders, ids), folders


def test_a_corpus_a_text_and_a_domain_are_one_mixture(folder, tmp_path):
    plan, folders = _opened(_written(tmp_path, _value(folder)), folder, tmp_path / "cache")
    assert [name for name, _ in folders] == ["meta", "held", "news"]
    assert [use.num_windows for use in plan.usage(200)] == [50, 50, 100]
    kept = Corpus(folders[2][1])
    assert kept.manifest.num_documents == sum(len("Document 000 tells of ") + 5 * (n % 40) >= 60 for n in range(400))


def test_what_was_built_is_used_again_by_another_mixture(folder, tmp_path):
    _, first = _opened(_written(tmp_path, _value(folder)), folder, tmp_path / "cache")
    before = {place: (Path(place) / "manifest.json").stat().st_mtime_ns for _, place in first}
    changed = _value(folder)
    changed["datasets"][2]["mix_ratio"], changed["datasets"][0]["mix_ratio"] = 0.25, 0.5
    _, second = _opened(_written(tmp_path, changed), folder, tmp_path / "cache", num_windows=100)
    assert first == second
    assert before == {place: (Path(place) / "manifest.json").stat().st_mtime_ns for _, place in second}


def test_stages_end_at_tokens_or_at_a_share_of_the_run(folder, tmp_path):
    stages = [
        {"name": "easy", "until": "1.6K", "mix_ratio": {"meta": 1}},
        {"until": 0.5, "mix_ratio": {"held": 0.5, "meta": 0.5}},
        {"mix_ratio": {"news": 1}},
    ]
    plan, _ = _opened(_written(tmp_path, _value(folder, stages=stages)), folder, tmp_path / "cache")
    assert [(stage.name, stage.until) for stage in plan.stages] == [("easy", 50), ("", 100), ("", None)]
    places = plan.locate(np.arange(200))
    assert np.bincount(places.source[:50], minlength=3).tolist() == [50, 0, 0]
    assert np.bincount(places.source[50:100], minlength=3).tolist() == [25, 25, 0]
    assert np.bincount(places.source[100:], minlength=3).tolist() == [0, 0, 100]


def test_held_out_parts_share_no_document_with_what_is_trained_on(folder, tmp_path):
    path = _written(tmp_path, _value(folder, validation={"ratio": 0.2}))
    _, train = _opened(path, folder, tmp_path / "cache", num_windows=50)
    mixture = read_token_mixture(path)
    held_out = MixtureCorpora(mixture, str(folder / "tokenizer"), tmp_path / "cache", LocalExecutor()).folders(
        "validation"
    )
    assert [name for name, _ in held_out] == ["meta", "news"]
    for name, place in held_out:
        seen = {Corpus(dict(train)[name]).document(n)[0].tobytes() for n in range(_documents(dict(train)[name]))}
        assert not seen & {Corpus(place).document(n)[0].tobytes() for n in range(_documents(place))}


def _documents(place):
    return Corpus(place).manifest.num_documents


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": []}, "datasets: "),
        ({"stages": [{"mix_ratio": {"other": 1}}]}, "stage 1 weighs 'other', no dataset; there are meta, held, news"),
        ({"stages": [{"mix_ratio": {"meta": 1}}, {"mix_ratio": {"held": 1}}]}, "stage 1 has no until"),
        ({"stages": [{"mix_ratio": {"meta": 0.7}}]}, "mix_ratio of stage 1 0.7 sum to 0.7 and should sum to 1"),
        ({"stages": [{"until": -3, "mix_ratio": {"meta": 1}}]}, "until is -3; write tokens, such as 100M, or a share"),
        (
            {"stages": [{"until": "soon", "mix_ratio": {"meta": 1}}]},
            "stages.0.until: 'soon' is no end of a stage; write tokens, such as 100M, or a share",
        ),
        ({"stages": [{"until": True, "mix_ratio": {"meta": 1}}]}, "stages.0.until: True is no end of a stage"),
        ({"stages": [{"until": 10**30, "mix_ratio": {"meta": 1}}]}, "stages.0: until is 1e+30; write tokens"),
        ({"stages": [{"until": "9999999999T", "mix_ratio": {"meta": 1}}]}, "stages.0: until is 1e+22; write tokens"),
        ({"stagse": []}, "unknown key 'stagse'; did you mean 'stages'"),
    ],
)
def test_a_faulty_mixture_is_refused_with_its_fault(folder, tmp_path, changes, message):
    path = _written(tmp_path, _value(folder, **changes))
    with pytest.raises(ConfigError) as caught:
        read_token_mixture(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"name": "a", "mix_ratio": 1}, "a has none of corpus, source, domain; give one"),
        ({"name": "a", "corpus": "x", "source": "y", "mix_ratio": 1}, "a has corpus and source of corpus, source"),
        ({"name": "a", "domain": "x.json", "mix_ratio": 1}, "a: num_token goes with domain, and a domain needs it"),
        (
            {"name": "a", "corpus": "x", "filters": [{"type": "c4_quality"}], "mix_ratio": 1},
            "a: filters is of a text source, and",
        ),
        ({"name": "a", "corpus": "x", "sample_by": "line", "mix_ratio": 1}, "a: sample_by is of a text source"),
        ("a", "datasets.0: write keys with values, as name: value (got 'a')"),
        ({"name": "a", "corpus": "x"}, "a has no mix_ratio, and there are no stages"),
    ],
)
def test_a_faulty_source_is_refused_with_its_fault(tmp_path, part, message):
    path = _written(tmp_path, {"unit": "tokens", "datasets": [part]})
    with pytest.raises(ConfigError) as caught:
        read_token_mixture(path)
    assert message in str(caught.value)
    assert "at least 1 item" not in str(caught.value)


def test_a_mixture_of_texts_is_another_kind(tmp_path):
    texts = {"datasets": [{"name": "a", "source": "pydoc:", "mix_ratio": 1.0}]}
    for value in (texts, {"unit": "samples"} | texts):
        path = _written(tmp_path, value)
        assert not is_token_mixture(path)
        assert DatasetMixer.from_yaml(path).validate_mixture()["is_valid"]
    with pytest.raises(ConfigError, match="has no unit and is a mixture of texts; one of a run says unit: tokens"):
        read_token_mixture(_written(tmp_path, texts))
    assert not is_token_mixture(tmp_path / "corpus")
    assert is_token_mixture(_written(tmp_path, {"unit": "tokens", "datasets": []}))


# The command lines that people type


def _run(script, *arguments):
    command = [sys.executable, ROOT / "data_tools" / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_plan_py_says_what_would_be_read_and_what_is_impossible(folder, tmp_path):
    path = _written(
        tmp_path, _value(folder, stages=[{"until": 0.5, "mix_ratio": {"meta": 1}}, {"mix_ratio": {"held": 1}}])
    )
    flags = (path, "--tokenizer", folder / "tokenizer", "--max_length", 32, "--cache_dir", tmp_path / "cache")
    done = _run("plan.py", *flags, "--num_token", "12.8K", "--seed", 1, "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["windows"], value["tokens"]) == (400, 12_800)
    assert [(stage["first_window"], stage["last_window"]) for stage in value["stages"]] == [(0, 199), (200, 399)]
    meta = value["stages"][0]["sources"][0]
    assert (meta["name"], meta["share"], meta["windows"]) == ("meta", 1.0, 200)
    assert meta["predicted"] == pytest.approx(3200, abs=40)  # half of identity's symbols are predicted
    assert meta["epochs"] == pytest.approx(0.8, abs=0.02)
    told = _run("plan.py", *flags, "--num_token", "12.8K", "--seed", 1).stdout
    assert f"plan {value['fingerprint']}: 400 windows of 32 = 12,800 tokens (12.8K), seed 1" in told
    refused = _run("plan.py", *flags, "--num_token", "40K")
    assert refused.returncode == 1
    assert "meta holds 8,0" in refused.stderr and "epochs of 2 at most. Set max_epochs 2.5" in refused.stderr


def test_mix_py_writes_the_windows_of_the_file_in_their_order(folder, tmp_path):
    stages = [{"until": 0.25, "mix_ratio": {"meta": 1}}, {"mix_ratio": {"news": 0.5, "held": 0.5}}]
    path = _written(tmp_path, _value(folder, stages=stages))
    done = _run(
        "mix.py", path, "--tokenizer", folder / "tokenizer", "--max_length", 32, "--num_token", "6.4K", "--seed", 1,
        "--cache_dir", tmp_path / "cache", "--output_dir", tmp_path / "mixed",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan, _ = _opened(path, folder, tmp_path / "cache")
    ids, predicted, _ = plan.read(range(200))
    stored, mask = Corpus(tmp_path / "mixed").read(0, 200 * 33)
    assert stored.reshape(200, 33).tolist() == ids.tolist()
    assert mask.reshape(200, 33)[:, 1:].tolist() == predicted[:, 1:].tolist()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data_ratios", "1"], "give a mixture file, or --data_paths with --data_ratios"),
        (["--max_epochs", "8"], "--max_epochs 8 is of --data_paths; write max_epochs into "),
    ],
)
def test_mix_py_refuses_a_flag_that_a_mixture_would_not_heed(folder, tmp_path, more, message):
    done = _run(
        "mix.py", _written(tmp_path, _value(folder)), "--tokenizer", folder / "tokenizer", "--max_length", 32,
        "--num_token", "6.4K", "--cache_dir", tmp_path / "cache", "--output_dir", tmp_path / "mixed", *more,
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr
    assert not (tmp_path / "mixed").exists()


def test_the_report_counts_predicted_ids(folder, tmp_path):
    plan, _ = _opened(_written(tmp_path, _value(folder)), folder, tmp_path / "cache")
    sources = {use["name"]: use for use in plan_value(plan, 200)["stages"][0]["sources"]}
    assert sources["news"]["predicted"] == sources["news"]["tokens"] == 3200
    assert "windows 0 to 199" in describe_plan(plan, 200)
