"""TensorBoard's event file and trackio's database of a run that was killed and resumed, read back."""

import importlib.util
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from metalang.building import build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
INSTALLED = [name for name in ("tensorboard", "trackio") if importlib.util.find_spec(name)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not INSTALLED, reason="neither tensorboard nor trackio is installed: pip install -e '.[tracking]'"
    ),
]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A run of four steps whose last checkpoint is lost, resumed from step 2: steps 3 and 4 are logged twice."""
    folder = tmp_path_factory.mktemp("trackers")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    identity = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 20})
    build_corpus(domain_build(identity, num_token=2_000), folder / "identity")
    build_corpus(domain_build(identity, num_token=200, seed=1), folder / "copies")
    _run(folder)
    shutil.rmtree(folder / "run" / "checkpoint-4")
    _run(folder, "--resume_training", "True")
    return folder / "run"


def _run(folder, *more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "deepspeed.launcher.runner", "--num_gpus", "1", "--master_port", str(port),
        "train/pretrain.py", "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name",
        f"{folder}/tokenizer", "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed",
        "configs/ds/zero2.json", "--output_dir", f"{folder}/run", "--use_cpu", "True", "--data_paths",
        f"{folder}/identity", "--data_ratios", "1", "--max_length", "32", "--per_device_train_batch_size", "2",
        "--max_steps", "4", "--logging_steps", "1", "--save_strategy", "steps", "--save_steps", "2",
        "--nl_eval_data_path", f"copies={folder}/copies", "--eval_strategy", "steps", "--eval_steps", "2",
        "--sample_steps", "2", "--sample_tokens", "4", "--exact_match_rows", "3", "--run_name", "small",
        "--report_to", *INSTALLED, *more,
    ]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(folder),
        "TRACKIO_DIR": str(folder / "trackio"),
    }
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=environment
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


def _logged(output, key):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return {row["step"]: row[key] for row in history if key in row}


def test_tensorboard_holds_every_step_once_and_all_flags(output):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(output / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0}).Reload()

    def drawn(key):
        return [(event.step, event.value) for event in events.Scalars(key)]

    assert [step for step, _ in drawn("train/loss_identity")] == [1, 2, 3, 4]
    for key, logged in (("train/loss_identity", "loss_identity"), ("eval/copies_loss", "eval_copies_loss")):
        assert dict(drawn(key)) == pytest.approx(_logged(output, logged), rel=1e-6)  # float32
    assert sorted(set(drawn("train/tokens_seen"))) == [(1, 64), (2, 128), (3, 192), (4, 256)]
    assert drawn("eval/copies_exact_match") == [(2, 0.0), (4, 0.0)]

    def text(key):
        return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(f"{key}/text_summary")]

    config = json.loads(text("config")[0].strip("~\n"))
    record = json.loads((output / "run.json").read_text())
    assert (config["order"], config["code"], config["specs"]) == (record["order"], record["code"], record["specs"])
    assert (config["sample_prompts"], config["num_meta_lang_tokens"]) == (["The"], 82)
    assert json.loads(text("args")[0])["max_steps"] == 4
    assert {sample.partition(" | text | The⟦")[0] for sample in text("samples")} == {"~~~\nstep 2", "~~~\nstep 4"}


def test_trackio_holds_one_run_under_its_id_with_all_flags(output):
    pytest.importorskip("trackio")
    record = json.loads((output / "run.json").read_text())
    with sqlite3.connect(output.parent / "trackio" / "metalang.db") as database:
        ((name, config),) = database.execute("SELECT run_name, config FROM configs").fetchall()
        rows = [json.loads(row) for (row,) in database.execute("SELECT metrics FROM metrics ORDER BY id")]
    assert name == f"small-{record['run_id']}"
    config = json.loads(config)
    assert (config["order"], config["code"], config["specs"]) == (record["order"], record["code"], record["specs"])
    assert (config["sample_prompts"], config["num_meta_lang_tokens"], config["max_steps"]) == (["The"], 82, 4)
    assert config["hidden_size"] == 64  # of the model, not of a flag that was left out
    steps = [row["train/global_step"] for row in rows if "train/loss" in row]
    assert steps == [1, 2, 3, 4, 3, 4]  # trackio cannot drop what a killed run had logged
    assert rows[0]["train/tokens_seen"] == 64
    losses = {row["train/global_step"]: row["train/loss_identity"] for row in rows if "train/loss_identity" in row}
    assert losses == _logged(output, "loss_identity")
    evaluated = {row["train/global_step"]: row["eval/copies_loss"] for row in rows if "eval/copies_loss" in row}
    assert evaluated == _logged(output, "eval_copies_loss")
    tables = [row["samples"]["_value"] for row in rows if "samples" in row]
    assert [[sample["step"] for sample in table] for table in tables] == [[2] * 3, [4] * 3, [4] * 3]
