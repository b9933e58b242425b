"""Which windows a step reads, whoever reads them: elastic, resumed at once, traced, left out, counted."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.mixing import Plan, Reading, Source, Stage
from metalang.mixing.skips import SkippedDocument, parse_steps
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.batches import RankBatches
from metalang.training.dataset import PlanDataset

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tokenizer and two corpora."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    build_corpus(TextBuild(TextSource("pydoc:"), str(folder / "tokenizer")), folder / "english")
    build_corpus(domain_build(IDENTITY, num_token=20_000), folder / "identity")
    return folder


def _reading(data, *, num_steps=8, windows_per_step=8, steps=(), documents=()):
    tokenizer = load_tokenizer(str(data / "tokenizer")).with_meta_tokens(82)
    sources = [Source(name, data / name, tokenizer.id_space, length=32) for name in ("english", "identity")]
    return Reading(
        Plan(sources, [Stage((1, 1))], length=32, seed=42),
        tokenizer.id_space,
        tokenizer.name,
        windows_per_step=windows_per_step,
        num_steps=num_steps,
        steps=parse_steps(steps),
        documents=tuple(documents),
    )


def _leave(run, reading):
    """The output folder of a run that has not been trained."""
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"plan": reading.record()}))
    return run


def _inspect(*flags):
    command = [sys.executable, "data_tools/inspect_corpus.py", *map(str, flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


# Who reads what


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_the_ranks_share_the_windows_as_accelerate_would(num_ranks, batch, accumulation, num_steps):
    num_windows = num_ranks * batch * accumulation * num_steps
    whole = BatchSampler(SequentialSampler(range(num_windows)), batch, drop_last=False)
    for rank in range(num_ranks):
        ours = RankBatches(num_windows, batch, rank=rank, num_ranks=num_ranks)
        theirs = list(BatchSamplerShard(whole, num_ranks, rank) if num_ranks > 1 else whole)
        assert [list(windows) for windows in ours] == theirs
        assert len(ours) == len(theirs)


@pytest.mark.parametrize("num_ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_reads_the_same_windows_on_any_number_of_ranks(num_ranks, accumulation):
    batch = 16 // num_ranks // accumulation
    ranks = [list(RankBatches(160, batch, rank=rank, num_ranks=num_ranks)) for rank in range(num_ranks)]
    for step in range(10):
        micro = range(step * accumulation, (step + 1) * accumulation)
        read = [window for number in micro for batches in ranks for window in batches[number]]
        assert read == list(range(16 * step, 16 * (step + 1)))


class _Counted(PlanDataset):
    """Windows, and the indices that were fetched."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.fetched = []

    def __getitems__(self, indices):
        self.fetched.append(indices)
        return super().__getitems__(indices)


def test_a_resume_at_step_a_million_fetches_nothing_that_lies_behind_and_keeps_nothing(data):
    dataset = _Counted(_reading(data).plan, 2_000_000 * 1000)
    batches = RankBatches(len(dataset), 500, rank=1, num_ranks=2)
    loader = DataLoaderShard(dataset, batch_sampler=batches)
    dataset.__getitems__([0])  # compiles
    dataset.fetched.clear()
    tracemalloc.start()
    batch = next(iter(skip_first_batches(loader, 1_000_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dataset.fetched[0] == range(1_000_000_500, 1_000_001_000)
    assert len(dataset.fetched) <= 2  # accelerate reads one batch ahead
    assert peak < 10_000_000
    expected = dataset.__getitems__(range(1_000_000_500, 1_000_001_000))
    assert torch.equal(batch["input_ids"], torch.stack([window["input_ids"] for window in expected]))


# Trace


def test_a_step_is_traced_to_sources_documents_and_places(data, tmp_path):
    run = _leave(tmp_path / "run", _reading(data))
    code, printed, said = _inspect("--run", run, "--step", 3, "--json")
    assert (code, said) == (0, "")
    windows = json.loads(printed)["windows"]
    assert [window["place"] for window in windows] == list(range(16, 24))
    assert [window["source"] for window in windows] == ["english", "identity"] * 4
    ids, predicted, _ = _reading(data).plan.read(range(16, 24))
    assert [window["ids"] for window in windows] == ids.tolist()
    assert [window["predicted"] for window in windows] == predicted.tolist()
    for window in windows:
        parts = window["documents"]
        assert sum(part["last"] - part["first"] for part in parts) == 32
        assert all(part["last"] == part["num_tokens"] for part in parts[:-1])
        assert all(part["first"] == 0 for part in parts[1:])


def test_a_traced_document_is_the_one_in_the_corpus(data, tmp_path):
    run = _leave(tmp_path / "run", _reading(data))
    corpus = _reading(data).plan.sources[0].corpus
    window = json.loads(_inspect("--run", run, "--step", 3, "--json")[1])["windows"][0]
    (part,) = window["documents"]
    (number,) = [n for n in range(corpus.manifest.num_documents) if corpus.document(n)[2]["row"] == part["row"]]
    assert corpus.document(number)[0][part["first"] : part["last"]].tolist() == window["ids"][1:]


def test_a_step_is_shown_as_text_with_the_predicted_ids_marked(data, tmp_path):
    run = _leave(tmp_path / "run", _reading(data))
    code, printed, said = _inspect("--run", run, "--step", 1)
    assert (code, said) == (0, "")
    assert printed.startswith(
        f"step 1 of {run}, step 1 of its plan: 8 windows of 32\nwindow 0 of the run (0 of the plan), "
    )
    found = re.search(r"english epoch 0 window ([\d,]+) \(english/pydoc: (\d+) \[([\d,]+):([\d,]+)\] of ", printed)
    assert found is not None
    assert re.search(r"identity epoch 0 window \d+ \(identity/identity \d+ ", printed)
    assert " SEP ⟦ <meta_lang_" in printed


def test_the_tokenizer_of_the_run_is_asked_for(data, tmp_path):
    run = _leave(tmp_path / "run", _reading(data))
    train_tokenizer([TextSource("pydoc:")], vocab_size=500, output_dir=tmp_path / "other")
    code, _, said = _inspect("--run", run, "--step", 1, "--tokenizer", tmp_path / "other")
    assert code == 1
    assert "the run was made with tokenizer " in said and "give the one of the run by --tokenizer" in said


def test_what_cannot_be_traced_is_refused_in_a_line(data, tmp_path):
    shutil.copytree(data / "identity", tmp_path / "identity")
    record = _reading(data).record()
    record["sources"][1]["folder"] = str(tmp_path / "identity")
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"plan": record}))
    assert _inspect("--run", run, "--step", 8)[0] == 0
    faults = {"past": _inspect("--run", run, "--step", 9), "no run": _inspect("--run", tmp_path, "--step", 1)}
    shutil.rmtree(tmp_path / "identity")
    faults["gone"] = _inspect("--run", run, "--step", 1)
    build_corpus(domain_build(IDENTITY, num_token=21_000), tmp_path / "identity")
    faults["changed"] = _inspect("--run", run, "--step", 1)
    messages = {
        "past": f"inspect_corpus: --step 9 is none of the run in {run}; give 1 to 8",
        "no run": f"inspect_corpus: {tmp_path} is no run: it has no run.json; give the --output_dir of one",
        "gone": f"inspect_corpus: the corpus of identity is no longer in {tmp_path}/identity",
        "changed": f"inspect_corpus: the corpus of identity in {tmp_path}/identity has changed since the run",
    }
    for name, (code, printed, said) in faults.items():
        assert (code, printed, said.count("\n")) == (1, "", 1)
        assert said.startswith(messages[name])


def test_a_trace_loads_neither_torch_nor_transformers(data, tmp_path):
    run = _leave(tmp_path / "run", _reading(data))
    code = (
        "import sys; from metalang.building.tracing import show_step; "
        f"show_step({str(run)!r}, 1, None, max_tokens=9, color=False); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_trace_shows_what_is_left_out(data, tmp_path):
    whole = json.loads(_inspect("--run", _leave(tmp_path / "a", _reading(data)), "--step", 5, "--json")[1])["windows"]
    part = whole[0]["documents"][0]
    document = SkippedDocument("english", part["row"], from_step=2)
    skipping = _reading(data, steps=["3-4"], documents=[document])
    traced = json.loads(_inspect("--run", _leave(tmp_path / "b", skipping), "--step", 3, "--json")[1])["windows"]
    assert [window["planned"] for window in traced] == [window["planned"] for window in whole] == list(range(32, 40))
    assert [window["place"] for window in traced] == list(range(16, 24))
    assert [window["ids"] for window in traced] == [window["ids"] for window in whole]
    assert not any(traced[0]["predicted"]) and sum(whole[0]["predicted"]) == 32
    later = _leave(tmp_path / "c", replace(skipping, documents=(replace(document, from_step=3),)))
    assert sum(json.loads(_inspect("--run", later, "--step", 3, "--json")[1])["windows"][0]["predicted"]) == 32


# Whole runs


def _train(data, folder, *more, ranks=2, batch=4, accumulation=1):
    """Runs `recorded_run.py` under DeepSpeed: what it printed, and its windows by step, (steps, windows, 2, length)."""
    recorded = folder.parent / f"{folder.name}_recorded"
    recorded.mkdir(exist_ok=True)
    command = [
        DEEPSPEED, "--num_gpus", str(ranks), "--master_port", str(29_300 + os.getpid() % 200), "tests/recorded_run.py",
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{data}/tokenizer",
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--output_dir", str(folder), "--learning_rate", "1e-3", "--use_cpu", "True",
        "--data_paths", f"{data}/english", f"{data}/identity", "--data_ratios", "0.5", "0.5", "--max_length", "32",
        "--per_device_train_batch_size", str(batch), "--gradient_accumulation_steps", str(accumulation),
        "--max_steps", "8", "--logging_steps", "1", "--save_strategy", "no", "--gather_weights", "True",
        "--report_to", "none", *more,
    ]  # fmt: skip
    environment = {**os.environ, "RECORDED": str(recorded)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=600)
    printed = done.stdout + done.stderr
    if done.returncode:
        return printed, None
    parts = np.stack([np.load(recorded / f"{rank}.npy") for rank in range(ranks)], axis=1)
    return printed, parts.reshape(-1, ranks * batch * accumulation, *parts.shape[-2:])


def _hashes(windows):
    return [hashlib.sha256(np.ascontiguousarray(step).tobytes()).hexdigest() for step in windows]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of eight steps on two ranks, checkpoints at 4 and 8: (folder, what it printed, its windows)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, *_train(data, folder, "--save_strategy", "steps", "--save_steps", "4")


@pytest.mark.slow
def test_a_run_trains_on_the_windows_of_its_plan(run, data):
    ids, predicted, _ = _reading(data).plan.read(range(64))
    labels = np.where(predicted, ids, -100)
    expected = np.stack([ids[:, :-1], labels[:, 1:]], axis=1).reshape(8, 8, 2, 32)
    assert (run[2] == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "batch", "accumulation", "workers"),
    [(1, 8, 1, 0), (1, 2, 4, 2), (1, 4, 2, 0), (2, 4, 1, 2), (2, 2, 2, 0), (2, 1, 4, 2)],
)
def test_the_tokens_of_a_step_are_the_same_on_any_ranks_workers_and_accumulation(
    run, data, tmp_path, ranks, batch, accumulation, workers
):
    more = ("--dataloader_num_workers", str(workers), "--gather_weights", "False", "--save_strategy", "steps")
    printed, windows = _train(data, tmp_path / "run", *more, ranks=ranks, batch=batch, accumulation=accumulation)
    assert windows is not None, printed[-5000:]
    assert _hashes(windows) == _hashes(run[2])
    assert len(set(_hashes(windows))) == 8


@pytest.mark.slow
def test_checkpoints_and_logs_count_what_was_read_of_each_source(run):
    folder, _, windows = run
    predicted = (windows[:, :, 1] != -100).sum(axis=2)  # (8 steps, 8 windows): english and identity in turn
    for step in (4, 8):
        counts = json.loads((folder / f"checkpoint-{step}/data.json").read_text())
        assert counts["step"] == step
        for number, (name, source) in enumerate(counts["sources"].items()):
            assert name == ("english", "identity")[number]
            assert (source["windows"], source["tokens"]) == (4 * step, 128 * step)
            assert source["predicted_tokens"] == predicted[:step, number::2].sum()
        assert counts["sources"]["identity"]["epochs"] == 4 * step / 625
    logs = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    logged = [entry for entry in logs if "loss" in entry]
    assert [entry["source_english_windows"] for entry in logged] == [4, 8, 12, 16, 20, 24, 28, 32]
    assert [entry["source_identity_tokens"] for entry in logged] == [128 * step for step in range(1, 9)]
    sums = predicted[:, 1::2].sum(axis=1).cumsum()
    assert [entry["source_identity_predicted_tokens"] for entry in logged] == sums.tolist()
    assert logged[-1]["source_identity_epochs"] == 32 / 625


@pytest.mark.slow
def test_a_resumed_run_leaves_out_steps_and_documents_from_there_on(run, data, tmp_path):
    folder, _, windows = run
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    shutil.copy(folder / "run.json", resumed)
    shutil.copytree(folder / "checkpoint-4", resumed / "checkpoint-4")
    traced = json.loads(_inspect("--run", folder, "--step", 7, "--json")[1])["windows"]
    documents = {f"english {window['documents'][0]['row']}" for window in traced if window["source"] == "english"}
    (tmp_path / "documents").write_text("\n".join(sorted(documents)))
    more = ("--save_strategy", "steps", "--save_steps", "4", "--resume_training", "True", "--skip_steps", "6", "5")
    printed, rest = _train(data, resumed, *more, "--skip_documents", str(tmp_path / "documents"))
    assert rest is not None, printed[-5000:]
    assert "left out   steps 5-6 of the plan: 16 windows, among those of the sources" in printed
    assert f"left out   {len(documents)} documents: " in printed
    assert rest.shape == (4, 8, 2, 32)
    assert (rest[:2, :, 0] == windows[6:8, :, 0]).all()  # steps 5 and 6 read steps 7 and 8 of the plan
    assert (rest[0, 0::2, 1] == -100).sum() > 32
    assert (rest[:, 1::2, 1] != -100).any()

    traced = json.loads(_inspect("--run", resumed, "--step", 5, "--json")[1])["windows"]
    assert [[*window["ids"][:-1]] for window in traced] == rest[0, :, 0].tolist()
    labels = np.where([w["predicted"] for w in traced], [w["ids"] for w in traced], -100)[:, 1:]
    assert (labels == rest[0, :, 1]).all()
    before = json.loads(_inspect("--run", resumed, "--step", 4, "--json")[1])["windows"]
    labels = np.where([w["predicted"] for w in before], [w["ids"] for w in before], -100)[:, 1:]
    assert (labels == windows[3, :, 1]).all()

    counts = json.loads((resumed / "checkpoint-8/data.json").read_text())
    assert counts["skipped"]["steps"] == ["5-6"]
    assert {document["from_step"] for document in counts["skipped"]["documents"]} == {4}
    read = np.concatenate([windows[:4], rest])[:, :, 1] != -100
    for number, source in enumerate(counts["sources"].values()):
        assert (source["windows"], source["tokens"]) == (32, 1024)
        assert source["predicted_tokens"] == read[:, number::2].sum()


@pytest.mark.slow
def test_a_resumed_run_that_leaves_out_what_it_has_read_is_refused_in_a_line(run, data, tmp_path):
    folder = run[0]
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    shutil.copy(folder / "run.json", resumed)
    shutil.copytree(folder / "checkpoint-4", resumed / "checkpoint-4")
    printed, windows = _train(data, resumed, "--resume_training", "True", "--skip_steps", "4-6")
    assert windows is None
    assert "--skip_steps 4-6 names steps that the run has read: it stands at step 4, which is step 4" in printed
    assert "Traceback" not in printed
    assert json.loads((resumed / "run.json").read_text()) == json.loads((folder / "run.json").read_text())
