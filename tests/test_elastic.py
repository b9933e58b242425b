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

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    build_corpus(TextBuild(TextSource("pydoc:"), str(folder / "tokenizer")), folder / "english")
    build_corpus(domain_build(IDENTITY, num_token=20_000), folder / "identity")
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
        "--save_steps", "2", "--gather_weights", "False", "--report_to", "none", "--resume_training", "True", *more,
    ]  # fmt: skip
    environment = {**os.environ, "RECORDED": str(recorded)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=600)
    printed = done.stdout + done.stderr
    if done.returncode:
        return printed, None
    parts = np.stack([np.load(recorded / f"{rank}.npy") for rank in range(ranks)], axis=1)
    return printed, parts.reshape(-1, *parts.shape[-2:])


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
    printed, windows = _train(data, folder, ranks=2)
    assert windows is not None, printed[-5000:]
    assert len(set(_hashes(windows))) == 64
    return folder, windows


@pytest.mark.slow
def test_a_run_of_two_ranks_goes_on_on_one_and_then_on_two_by_the_same_command(whole, data, tmp_path):
    folder, windows = whole
    run = _begun(tmp_path / "run", folder, 4)
    printed, rest = _train(data, run, ranks=1)
    assert rest is not None, printed[-5000:]
    assert (
        "batch      kept at 8 windows a step: --gradient_accumulation_steps is 1 on the command line and 2" in printed
    )
    assert "ranks      2 until now, 1 from here on; dropout draws anew from --seed" in printed
    assert _hashes(rest) == _hashes(windows[32:])
    assert _losses(run) == pytest.approx(_losses(folder), abs=1e-6)
    assert [entry["tokens_seen"] for entry in _history(run)] == [256 * step for step in range(1, 9)]

    back = _begun(tmp_path / "back", run, 6)
    printed, rest = _train(data, back, ranks=2)
    assert rest is not None, printed[-5000:]
    assert _hashes(rest) == _hashes(windows[48:])
    assert _losses(back) == pytest.approx(_losses(folder), abs=1e-6)
