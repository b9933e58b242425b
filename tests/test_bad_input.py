"""What nobody can mean, on the command line and in a --config file: one line that says what would be right."""

import pytest

from metalang.errors import ConfigError
from metalang.training.config import parse_arguments
from metalang.training.environment import prepare_environment
from metalang.training.run_file import file_flags

_FLAGS = (
    *("--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", "t", "--random_initialize", "True"),
    *("--output_dir", "runs/none", "--data_paths", "a", "--data_ratios", "1", "--max_steps", "5", "--use_cpu=True"),
)


def _fault(*argv):
    with pytest.raises(ConfigError) as caught:
        parse_arguments([*argv])
    return str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max_steps", "lots"], "--max_steps 'lots' is no whole number; write one in digits, such as 1000"),
        (["--max-length=1K"], "--max_length '1K' is no whole number; write one in digits, such as 1000"),
        (["--learning_rate", "fast"], "--learning_rate 'fast' is no number; write one, such as 0.5 or 1e-3"),
        (["--bf16", "maybe"], "--bf16 'maybe' is neither True nor False; write one of them"),
        (["--save_strategy", "stepz"], "--save_strategy 'stepz' is none of its values; did you mean 'steps'?"),
        (
            ["--architecture", "x"],
            "--architecture 'x' is none of its values; known: causal, seq2seq, masked_diffusion",
        ),
        (["--debug", "x"], "--debug 'x' is no value of it; --help names those that are"),
        (["--seed"], "--seed has no value; write one behind it"),
        (["--data_paths"], "--data_paths has no value; write one behind it"),
        (["--max_steps", str(10**30)], f"--max_steps {10**30} is no length of a run; give at most 1,000,000,000,000"),
        (["--eval_steps", "0"], "--eval_steps 0 is no interval; give 1 or more, such as 100"),
        (["--ddp_timeout", "0"], "--ddp_timeout 0 is no count; give 1 or more, such as 8"),
        (
            ["--dataloader_prefetch_factor", "0"],
            "--dataloader_prefetch_factor 0 is no count; give 1 or more, such as 8",
        ),
        (
            ["--dataloader_persistent_workers", "True"],
            "--dataloader_persistent_workers True needs --dataloader_num_workers 1 or more; leave it out without",
        ),
        (
            ["--gradient_checkpointing_kwargs", '{"reentrant": false}'],
            "--gradient_checkpointing_kwargs {'reentrant': False} is no JSON object of use_reentrant, "
            "preserve_rng_state, determinism_check, debug, early_stop; give '{\"use_reentrant\": false}', or "
            "leave it out",
        ),
        (
            ["--torch_compile_backend", "inductr"],
            "--torch_compile_backend inductr is none of the compiler's; did you mean 'inductor'?",
        ),
        (
            ["--torch_compile", "True", "--torch_compile_mode", "quick"],
            "--torch_compile_mode quick is none of the compiler's; known: default, lite, max-autotune, "
            "max-autotune-no-cudagraphs, reduce-overhead",
        ),
        (
            ["--load_best_model_at_end", "True"],
            "--load_best_model_at_end True with --eval_strategy no and --save_strategy steps: the best evaluation "
            "would have no checkpoint; give steps for both, or --save_strategy best",
        ),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_what_would_be_right(more, message):
    assert _fault(*_FLAGS, *more) == message


def test_a_flag_that_is_missing_is_named():
    assert _fault("--max_steps", "5") == "--model_name_or_path is needed; --help says what for"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--push_to_hub", "True"], "--push_to_hub True would upload a checkpoint while it is written, and end in an"),
        (["--accelerator_config", '{"split_batches": true}'], '--accelerator_config {"split_batches": true} would cut'),
        (["--eval_do_concat_batches", "False"], "--eval_do_concat_batches False does not go with losses that are"),
        (["--use_liger_kernel", "True"], "--use_liger_kernel True would swap parts of the model, its loss among them"),
        (["--fsdp_config", "{}"], "--fsdp_config {} has no effect without --fsdp"),
    ],
)
def test_a_flag_that_would_break_a_promise_is_refused(more, message):
    assert _fault(*_FLAGS, *more).startswith(message)


# Of a file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_steps: [3, 4]", "says max_steps: [3, 4], and --max_steps takes one value; write one"),
        ("data: {max_length: [64]}", "says data.max_length: [64], and --max_length takes one value; write one"),
        ("max_steps: {a: 1}", "has the key 'max_steps.a', which is no flag; --max_steps takes a value, no keys"),
        (
            "data_paths: [[a, b]]",
            "says data_paths: [['a', 'b']], and --data_paths takes values side by side; write them as [a, b]",
        ),
        (
            "data_paths: [null]",
            "says data_paths: [None], and --data_paths takes values side by side; write them as [a, b]",
        ),
        (
            "lr_scheduler_kwargs: {num_cycles: 2026-01-02}",
            "says lr_scheduler_kwargs: {'num_cycles': datetime.date(2026, 1, 2)}, and --lr_scheduler_kwargs takes what "
            "JSON can say; write numbers, texts and lists",
        ),
    ],
)
def test_a_value_of_the_wrong_shape_is_refused_with_its_key(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert _fault(*_FLAGS, "--config", str(path)) == f"{path} {message}"


def test_a_date_where_a_number_belongs_is_refused(tmp_path):
    (tmp_path / "run.yaml").write_text("seed: 2026-01-02")
    message = "--seed '2026-01-02' is no whole number; write one in digits, such as 1000"
    assert _fault(*_FLAGS, "--config", str(tmp_path / "run.yaml")) == message


def test_no_of_yaml_is_no(tmp_path):
    (tmp_path / "run.yaml").write_text("save_strategy: no\nbf16: no")
    assert file_flags([f"--config={tmp_path}/run.yaml"]) == ["--save_strategy", "no", "--bf16", "False"]


def test_ranges_of_stages_need_no_section(tmp_path):
    (tmp_path / "run.yaml").write_text("importance_ranges: {easy: [0.0, 0.4]}")
    assert file_flags([f"--config={tmp_path}/run.yaml"]) == ["--importance_ranges", "easy=0.0-0.4"]


# Both forms of a flag


@pytest.mark.parametrize(
    ("argv", "accelerator"),
    [
        (["--use_cpu", "True"], "cpu"),
        (["--use_cpu=True"], "cpu"),
        (["--use-cpu=yes"], "cpu"),
        (["--use_cpu", "--bf16", "True"], "cpu"),
        (["--use_cpu=False"], None),
        (["--use_cpu", "0"], None),
        (["--use_cpu", "True", "--use_cpu=no"], None),
        (["--use_cpu_too=True"], None),
    ],
)
def test_use_cpu_is_heard_before_torch_in_every_form(tmp_path, argv, accelerator):
    environment = {"TORCH_EXTENSIONS_DIR": str(tmp_path)}
    prepare_environment(environment, argv)
    assert environment.get("DS_ACCELERATOR") == accelerator
