"""Runs of `train/pretrain.py --phase sft`: DeepSpeed's launcher, CPU ranks, real files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoTokenizer

from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.phases import UnifiedDataset

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")

pytestmark = pytest.mark.slow


def _talk(number):
    turns = [("user", f"Count to {number}."), ("assistant", " ".join(map(str, range(number)))), ("user", "Thank you.")]
    turns.append(("assistant", "You are welcome."))
    return {"conversations": [{"role": role, "content": content} for role, content in turns]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tokenizer, 80 conversations to train on, 11 others to evaluate on."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    for name, numbers in (("train", range(2, 82)), ("held_out", range(3, 36, 3))):
        lines = [json.dumps(_talk(number % 30 + 1 if name == "train" else number)) for number in numbers]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _flags(data, output, *more, batch=4, accumulation=1):
    return [
        "train/pretrain.py", "--phase", "sft", "--model_name_or_path", "configs/models/tiny.json",
        "--tokenizer_name", f"{data}/tokenizer", "--random_initialize", "True", "--use_cpu", "True",
        "--data_paths", f"{data}/train.jsonl", "--data_ratios", "1", "--max_length", "96", "--output_dir", str(output),
        "--per_device_train_batch_size", str(batch), "--gradient_accumulation_steps", str(accumulation),
        "--max_steps", "8", "--learning_rate", "3e-3", "--logging_steps", "1", "--save_strategy", "no",
        "--report_to", "none", *more,
    ]  # fmt: skip


def _run(command):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=600
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _launch(ranks, flags):
    port = str(29_950 + os.getpid() % 40)
    command = [DEEPSPEED, "--num_gpus", str(ranks), "--master_port", port, *flags]
    return _run([*command, "--deepspeed", "configs/ds/zero2.json"])


def _history(output):
    return json.loads((output / "trainer_state.json").read_text())["log_history"]


def _losses(output):
    return [entry["loss"] for entry in _history(output) if "loss" in entry]


def _tokens_seen(output):
    return [entry["tokens_seen"] for entry in _history(output) if "loss" in entry]


def _evaluated(data):
    return ("--nl_eval_data_path", f"held_out={data}/held_out.jsonl", "--eval_on_start", "--eval_strategy", "steps")


_WHOLE = ("--eval_steps", "4", "--save_strategy", "steps", "--save_steps", "4", "--per_device_eval_batch_size", "3")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of two ranks: (folder, what it printed)."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    code, printed = _launch(2, _flags(data, output, *_evaluated(data), *_WHOLE))
    assert code == 0, printed[-5000:]
    return output, printed


def test_a_run_on_conversations_learns_what_the_assistant_says(whole, data):
    evaluated = [entry for entry in _history(whole[0]) if "eval_held_out_loss" in entry]
    losses = [entry["eval_held_out_loss"] for entry in evaluated]
    assert [entry["step"] for entry in evaluated] == [0, 4, 8]
    assert 6.0 < losses[0] < 7.0  # a fresh model of 640 rows knows nothing: log(640) = 6.46
    assert losses[0] - 0.3 > losses[1] > losses[2]


def test_the_evaluation_counts_each_id_of_the_assistant_once(whole, data):
    tokenizer = AutoTokenizer.from_pretrained(whole[0])
    dataset = UnifiedDataset(data / "held_out.jsonl", tokenizer, 97, "sft")
    counted = {entry["eval_held_out_tokens"] for entry in _history(whole[0]) if "eval_held_out_tokens" in entry}
    assert counted == {sum(int(mask.sum()) for _, _, mask in dataset)}
    assert len(dataset) == 11


def test_tokens_seen_are_the_ids_that_were_read(whole, data):
    tokenizer = AutoTokenizer.from_pretrained(whole[0])
    longest = max(len(x) for x, _, _ in UnifiedDataset(data / "train.jsonl", tokenizer, 97, "sft"))
    seen = _tokens_seen(whole[0])
    steps = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert len(steps) == 8
    assert all(0 < step <= 8 * longest for step in steps)
    assert len(set(steps)) > 1


def test_the_banner_says_what_is_read(whole):
    for line in (
        "batch      8 conversations of up to 96 predicted ids a step (4 a device, x 1 accumulation, x 2 ranks)",
        "length     8 steps, 64 conversations",
        "source     train: 64 conversations = 0.8 epochs of 80",
    ):
        assert line in whole[1]


def test_the_saved_tokenizer_has_the_chat_template_of_the_run(whole):
    tokenizer = AutoTokenizer.from_pretrained(whole[0])
    talk = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) == "User: Hi\nAssistant:"


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole, data):
    resumed = whole[0].parent / "resumed"
    resumed.mkdir()
    shutil.copy(whole[0] / "run.json", resumed)
    shutil.copytree(whole[0] / "checkpoint-4", resumed / "checkpoint-4")
    code, printed = _launch(2, _flags(data, resumed, *_evaluated(data), *_WHOLE, "--resume_training", "True"))
    assert code == 0, printed[-5000:]
    assert f"start      from {resumed}/checkpoint-4" in printed
    assert _losses(resumed) == _losses(whole[0])
    assert _tokens_seen(resumed) == _tokens_seen(whole[0])
    one, other = (load_file(folder / "model.safetensors") for folder in (resumed, whole[0]))
    assert all((one[name] == other[name]).all() for name in other)


def test_the_loss_is_that_of_the_global_batch_however_it_is_cut(whole, data, tmp_path):
    """Conversations differ in what they predict; a mean of the micro-batches' means would differ."""
    cuts = {"1x8": (1, 8, 1), "2x2x2": (2, 2, 2)}
    for name, (ranks, batch, accumulation) in cuts.items():
        flags = _flags(
            data, tmp_path / name, *_evaluated(data), "--eval_steps", "8", batch=batch, accumulation=accumulation
        )
        code, printed = _launch(ranks, flags)
        assert code == 0, printed[-5000:]
        assert _losses(tmp_path / name)[:4] == pytest.approx(_losses(whole[0])[:4], abs=5e-5)
        first = next(entry for entry in _history(tmp_path / name) if "eval_held_out_loss" in entry)
        assert first["eval_held_out_loss"] == pytest.approx(_history(whole[0])[0]["eval_held_out_loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data_paths", "{data}/a.jsonl", "{data}/b.jsonl"], "--phase sft reads one file of conversations, and 2"),
        (["--data_paths", "{data}/bad.jsonl"], "bad.jsonl line 2: no 'conversations' or 'messages' or 'instruction'"),
        (["--max_steps", "1000"], "train holds 80 conversations and is asked for 4,000, 50.00 epochs"),
        (["--nl_eval_data_path", "{data}/train.jsonl"], "--nl_eval_data_path train is train of --data_paths"),
        (["--streaming", "True"], "--phase sft reads its rows from the file as it is"),
        (["--verify_reads", "True"], "--phase sft reads its rows from a file without hashes; leave --verify_reads out"),
        (["--max_length", "1000"], "--max_length 1000 is more than the 512 positions"),
    ],
    ids=["two_files", "bad_line", "epochs", "leak", "streamed", "verified", "too_long"],
)
def test_a_run_that_cannot_be_is_refused_in_one_line(data, tmp_path, more, message):
    (data / "bad.jsonl").write_text(json.dumps(_talk(3)) + '\n{"text": "no conversation"}\n')
    words = [word.format(data=data) for word in more]
    code, printed = _run([sys.executable, *_flags(data, tmp_path / "run", *words)])
    assert code == 1, printed[-3000:]
    assert printed.strip().splitlines()[-1].startswith("pretrain: ")
    assert message in printed.strip().splitlines()[-1]
    assert "Traceback" not in printed


def test_bad_rows_are_left_out_and_counted_where_that_is_asked_for(data, tmp_path):
    (data / "bad.jsonl").write_text((data / "train.jsonl").read_text() + '{"text": "no conversation"}\n')
    flags = _flags(data, tmp_path / "run", "--data_paths", f"{data}/bad.jsonl", "--on_bad_line", "skip")
    code, printed = _run([sys.executable, *flags, "--max_steps", "1", "--gather_weights", "True"])
    assert code == 0, printed[-3000:]
    assert "4 conversations = 0.05 epochs of 80 (1 bad ones are left out)" in printed
    assert len(_losses(tmp_path / "run")) == 1
