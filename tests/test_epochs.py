"""The length of a run on pairs, in epochs of them."""

import json
import os
import signal

import pytest

from metalang.errors import ConfigError
from metalang.training.config import parse_arguments
from metalang.training.epochs import settle_epochs
from metalang.training.run import pretrain
from metalang.training.stopping import listening


@pytest.fixture
def asked(tmp_path):
    """Settings of a run on ten pairs, four a step."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [5], "labels": [6]}\n' * 10)

    def settings(*more):
        return parse_arguments([
            "--architecture", "seq2seq", "--model_name_or_path", "configs/models/tiny-t5.json", "--use_cpu", "True",
            "--tokenizer_name", "t", "--random_initialize", "True", "--output_dir", f"{tmp_path}/run",
            "--data_paths", str(rows), "--data_ratios", "1", "--per_device_train_batch_size", "2",
            "--gradient_accumulation_steps", "2", *more,
        ])  # fmt: skip

    return settings


def _steps(settings):
    settle_epochs(settings)
    return settings.run.max_steps


def test_epochs_are_whole_steps_of_the_batch(asked):
    assert _steps(asked("--num_train_epochs", "2.5")) == 6  # 25 pairs by 4
    assert _steps(asked("--num_train_epochs", "4")) == 10


def test_a_dry_run_counts_the_steps_of_its_gpus(asked):
    assert _steps(asked("--num_train_epochs", "4", "--dry_run", "True", "--dry_run_gpus", "5")) == 2  # 40 pairs by 20


def test_a_run_that_is_stopped_before_it_has_a_folder_writes_into_no_other(asked, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("of another")
    length = ("--num_train_epochs", "4")
    with listening({}):
        os.kill(os.getpid(), signal.SIGTERM)
        assert pretrain(asked(*length, "--dry_run", "True")) == 85
        with pytest.raises(ConfigError, match="holds something else"):
            pretrain(asked(*length))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_steps_that_are_given_are_the_length(asked):
    assert _steps(asked("--num_train_epochs", "4", "--max_steps", "3")) == 3


def test_the_schedule_is_made_for_the_steps_of_the_epochs(asked):
    decay = ("--lr_scheduler_type", "warmup_stable_decay", "--decay_steps", "50%")
    settings = asked("--num_train_epochs", "4", *decay)
    settle_epochs(settings)
    assert settings.run.lr_scheduler_kwargs == {"num_decay_steps": 5}


def test_a_run_that_goes_on_with_another_batch_keeps_its_steps(asked, tmp_path):
    (tmp_path / "run" / "checkpoint-2").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"run": {"max_steps": 10, "num_train_epochs": 4.0}}))

    def resumed(*more):
        settings = asked(*more, "--per_device_train_batch_size", "1")
        settings.run.resume_training = True  # as a flag it needs DeepSpeed, which nothing here runs
        return _steps(settings)

    assert resumed("--num_train_epochs", "4") == 10
    (tmp_path / "run/checkpoint-2/complete.json").write_text('{"unchanged": {"step sizes": [[null, 4]]}}')
    assert resumed("--num_train_epochs", "3") == 7  # 30 pairs by the 4 of then, which the accumulation is fitted to


def test_epochs_that_fill_no_step_are_refused(asked):
    message = "--num_train_epochs 0.2 of the 10 pairs of .*rows.jsonl are less than a step of 4; lower --per_device"
    with pytest.raises(ConfigError, match=message):
        settle_epochs(asked("--num_train_epochs", "0.2"))


def test_epochs_of_windows_are_refused(asked):
    with pytest.raises(ConfigError, match="--num_train_epochs 2 counts pairs, and --architecture causal reads none"):
        asked("--num_train_epochs", "2", "--architecture", "causal", "--max_steps", "3")


@pytest.mark.parametrize("epochs", ["0", "-1", "nan", "inf"])
def test_a_run_without_a_length_is_refused(asked, epochs):
    with pytest.raises(ConfigError, match="--max_steps is needed"):
        asked("--num_train_epochs", epochs)
