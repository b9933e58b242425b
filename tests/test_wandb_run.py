"""What a run says of itself to trackers, without a launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers.integrations.integration_utils import get_available_reporting_integrations

from metalang.errors import ConfigError
from metalang.tracked import read_records, read_wandb
from metalang.training.config import parse_arguments
from metalang.training.flags.report_to import require_trackers
from metalang.training.provenance import code_version

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "configs/models/tiny.json")


def _flags(tmp_path, *more):
    return [
        "--model_name_or_path", TINY, "--tokenizer_name", "t", "--random_initialize", "True", "--output_dir",
        str(tmp_path), "--max_steps", "5", "--use_cpu", "True", *more,
    ]  # fmt: skip


_DATA = ("--data_paths", "a", "--data_ratios", "1")


# Trackers


def test_a_tracker_that_is_unknown_or_not_installed_is_named_with_the_fix():
    require_trackers(["wandb"])
    with pytest.raises(ConfigError, match=r"^--report_to wandbb is no tracker; did you mean 'wandb'\?$"):
        require_trackers(["wandbb"])
    missing = {"tensorboard", "comet_ml", "mlflow"} - set(get_available_reporting_integrations())
    assert missing, "an environment with all trackers"
    for name in missing:
        package = {"comet_ml": "comet-ml"}.get(name, name)
        with pytest.raises(
            ConfigError, match=f"^--report_to {name} needs a package .*; pip install {package}, or give"
        ):
            require_trackers([name])


def test_several_trackers_are_named_one_after_the_other(tmp_path):
    assert parse_arguments(_flags(tmp_path, *_DATA)).run.report_to == []
    assert parse_arguments(_flags(tmp_path, *_DATA, "--report_to", "wandb")).run.report_to == ["wandb"]
    with pytest.raises(ConfigError, match=r"^--report_to wandbb is no tracker; did you mean 'wandb'\?$"):
        parse_arguments(_flags(tmp_path, *_DATA, "--report_to", "wandb", "wandbb"))


_STARTED = """
import sys
from metalang.errors import reported
from metalang.training.config import parse_arguments
from metalang.training.wandb_run import end_tracking, start_tracking
settings = parse_arguments(sys.argv[1:])
with reported("pretrain"):
    start_tracking(settings, {"run_id": "abcd", "order": "0123456789abcdef"})
    end_tracking()
"""


def _started(tmp_path, *more, **environment):
    """wandb's run of some flags, begun and ended in a process without a key."""
    command = [sys.executable, "-c", _STARTED, *_flags(tmp_path, "--report_to", "wandb", *more)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = kept | {"HOME": str(tmp_path)} | environment
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def test_a_setting_that_wandb_refuses_ends_the_run_in_one_line(tmp_path):
    done = _started(tmp_path, *_DATA, WANDB_MODE="sometimes")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("pretrain: wandb does not start (")
    assert "Traceback" not in done.stderr


def test_the_mixture_of_a_run_is_an_artifact_beside_its_run_json(tmp_path):
    mixture = ROOT / "configs/mixtures/dyck_then_english.yaml"
    (tmp_path / "run.json").write_text('{"run_id": "abcd"}')
    done = _started(tmp_path, "--data_config", str(mixture), "--project", "ours")
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = tmp_path.glob("wandb/offline-run-*/run-abcd.wandb")
    records = list(read_records(path))
    (artifact,) = (record.artifact for record in records if record.HasField("artifact"))
    assert {entry.path: entry.size for entry in artifact.manifest.contents} == {
        "run.json": 18,
        "dyck_then_english.yaml": mixture.stat().st_size,
    }
    assert [record.run.project for record in records if record.HasField("run")][-1] == "ours"
    assert read_wandb(path)[0]["order"] == "0123456789abcdef"


# Provenance


def _git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_version_of_code_is_its_commit_and_whether_it_was_changed(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("1\n")
    assert code_version(tmp_path / "code") == {"commit": None, "is_dirty": None}
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "code")
    _git(tmp_path, "commit", "-qm", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "b.py").write_text("2\n")
    assert code_version(tmp_path / "code") == {"commit": commit, "is_dirty": False}
    (tmp_path / "code" / "a.py").write_text("3\n")
    assert code_version(tmp_path / "code") == {"commit": commit, "is_dirty": True}
    assert code_version(tmp_path / "installed") == {"commit": None, "is_dirty": None}
