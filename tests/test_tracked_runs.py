"""Runs that are evaluated, sampled and tracked: DeepSpeed's launcher, CPU ranks, ZeRO-2, real files."""

import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.tracked import read_records, read_wandb
from metalang.training.config import Settings

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
LENGTHS = {"min": 8, "max": 20}
WORDS = (
    "The class statement number of a name is executed bound to value object by call function returns its list string"
).split()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tokenizer; text and a function to train on; other text of 60 lines and other rows of it to evaluate on."""
    folder = tmp_path_factory.mktemp("data")
    draw = random.Random(0)
    texts = (" ".join(draw.choices(WORDS, k=12)) + "." for _ in range(1000))
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    text = TextSource(str(folder / "text.jsonl"))
    train_tokenizer([text], vocab_size=300, output_dir=folder / "tokenizer")
    build_corpus(TextBuild(text, str(folder / "tokenizer")), folder / "english")
    identity = Identity(vocabulary={"size": 50}, sequence_length=LENGTHS)
    build_corpus(domain_build(identity, num_token=20_000), folder / "identity")
    build_corpus(domain_build(identity, num_token=600, seed=1), folder / "copies")
    lines = [json.dumps({"text": f"Statement number {number:02d} is executed."}) + "\n" for number in range(60)]
    (folder / "lines.jsonl").write_text("".join(lines))
    return folder


def _run(data, output, *more, ranks=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        DEEPSPEED, "--num_gpus", str(ranks), "--master_port", str(port), "train/pretrain.py",
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{data}/tokenizer",
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--output_dir", str(output), "--use_cpu", "True", "--data_paths", f"{data}/english", f"{data}/identity",
        "--data_ratios", "0.5", "0.5", "--max_length", "32", "--per_device_train_batch_size", str(8 // ranks),
        "--nl_eval_data_path", f"text={data}/lines.jsonl", f"copies={data}/copies", "--eval_on_start",
        "--logging_steps", "1", "--exact_match_rows", "7", *more,
    ]  # fmt: skip
    names = ("WANDB_API_KEY", "WANDB_MODE", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "HOME": str(data)}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=environment
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout + done.stderr


_TRACKED = (
    "--max_steps", "12", "--learning_rate", "10", "--lr_scheduler_type", "constant_with_warmup",
    "--warmup_steps", "400", "--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps",
    "--save_steps", "2", "--load_best_model_at_end", "True", "--early_stopping_patience", "2",
    "--per_device_eval_batch_size", "3",
)  # fmt: skip
_SAMPLED = (
    "--report_to", "wandb", "--run_name", "tracked", "--sample_steps", "2", "--sample_prompts", "The", "class",
    "--sample_tokens", "6", "--sample_temperature", "0.8",
)  # fmt: skip


@pytest.fixture(scope="module")
def tracked(data, tmp_path_factory):
    """A run that a large learning rate spoils, with everything on: (folder, what it printed)."""
    output = tmp_path_factory.mktemp("runs") / "tracked"
    return output, _run(data, output, *_TRACKED, *_SAMPLED)


def _history(output):
    return json.loads((output / "trainer_state.json").read_text())["log_history"]


def _metrics(output, step):
    """All that an evaluation measured, but the time that it took."""
    rows = [row for row in _history(output) if row["step"] == step and any(key.startswith("eval_") for key in row)]
    keys = {key: value for row in rows for key, value in row.items() if key.startswith("eval_")}
    return {key: value for key, value in keys.items() if not key.endswith(("_runtime", "_per_second"))}


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wandb(output):
    (path,) = (output / "wandb").glob("offline-run-*/run-*.wandb")
    return path


# Evaluation


def test_every_source_is_measured_and_all_of_them_together(tracked):
    measured = _metrics(tracked[0], 0)
    assert sorted(measured) == [
        "eval_copies_exact_match", "eval_copies_loss", "eval_copies_perplexity", "eval_copies_tokens", "eval_loss",
        "eval_perplexity", "eval_text_bits_per_byte", "eval_text_loss", "eval_text_perplexity", "eval_text_tokens",
        "eval_tokens",
    ]  # fmt: skip
    text, copies = (measured[f"eval_{name}_loss"] * measured[f"eval_{name}_tokens"] for name in ("text", "copies"))
    assert measured["eval_loss"] * measured["eval_tokens"] == pytest.approx(text + copies)
    assert measured["eval_text_bits_per_byte"] * 60 * 32 * 0.6931471805599453 == pytest.approx(text)
    assert measured["eval_copies_exact_match"] == 0.0


def test_a_run_stops_early_and_ends_with_its_best_weights(tracked):
    output, printed = tracked
    losses = {row["step"]: row["eval_loss"] for row in _history(output) if "eval_loss" in row}
    assert sorted(losses) == [0, 2, 4, 6, 8]
    assert min(losses, key=losses.get) == 4
    assert _sha256(output / "model.safetensors") == _sha256(output / "checkpoint-4" / "model.safetensors")
    assert _sha256(output / "model.safetensors") != _sha256(output / "checkpoint-8" / "model.safetensors")
    assert f"best: loss {losses[4]:.4f}, loaded from {output}/checkpoint-4" in printed


def test_samples_change_no_bit_and_the_batch_of_an_evaluation_none_of_its_numbers(tracked, data, tmp_path):
    _run(data, tmp_path / "plain", *_TRACKED, "--per_device_eval_batch_size", "8", "--report_to", "none")
    plain, sampled = (
        {row["step"]: row["loss"] for row in _history(output) if "loss" in row}
        for output in (tmp_path / "plain", tracked[0])
    )
    assert plain == sampled and len(plain) == 8
    assert _sha256(tmp_path / "plain" / "model.safetensors") == _sha256(tracked[0] / "model.safetensors")
    for step in (0, 4, 8):
        assert _metrics(tmp_path / "plain", step) == pytest.approx(_metrics(tracked[0], step), rel=1e-6)
    assert not (tmp_path / "plain" / "samples.jsonl").exists()


def test_an_evaluation_is_the_same_on_one_rank_with_one_window_at_a_time(tracked, data, tmp_path):
    one = ("--max_steps", "1", "--save_strategy", "no", "--report_to", "none", "--per_device_eval_batch_size", "1")
    _run(data, tmp_path / "one", *one, ranks=1)
    assert _metrics(tmp_path / "one", 0) == pytest.approx(_metrics(tracked[0], 0), rel=1e-6)


def test_a_person_reads_the_loss_of_a_step_and_what_an_evaluation_measured(tracked):
    for line in (
        r"step 2/12 \| loss \d\.\d{3} \| ppl [\d,]+\.\d \| [\d,]+ tok/s \| eta 0:0\d:\d\d",
        r"step 0/12 \| eval text \| loss \d\.\d{4} \| ppl [\d,]+\.\d \| \d\.\d{4} bits/byte",
        r"step 0/12 \| eval copies \| loss \d\.\d{4} \| ppl [\d,]+\.\d \| exact match 0\.0%",
        r"step 0/12 \| eval \| loss \d\.\d{4} \| ppl [\d,]+\.\d",
    ):
        assert re.search(rf"^{line}$", tracked[1], re.MULTILINE), line


# Samples


def test_samples_of_texts_and_rows_are_printed_and_kept(tracked):
    output, printed = tracked
    samples = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [2] * 4 + [4] * 4 + [6] * 4 + [8] * 4
    assert [sample["source"] for sample in samples[:4]] == ["text", "text", "copies", "copies"]
    assert [sample["prompt"] for sample in samples[:2]] == ["The", "class"]
    assert samples[2]["prompt"] == samples[2]["expected"].replace("EOS", "SEP")
    assert len({sample["text"] for sample in samples}) > 4
    assert "step 2 | text | The⟦" in printed
    assert f"step 8 | copies | {samples[2]['prompt']} ⟦" in printed


# Tracking


def test_wandb_holds_the_flags_the_fingerprints_and_the_commit(tracked):
    config, _ = read_wandb(_wandb(tracked[0]))
    record = json.loads((tracked[0] / "run.json").read_text())
    assert (config["max_steps"], config["num_meta_lang_tokens"], config["exact_match_rows"]) == (12, 82, 7)
    assert (config["sample_prompts"], config["early_stopping_patience"]) == (["The", "class"], 2)
    assert config["order"] == record["order"] and len(config["order"]) == 16
    assert config["specs"] == record["specs"] and sorted(config["specs"]) == ["english", "identity"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert config["code"]["commit"] == record["code"]["commit"] == commit.stdout.strip()


def test_wandb_holds_all_groups_of_flags(tracked):
    config, _ = read_wandb(_wandb(tracked[0]))
    record = json.loads((tracked[0] / "run.json").read_text())
    groups = {name: record[name] for name in get_type_hints(Settings)}
    assert {"model", "data", "samples", "health", "elastic", "file", "run"} <= set(groups)
    flags = {flag: value for name, group in groups.items() if name != "run" for flag, value in group.items()}
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 384}  # of the model, whatever the flags ask for
    assert {flag: config[flag] for flag in flags} == flags | sizes
    assert set(groups["run"]) - {"train_batch_size", "eval_batch_size"} <= set(config)  # these two are no flags
    assert config["corpora"] == record["corpora"] and config["versions"] == record["versions"]
    assert config["evaluated"] == record["evaluated"] and sorted(config["evaluated"]) == ["copies", "text"]
    assert config["tokenizer"] == record["tokenizer"] == record["plan"]["ids"]["tokenizer"]


def test_wandb_holds_every_row_over_tokens_and_steps(tracked):
    _, rows = read_wandb(_wandb(tracked[0]))
    losses = {row["train/global_step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert losses == {row["step"]: row["loss"] for row in _history(tracked[0]) if "loss" in row}
    together = {row["train/tokens_seen"]: row["eval/loss"] for row in rows if "eval/loss" in row}
    assert sorted(together) == [0, 512, 1024, 1536, 2048]
    tables = [row for row in rows if row.get("samples/_type") == "table-file"]
    assert [(row["train/tokens_seen"], row["samples/nrows"]) for row in tables] == [
        (512, 4), (1024, 4), (1536, 4), (2048, 4)
    ]  # fmt: skip
    metrics = [record.metric for record in read_records(_wandb(tracked[0])) if record.HasField("metric")]
    assert [metric.step_metric for metric in metrics if metric.glob_name == "*"][-1] == "train/tokens_seen"


def test_run_json_is_an_artifact_of_the_run(tracked):
    artifacts = [record.artifact for record in read_records(_wandb(tracked[0])) if record.HasField("artifact")]
    (ours,) = [artifact for artifact in artifacts if artifact.type == "run"]
    assert [entry.path for entry in ours.manifest.contents] == ["run.json"]
    assert ours.manifest.contents[0].size == (tracked[0] / "run.json").stat().st_size


def test_a_resumed_run_is_the_same_run_of_wandb_and_stops_where_it_would_have(tracked, data, tmp_path):
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    for name in ("run.json", "samples.jsonl"):
        shutil.copy(tracked[0] / name, resumed)
    for step in (4, 6):
        shutil.copytree(tracked[0] / f"checkpoint-{step}", resumed / f"checkpoint-{step}")
    _run(data, resumed, *_TRACKED, *_SAMPLED, "--resume_training", "True")
    assert _wandb(resumed).name == _wandb(tracked[0]).name
    _, rows = read_wandb(_wandb(resumed))
    assert [row["train/global_step"] for row in rows if "train/loss" in row] == [7, 8]
    assert _sha256(resumed / "model.safetensors") == _sha256(tracked[0] / "model.safetensors")
    assert (resumed / "samples.jsonl").read_bytes() == (tracked[0] / "samples.jsonl").read_bytes()


@pytest.mark.long
def test_samples_and_answers_come_under_zero3_too(data, tmp_path):
    more = ("--max_steps", "2", "--deepspeed", "configs/ds/zero3.json", "--bf16", "True", "--save_strategy", "no")
    _run(data, tmp_path / "run", *more, "--sample_steps", "1", "--sample_tokens", "6", "--report_to", "none")
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert [(sample["step"], sample["source"]) for sample in samples] == [
        (1, "text"), (1, "copies"), (1, "copies"), (2, "text"), (2, "copies"), (2, "copies")
    ]  # fmt: skip
    assert _metrics(tmp_path / "run", 0)["eval_copies_exact_match"] == 0.0
