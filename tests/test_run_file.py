"""A run described in a file: keys in sections as flags, the command line first, unknown keys refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalang.building.tiny import TinyDataset, write_tiny_dataset
from metalang.errors import ConfigError
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.model import build_model
from metalang.training.run_file import file_flags, with_file

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "configs/runs/tiny.yaml")
_SHIPPED = Path(TINY).read_text()
SEED = """
model: {hidden_dim: 256, num_layers: 6, vocab_size: 50257}
data: {train_path: train.dat, val_path: validation.dat, batch_size: 4, num_workers: 0, max_length: 1024}
training:
  total_steps: 1000
  warmup_steps: 100
  learning_rate: 1e-4
  gradient_accumulation_steps: 1
  log_every_n_steps: 10
  eval_every_n_steps: 100
  save_every_n_steps: 500
curriculum:
  stage_1_end: 0.33
  importance_ranges: {easy: [0.0, 0.4], medium: [0.3, 0.7], hard: [0.6, 1.0]}
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder))


def _file(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    return f"--config={tmp_path / 'run.yaml'}"


def test_a_file_of_sections_is_the_flags_that_it_means(tmp_path):
    words = file_flags([_file(tmp_path, SEED)])
    assert words == [
        "--data_ratios", "1", "--eval_strategy", "steps",
        "--hidden_size", "256", "--num_hidden_layers", "6", "--vocab_size", "50257",
        "--data_paths", "train.dat", "--nl_eval_data_path", "validation.dat",
        "--per_device_train_batch_size", "4", "--dataloader_num_workers", "0", "--max_length", "1024",
        "--max_steps", "1000", "--warmup_steps", "100", "--learning_rate", "1e-4",
        "--gradient_accumulation_steps", "1", "--logging_steps", "10", "--eval_steps", "100", "--save_steps", "500",
        "--stage_1_end", "0.33", "--importance_ranges", "easy=0.0-0.4", "medium=0.3-0.7", "hard=0.6-1.0",
    ]  # fmt: skip


def test_the_shipped_file_gives_the_flags_of_a_small_run_and_the_command_line_wins():
    command = ["--config", TINY, "--max_steps", "7", "--log_dir", "logs/x", "--use_cpu", "True"]
    settings = parse_arguments(command)
    model, data, run = settings.model, settings.data, settings.run
    assert (model.hidden_size, model.num_hidden_layers, model.vocab_size) == (256, 6, 50257)
    assert (run.max_steps, run.output_dir, run.per_device_train_batch_size) == (7, "logs/x", 4)
    assert (run.warmup_steps, run.learning_rate, run.logging_steps, run.eval_steps, run.save_steps) == (
        100, 1e-4, 10, 100, 500,
    )  # fmt: skip
    assert data.data_paths == ["data_cache/synthetic_tiny_train_bs1024_wrapped.dat"]
    assert data.data_ratios == ["1"] and run.eval_strategy == "steps"
    assert settings.record()["file"] == {"config": TINY}


def test_a_curriculum_section_says_what_a_curriculum_is_and_a_flag_asks_for_one(tmp_path):
    """The shipped file may train a causal model; other numbers than its own reach the flags."""
    command = ["--config", TINY, "--use_cpu", "True"]
    shipped, asked = (parse_arguments([*command, *more]) for more in ((), ("--curriculum", "importance")))
    assert (shipped.model.architecture, shipped.objective.curriculum) == ("causal", "none")
    assert (asked.objective.curriculum, asked.objective.stage_1_end, asked.objective.stage_2_end) == (
        "importance", 0.33, 0.66,
    )  # fmt: skip
    assert asked.objective.ranges == ((0.0, 0.4), (0.3, 0.7), (0.6, 1.0))
    other = Path(TINY).read_text().replace("stage_1_end: 0.33", "stage_1_end: 0.25").replace("[0.3, 0.7]", "[0, 1]")
    objective = parse_arguments([_file(tmp_path, other), "--use_cpu", "True"]).objective
    assert (objective.stage_1_end, objective.ranges[1]) == (0.25, (0.0, 1.0))


def test_values_of_a_file_are_words_of_a_command_line(tmp_path):
    text = "bf16: true\nseed: null\nrun: {data_paths: [a, b], lr_scheduler_kwargs: {num_cycles: 2}}\n"
    known = ["bf16", "seed", "data_paths", "lr_scheduler_kwargs"]
    assert with_file([_file(tmp_path, text), "--bf16", "False"], known)[:-3] == [
        "--bf16", "True", "--data_paths", "a", "b", "--lr_scheduler_kwargs", '{"num_cycles": 2}',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_stepz: 5", r"run\.yaml has the key 'max_stepz', which is no flag; did you mean 'max_steps'\?"),
        (
            "training: {total_stepz: 5}",
            r"has the key 'training\.total_stepz', which is no flag; did you mean 'total_st",
        ),
        ("curriculum: {stage_9_end: 5}", r"has the key 'curriculum\.stage_9_end', which is no flag"),
        (_SHIPPED.replace("hard:", "hardest:"), "--importance_ranges hardest=0.6-1.0 is no range of a stage"),
        (_SHIPPED.replace("[0.6, 1.0]", "[0.6]"), "--importance_ranges hard=0.6 is no range of a stage"),
        (
            "training: {total_steps: 5}\nmax_steps: 6",
            "says --max_steps twice, as 'training.total_steps' and as 'max_st",
        ),
        ("config: other.yaml", "has the key 'config', and a file of flags cannot name another one; leave it out"),
        ("[1, 2]", "holds no mapping of flags; take configs/runs/tiny.yaml as an example"),
        ("a: [", "does not parse"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        parse_arguments([_file(tmp_path, text), "--use_cpu", "True"])


def test_a_test_set_of_a_file_is_passed_over_with_a_word(tmp_path, caplog):
    assert file_flags([_file(tmp_path, "data: {test_path: test.dat}")]) == []
    assert "data.test_path is not read: a test set is for when the training is over" in caplog.text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--hidden_size", "250"), "--hidden_size 250 is no multiple of 32, the width of a head"),
        (("--vocab_size", "601"), "--vocab_size 601 is not the 600 ids of tokenizer"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tokenizer, more, message):
    flags = ("--config", TINY, "--use_cpu", "True", "--vocab_size", "600")
    with pytest.raises(ConfigError, match=message):
        build_model(parse_arguments([*flags, *more]).model, tokenizer, seed=1, max_length=32)


def test_an_architecture_in_other_sizes_keeps_its_heads_and_ratios(tokenizer):
    arguments = parse_arguments(["--config", TINY, "--use_cpu", "True", "--vocab_size", "600"]).model
    config = build_model(arguments, tokenizer, seed=1, max_length=32).config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (256, 6, 8)
    assert (config.intermediate_size, config.vocab_size) == (1024, 640)


@pytest.mark.slow
def test_the_shipped_file_trains_on_the_tiny_data(tokenizer, tmp_path):
    write_tiny_dataset(TinyDataset(tokenizer, max_length=64), tmp_path / "data_cache", (40, 8, 4))
    data = {
        split: f"{tmp_path}/data_cache/synthetic_tiny_{split}_bs64_wrapped.dat" for split in ("train", "validation")
    }
    command = [
        sys.executable, "train/pretrain.py", "--config", "configs/runs/tiny.yaml", "--max_steps", "2", "--log_dir",
        str(tmp_path / "run"), "--tokenizer_name", tokenizer.name, "--vocab_size", "600", "--max_length", "64",
        "--data_paths", data["train"], "--nl_eval_data_path", data["validation"], "--logging_steps", "1",
        "--use_cpu", "True",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "4 windows of 64 = 256 tokens a step" in done.stdout
    history = json.loads((tmp_path / "run/trainer_state.json").read_text())["log_history"]
    assert [entry["learning_rate"] for entry in history if "loss" in entry] == [0.0, pytest.approx(1e-6)]
    assert json.loads((tmp_path / "run/config.json").read_text())["hidden_size"] == 256
