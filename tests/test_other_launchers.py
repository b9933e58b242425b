"""The launchers of masked diffusion and of an encoder-decoder, run on data made for them: two CPU ranks, ZeRO-2."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.diffusion.estimator import read_estimator
from metalang.training.earlier import read_earlier
from metalang.training.run import pretrain

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def _run(*command, **environment):
    """What a command prints, in the repository; it has to end well."""
    names = ("INCLUDE", "HOSTFILE", "NODE_RANK", "MASTER_PORT", "SEEDS", "DRY_RUN")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    paths = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
        env={**kept, **paths, **environment},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def _launch(name, runs, *flags, data="/data"):
    common = ("--use_cpu", "True", "--report_to", "none", "--logging_steps", "1", "--disable_tqdm", "True")
    launcher = ROOT / "scripts/launch" / name
    return _run(launcher, *common, *flags, RUNS=str(runs), DATA_DIR=str(data), NUM_GPUS="2")


def _logged(run, key):
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    return {entry["step"]: entry[key] for entry in history if key in entry}


def _weights(run):
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def _require_masters(run, model, *, step=6):
    """--init_from gives the float32 weights of the last checkpoint, which are rounded in the model folder."""
    earlier = read_earlier(str(run))
    assert earlier.origin == f"float32 master weights of {run}/checkpoint-{step}"
    for name, parameter in model.named_parameters():
        assert torch.equal(earlier.tensors[name].to(parameter.dtype), parameter), name


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Flags of tiny-diffusion.sh: the tiny data with a tokenizer of their own, a smaller model, six steps."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    samples = ("--train-samples", 40, "--val-samples", 8, "--test-samples", 4, "--max-length", 64)
    _run("python", "data_tools/generate_tiny_dataset.py", "--cache-dir", folder, *samples, "--tokenizer", tokenizer)
    data = {split: f"{folder}/synthetic_tiny_{split}_bs64_wrapped.dat" for split in ("train", "validation")}
    return (
        *("--data_paths", data["train"], "--nl_eval_data_path", f"held_out={data['validation']}"),
        *("--tokenizer_name", tokenizer, "--vocab_size", 600, "--max_length", 64, "--hidden_size", 64),
        *("--num_hidden_layers", 2, "--learning_rate", "3e-3", "--warmup_steps", 0, "--max_steps", 6),
        *("--eval_on_start", "--eval_steps", 3, "--save_steps", 100),
    )


@pytest.fixture(scope="module")
def diffused(tiny, tmp_path_factory):
    """An uninterrupted run of tiny-diffusion.sh that learns what is important, and what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    printed = _launch("tiny-diffusion.sh", runs, *tiny, "--importance", "learned")
    return runs / "tiny-diffusion", printed


def test_tiny_diffusion_learns_on_two_ranks_under_deepspeed(diffused):
    run, printed = diffused
    assert "tiny-diffusion, 2 ranks on cpu, fp32, DeepSpeed ZeRO-2" in printed
    assert "8 windows of 64 = 512 tokens a step" in printed
    learned = read_estimator(run / "importance.npz").digest
    assert f"masks      importance learned ({learned}) easy=0.0-0.4 medium=0.3-0.7 hard=0.6-1.0 until 0.33" in printed
    bound = _logged(run, "eval_held_out_loss")
    assert sorted(bound) == [0, 3, 6]
    assert 6.0 < bound[0] < 7.0  # a fresh model of 640 rows knows nothing: log(640) = 6.46
    assert bound[6] < bound[3] < bound[0] - 0.1


def test_300_steps_on_the_tiny_data_bring_the_bound_clearly_down(tiny, tmp_path):
    """In this process, as the file of the run says but for the flags of `tiny`."""
    more = ("--config", "configs/runs/tiny.yaml", "--architecture", "masked_diffusion", "--use_cpu", "True")
    steps = ("--max_steps", 300, "--eval_steps", 300, "--warmup_steps", 30, "--max_epochs", 100)
    kept = ("--save_strategy", "no", "--disable_tqdm", "True", "--output_dir", tmp_path / "run")
    pretrain(parse_arguments([str(word) for word in (*more, *tiny, *steps, *kept)]))
    bound = _logged(tmp_path / "run", "eval_held_out_loss")
    assert bound[300] < bound[0] - 1.5


def test_init_from_a_run_of_masked_diffusion_gives_the_weights_of_its_optimizer(diffused):
    _require_masters(diffused[0], AutoModelForCausalLM.from_pretrained(diffused[0]))


def test_tiny_diffusion_stopped_within_a_stage_and_resumed_is_the_uninterrupted_run_bit_for_bit(
    diffused, tiny, tmp_path
):
    """Its stages are steps 1-2, 3-4 and 5-6."""
    run = tmp_path / "tiny-diffusion"
    resume = (*tiny, "--importance", "learned", "--resume_training", "True")
    _launch("tiny-diffusion.sh", tmp_path, *resume, "--hard_stop", 3)
    assert sorted(_logged(run, "loss")) == [1, 2, 3]
    assert f"start      from {run}/checkpoint-3" in _launch("tiny-diffusion.sh", tmp_path, *resume)
    for key in ("loss", "eval_held_out_loss"):
        assert _logged(run, key) == _logged(diffused[0], key)
    assert len(_logged(run, "loss")) == 6
    assert _weights(run) == _weights(diffused[0])
    assert (run / "importance.npz").read_bytes() == (diffused[0] / "importance.npz").read_bytes()


def test_ru_en_seq2seq_learns_from_two_files_of_text_on(tmp_path):
    """Pairs are prepared, a tokenizer is trained and rows are made by the commands of docs/parallel.md."""
    texts, data = tmp_path / "texts", tmp_path / "data"
    texts.mkdir()
    for language, sentence in (("ru", "Кит номер {} плывёт.\n"), ("en", "Whale number {} swims.\n")):
        (texts / f"{language}.txt").write_text("".join(map(sentence.format, range(200))), "utf-8")
    pairs, tokenizer = tmp_path / "pairs", tmp_path / "tokenizer"
    tools = ROOT / "data_tools"
    _run("python", tools / "prepare_parallel.py", texts / "ru.txt", texts / "en.txt", "--output_dir", pairs)
    halves = (pairs / "train_ru.txt", pairs / "train_en.txt", "--sample_by", "line")
    _run("python", tools / "train_tokenizer.py", *halves, "--vocab_size", 310, "--output_dir", tokenizer)
    rows = ("--tokenizer", tokenizer, "--form", "seq2seq", "--output_dir", data / "ru-en")
    _run("python", tools / "tokenize_parallel.py", pairs, *rows)
    batch = ("--per_device_train_batch_size", 8)
    printed = _launch("ru-en-seq2seq.sh", tmp_path, *batch, "--max_length", 64, data=data)
    assert "ru-en-seq2seq, 2 ranks on cpu, bf16, DeepSpeed ZeRO-2" in printed
    assert "16 pairs of up to 64 ids to read and to predict a step" in printed
    run = tmp_path / "ru-en-seq2seq"
    assert re.search(r"source     train: (\d+) pairs = (3\.\d+|4) epochs of \d+", printed)
    losses = _logged(run, "eval_val_loss")
    assert losses[max(losses)] < losses[0] - 1.0
    bits = _logged(run, "eval_val_bits_per_byte")
    assert 0 < bits[max(losses)] < bits[0]
    _require_masters(run, AutoModelForSeq2SeqLM.from_pretrained(run), step=max(losses))
