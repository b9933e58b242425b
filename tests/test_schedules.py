"""Learning rates, stops, branches and saves: by arithmetic, and in runs of two CPU ranks under DeepSpeed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import get_scheduler

from metalang.building import build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.errors import ConfigError, MismatchError
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.branch import branch_point, require_goes_on
from metalang.training.config import parse_arguments
from metalang.training.earlier import read_earlier
from metalang.training.manifest import write_manifest
from metalang.training.schedule import rate_at

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")


def _settings(*more):
    return parse_arguments(
        [
            *("--model_name_or_path", str(ROOT / "configs/models/tiny.json"), "--tokenizer_name", "some-folder"),
            *("--random_initialize", "True", "--output_dir", "run", "--data_paths", "a", "--data_ratios", "1"),
            *("--max_steps", "10", "--use_cpu", "True", "--learning_rate", "1e-3", *more),
        ]
    )


def _rates(*more):
    run = _settings(*more).run
    return [round(rate_at(run, step) * 1e3, 4) for step in range(run.max_steps)]


# Arithmetic


@pytest.mark.parametrize(
    ("flags", "rates"),
    [
        (("--lr_scheduler_type", "constant"), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (("--lr_scheduler_type", "linear"), [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        (
            ("--lr_scheduler_type", "cosine", "--warmup_steps", "2"),
            [0, 0.5, 1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.0381],
        ),
        (
            (
                *("--lr_scheduler_type", "warmup_stable_decay", "--warmup_steps", "2", "--decay_steps", "40%"),
                *("--lr_scheduler_kwargs", '{"decay_type": "linear", "min_lr_ratio": 0.2}'),
            ),
            [0.2, 0.6, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4],
        ),
        (("--lr_scheduler_type", "warmup_stable_decay"), [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]),
        (
            (
                *("--lr_scheduler_type", "warmup_stable_decay", "--branch_from", "a/checkpoint-6"),
                *("--deepspeed", str(ROOT / "configs/ds/zero2.json")),
            ),
            [1, 1, 1, 1, 1, 1, 1, 0.8536, 0.5, 0.1464],
        ),
    ],
    ids=["constant", "linear", "cosine", "decay", "a_fifth", "branch"],
)
def test_the_learning_rates_of_a_schedule(flags, rates):
    assert _rates(*flags) == rates


WSD = ("--lr_scheduler_type", "warmup_stable_decay")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((*WSD, "--decay_steps", "0"), "--decay_steps 0 is no number of steps; give a count such as 2000, or a part"),
        ((*WSD, "--decay_steps", "0.2"), r"--decay_steps 0\.2 is no number of steps"),
        ((*WSD, "--decay_steps", "120%"), "--decay_steps 120% is no number of steps"),
        (
            (*WSD, "--decay_steps", "6", "--warmup_steps", "5"),
            "5 --warmup_steps and 6 --decay_steps are more than the 10 --max_steps",
        ),
        (
            (*WSD, "--lr_scheduler_kwargs", '{"num_decay_steps": 2}'),
            "--lr_scheduler_kwargs has num_decay_steps; leave it out, and say it by --decay_steps",
        ),
        (
            (*WSD, "--lr_scheduler_kwargs", '{"min_lr": 2}'),
            "do not fit --lr_scheduler_type warmup_stable_decay: .*'min_lr'",
        ),
        ((*WSD, "--lr_scheduler_kwargs", '{"decay_type": "exp"}'), "Unknown decay type: exp"),
        ((*WSD, "--lr_scheduler_kwargs", "decay"), "'decay' is no JSON object"),
        (("--decay_steps", "2"), "--decay_steps 2 have no effect on --lr_scheduler_type linear"),
        (
            ("--lr_scheduler_type", "constant", "--warmup_steps", "2"),
            "--warmup_steps 2 have no effect on --lr_scheduler_type constant; .* take constant_with_warmup",
        ),
        (
            ("--lr_scheduler_type", "constant", "--lr_scheduler_kwargs", '{"a": 1}'),
            "--lr_scheduler_kwargs have no effect on --lr_scheduler_type constant",
        ),
        (("--hard_stop", "0"), "--hard_stop 0 trains nothing"),
        (("--hard_stop", "11"), "--hard_stop 11 is past the last step, --max_steps 10"),
        (("--save_at_steps", "0", "two"), "--save_at_steps 0 two names no steps; give numbers such as 0 1 2 4 8"),
        (
            ("--save_at_steps", "pythia", "--save_total_limit", "2"),
            "--save_total_limit 2 would remove the checkpoints of --save_at_steps",
        ),
        (("--save_at_steps", "2", "--save_strategy", "epoch"), "not epoch"),
        (("--save_at_steps", ","), "--save_at_steps , names no steps; give numbers such as 0 1 2 4 8, or 'pythia'"),
        (("--save_at_steps", "4", "11"), "--save_at_steps 11 is past the last step, --max_steps 10; leave out what is"),
        (("--branch_from", "3"), "--branch_from 3 names no checkpoint; give one such as runs/a/checkpoint-500"),
        (("--branch_from", "runs/a"), "--branch_from runs/a names no checkpoint; give one such as runs/a/checkpoint"),
        (("--branch_from", "runs/a/checkpoint-10"), "has 10 steps behind it and --max_steps counts them too"),
        (("--branch_from", "runs/a/checkpoint-5"), "--branch_from needs --deepspeed"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(more, message):
    with pytest.raises(ConfigError, match=message):
        _settings(*more)


def test_the_saves_of_pythia_are_powers_of_two():
    assert sorted(_settings("--save_at_steps", "pythia").schedule.saves) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def _checkpoint(folder, settings, step, *, left_out=0):
    """A checkpoint folder with what a run of these settings leaves of its scheduler at a step, some of whose updates
    DeepSpeed has left out."""
    run = settings.run
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=run.learning_rate)
    scheduler = get_scheduler(
        run.lr_scheduler_type, optimizer, run.get_warmup_steps(10), run.max_steps, run.lr_scheduler_kwargs
    )
    for _ in range(step - left_out):
        optimizer.step()
        scheduler.step()
    (folder / f"checkpoint-{step}").mkdir(parents=True)
    torch.save(scheduler.state_dict(), folder / f"checkpoint-{step}" / "scheduler.pt")
    write_manifest(folder / f"checkpoint-{step}", {})
    return folder / f"checkpoint-{step}"


STABLE = (*WSD, "--warmup_steps", "2", "--decay_steps", "2")
ZERO = ("--deepspeed", str(ROOT / "configs/ds/zero2.json"))


@pytest.mark.parametrize(
    ("step", "more", "message"),
    [
        (1, WSD, r"would jump from 0\.0005 to 0\.001 at --branch_from .*checkpoint-1; branch off in a stable phase"),
        (9, ("--max_steps", "20", *STABLE), r"would jump from 0\.0005 to 0\.001"),
        (5, (*WSD, "--decay_steps", "7"), r"would jump from 0\.001 to 0\.00\d+ at .* at most 5 --decay_steps"),
        (5, (), r"would jump from 0\.001 to 0\.0005"),
        (
            5,
            (*STABLE, "--learning_rate", "2e-3"),
            r"--learning_rate 0\.002 is not the 0\.001 of .*give --learning_rate 0",
        ),
        (5, (*STABLE, "--hard_stop", "4"), "--hard_stop 4 is passed: .*checkpoint-5 has 5 steps behind it"),
    ],
    ids=["warm_up", "decay", "too_late", "linear", "peak", "stop"],
)
def test_a_branch_whose_learning_rate_would_jump_is_refused(tmp_path, step, more, message):
    checkpoint = _checkpoint(tmp_path, _settings(*STABLE), step)
    settings = _settings("--warmup_steps", "0", "--branch_from", str(checkpoint), *ZERO, *more)
    assert branch_point(settings.schedule, settings.run) == checkpoint
    with pytest.raises(MismatchError, match=message):
        require_goes_on(checkpoint, settings.schedule, settings.run)


def test_a_branch_from_a_stable_phase_goes_on_whatever_its_own_warm_up_was(tmp_path):
    checkpoint = _checkpoint(tmp_path, _settings(*STABLE), 5)
    settings = _settings(*WSD, "--branch_from", str(checkpoint), *ZERO)
    require_goes_on(checkpoint, settings.schedule, settings.run)


def test_steps_whose_update_was_left_out_are_no_jump_of_the_schedule(tmp_path):
    settings = _settings("--warmup_steps", "0")
    checkpoint = _checkpoint(tmp_path, settings, 5, left_out=2)
    require_goes_on(checkpoint, settings.schedule, settings.run)


@pytest.mark.parametrize(
    ("step", "flags", "said"),
    [
        (5, (*STABLE,), None),  # twice as long, it would be in its stable phase as well
        (3, ("--lr_scheduler_type", "constant"), None),
        (3, ("--lr_scheduler_type", "linear", "--warmup_steps", "4"), None),
        (
            9,
            (*STABLE,),
            r"the learning rate would jump from 0\.0005 to 0\.001 behind .*checkpoint-9 \(--max_steps: 10 then",
        ),
        (
            5,
            ("--lr_scheduler_type", "linear"),
            r"from 0\.0005 to 0\.00075 .* \(--max_steps: 10 then, 20 now\); give",
        ),
        (5, ("--lr_scheduler_type", "cosine"), r"would jump from 0\.0005 to 0\.000853553"),
    ],
    ids=["stable", "constant", "warm_up", "decay", "linear", "cosine"],
)
def test_a_run_becomes_longer_only_where_its_schedule_has_not_noticed(tmp_path, step, flags, said):
    checkpoint = _checkpoint(tmp_path, _settings(*flags), step)
    (checkpoint / "trainer_state.json").write_text('{"max_steps": 10}')
    longer = _settings(*flags, "--max_steps", "20")
    if said is None:
        require_goes_on(checkpoint, longer.schedule, longer.run)
        return
    with pytest.raises(MismatchError, match=said):
        require_goes_on(checkpoint, longer.schedule, longer.run)


def test_a_branch_from_a_half_written_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    settings = _settings(*WSD, "--branch_from", str(tmp_path / "checkpoint-5"), *ZERO)
    with pytest.raises(ConfigError, match=r"checkpoint-5 is no complete checkpoint: it has no complete\.json"):
        branch_point(settings.schedule, settings.run)


# Runs

_SCHEDULE = (
    *("--lr_scheduler_type", "warmup_stable_decay", "--warmup_steps", "2", "--decay_steps", "25%"),
    *("--save_at_steps", "0,1,2,4", "--save_steps", "7"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    identity = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
    build_corpus(domain_build(identity, num_token=20_000), folder / "identity")
    return folder


def _run(data, output, *more, schedule=_SCHEDULE):
    command = [
        DEEPSPEED, "--num_gpus", "2", "--master_port", str(29_900 + os.getpid() % 90), "train/pretrain.py",
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{data}/tokenizer",
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--output_dir", str(output), "--learning_rate", "1e-3", "--use_cpu", "True", "--bf16", "True",
        "--data_paths", f"{data}/identity", "--data_ratios", "1", "--max_length", "32", "--max_steps", "8",
        "--per_device_train_batch_size", "4", "--logging_steps", "1", "--report_to", "none", *schedule, *more,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _logged(output, key):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [entry[key] for entry in history if "loss" in entry]


def _saved(output):
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in output.glob("checkpoint-*"))


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run of eight steps: two of warm-up, four stable ones, two of decay."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    code, printed = _run(data, output)
    assert code == 0, printed[-5000:]
    return output


@pytest.mark.slow
def test_a_run_saves_before_its_first_step_at_chosen_ones_and_at_every_seventh(whole):
    assert _saved(whole) == [0, 1, 2, 4, 7, 8]
    assert all((whole / f"checkpoint-{step}/complete.json").is_file() for step in (0, 1, 2, 4, 7, 8))


@pytest.mark.slow
def test_the_learning_rate_that_is_logged_is_the_one_in_the_optimizer(whole):
    assert _logged(whole, "learning_rate") == [0, 0.0005, 0.001, 0.001, 0.001, 0.001, 0.001, 0.0005]
    before = {}
    for step in (1, 2, 4, 7):  # a checkpoint's optimizer holds the rate of the next step
        path = whole / f"checkpoint-{step}/global_step{step}/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
        optimizer = torch.load(path, weights_only=False)["optimizer_state_dict"]["base_optimizer_state"]
        before[step + 1] = {group["lr"] for group in optimizer["param_groups"]}
    assert before == {2: {0.0005}, 3: {0.001}, 5: {0.001}, 8: {0.0005}}


@pytest.mark.slow
def test_a_run_that_goes_on_behind_step_0_and_behind_a_hard_stop_is_the_uninterrupted_one(whole, data, tmp_path):
    output = tmp_path / "stopped"
    output.mkdir()
    shutil.copy(whole / "run.json", output)
    shutil.copytree(whole / "checkpoint-0", output / "checkpoint-0")
    code, printed = _run(data, output, "--resume_training", "True", "--hard_stop", "5")
    assert code == 0, printed[-5000:]
    assert f"start      from {output}/checkpoint-0" in printed and "hard stop  behind step 5 of 8" in printed
    assert _saved(output) == [0, 1, 2, 4, 5]
    assert _logged(output, "loss") == _logged(whole, "loss")[:5]
    stopped = _sha256(output / "model.safetensors")
    (output / "model.safetensors").unlink()  # as if killed behind its last checkpoint
    code, printed = _run(data, output, "--resume_training", "True", "--hard_stop", "5")
    assert code == 0, printed[-5000:]
    assert _logged(output, "loss") == _logged(whole, "loss")[:5]
    assert _sha256(output / "model.safetensors") == stopped
    code, printed = _run(data, output, "--resume_training", "True")
    assert code == 0, printed[-5000:]
    assert _logged(output, "loss") == _logged(whole, "loss")
    assert _logged(output, "learning_rate") == _logged(whole, "learning_rate")
    assert _sha256(output / "model.safetensors") == _sha256(whole / "model.safetensors")


@pytest.mark.slow
def test_a_branch_decays_from_the_stable_phase_of_another_run_on_the_same_data(whole, data, tmp_path):
    begun = json.loads((whole / "run.json").read_text()) | {"before": {"tokens_seen": 60, "tokens_seen_meta": 50}}
    (whole / "run.json").write_text(json.dumps(begun))  # as a run that began with the weights of another one
    branch = ("--branch_from", f"{whole}/checkpoint-4", "--decay_steps", "2", "--max_steps", "6")
    code, printed = _run(data, tmp_path / "branch", *branch)
    assert code == 0, printed[-5000:]
    assert f"start      from {whole}/checkpoint-4\n" in printed
    assert json.loads((tmp_path / "branch/run.json").read_text())["before"] == begun["before"]
    assert _logged(tmp_path / "branch", "learning_rate") == [0, 0.0005, 0.001, 0.001, 0.001, 0.0005]
    assert _logged(tmp_path / "branch", "loss") == _logged(whole, "loss")[:6]  # the same weights, optimizer and windows
    assert _sha256(tmp_path / "branch/model.safetensors") != _sha256(whole / "model.safetensors")


@pytest.mark.slow
def test_a_run_begins_with_attention_of_another_and_with_pythias_weights_under_zero_3(whole, data, tmp_path):
    start = ("--init", "pythia", "--init_from", str(whole), "--transfer", "attention", "--embeddings", "mean")
    still = ("--deepspeed", "configs/ds/zero3.json", "--max_steps", "1", "--warmup_steps", "1")
    code, printed = _run(data, tmp_path / "run", *start, *still, schedule=("--save_strategy", "no"))
    assert code == 0, printed[-5000:]
    assert f"first      attention of float32 master weights of {whole}/checkpoint-8" in printed
    for line in ("embeddings mean: 2 tensors, 98,304", "taken: 8 tensors, 33,280", "fresh: 18 tensors, 66,816"):
        assert f"           {line} parameters" in printed
    earlier, rounded = read_earlier(str(whole)).tensors, load_file(whole / "model.safetensors")
    begun = load_file(tmp_path / "run/model.safetensors")  # behind a step of learning rate 0
    name = "gpt_neox.layers.1.attention.dense.weight"
    assert torch.equal(begun[name], earlier[name].bfloat16()) and torch.equal(begun[name], rounded[name])
    assert not torch.equal(earlier[name], rounded[name].float())
    assert begun["gpt_neox.layers.1.mlp.dense_4h_to_h.weight"].float().std().item() == pytest.approx(0.125, rel=0.03)
    assert len(begun["gpt_neox.embed_in.weight"].unique(dim=0)) == 1
