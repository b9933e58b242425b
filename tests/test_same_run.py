"""What a run may go on with: its own model, optimizer and objective; and what run.json says of one that begins anew."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from metalang.building import TextBuild, build_corpus
from metalang.errors import ConfigError, MismatchError
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.model import read_architecture
from metalang.training.run import pretrain
from metalang.training.same_run import require_same_run

ROOT = Path(__file__).parents[1]
WSD = ("--lr_scheduler_type", "warmup_stable_decay")
POLYNOMIAL = ("--lr_scheduler_type", "polynomial", "--lr_scheduler_kwargs", '{"power": 2.0}')
TINY = str(ROOT / "configs/models/tiny.json")


def _settings(output, *more, stage=2):
    return parse_arguments(
        [
            *("--model_name_or_path", TINY, "--tokenizer_name", "some-folder", "--random_initialize", "True"),
            *("--output_dir", str(output), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "10"),
            *("--use_cpu", "True", "--bf16", "True", "--deepspeed", str(ROOT / f"configs/ds/zero{stage}.json"), *more),
        ]
    )


def _model(**sizes):
    config = read_architecture(TINY)
    for size, value in sizes.items():
        setattr(config, size, value)
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """What a run of one rank under ZeRO-2 leaves of its model and flags; its optimizer's file is empty."""
    run = tmp_path_factory.mktemp("run")
    return _checkpoint(run, _settings(run))


def _checkpoint(run, settings):
    folder = run / "checkpoint-5"
    (folder / "global_step5").mkdir(parents=True)
    (folder / "global_step5/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"")
    _model().save_pretrained(folder)
    (folder / "trainer_state.json").write_text(json.dumps({"max_steps": settings.run.max_steps}))
    (run / "run.json").write_text(json.dumps(settings.record()))
    return folder


def test_a_run_goes_on_with_what_it_was_begun_with_and_under_the_next_stage(checkpoint):
    require_same_run(checkpoint, _model(), _settings(checkpoint.parent))
    require_same_run(checkpoint, _model(), _settings(checkpoint.parent, stage=1))


@pytest.mark.parametrize(
    ("sizes", "more", "stage", "message"),
    [
        ({"num_hidden_layers": 1}, (), 2, r"does not go on with these settings \(num_hidden_layers: 2 then, 1 now\)"),
        ({}, ("--bf16", "False"), 2, r"--bf16: True then, False now\); give those of then, or begin a run of its own"),
        ({}, ("--optim", "sgd"), 2, r"--optim: adamw_torch_fused then, sgd now"),
        ({}, ("--weight_decay", "0.1"), 2, r"--weight_decay: 0\.0 then, 0\.1 now"),
        ({}, ("--z_loss", "1e-4"), 2, r"--z_loss: 0\.0 then, 0\.0001 now"),
        ({}, ("--max_grad_norm", "0.5"), 2, r"--max_grad_norm: 1\.0 then, 0\.5 now"),
        ({}, ("--learning_rate", "1e-3"), 2, r"--learning_rate: 5e-05 then, 0\.001 now"),
        ({}, ("--lr_scheduler_type", "cosine"), 2, r"--lr_scheduler_type: linear then, cosine now"),
        ({}, ("--warmup_steps", "3"), 2, r"--warmup_steps: 0 then, 3\.0 now"),
        ({}, WSD, 2, r"--lr_scheduler_type: linear then, warmup_stable_decay now\)"),
        ({}, (*WSD, "--decay_steps", "4"), 2, r"linear then, warmup_.* now; --decay_steps: None then, 4 now"),
        ({}, ("--optim_args", "a=1"), 2, r"--optim_args: None then, a=1 now"),
        ({}, ("--average_tokens_across_devices", "False"), 2, r"--average_tok.*: True then, False now"),
        ({}, ("--neftune_noise_alpha", "5"), 2, r"--neftune_noise_alpha: None then, 5\.0 now"),
        ({}, (*POLYNOMIAL,), 2, r"--lr_scheduler_kwargs power: None then, 2\.0 now"),
        ({}, (), 3, r"ZeRO stage: 1 or 2 then, 3 now"),
        ({}, (), 0, r"ZeRO stage: 1 or 2 then, 0 now"),
    ],
)
def test_a_run_does_not_go_on_with_another_model_optimizer_or_objective(checkpoint, sizes, more, stage, message):
    model = _model(**sizes)  # before the settings: under ZeRO-3 it would be shared out among ranks
    settings = _settings(checkpoint.parent, *more, stage=stage)
    with pytest.raises(MismatchError, match=message):
        require_same_run(checkpoint, model, settings)


def test_a_run_may_become_longer_and_decay_later_but_not_where_its_curriculum_would_move(tmp_path):
    decay = (*WSD, "--decay_steps", "20%", "--architecture", "masked_diffusion")
    for curriculum in ("none", "importance"):
        flags = (*decay, "--curriculum", curriculum)
        checkpoint = _checkpoint(tmp_path / curriculum, _settings(tmp_path / curriculum, *flags))
        longer = _settings(tmp_path / curriculum, *flags, "--max_steps", "20")
        if curriculum == "none":
            require_same_run(checkpoint, _model(), longer)
            continue
        branch = _settings(tmp_path / "branch", *flags, "--max_steps", "20")
        for settings in (longer, branch):
            with pytest.raises(MismatchError, match=r"--max_steps, of which the stages .* are shares: 10 then, 20 now"):
                require_same_run(checkpoint, _model(), settings)


def test_a_branch_may_have_another_objective_and_no_other_optimizer(checkpoint, tmp_path):
    require_same_run(checkpoint, _model(), _settings(tmp_path, "--z_loss", "1e-4"))
    with pytest.raises(MismatchError, match=r"--adam_beta2: 0\.999 then, 0\.95 now"):
        require_same_run(checkpoint, _model(), _settings(tmp_path, "--adam_beta2", "0.95"))


def test_a_run_that_begins_where_another_attempt_has_failed_leaves_its_own_flags(tmp_path):
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path / "tokenizer")
    (tmp_path / "text.txt").write_text("A lobster is larger than a shrimp. " * 100)
    build_corpus(TextBuild(TextSource(f"{tmp_path}/text.txt"), f"{tmp_path}/tokenizer"), tmp_path / "corpus")
    flags = [
        "--model_name_or_path", TINY, "--tokenizer_name", f"{tmp_path}/tokenizer", "--random_initialize", "True",
        "--use_cpu", "True", "--data_paths", f"{tmp_path}/corpus", "--data_ratios", "1", "--max_length", "8",
        "--per_device_train_batch_size", "2", "--max_steps", "3", "--save_strategy", "no", "--disable_tqdm", "True",
        "--report_to", "none", "--output_dir", f"{tmp_path}/run",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="the loss is nan"):
        pretrain(parse_arguments([*flags, "--learning_rate", "1e30"]))
    failed = json.loads((tmp_path / "run/run.json").read_text())
    pretrain(parse_arguments([*flags, "--learning_rate", "1e-3"]))
    ended = json.loads((tmp_path / "run/run.json").read_text())
    assert (failed["run"]["learning_rate"], ended["run"]["learning_rate"]) == (1e30, 1e-3)
    assert ended["run_id"] == failed["run_id"]
