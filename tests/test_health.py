"""NaN steps, spikes, and what a log says of speed."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import default_data_collator

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.building.tracing import step_as_json
from metalang.domains.copying import Identity
from metalang.errors import ConfigError
from metalang.mixing import Plan, Reading, Source, Stage
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.checkpoints import newest_complete
from metalang.training.counts import kind_of
from metalang.training.dataset import PlanDataset
from metalang.training.deepspeed_json import check_deepspeed_json
from metalang.training.estimate import flops_per_token
from metalang.training.flags import HealthArguments, ModelArguments, RunArguments
from metalang.training.health import Health, Step
from metalang.training.model import build_model, read_architecture
from metalang.training.objectives.causal import Causal
from metalang.training.speed import bf16_peak
from metalang.training.spikes import SpikeMonitor
from metalang.training.trainer import MetalangTrainer

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
TINY = str(ROOT / "configs/models/tiny.json")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tokenizer and two corpora."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    (folder / "text.txt").write_text("A lobster is larger than a shrimp. " * 600)
    build_corpus(TextBuild(TextSource(str(folder / "text.txt")), str(folder / "tokenizer")), folder / "english")
    identity = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
    build_corpus(domain_build(identity, num_token=20_000), folder / "identity")
    return folder


def _reading(data, num_steps):
    tokenizer = load_tokenizer(str(data / "tokenizer")).with_meta_tokens(82)
    sources = [Source(name, data / name, tokenizer.id_space, length=32) for name in ("english", "identity")]
    plan = Plan(sources, [Stage((1, 1))], length=32, seed=42)
    return Reading(plan, tokenizer.id_space, tokenizer.name, windows_per_step=8, num_steps=num_steps)


# Spikes


def _curves(seed):
    """A loss (nats) and a gradient norm of 2,000 steps, with the noise of batches."""
    rng, step = np.random.default_rng(seed), np.arange(2000)
    loss = 3 + 7 * np.exp(-step / 80) + 0.6 * np.exp(-step / 800) + rng.normal(0, 0.06, 2000)
    norm = (0.4 + 2.5 * np.exp(-step / 60)) * np.exp(rng.normal(0, 0.25, 2000))
    return loss, norm, rng


def _found(values):
    monitor = SpikeMonitor(6)
    return [step for step, value in enumerate(values.tolist()) if monitor.judge(value)]


@pytest.mark.parametrize("seed", range(12))
def test_injected_spikes_are_all_found_and_nothing_else_is(seed):
    loss, norm, rng = _curves(seed)
    assert _found(loss) == []
    assert _found(np.log(norm)) == []
    at = np.sort(rng.choice(np.arange(700, 2000), 20, replace=False))
    loss[at] += 0.8
    norm[at] *= 20
    assert _found(loss) == at.tolist()
    assert _found(np.log(norm)) == at.tolist()


def test_a_new_level_is_reported_for_eight_steps_and_then_it_is_the_level():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.05, 500), rng.normal(5, 0.05, 500)])
    assert _found(values) == list(range(500, 508))


def test_no_spike_is_seen_before_there_are_64_steps_and_none_with_0_sigma():
    monitor, silent = SpikeMonitor(6), SpikeMonitor(0)
    values = [1.0, 1.1] * 31 + [1.0]
    assert [monitor.judge(value) for value in [*values, 9.0]] == [None] * 64
    assert [silent.judge(value) for value in [*values, 1.1, 9.0]] == [None] * 65


def test_a_monitor_goes_on_from_its_state_to_the_bit():
    loss, _, _ = _curves(1)
    loss[[1000, 1500]] += 1
    one, other = SpikeMonitor(3), SpikeMonitor(3)
    before = [one.judge(value) for value in loss.tolist()[:999]]
    other.restore(json.loads(json.dumps(one.state())))
    spikes = [one.judge(value) for value in loss.tolist()[999:]]
    assert [other.judge(value) for value in loss.tolist()[999:]] == spikes
    assert len(before) == 999 and spikes[1].sigmas > 10


# In one process, without DeepSpeed


class _SickLoss:
    """The loss of a trainer, changed at some of its calls, counted from 1."""

    def __init__(self, sound, changes):
        self._sound, self._changes, self._call = sound, changes, 0

    def __call__(self, *arguments):
        self._call += 1
        losses = self._sound(*arguments)
        return replace(losses, total=self._changes.get(self._call, lambda loss: loss)(losses.total))


def _trainer(data, output, changes, num_steps, *, health=None, **flags):
    reading = _reading(data, num_steps)
    tokenizer = load_tokenizer(str(data / "tokenizer")).with_meta_tokens(82)
    chosen = ModelArguments(model_name_or_path=TINY, tokenizer_name="t", random_initialize=True)
    run = RunArguments(
        output_dir=str(output), max_steps=num_steps, use_cpu=True, per_device_train_batch_size=8, logging_steps=1,
        report_to="none", save_strategy="no", disable_tqdm=True, learning_rate=1e-3, **flags,
    )  # fmt: skip
    output.mkdir(exist_ok=True)
    trainer = MetalangTrainer(
        objective=Causal(),
        tokens_per_step=256,
        model=build_model(chosen, tokenizer, seed=1, max_length=32),
        args=run,
        train_dataset=PlanDataset(reading.plan, 8 * num_steps, windows_per_step=8),
        data_collator=default_data_collator,
        health=Health(health or HealthArguments(on_nan="skip"), reading),
    )
    trainer.token_loss = _SickLoss(trainer.token_loss, changes)
    return trainer


class _Weights:
    """Sums of all weights behind each step."""

    def __init__(self, trainer):
        self.sums, self._log, self._trainer = [], trainer.log, trainer
        trainer.log = self._note

    def _note(self, logs, *more):
        self.sums.append([weight.double().sum().item() for weight in self._trainer.model.parameters()])
        self._log(logs, *more)


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "adamw_torch"])
@pytest.mark.parametrize(("value", "said"), [("nan", "nan"), ("inf", "inf")])
def test_a_step_whose_loss_is_not_finite_changes_no_weight_and_is_logged_as_such(data, tmp_path, optim, value, said):
    # An Inf that is added has the finite gradient of what it is added to: nothing but the loss tells.
    trainer = _trainer(data, tmp_path / "run", {3: lambda loss: loss + float(value)}, 5, optim=optim)
    weights = _Weights(trainer)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [str(entry["loss"]) if not math.isfinite(entry["loss"]) else 0 for entry in logs] == [0, 0, said, 0, 0]
    assert [entry["nan_steps"] for entry in logs] == [0, 0, 1, 1, 1]
    assert weights.sums[1] == weights.sums[2]
    assert len({str(sums) for sums in weights.sums[:5]}) == 4
    (line,) = (tmp_path / "run/spikes.jsonl").read_text().splitlines()
    assert {key: json.loads(line)[key] for key in ("step", "kind", "loss", "sources")} == {
        "step": 3, "kind": "nan", "loss": said, "sources": {"english": 4, "identity": 4},
    }  # fmt: skip


def test_a_run_stops_at_its_first_nan_step_and_names_what_that_read(data, tmp_path):
    spoil = {3: lambda loss: loss * float("nan")}
    trainer = _trainer(data, tmp_path / "run", spoil, 5, health=HealthArguments(on_nan="stop"))
    said = (
        r"^step 3: the loss is nan, the gradient norm nan, and its update was not made; it read 4 windows of english, "
        r"4 windows of identity: documents english/\S+ 0, identity/identity \d+, .* --resume_training True, and leave"
    )
    with pytest.raises(ConfigError, match=said) as caught:
        trainer.train()
    assert "\n" not in str(caught.value)
    assert trainer.state.global_step == 3


def test_nan_steps_are_left_out_up_to_their_limit(data, tmp_path):
    spoil = {step: lambda loss: loss * float("nan") for step in (2, 4, 5)}
    limit = HealthArguments(on_nan="skip", max_nan_steps=2)
    with pytest.raises(ConfigError, match=r"^step 5: .*It is NaN step 3 of the run, and --max_nan_steps 2 are allowed"):
        _trainer(data, tmp_path / "run", spoil, 6, health=limit).train()


def test_a_spike_is_recorded_with_the_sources_and_documents_of_its_step(data, tmp_path, caplog):
    trainer = _trainer(data, tmp_path / "run", {70: lambda loss: loss * 9}, 72, lr_scheduler_type="constant")
    trainer.train()
    loss, norm = map(json.loads, (tmp_path / "run/spikes.jsonl").read_text().splitlines())
    assert (loss["step"], loss["kind"], norm["step"], norm["kind"]) == (70, "loss", 70, "grad_norm")
    assert loss["sources"] == {"english": 4, "identity": 4}
    assert loss["loss"] > 4 * loss["usual"] and loss["sigmas"] > 6
    assert "step 70: loss " in caplog.text and "sigma above" in caplog.text
    (tmp_path / "run/run.json").write_text(json.dumps({"plan": _reading(data, 72).record()}))
    traced = step_as_json(str(tmp_path / "run"), 70, None)["windows"]
    parts = [f"{window['source']}/{part['source']} {part['row']}" for window in traced for part in window["documents"]]
    assert loss["documents"] == list(dict.fromkeys(parts)) and len(parts) > 8
    assert [entry["spikes"] for entry in trainer.state.log_history if "loss" in entry][68:71] == [0, 2, 2]


def test_the_scale_of_fp16_that_is_too_large_is_no_nan_step():
    health = Health(HealthArguments(on_nan="stop"))
    health.judge(Step(1, 6.5, math.inf, "overflow"))
    assert health.counts == {"nan_steps": 0, "overflow_steps": 1, "spikes": 0}
    with pytest.raises(ConfigError, match=r"^step 2: the loss is nan"):
        health.judge(Step(2, math.nan, math.inf, "nan"))


# Flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"max_nan_steps": -1}, "--max_nan_steps -1 is no count; give 0 or more"),
        ({"spike_sigma": -6.0}, r"--spike_sigma -6\.0 is no distance; give 6, or 0"),
        ({"spike_sigma": math.nan}, "--spike_sigma nan is no distance"),
        ({"peak_flops": "fast"}, "--peak_flops fast is no speed; give FLOP/s, such as 989T"),
        ({"peak_flops": "0"}, "--peak_flops 0 is no speed; give FLOP/s, such as 989T"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused(flags, message):
    with pytest.raises(ConfigError, match=message):
        HealthArguments(**flags)


def test_a_nan_cannot_be_kept_out_of_the_log(tmp_path):
    with pytest.raises(ConfigError, match="--logging_nan_inf_filter True would make a NaN step look like a better"):
        RunArguments(output_dir=str(tmp_path), max_steps=1, use_cpu=True, logging_nan_inf_filter=True)


@pytest.mark.parametrize("key", ["bf16.check_grad_overflow", "zero_optimization.compute_grad_norm"])
def test_a_deepspeed_json_that_lets_nan_gradients_through_is_refused(tmp_path, key):
    block, name = key.split(".")
    (tmp_path / "ds.json").write_text(json.dumps({block: {name: False}}))
    with pytest.raises(ConfigError, match=f"turns {key} off, so a NaN gradient would reach the weights; remove it"):
        check_deepspeed_json(tmp_path / "ds.json")


# Speed


def test_flops_count_the_head_and_not_the_input_embedding():
    # A layer: 12 * 128^2 weights, 1,152 biases of its matrices, two norms of 256; behind the layers one more norm.
    config = read_architecture(str(ROOT / "configs/models/pythia-14m.json"))
    head, layers, last_norm = 128 * 50_304, 6 * (12 * 128**2 + 1_152 + 512), 256
    assert flops_per_token(config, 1024) == 6 * (head + layers + last_norm) + 12 * 6 * 128 * 1024


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 836e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GB200", 2.5e15),
        ("Tesla T4", None),
        ("", None),
    ],
)
def test_the_peak_of_a_device_is_known_by_its_name_or_not_at_all(name, peak):
    assert bf16_peak(name) == peak


# Whole runs


def _run(data, output, nan_steps, *more):
    """A run of two ranks in which the last one gets a NaN: (exit code, what it printed, digests of each rank)."""
    recorded = output.parent / f"{output.name}.recorded"
    recorded.mkdir(exist_ok=True)
    command = [
        DEEPSPEED, "--num_gpus", "2", "--master_port", str(29_300 + os.getpid() % 300), "tests/nan_run.py",
        "--model_name_or_path", TINY, "--tokenizer_name", f"{data}/tokenizer", "--num_meta_lang_tokens", "82",
        "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json", "--output_dir", str(output),
        "--learning_rate", "1e-3", "--use_cpu", "True", "--data_paths", f"{data}/english", f"{data}/identity",
        "--data_ratios", "0.5", "0.5", "--max_length", "32", "--per_device_train_batch_size", "4", "--max_steps", "8",
        "--logging_steps", "2", "--report_to", "none", "--save_strategy", "no", *more,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NAN_STEPS": nan_steps, "RECORDED": str(recorded)}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=environment
    )  # fmt: skip
    digests = [json.loads((recorded / f"{rank}.json").read_text()) for rank in (0, 1)]
    return done.returncode, done.stdout + done.stderr, digests


def _logs(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return {entry["step"]: entry for entry in history if "loss" in entry}


_SAVED = ("--bf16", "True", "--save_strategy", "steps", "--save_steps", "4", "--peak_flops", "1T")


@pytest.fixture(scope="module")
def skipped(data, tmp_path_factory):
    """A run whose fifth step is NaN and left out: (folder, what it printed, digests of each rank)."""
    output = tmp_path_factory.mktemp("runs") / "skipped"
    code, printed, digests = _run(data, output, "5", *_SAVED, "--on_nan", "skip")
    assert code == 0, printed[-5000:]
    return output, printed, digests


@pytest.mark.slow
def test_a_nan_on_one_rank_leaves_weights_and_optimizer_of_all_ranks_as_they_were(skipped):
    for digests in skipped[2]:
        assert digests[4] == digests[5]
        assert len(digests) == 8 and len(set(digests)) == 7


@pytest.mark.slow
def test_a_nan_step_is_in_the_log_and_those_behind_it_are_not_nan(skipped):
    logs = _logs(skipped[0])
    assert [math.isnan(logs[step]["loss"]) for step in (2, 4, 6, 8)] == [False, False, True, False]
    assert [logs[step]["nan_steps"] for step in (2, 4, 6, 8)] == [0, 0, 1, 1]
    assert 5.0 < logs[8]["loss"] < 7.0
    assert (
        "step 5: the loss is nan, the gradient norm inf, and its update was not made; it read 4 windows of"
        in (skipped[1])
    )
    assert "step 6/8 | loss nan | ppl nan | " in skipped[1]


@pytest.mark.slow
def test_a_log_says_what_was_read_how_fast_and_in_how_much_memory(skipped):
    logs = _logs(skipped[0])
    config = read_architecture(TINY)
    config.vocab_size = 768
    for step, log in logs.items():
        assert (log["tokens_seen"], log["tokens_seen_text"], log["tokens_seen_meta"]) == (
            256 * step, 128 * step, 128 * step,
        )  # fmt: skip
        assert log["tokens_seen_predicted"] == sum(
            log[f"source_{name}_predicted_tokens"] for name in ("english", "identity")
        )
        assert 0 <= log["data_wait"] <= 1
        assert 2**27 < log["peak_memory_bytes"] < 2**34
        assert log["peak_flops"] == 2e12
        assert log["flops_per_second"] == pytest.approx(
            log["tokens_per_second"] * flops_per_token(config, 32), rel=1e-3
        )
        assert log["mfu"] == pytest.approx(log["flops_per_second"] / 2e12, abs=1e-4)
    assert logs[2]["tokens_seen_predicted"] < 512


@pytest.mark.slow
def test_a_stopped_run_has_a_good_checkpoint_from_which_it_goes_on_as_if_it_had_skipped(skipped, data):
    output = skipped[0].parent / "stopped"
    code, printed, _ = _run(data, output, "5", *_SAVED)
    assert code != 0
    (line,) = [line for line in printed.splitlines() if line.startswith("nan_run: ")]
    assert line.startswith("nan_run: step 5: the loss is nan, the gradient norm inf, and its update was not made")
    assert "Traceback" not in printed
    assert newest_complete(output) == output / "checkpoint-4"
    code, printed, digests = _run(data, output, "5", *_SAVED, "--on_nan", "skip", "--resume_training", "True")
    assert code == 0, printed[-5000:]
    assert [own[-3:] for own in digests] == [own[-3:] for own in skipped[2]]
    states = [json.loads((run / "checkpoint-8/trainer_state.json").read_text()) for run in (output, skipped[0])]
    assert states[0]["stateful_callbacks"]["Health"] == states[1]["stateful_callbacks"]["Health"]
    assert states[0]["stateful_callbacks"]["Health"]["counts"]["nan_steps"] == 1
    assert len(states[0]["stateful_callbacks"]["Health"]["loss"]["ordinary"]) == 7
    assert (output / "spikes.jsonl").read_text() == (skipped[0] / "spikes.jsonl").read_text()


@pytest.mark.slow
def test_zero0_in_float32_whose_optimizer_is_torchs_is_guarded_too(data, tmp_path):
    more = ("--deepspeed", "configs/ds/zero0.json", "--max_steps", "4", "--on_nan", "skip")
    code, printed, digests = _run(data, tmp_path / "run", "2", *more)
    assert code == 0, printed[-5000:]
    for own in digests:
        assert own[1] == own[2] and len(own) == 4 and len(set(own)) == 3
    assert _logs(tmp_path / "run")[4]["nan_steps"] == 1


@pytest.mark.long
@pytest.mark.parametrize(("stage", "bf16"), [(0, "True"), (1, "True"), (1, "False"), (2, "False"), (3, "True")])
def test_every_stage_of_zero_leaves_a_nan_step_out(data, tmp_path, stage, bf16):
    more = ("--deepspeed", f"configs/ds/zero{stage}.json", "--bf16", bf16, "--max_steps", "4", "--on_nan", "skip")
    code, printed, digests = _run(data, tmp_path / "run", "2", *more)
    assert code == 0, printed[-5000:]
    for own in digests:
        assert own[1] == own[2] and len(own) == 4 and len(set(own)) == 3


def test_a_source_knows_whether_it_is_text_or_symbols(data):
    assert [kind_of(source) for source in _reading(data, 1).plan.sources] == ["text", "meta"]
