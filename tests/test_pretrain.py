"""Whole runs: DeepSpeed's launcher, two CPU ranks, ZeRO-2, bf16, real files."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from metalang.building import MixedBuild, TextBuild, build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.ids import IdSpace
from metalang.mixing import PlanSpec, Stage
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tokenizer, two corpora, and raw text to evaluate on."""
    folder = tmp_path_factory.mktemp("data")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    build = TextBuild(
        TextSource("pydoc:"), str(folder / "tokenizer"), split="train", validation_ratio=0.1
    )  # fmt: skip
    build_corpus(build, folder / "english")
    build_corpus(domain_build(IDENTITY, num_token=20_000), folder / "identity")
    (folder / "lines.jsonl").write_text(
        "".join(json.dumps({"text": f"Statement number {number} is executed."}) + "\n" for number in range(60))
    )
    return folder


def _command(data, output, *more, ranks=2, batch=4, accumulation=1):
    return [
        DEEPSPEED, "--num_gpus", str(ranks), "--master_port", str(29_700 + os.getpid() % 200), "train/pretrain.py",
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", f"{data}/tokenizer",
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--architecture", "causal", "--output_dir", str(output), "--learning_rate", "1e-3", "--use_cpu", "True",
        "--data_paths", f"{data}/english", f"{data}/identity", "--data_ratios", "0.5", "0.5", "--max_length", "32",
        "--per_device_train_batch_size", str(batch), "--gradient_accumulation_steps", str(accumulation),
        "--max_steps", "8", "--logging_steps", "1", "--save_strategy", "no", "--report_to", "none", *more,
    ]  # fmt: skip


def _run(command, **environment):
    names = ("WANDB_API_KEY", "WANDB_MODE", "PYTHONPATH")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
        env={**clean, "PYTHONPATH": str(ROOT / "src"), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


_WHOLE = (
    "--bf16", "True", "--save_strategy", "steps", "--save_steps", "4", "--eval_on_start", "--eval_strategy", "steps",
    "--eval_steps", "4", "--gather_weights", "True", "--report_to", "wandb", "--run_name", "whole",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run with everything on: (folder, what it printed)."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    code, printed = _run(
        _command(data, output, *_WHOLE, "--nl_eval_data_path", f"held_out={data}/lines.jsonl"), HOME=str(data)
    )
    assert code == 0, printed[-5000:]
    return output, printed


def _history(output):
    return json.loads((output / "trainer_state.json").read_text())["log_history"]


def _losses(output):
    return {entry["step"]: entry["loss"] for entry in _history(output) if "loss" in entry}


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_evaluates_natural_language_before_and_after_and_the_loss_falls(whole):
    values = {entry["step"]: entry for entry in _history(whole[0]) if "eval_held_out_loss" in entry}
    assert sorted(values) == [0, 4, 8]
    assert 6.0 < values[0]["eval_held_out_loss"] < 7.0  # a fresh model of 768 rows knows nothing: log(768) = 6.64
    assert values[8]["eval_held_out_loss"] < values[0]["eval_held_out_loss"] - 0.05
    assert values[8]["eval_held_out_tokens"] == values[0]["eval_held_out_tokens"] > 500
    assert values[8]["eval_held_out_perplexity"] < values[0]["eval_held_out_perplexity"]


def test_every_log_bears_the_tokens_seen(whole):
    assert [entry["tokens_seen"] for entry in _history(whole[0]) if "loss" in entry] == [256 * n for n in range(1, 9)]


def test_the_logged_learning_rate_is_the_one_used(whole):
    rates = [entry["learning_rate"] for entry in _history(whole[0]) if "loss" in entry]
    assert rates == pytest.approx([1e-3 * (8 - step) / 8 for step in range(8)], rel=1e-9)


def test_the_banner_tells_what_follows_from_the_flags(whole):
    for line in (
        "2 ranks on cpu, bf16, DeepSpeed ZeRO-2",
        "8 windows of 32 = 256 tokens a step",
        "8 steps, 2,048 tokens",
        "600 text + 82 meta-language, embedding 768",
        "source     english: 50.00%, 1,024 tokens",
        "start      at step 0",
    ):
        assert line in whole[1]


def test_the_model_folder_is_complete_and_loads_without_a_warning(whole, caplog):
    with caplog.at_level(logging.WARNING):
        model = AutoModelForCausalLM.from_pretrained(whole[0])
        tokenizer = AutoTokenizer.from_pretrained(whole[0])
    assert caplog.records == []
    assert model.get_input_embeddings().weight.shape == (768, 64)
    assert len(tokenizer) == 682
    assert tokenizer.convert_tokens_to_ids("<meta_lang_81>") == 681


def test_without_a_key_wandb_tracks_offline_and_the_run_says_where(whole):
    (run,) = (whole[0] / "wandb").glob("offline-run-*/run-*.wandb")
    assert run.stat().st_size > 1000
    assert f"wandb: {run.parent}" in whole[1]


def test_a_run_leaves_no_shared_memory_behind(whole):
    port = 29_700 + os.getpid() % 200  # DeepSpeed names its buffers by it
    assert list(Path("/dev/shm").glob(f"deepspeed_allreduce_buffer_*_{port}_*")) == []


def test_raw_text_is_tokenized_once_beside_the_run_and_reused(whole):
    (corpus,) = (whole[0].parent / "tokenized").iterdir()
    assert json.loads((corpus / "manifest.json").read_text())["num_documents"] == 60


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole, data):
    resumed = whole[0].parent / "resumed"
    resumed.mkdir()
    shutil.copy(whole[0] / "run.json", resumed)
    shutil.copytree(whole[0] / "checkpoint-4", resumed / "checkpoint-4")
    shutil.copytree(whole[0] / "checkpoint-8", resumed / "checkpoint-6")
    (resumed / "checkpoint-6" / "complete.json").unlink()
    manifest = next((whole[0].parent / "tokenized").glob("*/manifest.json"))
    written = manifest.stat().st_mtime_ns
    more = ("--resume_training", "True", "--nl_eval_data_path", f"held_out={data}/lines.jsonl", "--report_to", "none")
    code, printed = _run(_command(data, resumed, *_WHOLE, *more))
    assert code == 0, printed[-5000:]
    assert f"start      from {resumed}/checkpoint-4" in printed
    assert "checkpoint-6 is passed over: it has no complete.json" in printed
    assert _losses(resumed) == _losses(whole[0])
    assert _sha256(resumed / "model.safetensors") == _sha256(whole[0] / "model.safetensors")
    assert manifest.stat().st_mtime_ns == written


def test_a_resume_with_another_global_batch_is_refused(whole, data):
    more = ("--resume_training", "True", "--nl_eval_data_path", f"{data}/lines.jsonl")
    code, printed = _run(_command(data, whole[0], *_WHOLE, *more, accumulation=2))
    assert code != 0
    assert "pretrain: a step of this run reads 8 windows, and --per_device_train_batch_size 4" in printed


def test_a_resume_that_would_read_its_windows_in_another_way_is_refused(whole, data):
    more = ("--resume_training", "True", "--nl_eval_data_path", f"{data}/lines.jsonl", "--report_to", "none")
    code, printed = _run(_command(data, whole[0], *_WHOLE, *more, "--document_boundaries", "mask"))
    assert code != 0
    assert "checkpoint-8 is of another run (document_boundaries: ignore then, mask now); continue with the" in printed


def test_the_loss_is_that_of_the_global_batch_however_it_is_cut(data, tmp_path):
    """Masked windows in float32: one rank of 8, two of 4, two of 2 with accumulation; a mean of means would differ."""
    cuts = {"1x8": (1, 8, 1), "2x4": (2, 4, 1), "2x2x2": (2, 2, 2)}
    losses, evaluated = {}, {}
    for name, (ranks, batch, accumulation) in cuts.items():
        command = _command(
            data, tmp_path / name, "--data_ratios", "0.2", "0.8", "--max_steps", "4",
            "--gather_weights", "False", "--save_strategy", "steps", "--eval_on_start",
            "--nl_eval_data_path", f"held_out={data}/lines.jsonl",
            ranks=ranks, batch=batch, accumulation=accumulation,
        )  # fmt: skip
        code, printed = _run(command)
        assert code == 0, printed[-5000:]
        losses[name] = [_losses(tmp_path / name)[step] for step in (1, 2, 3, 4)]
        evaluated[name] = next(entry for entry in _history(tmp_path / name) if "eval_held_out_loss" in entry)
    assert losses["2x4"] == pytest.approx(losses["1x8"], abs=2e-5)
    assert losses["2x2x2"] == pytest.approx(losses["1x8"], abs=2e-5)
    one, two = evaluated["1x8"], evaluated["2x4"]
    assert two["eval_held_out_loss"] == pytest.approx(one["eval_held_out_loss"], abs=1e-5)
    assert two["eval_held_out_tokens"] == one["eval_held_out_tokens"]
    assert not (tmp_path / "2x4" / "model.safetensors").exists()
    sharded = sorted(path.name for path in (tmp_path / "2x4/checkpoint-4/global_step4").iterdir())
    assert [name for name in sharded if "optim" in name] == [
        "zero_pp_rank_0_mp_rank_00_optim_states.pt",
        "zero_pp_rank_1_mp_rank_00_optim_states.pt",
    ]


@pytest.mark.parametrize("stage", ["0", "1", "3", "2-offload", "3-offload"])
def test_every_stage_of_zero_trains_and_leaves_a_model(data, tmp_path, stage):
    more = ("--deepspeed", f"configs/ds/zero{stage}.json", "--bf16", "True", "--max_steps", "2")
    code, printed = _run(_command(data, tmp_path / "run", *more))
    assert code == 0, printed[-5000:]
    assert f"DeepSpeed ZeRO-{stage[0]}" in printed and "198,400 parameters" in printed
    assert 6.0 < _losses(tmp_path / "run")[2] < 7.0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "run").num_parameters() == 198_400


def test_training_on_the_mixture_written_to_disk_is_training_on_the_mixture(whole, data, tmp_path):
    space = load_tokenizer(f"{data}/tokenizer").id_space
    ids = IdSpace(space.text_size, 82, space.eos_id, space.tokenizer)
    paths = (("english", f"{data}/english"), ("identity", f"{data}/identity"))
    spec = PlanSpec((Stage((1, 1)),), (4.0, 4.0), length=32, num_windows=64, seed=42)
    build_corpus(MixedBuild(paths, spec, ids), tmp_path / "mixed")
    more = ("--bf16", "True", "--data_paths", f"{tmp_path}/mixed", "--data_ratios", "1")
    code, printed = _run(_command(data, tmp_path / "run", *more))
    assert code == 0, printed[-5000:]
    assert _losses(tmp_path / "run") == _losses(whole[0])
    mixed, mixture = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run", whole[0]))
    assert all((mixed[name] == mixture[name]).all() for name in mixture)


def test_documents_are_kept_apart_on_request(whole, data, tmp_path):
    more = ("--bf16", "True", "--document_boundaries", "mask", "--max_steps", "2")
    code, printed = _run(_command(data, tmp_path / "run", *more))
    assert code == 0, printed[-5000:]
    apart = _losses(tmp_path / "run")
    assert 6.0 < apart[1] < 7.0
    assert apart != {step: loss for step, loss in _losses(whole[0]).items() if step <= 2}


def _staged(data, folder, *stages):
    """A mixture of both corpora in stages (until, share of English)."""
    path = folder / f"staged{len(list(folder.glob('*.yaml')))}.yaml"
    described = ", ".join(
        f"{{until: {until}, mix_ratio: {{{', '.join(f'{name}: {share}' for name, share in shares.items())}}}}}"
        for until, shares in stages
    )
    datasets = ", ".join(f"{{name: {name}, corpus: {data}/{name}}}" for name in ("english", "identity"))
    path.write_text(f"unit: tokens\ndatasets: [{datasets}]\nstages: [{described}]\n")
    return path


def _on_mixture(data, output, mixture, *more):
    command = _command(data, output, "--data_config", str(mixture), "--lr_scheduler_type", "constant", *more)
    start = command.index("--data_paths")
    del command[start : command.index("--max_length")]
    return command


def test_a_run_in_stages_may_be_made_longer_and_what_it_read_may_not_change(data, tmp_path):
    first = (1024, {"identity": 1})  # 32 windows, four steps
    whole = _staged(data, tmp_path, first, (1536, {"english": 0.5, "identity": 0.5}), (4096, {"english": 1}))
    code, printed = _run(_on_mixture(data, tmp_path / "whole", whole))
    assert code == 0, printed[-5000:]
    assert "stage without a name: windows 0 to 31: 100.00% identity" in printed
    begun = _staged(data, tmp_path, first, (1536, {"english": 0.5, "identity": 0.5}))
    save = ("--save_strategy", "steps", "--save_steps", "5")
    code, printed = _run(_on_mixture(data, tmp_path / "run", begun, "--max_steps", "5", *save))
    assert code == 0, printed[-5000:]
    resume = ("--resume_training", "True", *save)
    changed = _staged(data, tmp_path, first, (4096, {"english": 1}))
    code, printed = _run(_on_mixture(data, tmp_path / "run", changed, *resume))
    assert code != 0
    assert "is of another run (stage 2 0.5 english (" in printed and "1 english (" in printed
    assert "--rebase_data True" in printed
    shutil.copytree(tmp_path / "run", tmp_path / "rebased")
    code, printed = _run(_on_mixture(data, tmp_path / "rebased", changed, *resume, "--rebase_data", "True"))
    assert code == 0, printed[-5000:]
    assert "the data is rebased on another plan: stage 2 0.5 english" in printed
    code, printed = _run(_on_mixture(data, tmp_path / "run", whole, *resume))
    assert code == 0, printed[-5000:]
    assert _losses(tmp_path / "run") == _losses(tmp_path / "whole")
    assert len(_losses(tmp_path / "run")) == 8
    assert _losses(tmp_path / "rebased")[6] != _losses(tmp_path / "whole")[6]


# Bad input: one line, exit 1, before the first step.


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data_ratios", "0.5", "0.6"], "--data_ratios 0.5 0.6 sum to 1.1 and should sum to 1"),
        (["--data_ratios", "1"], "2 --data_paths and 1 --data_ratios are given"),
        (["--num_meta_lang_tokens", "40"], "identity needs 82 meta-language tokens and the model has 40"),
        (["--max_steps", "1000000", "--max_epochs", "1"], "epochs of 1 at most. Set max_epochs"),
        (["--data_paths", "missing.jsonl", "--data_ratios", "1"], "missing.jsonl"),
        (
            ["--data_paths", "configs/mixtures/dyck_then_english.yaml", "--data_ratios", "1"],
            "describes all the data of a run (unit: tokens); give it as --data_config",
        ),
    ],
    ids=["sum", "number", "too_small", "epochs", "missing", "mixture"],
)
def test_a_run_that_cannot_be_is_refused_in_one_line(data, tmp_path, more, message):
    command = _command(data, tmp_path / "run", *more)
    alone = [sys.executable, *command[command.index("train/pretrain.py") :]]
    without_deepspeed = [flag for flag in alone if flag not in ("--deepspeed", "configs/ds/zero2.json")]
    code, printed = _run(without_deepspeed)
    assert code == 1
    assert message in printed.strip().splitlines()[-1]
    assert printed.strip().splitlines()[-1].startswith("pretrain: ")
    assert "Traceback" not in printed


def test_a_mixture_of_texts_is_prepared_on_the_way_and_trains_like_its_prepared_file(data, tmp_path):
    mixture = tmp_path / "mix.yaml"
    part = f"name: lines, source: {data}/lines.jsonl, mix_ratio: 1.0, filters: [{{type: length, max_chars: 33}}]"
    mixture.write_text(f"datasets: [{{{part}}}]\nvalidation: {{ratio: 0.2}}\n")
    losses = []
    for name, flag, value in (
        ("first", "--data_config", mixture),
        ("second", "--prepared_data", tmp_path / "prepared/mixture_mix_train.jsonl"),
    ):
        command = _command(data, tmp_path / name, flag, str(value), "--max_epochs", "50")
        start = command.index("--data_paths")
        del command[start : command.index("--max_length")]
        code, printed = _run(command)
        assert code == 0, printed[-3000:]
        history = json.loads((tmp_path / name / "trainer_state.json").read_text())["log_history"]
        losses.append([entry["loss"] for entry in history if "loss" in entry])
    assert losses[0] == losses[1] and len(losses[0]) == 8
    assert (tmp_path / "prepared/mixture_mix_val.jsonl").exists()


def test_a_run_that_verifies_its_reads_ends_at_a_flipped_bit_with_one_line(data, tmp_path):
    shutil.copytree(data / "identity", tmp_path / "identity")
    content = bytearray((tmp_path / "identity/00000.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "identity/00000.bin").write_bytes(bytes(content))
    (tmp_path / "english").symlink_to(data / "english")
    (tmp_path / "tokenizer").symlink_to(data / "tokenizer")
    flags = ("--dataloader_num_workers", "1", "--verify_reads")
    code, printed = _run(_command(tmp_path, tmp_path / "run", *flags, "True", ranks=1))
    assert code != 0
    found = f"{tmp_path}/identity/00000.bin is damaged between bytes 0 and {len(content):,}; remove its folder"
    assert any(f"pretrain: {found} and build the corpus again" in line for line in printed.splitlines())
    assert "Traceback" not in printed
    code, printed = _run(_command(tmp_path, tmp_path / "other", *flags, "False", ranks=1))
    assert code == 0, printed[-3000:]
