"""What the launchers start, as their dry runs print it, and the DeepSpeed settings that they name."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from metalang.domains import read_domain
from metalang.specs import read_config
from metalang.training.config import parse_arguments
from metalang.training.deepspeed_json import check_deepspeed_json

ROOT = Path(__file__).parents[1]
LAUNCHERS = sorted(
    path for path in (ROOT / "scripts/launch").glob("[!_]*.sh") if path.stem not in ("demo", "comparison", "slurm")
)
ON_DOMAINS = ["identity", "set", "k-dyck", "k-shuffle-dyck", "lime", "eca-110", "nca", "fbm", "shuffled", "iid"]
OUTPUT = {"--output_dir", "--run_name"}
ABLATED = {"--num_meta_lang_tokens", "--data_paths", "--data_ratios", *OUTPUT}


def dry_run(launcher: str | Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    names = (
        *("INCLUDE", "NUM_GPUS", "HOSTFILE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "DATA_DIR", "DOMAIN_TOKENS"),
        *("DOMAIN_STEPS", "RUNS", "SEEDS", "DEMO_DIR"),
    )
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [ROOT / "scripts/launch" / launcher, *arguments],
        env={**kept, "DRY_RUN": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def runs(printed: str) -> list[list[str]]:
    """The words behind train/pretrain.py of each run that a dry run prints."""
    return [
        shlex.split(behind) for line in printed.splitlines() if (behind := line.partition(" train/pretrain.py ")[2])
    ]


def flags(printed: str) -> dict[str, list[str]]:
    """Flags of the last run with their values; of a flag that stands twice, those that win."""
    found: dict[str, list[str]] = {}
    for word in runs(printed)[-1]:
        if word.startswith("--"):
            values = found[word] = []
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
    parsed = [parse_arguments(words) for words in runs(dry_run(launcher, "--use_cpu", "True").stdout)]
    assert parsed[-1].run.run_name == launcher.stem
    assert [settings.run.run_name for settings in parsed[:-1]] in ([], [f"{launcher.stem}-domain"])
    assert {settings.data.max_length for settings in parsed} == {1024}


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda launcher: launcher.stem)
def test_every_launcher_is_its_question_and_at_most_ten_lines(launcher):
    lines = launcher.read_text().splitlines()
    assert len(lines) <= 10
    assert lines[1].startswith("# ")
    assert "?" in lines[1]


@pytest.mark.parametrize("name", ON_DOMAINS)
def test_half_of_the_tokens_or_the_first_weights_are_all_that_a_domain_changes(name):
    baseline = flags(dry_run("pythia-14m-openwebtext.sh").stdout)
    mixed = dry_run(f"pythia-14m-{name}.sh").stdout
    first = dry_run(f"pythia-14m-{name}-first.sh").stdout
    assert _differing(baseline, flags(mixed)) == ABLATED
    assert _differing(baseline, flags(first)) == {"--init_from", "--transfer", "--embeddings", *OUTPUT}
    (corpus,) = {flags(mixed)["--data_paths"][1], runs(first)[0][runs(first)[0].index("--data_paths") + 1]}
    made = shlex.split(mixed.splitlines()[0])
    assert made[:2] == ["python", "data_tools/synthesize.py"] == shlex.split(first.splitlines()[0])[:2]
    assert corpus == f"{made[made.index('--output_dir') + 1]}/train"
    domain = read_domain(ROOT / made[made.index("--data_config") + 1])
    for words in (runs(mixed)[0], runs(first)[0]):
        assert words[words.index("--num_meta_lang_tokens") + 1] == str(domain.num_symbols)


def _differing(one: dict[str, list[str]], other: dict[str, list[str]]) -> set[str]:
    return {flag for flag in one.keys() | other.keys() if one.get(flag) != other.get(flag)}


def test_pre_pretraining_is_a_run_on_the_domain_and_one_on_text_that_begins_with_its_weights():
    done = dry_run("pythia-14m-k-dyck-first.sh", "--bf16", "False", RUNS="/r", DATA_DIR="/d", DOMAIN_STEPS="7")
    first, text = runs(done.stdout)
    assert first[-14:] == [
        *("--data_paths", "/d/k_dyck/train", "--data_ratios", "1", "--bf16", "False"),
        *("--nl_eval_data_path", "/d/k_dyck/validation", "--max_steps", "7"),
        *("--output_dir", "/r/pythia-14m-k-dyck-first-domain", "--run_name", "pythia-14m-k-dyck-first-domain"),
    ]
    assert flags(done.stdout)["--init_from"] == ["/r/pythia-14m-k-dyck-first-domain"]
    assert flags(done.stdout)["--max_steps"] == ["10000"]
    assert text[-2:] == ["--bf16", "False"]


@pytest.mark.parametrize(("name", "control"), [("shuffled", "shuffled"), ("iid", "iid_unigram")])
def test_a_control_reads_the_rows_of_k_shuffle_dyck_without_their_structure(name, control):
    made = dry_run(f"pythia-14m-{name}-first.sh", DATA_DIR="/d", DOMAIN_TOKENS="5M").stdout.splitlines()[0]
    assert made == (
        "python data_tools/synthesize.py --num_token 5M --split_ratio 0.999 0.001 0 --data_config "
        f"configs/domains/k_shuffle_dyck.json --control {control} --output_dir /d/k_shuffle_dyck-{control}"
    )


def test_corpora_that_are_there_are_not_made(tmp_path):
    (tmp_path / "k_dyck/train").mkdir(parents=True)
    (tmp_path / "k_dyck/train/manifest.json").write_text("{}")
    printed = dry_run("pythia-14m-k-dyck.sh", DATA_DIR=str(tmp_path)).stdout
    assert len(printed.splitlines()) == len(runs(printed)) == 1


def test_seeds_run_one_after_another_in_folders_of_their_own():
    printed = dry_run("pythia-14m-openwebtext.sh", RUNS="/r", SEEDS="3 0").stdout
    assert [words[-2:] for words in runs(printed)] == [["--seed", "3"], ["--seed", "0"]]
    assert [words[words.index("--output_dir") + 1] for words in runs(printed)] == [
        "/r/pythia-14m-openwebtext/seed-3",
        "/r/pythia-14m-openwebtext/seed-0",
    ]
    assert flags(printed)["--run_name"] == ["pythia-14m-openwebtext-seed-0"]


def test_a_seed_of_pre_pretraining_begins_with_the_weights_of_that_seed():
    printed = dry_run("pythia-14m-k-dyck-first.sh", RUNS="/r", SEEDS="1 2").stdout
    assert len(runs(printed)) == 4
    assert flags(printed)["--init_from"] == ["/r/pythia-14m-k-dyck-first-domain/seed-2"]
    assert runs(printed)[2][-4:] == [
        *("--output_dir", "/r/pythia-14m-k-dyck-first-domain/seed-2"),
        *("--run_name", "pythia-14m-k-dyck-first-seed-2-domain"),
    ]


def test_a_machine_without_ssh_is_told_its_place():
    place = {"HOSTFILE": "hosts", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "5"}
    assert dry_run("pythia-14m-openwebtext.sh", **place).stdout.startswith(
        "deepspeed --hostfile hosts --no_ssh --master_addr 10.0.0.1 --node_rank 1 --master_port 5 train/pretrain.py "
    )


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
    done = dry_run("pythia-14m-openwebtext.sh", INCLUDE=include, MASTER_PORT="25031", HOSTFILE="h")
    assert done.stdout.startswith(f"deepspeed --hostfile h --include {expanded} --master_port 25031 train/pretrain.py ")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"INCLUDE": "localhost:7-0"},
            "INCLUDE: '7-0' in 'localhost:7-0' is no range of slots; write localhost:0-7, or localhost:0-3,6\n",
        ),
        ({"INCLUDE": "0-1", "NUM_GPUS": "2"}, "pythia-14m-openwebtext: set INCLUDE or NUM_GPUS, not both\n"),
        ({"NODE_RANK": "1"}, "pythia-14m-openwebtext: NODE_RANK needs HOSTFILE and MASTER_ADDR\n"),
        (
            {"NODE_RANK": "1", "HOSTFILE": "hosts", "MASTER_ADDR": "node1"},
            "pythia-14m-openwebtext: NODE_RANK needs a MASTER_PORT, the same on all machines\n",
        ),
        ({"NUM_GPUS": "two"}, "pythia-14m-openwebtext: NUM_GPUS: 'two' is no number of GPUs; write one, such as 8\n"),
        ({"MASTER_PORT": "a"}, "pythia-14m-openwebtext: MASTER_PORT: 'a' is no port; write one, such as 29500\n"),
        (
            {"HOSTFILE": "nowhere", "DRY_RUN": "0"},
            "pythia-14m-openwebtext: HOSTFILE: 'nowhere' is not there; write a line NAME slots=8 a machine\n",
        ),
        (
            {"DRY_RUN": "yes"},
            "pythia-14m-openwebtext: DRY_RUN: 'yes' is neither 1 (print the commands) nor 0 (start them)\n",
        ),
        (
            {"SEEDS": "0,1"},
            "pythia-14m-openwebtext: SEEDS: '0,1' is no seed; write numbers and spaces, such as \"0 1 2\"\n",
        ),
    ],
)
def test_a_bad_placement_is_refused_in_one_line(environment, message):
    done = dry_run("pythia-14m-openwebtext.sh", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


@pytest.mark.parametrize("is_dry", ["0", "1"])
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"INCLUDE": "gpu"},
            "INCLUDE: 'gpu' needs a HOSTFILE that names its machines; on this one write localhost:0-7",
        ),
        ({"INCLUDE": "0 1"}, "INCLUDE: '0 1' names no GPUs; write localhost:0-7, or localhost:0-3,6"),
        ({"DOMAIN_TOKENS": "lots"}, "DOMAIN_TOKENS: 'lots' is no number; write one, such as 5M or 1.4B"),
        ({"DOMAIN_STEPS": "few"}, "DOMAIN_STEPS: 'few' is no number of steps; write one, such as 1000"),
        ({"SEEDS": "1 b"}, "SEEDS: 'b' is no seed; write numbers and spaces, such as \"0 1 2\""),
        ({"SEEDS": " "}, "SEEDS: ' ' names none; write some, such as \"0 1 2\""),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT: '99999' is no port; write one, such as 29500"),
    ],
)
def test_what_the_environment_cannot_mean_is_refused_before_anything_is_made(tmp_path, environment, message, is_dry):
    kept = {"DATA_DIR": f"{tmp_path}/data", "RUNS": f"{tmp_path}/runs", "DRY_RUN": is_dry}
    done = dry_run("pythia-14m-k-dyck-first.sh", **{**kept, **environment})
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"pythia-14m-k-dyck-first: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_runs_that_cannot_be_written_to_are_refused_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("")
    kept = {"DATA_DIR": f"{tmp_path}/data", "RUNS": f"{tmp_path}/file/runs", "DRY_RUN": "0"}
    done = dry_run("pythia-14m-k-dyck.sh", **kept)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"pythia-14m-k-dyck: RUNS: '{tmp_path}/file/runs' cannot be written to ({tmp_path}/file); give another "
        "folder\n",
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_launcher_goes_on_with_the_seed_behind_those_that_are_finished(tmp_path):
    for seed in (0, 1):
        (tmp_path / f"pythia-14m-openwebtext/seed-{seed}").mkdir(parents=True)
    finished = tmp_path / "pythia-14m-openwebtext/seed-0"
    (finished / "trainer_state.json").write_text("{}")
    kept = {"RUNS": str(tmp_path), "SEEDS": "0 1", "DRY_RUN": "0", "NUM_GPUS": "1"}
    (tmp_path / "pythia-14m-openwebtext/seed-1/mine.txt").write_text("")
    done = dry_run("pythia-14m-openwebtext.sh", "--use_cpu", "True", **kept)
    said = f"{done.stdout}{done.stderr}"
    assert f"pythia-14m-openwebtext-seed-0: {finished} is finished; the next seed follows\n" in said
    assert f"{tmp_path}/pythia-14m-openwebtext/seed-1 holds something else (mine.txt); give another folder" in said
    assert done.returncode == 1
    assert [path.name for path in finished.iterdir()] == ["trainer_state.json"]


def test_folders_hosts_and_more_flags_reach_the_command():
    done = dry_run(
        *("pythia-14m-openwebtext.sh", "--max_steps", "20"),
        **{"HOSTFILE": "my hosts", "NUM_GPUS": "2", "MASTER_PORT": "1", "DATA_DIR": "/d", "RUNS": "/m"},
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
