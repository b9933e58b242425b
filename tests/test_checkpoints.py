"""Manifests of checkpoints, what a change of their files leads to, and which old ones go."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from metalang.errors import ConfigError, MetalangError, MismatchError
from metalang.training.checkpoints import newest_complete, require_complete, resume_point
from metalang.training.environment import told_of_lost_ranks
from metalang.training.manifest import fault_of, publish, remove, write_manifest
from metalang.training.probe import Probe
from metalang.training.saving import _drop_old


def _checkpoint(folder, step):
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "global_step").mkdir(parents=True)
    (checkpoint / "global_step/states.pt").write_bytes(b"weights")
    (checkpoint / "trainer_state.json").write_bytes(b"{}")
    write_manifest(checkpoint, {"ranks": 2})
    return checkpoint


def test_every_flipped_bit_of_a_checkpoint_is_found(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5)
    assert fault_of(checkpoint) is None
    for name, fault in (
        ("global_step/states.pt", "global_step/states.pt has changed: its sha256 is "),
        ("trainer_state.json", "trainer_state.json has changed: its sha256 is "),
        ("complete.json", "its complete.json is damaged, or of an earlier version"),
    ):
        content = (checkpoint / name).read_bytes()
        for bit in range(8 * len(content)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            (checkpoint / name).write_bytes(changed)
            assert fault_of(checkpoint).startswith(fault)
        (checkpoint / name).write_bytes(content)
    assert fault_of(checkpoint) is None


def test_a_checkpoint_that_is_nowhere_is_not_called_unfinished(tmp_path):
    with pytest.raises(ConfigError, match="checkpoint-5 is no complete checkpoint: there is no such folder; give one"):
        require_complete(tmp_path / "checkpoint-5")


def test_a_run_does_not_begin_anew_over_what_it_has_saved(tmp_path):
    assert resume_point(tmp_path / "nothing") is None
    assert resume_point(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(
        ConfigError, match="holds a finished model and no checkpoint to go on from; give another folder"
    ):
        resume_point(tmp_path)
    checkpoint = _checkpoint(tmp_path, 5)
    assert resume_point(tmp_path) == checkpoint
    (checkpoint / "trainer_state.json").write_bytes(b"[]")
    with pytest.raises(
        ConfigError, match=r"holds 1 checkpoint and none is as it was written .* move them away to begin"
    ):
        resume_point(tmp_path)


def test_a_checkpoint_takes_the_place_of_a_broken_one(tmp_path):
    (_checkpoint(tmp_path, 5) / "trainer_state.json").unlink()
    publish(_checkpoint(tmp_path / "aside", 5), tmp_path / "checkpoint-5")
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-5"
    assert list((tmp_path / "aside").iterdir()) == []


def test_a_checkpoint_whose_removal_is_killed_is_no_longer_complete(tmp_path):
    checkpoint = _checkpoint(tmp_path, 5)
    program = (
        "import os, shutil, signal, sys; from pathlib import Path; from metalang.training.manifest import remove\n"
        "sys.addaudithook(lambda event, _: event == 'shutil.rmtree' and os.kill(os.getpid(), signal.SIGKILL))\n"
        "remove(Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", program, checkpoint]).returncode == -signal.SIGKILL
    assert sorted(os.listdir(checkpoint)) == ["global_step", "trainer_state.json"]
    assert fault_of(checkpoint) == "it has no complete.json, so it was not written to its end"
    remove(checkpoint)
    assert not checkpoint.exists()


def test_old_checkpoints_go_but_for_the_best_and_only_when_the_newest_is_as_written(tmp_path, caplog):
    for step in (2, 4, 6, 8, 10):
        _checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-10/trainer_state.json").write_text("[]")
    _drop_old(tmp_path, 3, best=None)
    assert len(list(tmp_path.iterdir())) == 5
    assert "checkpoint-10 is damaged (trainer_state.json has changed" in caplog.text
    (tmp_path / "checkpoint-10/trainer_state.json").write_text("{}")
    _drop_old(tmp_path, None, best=None)
    assert len(list(tmp_path.iterdir())) == 5
    _drop_old(tmp_path, 3, best=str(tmp_path / "checkpoint-2"))
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-10", "checkpoint-2", "checkpoint-8"]


def _answers(losses, logits=((3.0, 4.0), (0.0, 12.0))):
    return {"losses": torch.tensor(losses), "logits": torch.tensor(logits)}


def _probe(folder, answers):
    probe = Probe()
    probe.take({"input_ids": torch.arange(12).reshape(6, 2), "labels": torch.arange(12).reshape(6, 2)})
    probe.take({"input_ids": torch.zeros(6, 2, dtype=torch.long)})
    probe.write(folder, answers)
    return Probe.of(folder)


def test_a_probe_holds_the_first_four_windows_and_wants_its_losses_and_logits_bit_for_bit(tmp_path):
    probe = _probe(tmp_path, _answers([100.0, 200.0, 300.0, 400.0]))
    assert probe.inputs["input_ids"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    probe.require(_answers([100.0, 200.0, 300.0, 400.0]), tmp_path)
    for other in ([100.0, 200.0, 300.0, 400.00003], [100.0, 200.0, 300.0, float("nan")]):
        with pytest.raises(MismatchError, match=r"is not the one that .* was written from: its windows lose 100\.0000"):
            probe.require(_answers(other), tmp_path)
    for logits, off in (((3.0, 4.0), (0.0, 12.0000019)), "1.5e-07"), (((3.0, 4.0), (0.0, float("nan"))), "inf"):
        with pytest.raises(MismatchError, match=f"and lost 100.*, its logits are off by {off} of their norm; remove"):
            probe.require(_answers([100.0, 200.0, 300.0, 400.0], logits), tmp_path)


def test_on_other_hardware_losses_of_a_probe_may_be_off_by_a_five_hundredth_and_logits_by_a_twentieth(tmp_path, caplog):
    probe = _probe(tmp_path, _answers([100.0, 200.0]))
    probe._made_on["ranks"] = "4"
    probe.require(_answers([100.19, 200.0], ((3.0, 4.0), (0.0, 12.64))), tmp_path)  # their norm is 13
    assert "losses are off by up to 1.9e-03 of those in" in caplog.text and "ranks 4 then, 1 now" in caplog.text
    assert "its logits are off by 4.9e-02 of their norm" in caplog.text
    for losses, logits in (([100.21, 200.0], 12.0), ([100.0, 200.0], 12.66)):
        with pytest.raises(MismatchError):
            probe.require(_answers(losses, ((3.0, 4.0), (0.0, logits))), tmp_path)


def test_a_checkpoint_of_a_version_that_stored_no_logits_is_told_by_its_losses(tmp_path, caplog):
    probe = _probe(tmp_path, {"losses": torch.tensor([100.0])})
    probe.require(_answers([100.0]), tmp_path)
    assert "holds no logits: an earlier version wrote it, and its losses alone are compared" in caplog.text
    with pytest.raises(MismatchError, match=r"lose 100\.5000 and lost 100\.0000; remove that checkpoint"):
        probe.require(_answers([100.5]), tmp_path)


def test_a_lost_rank_is_told_in_our_words_and_other_errors_are_let_through(monkeypatch):
    monkeypatch.setattr("metalang.training.environment._PATIENCE_SECONDS", 0)
    with pytest.raises(MetalangError, match=r"another rank has ended; start the same command again"):
        with told_of_lost_ranks():
            raise RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:2481")
    with pytest.raises(RuntimeError, match="shapes differ"), told_of_lost_ranks():
        raise RuntimeError("shapes differ")
