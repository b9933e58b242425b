"""Runs that are killed, signalled, hang, or fill a disk: two CPU ranks, ZeRO-2, real processes."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from test_interrupted import _can_mount, _tmpfs

from metalang.building import build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.manifest import fault_of, write_manifest

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
SECONDS_TO_END = 15

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tokenizer and two corpora, one to evaluate on."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    build_corpus(domain_build(IDENTITY, num_token=20_000), folder / "identity")
    build_corpus(domain_build(IDENTITY, num_token=2_000, seed=1), folder / "held_out")
    return folder


def _flags(data, output, *more):
    return [
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{data}/tokenizer",
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--output_dir", str(output), "--learning_rate", "1e-3", "--use_cpu", "True", "--bf16", "True",
        "--data_paths", f"{data}/identity", "--data_ratios", "1", "--max_length", "32", "--max_epochs", "100",
        "--nl_eval_data_path", f"{data}/held_out", "--eval_strategy", "steps", "--eval_steps", "3",
        "--per_device_train_batch_size", "4", "--max_steps", "6", "--logging_steps", "1", "--disable_tqdm", "True",
        "--save_strategy", "steps", "--save_steps", "1", "--save_total_limit", "3", "--resume_training", "True", *more,
    ]  # fmt: skip


def _launched(*command):
    with socket.socket() as free:
        free.bind(("", 0))
        return [DEEPSPEED, "--num_gpus", "2", "--master_port", str(free.getsockname()[1]), *command]


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def _ended(command):
    """Exit code and output of a command, when the last process that holds the output has ended: no orphan is left."""
    running = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed = running.communicate(timeout=900)[0]
    return running.returncode, printed


def _run(data, output, *fault, more=()):
    """A run, in which a fault may happen (`faulty_run`): the same command whatever the fault."""
    script = ("tests/faulty_run.py",) if fault else ("train/pretrain.py",)
    code, printed = _ended(_launched(*script, *_flags(data, output, *more), *(("--fault", *fault) if fault else ())))
    assert not fault or code != 0 or fault[2:] in (("launcher", "SIGKILL"), ("launcher", "SIGUSR1")), printed[-3000:]
    return code, printed


def _finish(data, output):
    code, printed = _run(data, output)
    assert code == 0, printed[-5000:]
    return printed


def _result(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    losses = {entry["step"]: entry["loss"] for entry in history if "loss" in entry}
    evaluated = {entry["step"]: entry["eval_held_out_loss"] for entry in history if "eval_held_out_loss" in entry}
    return losses, evaluated, hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()


def _checkpoints(output):
    """Steps of the folders that are named as checkpoints, each with its fault or None."""
    return {int(path.name.split("-")[1]): fault_of(path) for path in output.glob("checkpoint-*")}


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    _finish(data, output)
    return output


def _half_written(rank, optimizer_of):
    return (str(rank), f"half:zero_pp_rank_{optimizer_of}", "self", "SIGKILL")


def test_a_run_killed_in_a_save_and_then_asked_to_stop_ends_as_the_uninterrupted_one(data, uninterrupted, tmp_path):
    run = tmp_path / "run"
    _run(data, run, *_half_written(1, optimizer_of=1))  # the first save: there is no checkpoint before it
    assert _checkpoints(run) == {}
    code, printed = _run(data, run, "0", "step:3", "rank1", "SIGUSR1")
    assert code == 85, printed[-3000:]
    assert "start      at step 0" in printed and "stopped behind step 4, saved" in printed
    assert _checkpoints(run) == {2: None, 3: None, 4: None}  # no more than --save_total_limit
    assert json.loads((run / "stopped.json").read_text()) == {"step": 4}
    assert f"start      from {run}/checkpoint-4" in _finish(data, run)
    assert not (run / "stopped.json").exists()
    assert _result(run) == _result(uninterrupted)


def test_a_signal_before_the_first_step_stops_the_making_of_data_at_once_and_else_the_first_step(data, tmp_path):
    run, text = tmp_path / "run", tmp_path / "text.txt"
    text.write_text("A lobster is larger than a shrimp. " * 100)
    more = ("--nl_eval_data_path", f"held_out={text}")
    code, printed = _run(data, run, "0", "open:tokenized/.*bin", "self", "SIGTERM", more=more)
    assert code == 85, printed[-3000:]
    assert "stopped before its first step; the same command begins it" in printed and "Traceback" not in printed
    assert sorted(path.name for path in run.iterdir()) == ["stopped.json"]
    assert list((tmp_path / "tokenized").rglob("*.bin*")) == []
    code, printed = _run(data, run, "0", "open:run/run.json", "rank1", "SIGUSR1", more=more)
    assert code == 85 and "stopped behind step 1, saved" in printed, printed[-3000:]
    assert _checkpoints(run) == {1: None}
    code, printed = _run(data, run, "0", "open:tokenized", "self", "SIGTERM", more=(*more, "--sample_by", "line"))
    assert code == 85 and f"the same command goes on from {run}/checkpoint-1" in printed, printed[-3000:]
    assert json.loads((run / "stopped.json").read_text()) == {"step": 1}


# What a checkpoint must be to be continued from.


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_changed_byte_is_passed_over_by_name_and_fresh_weights_are_refused(data, uninterrupted, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    optimizer = "global_step6/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
    _flip(run / "checkpoint-6" / optimizer)
    (run / "checkpoint-5/rng_state_0.pth").unlink()
    for states in (run / "checkpoint-4/global_step4").glob("*states.pt"):
        content = torch.load(states, weights_only=False)
        weights = content.get("module") or content["optimizer_state_dict"]["single_partition_of_fp32_groups"]
        for tensor in weights.values() if isinstance(weights, dict) else weights:
            tensor.data.normal_(std=0.02)
        torch.save(content, states)
    unchanged = json.loads((run / "checkpoint-4/complete.json").read_text())["unchanged"]
    write_manifest(run / "checkpoint-4", unchanged)
    code, printed = _run(data, run)
    assert code == 1
    assert f"checkpoint-6 is passed over: {optimizer} has changed: its sha256 is " in printed
    assert "checkpoint-5 is passed over: rng_state_0.pth is missing" in printed
    refused = f"the model that was loaded is not the one that {run}/checkpoint-4 was written from: its windows lose "
    assert [line for line in printed.splitlines() if line.startswith(f"pretrain: {refused}")]
    assert "Traceback" not in printed and "step 5/6" not in printed


def test_a_full_disk_ends_a_run_with_one_line_and_keeps_the_older_checkpoint(data, tmp_path):
    if not _can_mount(tmp_path):
        pytest.skip("this user may not mount a tmpfs in a namespace of its own")
    command = _launched("train/pretrain.py", *_flags(data, tmp_path / "run"))
    code = "import sys; from pathlib import Path; from test_faults import _checkpoints as found; "
    code += "print('left', found(Path(sys.argv[1])))"
    behind = 'status=0; "$@" || status=$?; cd tests; "$PYTHON" -c "$CODE" "$0/run"; exit $status'
    shell = ["env", f"PYTHON={sys.executable}", f"CODE={code}", "sh", "-c", behind, tmp_path, *command]
    status, printed = _ended(_tmpfs(tmp_path, 6_000, shell))
    said = [line for line in printed.splitlines() if line.startswith("pretrain")]
    assert status == 1, printed[-3000:]
    assert len(said) == 1 and "checkpoint-2 cannot be written (" in said[0] and "Make room" in said[0]
    assert "left {1: None}" in printed and "Traceback" not in printed


# The launcher that a shell starts.


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.long)], ids=["SIGTERM", "SIGUSR1"]
)
def test_a_signal_to_the_shell_launcher_stops_the_run_with_a_checkpoint_and_exit_code_85(data, tmp_path, number):
    flags = " ".join(_flags(data, tmp_path / "run", "--max_steps", "7000", "--save_steps", "7000"))
    launcher = tmp_path / "launcher.sh"
    launcher.write_text(f"#!/usr/bin/env bash\nsource {ROOT}/scripts/launch/_common.sh\npretrain {flags}\n")
    running = subprocess.Popen(
        ["bash", launcher],
        env={**_environment(), "NUM_GPUS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    before = []
    lines = iter(running.stdout.readline, "")
    assert any(before.append(line) or line.startswith("step 2/") for line in lines), "".join(before)[-3000:]
    family = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(number)
    printed = "".join(lines)
    assert running.wait(timeout=SECONDS_TO_END) == 85, printed[-3000:]
    step = json.loads((tmp_path / "run/stopped.json").read_text())["step"]
    assert _checkpoints(tmp_path / "run") == {step: None}
    assert [process for process in family if process.is_running()] == []


# Every point.

POINTS = (
    "half:checkpoint.partial/.*model.safetensors",
    "half:zero_pp_rank_0",
    "half:mp_rank_00_model_states",
    "half:rng_state_0",
    "open:trainer_state.json",
    "open:complete.json",
    "name:complete.json",
    "name:checkpoint-[0-9]+$",
    "drop:complete.json",
)
"""Moments of a save, as rank 0 comes to them; the last one while an old checkpoint is removed."""


@pytest.mark.long
@pytest.mark.parametrize("victim", ["rank0", "rank1"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_every_point_of_a_save_a_run_ends_as_the_uninterrupted_one(
    data, uninterrupted, tmp_path, point, victim
):
    run, removes = tmp_path / "run", point.startswith("drop")
    for step in (4, 5) if removes else (4,):
        shutil.copytree(uninterrupted / f"checkpoint-{step}", run / f"checkpoint-{step}")
    shutil.copy(uninterrupted / "run.json", run)
    _run(data, run, "0", point, victim, "SIGKILL", more=("--save_total_limit", "2"))
    if victim == "rank0" and not removes:
        assert _checkpoints(run) == {4: None}  # whatever was written of checkpoint-5 does not look complete
    assert set(_checkpoints(run).values()) == {None} or removes
    _finish(data, run)
    assert _result(run) == _result(uninterrupted)


@pytest.mark.long
@pytest.mark.parametrize("when", ["step:2", "eval:1"])
@pytest.mark.parametrize("whom", ["rank0", "rank1", "launcher", "runner", "all"])
def test_killed_in_a_step_or_an_evaluation_a_run_ends_as_the_uninterrupted_one(
    data, uninterrupted, tmp_path, when, whom
):
    run = tmp_path / "run"
    _run(data, run, "0", when, whom, "SIGKILL")
    _finish(data, run)
    assert _result(run) == _result(uninterrupted)


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_any_one_process_stops_all_ranks_at_one_step(data, uninterrupted, tmp_path, name):
    """Exit codes of `deepspeed` itself; a launcher that is signalled hides those of the ranks (deepspeed 0.19)."""
    codes = {"rank0": 85, "rank1": 85, "launcher": 1 if name == "SIGTERM" else 0}
    for whom in ("rank0", "rank1", "launcher", "runner"):
        run = tmp_path / whom
        code, printed = _run(data, run, "0", "step:2", whom, name)
        assert code == codes.get(whom, -signal.Signals[name]), printed[-3000:]
        step = json.loads((run / "stopped.json").read_text())["step"]
        assert step in (2, 3, 4, 5) and _checkpoints(run)[step] is None
        _finish(data, run)
        assert _result(run) == _result(uninterrupted)


@pytest.mark.long
def test_a_rank_that_hangs_is_ended_by_the_timeout(data, tmp_path):
    code, printed = _run(data, tmp_path / "run", "1", "step:3", "self", "SIGSTOP", more=("--ddp_timeout", "20"))
    assert code == 1
    assert "pretrain: another rank was not heard of for --ddp_timeout seconds: it hangs; start the same" in printed
    assert "Traceback" not in printed
    assert _checkpoints(tmp_path / "run") == {1: None, 2: None}
