"""What the launchers start, as their dry runs print it, and the DeepSpeed settings that they name."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from metalang.specs import read_config
from metalang.training.config import parse_arguments
from metalang.training.deepspeed_json import check_deepspeed_json

ROOT = Path(__file__).parents[1]
LAUNCHERS = sorted(set((ROOT / "scripts/launch").glob("[!_]*.sh")) - {ROOT / "scripts/launch/demo.sh"})
ABLATED = {"--num_meta_lang_tokens", "--data_paths", "--data_ratios", "--output_dir", "--run_name"}


def dry_run(launcher: str | Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    names = ("INCLUDE", "NUM_GPUS", "HOSTFILE", "MASTER_PORT", "DATA_DIR", "MODEL_DIR", "DEMO_DIR")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [ROOT / "scripts/launch" / launcher, *arguments],
        env={**kept, "DRY_RUN": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def flags(command: str) -> dict[str, list[str]]:
    """Flags of train/pretrain.py with their values."""
    found: dict[str, list[str]] = {}
    for word in shlex.split(command.partition(" train/pretrain.py ")[2]):
        if word.startswith("--"):
            values = found.setdefault(word, [])
        else:
            values.append(word)
    return found


def test_the_openwebtext_launcher_is_the_documented_command():
    done = dry_run("pythia-14m-openwebtext.sh", INCLUDE="localhost:0-7", MASTER_PORT="25031")
    assert done.stdout.startswith(
        "deepspeed --include localhost:0,1,2,3,4,5,6,7 --master_port 25031 train/pretrain.py --model_name_or_path"
    )
    assert flags(done.stdout) == {
        "--model_name_or_path": ["EleutherAI/pythia-14m"],
        "--num_meta_lang_tokens": ["0"],
        "--random_initialize": ["True"],
        "--resume_training": ["False"],
        "--deepspeed": ["configs/ds/zero2.json"],
        "--architecture": ["causal"],
        "--output_dir": ["/model/pretrain/pythia-14m-openwebtext"],
        "--save_strategy": ["steps"],
        "--eval_on_start": [],
        "--save_steps": ["1000"],
        "--eval_strategy": ["steps"],
        "--eval_steps": ["1000"],
        "--gather_weights": ["True"],
        "--learning_rate": ["5e-4"],
        "--data_paths": ["/data/openwebtext"],
        "--nl_eval_data_path": ["/data/wikitext-2"],
        "--data_ratios": ["1"],
        "--per_device_train_batch_size": ["128"],
        "--gradient_accumulation_steps": ["1"],
        "--max_length": ["1024"],
        "--max_steps": ["10000"],
        "--gradient_checkpointing": ["False"],
        "--bf16": ["True"],
        "--logging_steps": ["10"],
        "--report_to": ["wandb"],
        "--run_name": ["pythia-14m-openwebtext"],
    }


def test_the_identity_launcher_differs_from_the_baseline_in_what_its_question_names():
    baseline = flags(dry_run("pythia-14m-openwebtext.sh").stdout)
    ablation = flags(dry_run("pythia-14m-identity.sh").stdout)
    assert {flag for flag in baseline.keys() | ablation.keys() if baseline.get(flag) != ablation.get(flag)} == ABLATED
    assert ablation["--data_paths"] == ["/data/openwebtext", "/data/identity/train"]
    assert ablation["--data_ratios"] == ["0.5", "0.5"]
    assert ablation["--num_meta_lang_tokens"] == ["10032"]


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda launcher: launcher.stem)
def test_pretrain_reads_the_flags_of_every_launcher(launcher, monkeypatch):
    monkeypatch.chdir(ROOT)
    command = dry_run(launcher, "--use_cpu", "True").stdout
    settings = parse_arguments(shlex.split(command.partition(" train/pretrain.py ")[2]))
    assert settings.run.run_name == launcher.stem
    assert (settings.run.max_steps, settings.data.max_length, settings.model.random_initialize) == (10_000, 1024, True)


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda launcher: launcher.stem)
def test_every_launcher_opens_with_its_question(launcher):
    lines = launcher.read_text().splitlines()
    assert lines[1].startswith("# ")
    assert "?" in lines[1]


@pytest.mark.parametrize(
    ("include", "expanded"),
    [
        ("localhost:0-7", "localhost:0,1,2,3,4,5,6,7"),
        ("node1:0-3@node2:0-3", "node1:0,1,2,3@node2:0,1,2,3"),
        ("0-3,6", "localhost:0,1,2,3,6"),
        ("5", "localhost:5"),
        ("10.0.0.1:0-1", "10.0.0.1:0,1"),
        ("node-1", "node-1"),
    ],
)
def test_include_is_written_out_for_deepspeed(include, expanded):
    done = dry_run("pythia-14m-openwebtext.sh", INCLUDE=include, MASTER_PORT="25031")
    assert done.stdout.startswith(f"deepspeed --include {expanded} --master_port 25031 train/pretrain.py ")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"INCLUDE": "localhost:7-0"},
            "INCLUDE: '7-0' in 'localhost:7-0' is no range of slots; write localhost:0-7, or localhost:0-3,6\n",
        ),
        ({"INCLUDE": "0-1", "NUM_GPUS": "2"}, "pythia-14m-openwebtext: set INCLUDE or NUM_GPUS, not both\n"),
    ],
)
def test_a_bad_placement_is_refused_in_one_line(environment, message):
    done = dry_run("pythia-14m-openwebtext.sh", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


def test_folders_hosts_and_more_flags_reach_the_command():
    done = dry_run(
        *("pythia-14m-openwebtext.sh", "--max_steps", "20"),
        **{"HOSTFILE": "my hosts", "NUM_GPUS": "2", "MASTER_PORT": "1", "DATA_DIR": "/d", "MODEL_DIR": "/m"},
    )
    assert done.stdout.startswith("deepspeed --hostfile 'my hosts' --num_gpus 2 --master_port 1 train/pretrain.py ")
    assert done.stdout.endswith(" --data_paths /d/openwebtext --data_ratios 1 --max_steps 20\n")
    assert flags(done.stdout)["--output_dir"] == ["/m/pythia-14m-openwebtext"]


def test_the_demo_prints_its_steps_in_order():
    commands = dry_run("demo.sh", DEMO_DIR="there").stdout.splitlines()
    assert [next(word for word in shlex.split(command) if word.endswith(".py")) for command in commands] == [
        "data_tools/train_tokenizer.py",
        "data_tools/tokenize_text.py",
        "data_tools/tokenize_text.py",
        "data_tools/synthesize.py",
        "data_tools/inspect_corpus.py",
        "train/pretrain.py",
        "train/generate.py",
    ]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_deepspeed_settings_leave_to_the_trainer_what_it_knows(stage):
    path = ROOT / f"configs/ds/zero{stage}.json"
    check_deepspeed_json(path)
    settings = read_config(path)
    assert settings.keys() & {"optimizer", "scheduler"} == set()
    assert {key for key, value in settings.items() if value == "auto"} == {
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
    }
    assert (settings["bf16"], settings["fp16"]) == ({"enabled": "auto"}, {"enabled": "auto"})
    assert settings["zero_optimization"]["stage"] == stage


def test_zero3_sizes_its_buckets_by_the_model_and_gathers_weights_when_it_saves():
    zero = read_config(ROOT / "configs/ds/zero3.json")["zero_optimization"]
    assert {key for key, value in zero.items() if value == "auto"} == {
        "reduce_bucket_size",
        "stage3_prefetch_bucket_size",
        "stage3_param_persistence_threshold",
    }
    assert zero["stage3_gather_16bit_weights_on_model_save"] is True
