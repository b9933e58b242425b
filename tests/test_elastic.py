"""Runs that go on with other ranks or another batch: the same windows, the same losses."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.building.tracing import trace_step
from metalang.domains.copying import Identity
from metalang.errors import ConfigError, MismatchError
from metalang.mixing.reading import read_run
from metalang.mixing.step_sizes import StepSizes
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.elastic import drop_universal, fitting_accumulation, go_on, make_universal, universal_folder
from metalang.training.manifest import fault_of, write_manifest

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    build_corpus(TextBuild(TextSource("pydoc:"), str(folder / "tokenizer")), folder / "english")
    build_corpus(domain_build(IDENTITY, num_token=20_000), folder / "identity")
    build_corpus(domain_build(IDENTITY, num_token=600, seed=1), folder / "held_out")
    return folder


def _train(data, folder, *more, ranks, zero=2):
    """Runs `recorded_run.py`, whatever the ranks by the same command: what it printed, and its windows in order."""
    recorded = folder.parent / f"{folder.name}_recorded"
    shutil.rmtree(recorded, ignore_errors=True)
    recorded.mkdir()
    command = [
        DEEPSPEED, "--num_gpus", str(ranks), "--master_port", str(29_100 + os.getpid() % 200), "tests/recorded_run.py",
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{data}/tokenizer",
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", f"configs/ds/zero{zero}.json",
        "--output_dir", str(folder), "--learning_rate", "1e-3", "--use_cpu", "True", "--max_length", "32",
        "--data_paths", f"{data}/english", f"{data}/identity", "--data_ratios", "0.5", "0.5",
        "--per_device_train_batch_size", "4", "--max_steps", "8", "--logging_steps", "1", "--save_strategy", "steps",
        "--save_steps", "2", "--gather_weights", "False", "--report_to", "none", "--resume_training", "True",
        "--weight_decay", "0.1", *more,
    ]  # fmt: skip
    environment = {**os.environ, "RECORDED": str(recorded)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=600)
    printed = done.stdout + done.stderr
    if done.returncode:
        return printed, None
    parts = np.stack([np.load(recorded / f"{rank}.npy") for rank in range(ranks)], axis=1)
    return printed, parts.reshape(-1, *parts.shape[-2:])


def _best(data):
    """Flags of a run that ends with its best weights: those of its first evaluation, whose loss is the greatest."""
    evaluated = ("--nl_eval_data_path", f"{data}/held_out", "--eval_strategy", "steps", "--eval_steps", "2")
    best = ("--load_best_model_at_end", "True", "--metric_for_best_model", "loss", "--greater_is_better", "True")
    return (*evaluated, *best)


def _hashes(windows):
    return [hashlib.sha256(np.ascontiguousarray(window).tobytes()).hexdigest() for window in windows]


def _history(folder):
    last = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return [entry for entry in json.loads((last / "trainer_state.json").read_text())["log_history"] if "loss" in entry]


def _losses(folder):
    return [entry["loss"] for entry in _history(folder)]


def _begun(folder, run, step):
    """A copy of a run as it was at a step."""
    folder.mkdir()
    shutil.copy(run / "run.json", folder)
    shutil.copytree(run / f"checkpoint-{step}", folder / f"checkpoint-{step}")
    return folder


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run of eight steps on two ranks that nothing interrupted: its folder, its 64 windows."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    printed, windows = _train(data, folder, *_best(data), ranks=2)
    assert windows is not None, printed[-5000:]
    assert len(set(_hashes(windows))) == 64
    return folder, windows


@pytest.mark.slow
def test_a_run_of_two_ranks_goes_on_on_one_and_then_on_two_by_the_same_command(whole, data, tmp_path):
    folder, windows = whole
    run = _begun(tmp_path / "run", folder, 4)
    printed, rest = _train(data, run, *_best(data), "--gather_weights", "True", ranks=1)
    assert rest is not None, printed[-5000:]
    assert (
        "batch      kept at 8 windows a step: --gradient_accumulation_steps is 1 on the command line and 2" in printed
    )
    assert "ranks      2 until now, 1 from here on; dropout draws anew from --seed" in printed
    assert _hashes(rest) == _hashes(windows[32:])
    assert _losses(run) == pytest.approx(_losses(folder), abs=1e-6)
    assert [entry["tokens_seen"] for entry in _history(run)] == [256 * step for step in range(1, 9)]
    assert f"loaded from {folder}/checkpoint-2" in printed  # which two ranks wrote
    assert _universal(run) == _universal(folder) == []
    assert fault_of(run / "checkpoint-4") is None
    first, last = (load_file(folder / f"checkpoint-{step}/model.safetensors") for step in (2, 8))
    ended = load_file(run / "model.safetensors")
    assert all(torch.equal(ended[name], first[name]) for name in first)
    assert not any(torch.equal(ended[name], last[name]) for name in last)

    back = _begun(tmp_path / "back", run, 6)
    printed, rest = _train(data, back, ranks=2)
    assert rest is not None, printed[-5000:]
    assert _hashes(rest) == _hashes(windows[48:])
    assert _losses(back) == pytest.approx(_losses(folder), abs=1e-6)


def _universal(run):
    """What is left in a run's checkpoints of the form for other ranks."""
    return sorted(path.name for path in run.glob("checkpoint-*/*universal*"))


@pytest.mark.slow
def test_a_universal_form_that_an_earlier_start_has_left_is_never_taken_and_goes_whole(whole, tmp_path):
    run = _begun(tmp_path / "run", whole[0], 4)
    folder = universal_folder(run / "checkpoint-4")
    for leftover in (folder, folder.with_name(f"{folder.name}.partial")):  # killed before latest_universal was written
        leftover.mkdir()
        (leftover / "junk").write_bytes(b"half")
    for _ in range(2):
        make_universal(run / "checkpoint-4")
        (folder / "zero" / "junk").write_bytes(b"of an earlier start")
    make_universal(run / "checkpoint-4")
    assert not (folder / "zero/junk").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["mp_rank_00_model_states.pt", "zero"]
    assert _universal(run) == [folder.name, "latest_universal"]
    drop_universal(run / "checkpoint-4")
    drop_universal(run / "checkpoint-4")  # nothing is left to go
    assert _universal(run) == [] and fault_of(run / "checkpoint-4") is None


@pytest.mark.slow
def test_a_run_goes_on_with_another_batch_at_the_window_where_it_stood(whole, data, tmp_path):
    folder, windows = whole
    run = _begun(tmp_path / "run", folder, 4)
    printed, rest = _train(data, run, "--allow_batch_change", "True", ranks=1)
    assert rest is not None, printed[-5000:]
    assert "batch      changed: 8 windows a step until step 4, now 4; the data go on at window 32" in printed
    assert "length     8 steps, 1,536 tokens" in printed
    assert _hashes(rest) == _hashes(windows[32:48])
    assert [entry["tokens_seen"] for entry in _history(run)] == [256, 512, 768, 1024, 1152, 1280, 1408, 1536]
    assert _losses(run)[4] != _losses(folder)[4]
    marker = json.loads((run / "checkpoint-8/complete.json").read_text())["unchanged"]
    assert (marker["ranks"], marker["step sizes"]) == (1, [[4, 8], [None, 4]])
    counts = json.loads((run / "checkpoint-8/data.json").read_text())["sources"]
    assert [source["windows"] for source in counts.values()] == [24, 24]
    for step, places in ((4, range(24, 32)), (5, range(32, 36)), (8, range(44, 48))):
        assert [window.planned for window in trace_step(read_run(run, step), step)] == list(places)


@pytest.mark.long
@pytest.mark.parametrize(
    ("zero", "precision", "most"),
    [(0, "fp32", 1e-6), (1, "fp32", 1e-6), (2, "fp32", 1e-6), (3, "fp32", 1e-6), (2, "bf16", 1e-6), (3, "bf16", 1e-6)],
)
def test_a_chain_of_1_2_4_1_ranks_is_the_run_of_one_rank(data, tmp_path, monkeypatch, zero, precision, most):
    """In bf16 a matrix product rounds by how many threads share it: here each rank has one, whatever their number."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    more = ("--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "4")
    more += ("--bf16", str(precision == "bf16"))
    printed, windows = _train(data, tmp_path / "1", *more, ranks=1, zero=zero)
    assert windows is not None, printed[-5000:]
    run = tmp_path / "1"
    for step, ranks in ((2, 2), (4, 4), (6, 1)):
        after = _begun(tmp_path / f"{step}", run, step)
        printed, rest = _train(data, after, *more, ranks=ranks, zero=zero)
        assert rest is not None, printed[-5000:]
        assert _hashes(rest) == _hashes(windows[8 * step :])
        assert _losses(after) == pytest.approx(_losses(tmp_path / "1"), abs=most)
        run = after


# Without DeepSpeed's launcher


def _settings(tmp_path, *more):
    flags = (
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", "t", "--random_initialize", "True",
        "--output_dir", str(tmp_path / "run"), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "9",
        "--use_cpu", "True", "--per_device_train_batch_size", "4",
    )  # fmt: skip
    return parse_arguments([*flags, *more])


def _changing(tmp_path, *more):
    """As a resumed run has it, which needs DeepSpeed."""
    settings = _settings(tmp_path, *more)
    settings.elastic.allow_batch_change = True
    return settings


def _checkpoint(tmp_path, step, sizes):
    """A checkpoint of one rank, of a run begun with an accumulation of 1."""
    folder = tmp_path / f"run/checkpoint-{step}"
    folder.mkdir(parents=True)
    write_manifest(folder, {"ranks": 1, "step sizes": sizes})
    (tmp_path / "run/run.json").write_text(json.dumps({"run": {"gradient_accumulation_steps": 1}}))
    return folder


def test_a_universal_form_that_a_killed_start_on_other_ranks_has_left_goes_when_the_ranks_are_those_of_then(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5, [[None, 4]])
    (checkpoint / "global_step5_universal_ab/zero").mkdir(parents=True)
    (checkpoint / "latest_universal").write_text("global_step5_universal_ab")
    go_on(_settings(tmp_path, "--output_dir", f"{tmp_path}/branch"), checkpoint)
    assert _universal(tmp_path / "run") == [
        "global_step5_universal_ab",
        "latest_universal",
    ]  # another start may read it
    go_on(_settings(tmp_path), checkpoint)
    assert _universal(tmp_path / "run") == []


def test_another_batch_goes_on_from_the_windows_that_were_read(tmp_path):
    settings = _changing(tmp_path)
    assert go_on(settings, None).sizes == StepSizes(4)
    assert go_on(settings, _checkpoint(tmp_path, 5, [[3, 8], [None, 16]])).sizes == StepSizes(4, ((3, 8), (2, 16)))
    assert StepSizes(4, ((3, 8), (2, 16))).before(6) == 3 * 8 + 2 * 16 + 4


def test_an_accumulation_other_than_that_of_the_run_is_refused_not_overruled(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5, [[None, 8]])
    with pytest.raises(
        MismatchError, match=r"reads 8 windows, and --per_.*size 4 x --gradient_.*steps 3 x 1 ranks are"
    ):
        go_on(_settings(tmp_path, "--gradient_accumulation_steps", "3"), checkpoint)


def test_another_batch_is_refused_where_steps_are_left_out_and_where_rows_are_read(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5, [[None, 8]])
    for more, message in (
        (("--skip_steps", "7"), "with --skip_steps 7: those are steps of one size"),
        (("--phase", "sft"), "the rows of --phase sft are ordered by their global batch"),
        (("--architecture", "seq2seq"), "the rows of --architecture seq2seq are ordered by their global batch"),
        (
            ("--architecture", "masked_diffusion", "--curriculum", "importance"),
            "with --curriculum importance: its stages are shares of the windows of a run",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            go_on(_changing(tmp_path, *more), checkpoint)


def test_a_branch_fits_its_accumulation_to_the_run_that_it_comes_from(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5, [[None, 8]])
    (tmp_path / "run").rename(tmp_path / "a")
    more = ("--branch_from", f"{tmp_path}/a/checkpoint-5", "--deepspeed", "configs/ds/zero2.json")
    settings = _settings(tmp_path, *more)
    go_on(settings, tmp_path / "a" / checkpoint.name)
    assert settings.run.gradient_accumulation_steps == 2


@pytest.mark.parametrize(
    ("windows", "batch", "ranks", "advice"),
    [
        (8, 3, 1, "give --per_device_train_batch_size 1 or 2 or 4 or 8, or --allow_batch_change True"),
        (8, 4, 4, "give --per_device_train_batch_size 1 or 2, or --allow_batch_change True"),
        (8, 1, 3, "take a number of ranks that divides 8, or --allow_batch_change True"),
        (8, 1, 16, "take a number of ranks that divides 8, or --allow_batch_change True"),
    ],
)
def test_a_batch_that_cannot_make_up_the_step_is_refused_with_those_that_can(windows, batch, ranks, advice):
    with pytest.raises(MismatchError, match=f"reads 8 windows, which .* {batch} on {ranks} ranks .*; {advice}"):
        fitting_accumulation(windows, batch=batch, ranks=ranks)


def test_a_branch_on_other_ranks_keeps_the_global_batch_of_the_run_that_it_leaves(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5, [[None, 8]])
    branch = ("--branch_from", str(checkpoint), "--deepspeed", str(ROOT / "configs/ds/zero2.json"))
    settings = _settings(tmp_path, *branch, "--output_dir", str(tmp_path / "branch"))
    going = go_on(settings, checkpoint)
    assert going.sizes == StepSizes(8) and settings.run.gradient_accumulation_steps == 2
    assert going.lines[0].endswith("--gradient_accumulation_steps is 1 on the command line and 2 here")
