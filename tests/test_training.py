"""The parts of a run that need no launcher: flags, models, windows, loss, evaluation, checkpoints."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from deepspeed.accelerator import get_accelerator
from transformers import AutoModelForCausalLM, AutoTokenizer

from metalang.building import TextBuild, build_corpus
from metalang.errors import ConfigError, MismatchError
from metalang.mixing import Plan, Source, Stage
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.checkpoints import claim_output, newest_complete, require_unchanged
from metalang.training.config import parse_arguments
from metalang.training.dataset import EvaluationDataset, PlanDataset
from metalang.training.deepspeed_json import check_deepspeed_json
from metalang.training.environment import prepare_environment
from metalang.training.flags import ModelArguments
from metalang.training.flags.run import require_one_gpu
from metalang.training.generation import continue_text
from metalang.training.manifest import write_manifest
from metalang.training.model import build_model, read_architecture
from metalang.training.objectives.causal import Causal
from metalang.training.trainer import MetalangTrainer

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "configs/models/tiny.json")
DYCK = str(ROOT / "configs/mixtures/dyck_then_english.yaml")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder))


@pytest.fixture(scope="module")
def source(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text.txt").write_text("A lobster is larger than a shrimp. " * 60)
    build_corpus(TextBuild(TextSource(str(folder / "text.txt")), tokenizer.name), folder / "corpus")
    return Source("text", folder / "corpus", tokenizer.id_space, length=32)


def _flags(tmp_path, *more):
    return [
        "--model_name_or_path", TINY, "--tokenizer_name", "some-folder", "--random_initialize", "True",
        "--output_dir", str(tmp_path / "run"), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "5",
        "--use_cpu", "True", *more,
    ]  # fmt: skip


def _arguments(**changes):
    return ModelArguments(**{"model_name_or_path": TINY, "tokenizer_name": "t", "random_initialize": True} | changes)


# Flags


def test_the_documented_flags_mean_what_they_say(tmp_path):
    settings = parse_arguments(
        _flags(
            tmp_path,
            *("--eval_on_start", "--nl_eval_data_path", "b", "--save_strategy", "steps", "--bf16", "True"),
            *("--gather_weights", "False", "--save_total_limit", "2", "--seed", "4294967295"),
        )
    )
    run = settings.run
    assert (run.eval_on_start, run.bf16, run.gather_weights, run.resume_training) == (True, True, False, False)
    assert (run.train_sampling_strategy, run.logging_nan_inf_filter, run.windows_per_step) == ("sequential", False, 8)
    assert settings.model.random_initialize is True
    assert (settings.data.sample_by, settings.data.on_bad_line) == ("document", "error")
    data = parse_arguments(_flags(tmp_path, "--sample_by", "line", "--on_bad_line", "skip")).data
    assert (data.sample_by, data.on_bad_line) == ("line", "skip")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max_steps", "0"], "--max_steps is needed"),
        (["--prepared_data", "b.jsonl"], "2 of --data_paths, --data_config and --prepared_data are given"),
        (["--max_length", "0"], "--max_length 0 holds no token"),
        (["--max_epochs", "0"], "--max_epochs 0.0 reads nothing"),
        (["--num_meta_lang_tokens", "-1"], "--num_meta_lang_tokens -1 is no count"),
        (["--random_initialize", "False"], "is an architecture without weights; set --random_initialize True"),
        (["--train_sampling_strategy", "random"], "would shuffle what the mixture has ordered"),
        (["--gather_weights", "False", "--save_strategy", "no"], "would leave nothing"),
        (["--label_smoothing_factor", "0.1"], "--label_smoothing_factor has no effect on our loss"),
        (["--resume_training", "True"], "--resume_training True needs --deepspeed"),
        (["--deepspeed", "missing.json"], "missing.json: No such file"),
        (
            ["--eval_strategy", "steps", "--eval_steps", "5"],
            "--eval_strategy steps has nothing to evaluate on; give --nl",
        ),
        (["--eval_on_start"], "--eval_on_start has nothing to evaluate on; give --nl_eval_data_path"),
        (["--ignore_data_skip", "True"], "--ignore_data_skip True would train again on the first windows"),
        (["--enable_jit_checkpoint", "True"], "would save in the middle of a step when a run is asked to stop; leave"),
        (["--save_only_model", "True"], "would write checkpoints from which no run can go on"),
        (["--dataloader_drop_last", "True"], "would leave the last windows out of an evaluation"),
        (["--batch_eval_metrics", "True"], "--batch_eval_metrics True does not go with losses that are summed"),
        (["--restore_callback_states_from_checkpoint", "True"], "leave it out: what they know is restored"),
        (["--resume_from_checkpoint", "runs/a"], "--resume_from_checkpoint runs/a has no effect; set --resume_tr"),
        (["--auto_find_batch_size", "True"], "--auto_find_batch_size True would change the batch"),
        (
            ["--save_total_limit", "1"],
            "--save_total_limit 1 would leave no complete checkpoint between two saves; give 2",
        ),
        (["--save_total_limit", "0"], "--save_total_limit 0 would leave no complete checkpoint"),
        (["--per_device_train_batch_size", "0"], "--per_device_train_batch_size 0 is no count; give 1 or more"),
        (["--per_device_eval_batch_size", "-1"], "--per_device_eval_batch_size -1 is no count"),
        (["--gradient_accumulation_steps", "0"], "--gradient_accumulation_steps 0 is no count"),
        (["--seed", "-1"], "--seed -1 is no seed; give 0 to 4294967295"),
        (["--data_seed", "4294967296"], "--data_seed 4294967296 is no seed"),
        (["--max_stepz", "5"], r"^--max_stepz is no flag; did you mean --max_steps\?$"),
        (["--data_ratioz=1"], r"^--data_ratioz is no flag; did you mean --data_ratios\?$"),
        (["--qqqq", "5"], "^--qqqq is no flag; --help names them all$"),
        (["--seed", "1", "2"], "^'2' belongs to no flag; "),
        (["--learning_rate", "nan"], "--learning_rate nan is no learning rate; give 0 or more, such as 1e-3"),
        (["--learning_rate=-1"], "--learning_rate -1 is no learning rate"),
        (["--weight_decay=-0.1"], r"--weight_decay -0\.1 is no weight decay; give 0 or more, such as 0\.1"),
        (["--max_grad_norm", "-1"], "--max_grad_norm -1 is no norm; give 1, or 0 to clip nothing"),
        (
            ["--adam_beta1", "1.5"],
            r"--optim adamw_torch_fused with --adam_beta1 1\.5, .* cannot be made \(Invalid beta",
        ),
        (["--save_steps", "0"], "--save_steps 0 is no interval; give 1 or more, such as 100"),
        (["--logging_steps", "0"], "--logging_steps 0 is no interval"),
        (["--dataloader_num_workers", "-1"], "--dataloader_num_workers -1 is no count; give 0 or more"),
        (["--fsdp", "full_shard"], "--fsdp shares weights out in another way than --deepspeed, which is used here"),
        (["--warmup_steps", "-5"], "--warmup_steps -5 is no number of steps; give 0 or more, such as 100"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused(tmp_path, more, message):
    with pytest.raises(ConfigError, match=message):
        parse_arguments(_flags(tmp_path, *more))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--sample_prompts", "The sea"],
            "--sample_prompts 'The sea' has no effect without --sample_steps, such as 1000",
        ),
        (["--sample_tokens", "8"], "--sample_tokens 8 has no effect without --sample_steps"),
        (["--sample_temperature", "1"], r"--sample_temperature 1\.0 has no effect without --sample_steps"),
        (["--max_nan_steps", "5"], "--max_nan_steps 5 has no effect without --on_nan skip; add that, or leave it out"),
        (["--dry_run_gpus", "8"], "--dry_run_gpus 8 has no effect without --dry_run True"),
        (["--dry_run_mfu", "0.3"], r"--dry_run_mfu 0\.3 has no effect without --dry_run True"),
        (["--allow_batch_change", "True"], "--allow_batch_change True has no effect without --resume_training True"),
        (["--rebase_data", "True"], "--rebase_data True has no effect without --resume_training True"),
    ],
)
def test_a_flag_that_would_have_no_effect_is_refused(tmp_path, more, message):
    with pytest.raises(ConfigError, match=message):
        parse_arguments(_flags(tmp_path, *more))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["--data_paths", "a"], "--data_paths needs --data_ratios: the share of the tokens of each path"),
        (["--data_config", DYCK, "--data_ratios", "1"], "--data_ratios 1 is of --data_paths; leave it out"),
        (["--data_config", DYCK, "--max_epochs", "8"], "--max_epochs 8 is of --data_paths; write max_epochs into "),
    ],
)
def test_shares_and_epochs_that_the_data_would_not_heed_are_refused(tmp_path, data, message):
    flags = _flags(tmp_path)
    start = flags.index("--data_paths")
    flags[start : flags.index("--max_steps")] = data
    with pytest.raises(ConfigError, match=message):
        parse_arguments(flags)


def test_one_process_takes_at_most_one_gpu():
    require_one_gpu(0)
    require_one_gpu(1)
    with pytest.raises(
        ConfigError, match=r"one process has 4 GPUs .* deepspeed --include localhost:0,1,2,3 train/pretrain"
    ):
        require_one_gpu(4)


def test_fp16_under_deepspeed_where_it_does_not_run_is_refused(tmp_path):
    if get_accelerator().is_fp16_supported():
        pytest.skip("fp16 runs here")
    zero2 = ("--deepspeed", str(ROOT / "configs/ds/zero2.json"))
    with pytest.raises(
        ConfigError, match="--fp16 True under DeepSpeed needs a GPU, which is not here; give --bf16 True"
    ):
        parse_arguments(_flags(tmp_path, *zero2, "--bf16", "False", "--fp16", "True"))


def test_bf16_without_a_gpu_says_what_to_add(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    flags = _flags(tmp_path)
    at = flags.index("--use_cpu")
    with pytest.raises(ConfigError, match=r"bf16.* add --use_cpu True"):
        parse_arguments([*flags[:at], *flags[at + 2 :], "--bf16", "True"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"optimizer": {"type": "AdamW"}}, "'optimizer' block, which would override --optim, --learning_rate"),
        ({"scheduler": {"type": "WarmupLR"}}, "'scheduler' block, which would override --lr_scheduler_type"),
        (
            {"zero_optimisation": {"stage": 2}},
            "'zero_optimisation' that DeepSpeed does not read; did you mean 'zero_opt",
        ),
        ({"zero_optimization": {"stag": 2}}, r"key zero_optimization\.stag of no meaning; did you mean 'stage'"),
        ({"train_batch_size": 32}, 'sets train_batch_size to 32; write "auto" there and use --per_device_train_batch'),
        ({"bf16": {"enabled": True}}, 'sets bf16.enabled to True; write "auto" there and use --bf16'),
        ([1], "holds no object"),
        ({"zero_optimization": True}, "has zero_optimization True, which is no object; its keys can be stage, "),
        ({"zero_optimization": None}, "has zero_optimization None, which is no object"),
        ({"zero_optimization": {"offload_param": None}}, r"zero_optimization\.offload_param None, which is no object"),
        ({"bf16": "auto"}, "has bf16 'auto', which is no object; its keys can be enabled, "),
        ({"bf16": {"enable": "auto"}}, r"key bf16\.enable of no meaning; did you mean 'enabled'"),
        ({"fp16": {"loss_scal": 0}}, r"key fp16\.loss_scal of no meaning; did you mean 'loss_scale'"),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"devise": "cpu"}}},
            r"key zero_optimization\.offload_optimizer\.devise of no meaning; did you mean 'device'",
        ),
        ({"zero_optimization": {"offload_param": {"pin": True}}}, r"key zero_optimization\.offload_param\.pin of no m"),
        (
            {"zero_optimization": {"offload_param": "cpu"}},
            r"has zero_optimization\.offload_param 'cpu', which is no obj",
        ),
        ({"zero_optimization": {"stage": 3}}, 'without "stage3_gather_16bit_weights_on_model_save": true'),
        (
            {"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": False}},
            "or set --gather_weights False",
        ),
        (
            {"zero_optimization": {"stage": 4}},
            r"sets zero_optimization\.stage to 4: Input should be 0, 1, 2, 3 or 3; mend",
        ),
        (
            {"zero_optimization": {"stage": 2, "reduce_bucket_size": "big"}},
            r"sets zero_optimization\.reduce_bucket_size to 'big': Input should be a valid integer",
        ),
    ],
)
def test_a_deepspeed_json_that_would_override_the_flags_is_refused_with_the_fix(tmp_path, config, message):
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=message):
        check_deepspeed_json(path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("gradient_clipping", "does not say gradient_clipping, so --max_grad_norm would have no effect"),
        (
            "bf16",
            r"does not say bf16\.enabled, so --bf16 would have no effect; write \"auto\" there, as configs/ds/zero2",
        ),
        ("train_micro_batch_size_per_gpu", "does not say train_micro_batch_size_per_gpu, so --per_device_train_batch"),
        ("zero_optimization", r"does not say zero_optimization\.stage; write 0 \(nothing is shared out\), 1, 2 or 3"),
    ],
)
def test_a_deepspeed_json_that_would_not_hear_of_a_flag_is_refused(tmp_path, missing, message):
    config = json.loads((ROOT / "configs/ds/zero2.json").read_text())
    del config[missing]
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=message):
        check_deepspeed_json(path)


@pytest.mark.parametrize("text", ['{"bf16": {"enabled": "auto"}} // why', '{"bf16": {},}', ""])
def test_a_deepspeed_json_is_json_as_accelerate_reads_it(tmp_path, text):
    path = tmp_path / "ds.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"ds\.json is not JSON: .*; mend it \(JSON has no comments"):
        check_deepspeed_json(path)


def test_zero3_need_not_gather_what_is_not_saved(tmp_path):
    path = tmp_path / "ds.json"
    config = json.loads((ROOT / "configs/ds/zero2.json").read_text())
    config["zero_optimization"] = {"stage": 3, "offload_optimizer": {"device": "cpu"}}
    path.write_text(json.dumps(config))
    check_deepspeed_json(path, gather_weights=False)
    with pytest.raises(ConfigError, match="has ZeRO stage 3 without"):
        parse_arguments(_flags(tmp_path, "--deepspeed", str(path)))


def test_deepspeed_without_its_launcher_says_how_to_start(tmp_path):
    if importlib.util.find_spec("mpi4py"):
        pytest.skip("MPI may be the launcher")
    nowhere = {"TORCH_EXTENSIONS_DIR": str(tmp_path)}
    with pytest.raises(
        ConfigError, match=r"--deepspeed needs a launcher, .* start it as deepspeed --num_gpus 1 train/pret"
    ):
        prepare_environment(dict(nowhere), ["--deepspeed", "configs/ds/zero2.json"])
    prepare_environment(nowhere | {"RANK": "0"}, ["--deepspeed", "configs/ds/zero2.json"])


def test_a_stale_lock_of_a_compilation_is_named_and_a_fresh_one_is_not(tmp_path):
    lock = tmp_path / "py311_cpu" / "lock"
    for folder in ("py311_cpu", "deepspeed_shm_comm_op"):
        (tmp_path / folder).mkdir()
    lock = tmp_path / "deepspeed_shm_comm_op" / "lock"
    lock.write_text("")
    prepare_environment({"TORCH_EXTENSIONS_DIR": str(tmp_path)})
    old = time.time() - 3600
    os.utime(lock, (old, old))
    with pytest.raises(ConfigError, match="lock is 60 minutes old"):
        prepare_environment({"TORCH_EXTENSIONS_DIR": str(tmp_path)})


# Models


def _weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_random_weights_are_those_of_their_seed(tokenizer):
    one, again, other = (_weights(build_model(_arguments(), tokenizer, seed=seed, max_length=32)) for seed in (1, 1, 2))
    matrices = [name for name, weight in one.items() if weight.dim() == 2]
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert len(matrices) == 10
    assert not any(torch.equal(one[name], other[name]) for name in matrices)


def test_a_saved_model_is_loaded_and_random_initialize_forgets_it(tokenizer, tmp_path):
    saved = build_model(_arguments(), tokenizer, seed=1, max_length=32)
    saved.save_pretrained(tmp_path)
    name = str(tmp_path)
    loaded = build_model(_arguments(model_name_or_path=name, random_initialize=False), tokenizer, seed=2, max_length=32)
    fresh = build_model(_arguments(model_name_or_path=name), tokenizer, seed=2, max_length=32)
    assert all(torch.equal(weight, _weights(loaded)[name]) for name, weight in _weights(saved).items())
    assert not torch.equal(_weights(saved)["lm_head.weight"], _weights(fresh)["lm_head.weight"])


def test_a_missing_weight_is_an_error(tokenizer, tmp_path):
    model = build_model(_arguments(), tokenizer, seed=1, max_length=32)
    state = {name: weight for name, weight in model.state_dict().items() if "dense_h_to_4h" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    arguments = _arguments(model_name_or_path=str(tmp_path), random_initialize=False)
    with pytest.raises(ConfigError, match=r"lacks 4 weights of GPTNeoXForCausalLM, the first .*dense_h_to_4h\.bias"):
        build_model(arguments, tokenizer, seed=1, max_length=32)


def test_the_embedding_holds_text_and_symbols_in_a_multiple_of_128(tokenizer, tmp_path):
    assert tokenizer.text_size == 600
    for count, rows in ((0, 640), (40, 640), (41, 768), (10_032, 10_752)):
        model = build_model(_arguments(), tokenizer.with_meta_tokens(count), seed=1, max_length=32)
        assert model.get_input_embeddings().weight.shape == (rows, 64)
        assert model.get_output_embeddings().weight.shape == (rows, 64)


def test_meta_language_tokens_grow_a_loaded_model_and_leave_its_rows(tokenizer, tmp_path):
    saved = build_model(_arguments(), tokenizer, seed=1, max_length=32)
    saved.save_pretrained(tmp_path)
    arguments = _arguments(model_name_or_path=str(tmp_path), random_initialize=False)
    grown = build_model(arguments, tokenizer.with_meta_tokens(100), seed=1, max_length=32)
    weight = grown.get_input_embeddings().weight
    assert weight.shape == (768, 64)
    assert torch.equal(weight[:640], saved.get_input_embeddings().weight)


def test_windows_longer_than_the_model_are_refused(tokenizer):
    with pytest.raises(ConfigError, match="--max_length 513 is more than the 512 positions"):
        build_model(_arguments(), tokenizer, seed=1, max_length=513)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such-folder-or-model", "is no folder on this disk, and the hub did not give it"),
        ("missing.json", "missing.json: No such file"),
        ("", "an empty name is given for --model_name_or_path"),
        ("/nowhere", "'/nowhere' does not exist; give a model folder"),
    ],
)
def test_a_model_that_is_not_there_is_refused_in_one_line(tokenizer, name, message):
    with pytest.raises(ConfigError, match=message):
        build_model(_arguments(model_name_or_path=name), tokenizer, seed=1, max_length=32)


def _architecture(tmp_path, **changes):
    fields = json.loads(Path(TINY).read_text()) | changes
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden_size": 30, "num_attention_heads": 4},
            "is no architecture: The hidden size is not divisible by the n",
        ),
        ({"hidden_size": "x"}, "is no architecture: Field 'hidden_size' expected int, got str .value: 'x'.; mend"),
        ({"hidden_size": 0}, "has hidden_size 0; give 1 or more"),
        ({"num_hidden_layers": -1}, "has num_hidden_layers -1; give 1 or more"),
        ({"hidden_act": "gelux"}, "describes a model that cannot be made: 'gelux'; mend"),
        ({"hidden_sizes": 64}, "has a key 'hidden_sizes' that gpt_neox does not read; did you mean 'hidden_size'"),
        ({"hidden_size": None}, "does not say hidden_size; write it down"),
        ({"num_attention_heads": None}, "does not say num_attention_heads; write it down"),
        ({"model_type": "gpt_neoxx"}, "has the model_type 'gpt_neoxx', which .*; did you mean 'gpt_neox'"),
        ({"model_type": None}, "has the model_type None, which transformers does not know; write one that it knows"),
        ({"model_type": ["gpt_neox"]}, r"has the model_type \['gpt_neox'\], which transformers does not know"),
        ({"model_type": "vit"}, "that vit does not read"),
    ],
)
def test_an_architecture_that_cannot_be_meant_is_refused_in_one_line(tokenizer, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(_arguments(model_name_or_path=_architecture(tmp_path, **changes)), tokenizer, seed=1, max_length=32)
    assert "\n" not in str(caught.value)


def test_an_architecture_file_without_an_object_is_refused(tokenizer, tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"a\.json holds no object; take configs/models"):
        build_model(_arguments(model_name_or_path=str(tmp_path / "a.json")), tokenizer, seed=1, max_length=32)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 64}),
        ("gpt2", {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}),
        ("mamba", {"hidden_size": 8, "num_hidden_layers": 1, "torch_dtype": "float32"}),
        (
            "llama",
            {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "rope_theta": 5e5, "dtype": "float32"},
        ),
    ],
)
def test_architectures_of_other_kinds_are_read_with_their_own_names(tmp_path, kind, sizes):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"model_type": kind, "architectures": ["A"], "transformers_version": "5.0.0"} | sizes))
    config = read_architecture(str(path))
    assert (config.hidden_size, config.num_hidden_layers) == (8, 1)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_sizes_left_out_are_asked_for_by_the_name_of_their_kind(tmp_path, kind):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"model_type": kind}))
    name = {"gpt2": "n_embd", "llama": "hidden_size"}[kind]
    with pytest.raises(ConfigError, match=f"does not say {name}; "):
        read_architecture(str(path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"is no model folder \(no config\.json\); give a model folder"),
        ({"config.json": "{broken"}, "has no usable config.json: It looks like .* is not a valid JSON file; mend it"),
        ({"config.json": "{}"}, "has no usable config.json: Unrecognized model"),
        ({"config.json": Path(TINY).read_text()}, "has no usable weights: Error no file named model.safetensors"),
        (
            {"config.json": Path(TINY).read_text(), "model.safetensors": "abc"},
            "has no usable weights: Error while deserializing header",
        ),
    ],
)
def test_a_folder_that_is_no_model_is_refused_in_one_line(tokenizer, tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    arguments = _arguments(model_name_or_path=str(tmp_path), random_initialize=False)
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(arguments, tokenizer, seed=1, max_length=32)
    assert "\n" not in str(caught.value)


# Windows and loss


def test_training_reads_every_id_of_a_source_once_an_epoch(source):
    dataset = PlanDataset(Plan([source], [Stage((1,))], length=32, seed=0), source.num_windows)
    labels = torch.cat([window["labels"] for window in dataset.__getitems__(list(range(len(dataset))))])
    stored = source.corpus.read(0, source.num_windows * 32)[0]
    assert sorted(labels.tolist()) == sorted(stored.tolist())


def test_evaluation_reads_every_id_of_a_source_once_in_order(source):
    dataset = EvaluationDataset(source, length=32)
    labels = torch.cat([dataset[index]["labels"] for index in range(len(dataset))])
    assert labels[labels != -100].tolist() == source.corpus.read(0, source.corpus.num_tokens)[0].tolist()


def test_a_window_alone_is_the_window_of_the_batch(source):
    dataset = PlanDataset(Plan([source], [Stage((1,))], length=32, seed=0), 8)
    batch = dataset.__getitems__([5, 2, 7])
    assert [window["input_ids"].tolist() for window in batch] == [dataset[i]["input_ids"].tolist() for i in (5, 2, 7)]


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_evaluated_loss_is_the_mean_over_all_ids_whatever_the_batch(source, tokenizer, tmp_path, batch):
    settings = parse_arguments(_flags(tmp_path, "--per_device_eval_batch_size", str(batch), "--max_length", "32"))
    model = build_model(_arguments(), tokenizer, seed=1, max_length=32)
    dataset = EvaluationDataset(source, length=32)
    trainer = MetalangTrainer(
        objective=Causal(), tokens_per_step=256, model=model, args=settings.run, eval_dataset={"text": dataset}
    )
    measured = trainer.evaluate()
    total = count = 0.0
    for index in range(len(dataset)):
        window = dataset[index]
        with torch.no_grad():
            logits = model(window["input_ids"].unsqueeze(0)).logits[0].double()
        wanted = window["labels"] != -100
        chosen = logits.log_softmax(-1)[wanted].gather(1, window["labels"][wanted].unsqueeze(1))
        total, count = total - chosen.sum().item(), count + int(wanted.sum())
    assert abs(measured["eval_text_loss"] - total / count) < 1e-6
    assert measured["eval_text_tokens"] == count == source.corpus.num_tokens
    assert abs(measured["eval_text_perplexity"] - np.exp(total / count)) < 1e-2


# Saved models


def test_a_saved_model_and_its_tokenizer_load_without_a_warning(tokenizer, tmp_path, caplog, recwarn):
    with_symbols = tokenizer.with_meta_tokens(40)
    build_model(_arguments(), with_symbols, seed=1, max_length=32).save_pretrained(tmp_path)
    with_symbols.save(tmp_path)
    with caplog.at_level(logging.WARNING):
        model = AutoModelForCausalLM.from_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert caplog.records == []
    assert [str(warning.message) for warning in recwarn if "transformers" in str(warning.filename)] == []
    assert loaded.convert_tokens_to_ids("<meta_lang_39>") == 639
    assert model.config.eos_token_id == loaded.eos_token_id == tokenizer.eos_id
    assert load_tokenizer(str(tmp_path)).fingerprint == tokenizer.fingerprint


# Text


@pytest.fixture(scope="module")
def trained(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    build_model(_arguments(), tokenizer, seed=1, max_length=32).save_pretrained(folder)
    tokenizer.save(folder)
    return str(folder)


def _generate(*arguments):
    command = [sys.executable, "train/generate.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_prompt_is_continued_alone_on_stdout_and_the_same_for_one_seed(trained):
    done = _generate(trained, "--prompt", "The lobster", "--max_new_tokens", "5", "--seed", "3")
    again = continue_text(trained, "The lobster", max_new_tokens=5, temperature=0.8, seed=3)
    assert done.returncode == 0, done.stderr
    assert done.stdout == again + "\n"
    assert again.startswith("The lobster")


def test_the_likeliest_continuation_depends_on_no_seed(trained):
    one, other = (
        continue_text(trained, "The lobster", max_new_tokens=5, temperature=0.0, seed=seed) for seed in (0, 2**32 - 1)
    )
    assert one == other
    assert one.startswith("The lobster")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": ""}, "--prompt is empty; give the text to continue"),
        ({"max_new_tokens": 0}, "--max_new_tokens 0 adds nothing; give 1 or more"),
        (
            {"max_new_tokens": 100_000},
            r"--max_new_tokens 100000 behind a prompt of \d+ tokens are more than the 512 pos",
        ),
        ({"seed": -1}, "--seed -1 is no seed; give 0 to 4294967295"),
        ({"seed": 2**32}, "--seed 4294967296 is no seed"),
        ({"temperature": -1.0}, r"--temperature -1\.0 is no temperature"),
        ({"temperature": float("nan")}, "--temperature nan is no temperature"),
        ({"model": "/nowhere"}, "'/nowhere' does not exist; give a model folder"),
        (
            {"model": "configs/models/tiny.json"},
            r"tiny\.json is no model folder \(no config\.json\); give a model folder",
        ),
        ({"model": ""}, "an empty name is given for the model"),
    ],
)
def test_what_cannot_be_continued_is_refused_in_one_line(trained, monkeypatch, changes, message):
    monkeypatch.chdir(ROOT)
    asked = {"model": trained, "prompt": "The", "max_new_tokens": 5, "temperature": 0.8, "seed": 0} | changes
    with pytest.raises(ConfigError, match=message) as caught:
        continue_text(**asked)
    assert "\n" not in str(caught.value)


def test_a_flag_of_generate_that_cannot_be_meant_is_one_line(trained):
    done = _generate(trained, "--prompt", "The", "--max_new_tokens", "abc")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("generate: --max_new_tokens 'abc' is not a whole number; write it as 5000000")


# Checkpoints


def _checkpoint(folder, step, *, unchanged=None):
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "global_step").mkdir(parents=True)
    (checkpoint / "global_step" / "states.pt").write_bytes(b"weights")
    if unchanged is not None:
        write_manifest(checkpoint, unchanged)
    return checkpoint


def test_the_newest_complete_checkpoint_is_found_and_broken_ones_are_named(tmp_path, caplog):
    good = _checkpoint(tmp_path, 9, unchanged={})
    _checkpoint(tmp_path, 100)
    truncated = _checkpoint(tmp_path, 20, unchanged={})
    (truncated / "global_step" / "states.pt").write_bytes(b"weig")
    assert newest_complete(tmp_path) == good
    messages = " ".join(record.getMessage() for record in caplog.records)
    assert "checkpoint-100 is passed over: it has no complete.json" in messages
    assert "states.pt has 4 bytes instead of 7" in messages


def test_no_checkpoint_is_no_error(tmp_path):
    assert newest_complete(tmp_path / "nothing") is None


def _described(share, until=None):
    used = [{"name": "en", "content": "a1b2", "share": 1}, {"name": "dyck", "content": "c3d4", "share": share}]
    return {"window": 8, "seed": 1, "stages": [{"until": until, "sources": used}]}


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint = _checkpoint(tmp_path, 9, unchanged={"plan": _described(1), "ranks": 2})
    require_unchanged(checkpoint, {"plan": _described(1), "ranks": 2})
    with pytest.raises(MismatchError, match=r"another run \(ranks: 2 then, 4 now\)"):
        require_unchanged(checkpoint, {"plan": _described(1), "ranks": 4}, rebase_data=True)


def test_a_checkpoint_of_another_plan_is_refused_with_what_differs_unless_it_is_rebased(tmp_path, caplog):
    checkpoint = _checkpoint(tmp_path, 9, unchanged={"plan": _described(1), "ranks": 2})
    message = (
        r"stage 1 0\.5 en \(a1b2\) \+ 0\.5 dyck \(c3d4\) then, 0\.25 en \(a1b2\) \+ 0\.75 dyck \(c3d4\) now\); "
        "continue .*or accept the other data by --rebase_data True"
    )
    with pytest.raises(MismatchError, match=message):
        require_unchanged(checkpoint, {"plan": _described(3), "ranks": 2})
    require_unchanged(checkpoint, {"plan": _described(3), "ranks": 2}, rebase_data=True)
    assert "the data is rebased on another plan: stage 1 0.5 en" in caplog.text


def test_an_output_folder_of_something_else_is_refused(tmp_path):
    claim_output(tmp_path / "new", resume=False)
    (tmp_path / "streams").mkdir()
    claim_output(tmp_path, resume=False)  # of a run that was killed before its run.json was there
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds something else \(thesis\.tex\)"):
        claim_output(tmp_path, resume=True)


def test_a_run_is_not_overwritten_unless_it_is_resumed(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    claim_output(tmp_path, resume=False)
    _checkpoint(tmp_path, 5, unchanged={})
    claim_output(tmp_path, resume=True)
    with pytest.raises(ConfigError, match="holds a run already; set --resume_training True"):
        claim_output(tmp_path, resume=False)
