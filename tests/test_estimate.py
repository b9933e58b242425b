"""What a run costs, by formulas, and dry runs that tell it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs
from transformers import GPT2Config, GPTNeoXConfig, MambaConfig, Qwen3Config, ViTConfig

from metalang.errors import ConfigError
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.dry_run import estimates
from metalang.training.estimate import flops_per_token, memory, model_size
from metalang.training.model import read_architecture


def test_the_parameters_of_pythia_14m_are_those_of_its_three_parts():
    size = model_size(read_architecture("configs/models/pythia-14m.json"))
    assert (size.embedding, size.head, size.body) == (50_304 * 128, 50_304 * 128, 1_189_888)
    assert size.total == 14_067_712  # as published: huggingface.co/EleutherAI/pythia-14m
    assert size.largest_layer == 50_304 * 128


def test_a_tied_head_has_no_parameters_and_multiplies_all_the_same():
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 100}
    tied, own = (model_size(GPT2Config(**sizes, tie_word_embeddings=tie)) for tie in (True, False))
    assert (tied.embedding, tied.head, own.head) == (100 * 8 + 64 * 8, 0, 800)
    assert tied.multiplied == own.multiplied == tied.body + 800
    assert own.total - tied.total == 800


@pytest.mark.parametrize(
    ("config", "length", "flops"),
    [
        # 6 (head 6,438,912 + body 1,189,888) + 12 * 6 layers * 128 * 1024
        (read_architecture("configs/models/pythia-14m.json"), 1024, 45_772_800 + 9_437_184),
        (read_architecture("configs/models/pythia-14m.json"), 2048, 45_772_800 + 18_874_368),
        # heads of 16 each, wider together than the model: 12 * 2 layers * 4 heads * 16 * 10
        (
            Qwen3Config(
                vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, head_dim=16,
            ),
            10,
            6 * (10 * 8 + 2 * (4 * 64 * 8 + 2 * 16 + 3 * 64 + 2 * 8) + 8) + 15_360,
        ),
    ],
)  # fmt: skip
def test_operations_are_six_a_multiplied_parameter_and_attention(config, length, flops):
    assert flops_per_token(config, length) == flops


def test_a_model_without_attention_costs_no_attention():
    config = MambaConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1)
    assert flops_per_token(config, 16) == flops_per_token(config, 1024)


def test_a_model_of_another_kind_has_no_formula():
    with pytest.raises(ConfigError, match="a vit is neither a causal model nor an encoder-decoder"):
        flops_per_token(ViTConfig(), 16)


def test_sizes_are_read_under_a_changed_vocabulary():
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    assert [model_size(GPTNeoXConfig(vocab_size=rows, **sizes)).head for rows in (128, 256)] == [2048, 4096]


def test_the_states_of_zero_2_are_those_of_deepspeeds_own_estimate_with_gradients_in_float32():
    config = read_architecture("configs/models/pythia-14m.json")
    _, theirs = estimate_zero2_model_states_mem_needs(14_067_712, num_gpus_per_node=8, cpu_offload=False)
    ours = memory(config, stage=2, gpus=8, windows=1, length=1, number_bytes=2)
    assert ours.parameters + ours.gradients + ours.optimizer == theirs + 2 * 14_067_712 // 8 == 63_304_704


def test_a_stage_of_zero_shares_out_more_than_the_one_before():
    config = read_architecture("configs/models/pythia-14m.json")
    rows = [memory(config, stage=stage, gpus=8, windows=128, length=1024, number_bytes=2) for stage in range(4)]
    states = [(row.parameters, row.gradients, row.optimizer) for row in rows]
    weights, shared = 2 * 14_067_712, 16 * 14_067_712
    assert states[0] == (weights, weights, shared)
    assert states[1] == (weights, weights, shared // 8)
    assert states[2] == (weights, 2 * weights // 8, shared // 8)
    assert states[3] == (weights // 8 + 4 * 6_438_912, 2 * weights // 8, shared // 8)
    assert [row.buckets for row in rows] == [0, 10**9, 2 * 10**9, 0]
    assert {row.logits for row in rows} == {2 * 128 * 1024 * 128 + 4 * 128 * 50_304 + 2 * 2**28 + 8 * 2**27}
    assert {row.activations for row in rows} == {34 * 128 * 1024 * 128 * 6}


def test_float32_without_sharing_keeps_no_second_copy():
    config = read_architecture("configs/models/pythia-14m.json")
    row = memory(config, stage=0, gpus=8, windows=1, length=1, number_bytes=4)
    assert row.parameters + row.gradients + row.optimizer == 16 * 14_067_712


def test_the_time_of_a_run_is_its_work_over_what_the_gpus_reach():
    config = read_architecture("configs/models/pythia-14m.json")
    lines = estimates(config, tokens=10**12, mfu=0.5, gpus=8, windows=128, length=1024, number_bytes=2)
    assert "A100 12.3 h" in lines[-1]  # 5.521e19 / (0.5 * 8 * 312e12) = 44,239 s
    assert "L40S 10.6 h" in lines[-1]
    assert lines[0] == "model      14,067,712 parameters: embedding 6,438,912, head 6,438,912, body 1,189,888"


# Dry runs


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")


@pytest.mark.slow
def test_a_dry_run_tells_what_a_run_costs_makes_two_steps_and_leaves_nothing(tokenizer, tmp_path):
    command = [
        str(Path(sys.executable).parent / "deepspeed"), "--num_gpus", "2",
        "--master_port", str(29_500 + os.getpid() % 200), "train/pretrain.py",
        "--model_name_or_path", "configs/models/pythia-14m.json", "--tokenizer_name", str(tokenizer),
        "--num_meta_lang_tokens", "49704", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--output_dir", str(tmp_path / "run"), "--data_paths", "not-there", "--data_ratios", "1", "--use_cpu", "True",
        "--bf16", "True", "--max_length", "1024", "--per_device_train_batch_size", "128", "--max_steps", "10000",
        "--save_strategy", "steps", "--report_to", "wandb", "--dry_run", "True", "--dry_run_gpus", "8",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line in (
        "model      14,067,712 parameters: embedding 6,438,912, head 6,438,912, body 1,189,888",
        "ZeRO-2   6.66 GiB: parameters 0.03, gradients 0.01, optimizer 0.03, buckets 1.86, ",
        "activations 3.19, logits 1.56",
        "work       55,209,984 FLOPs a token (6 N + 12 L H Q T, head counted), 5.79e+17 FLOPs in all",
        "length     10,485,760,000 tokens",
        "dry run    done; no data were read, and nothing is left behind",
    ):
        assert line in done.stdout
    (steps,) = re.findall(r"steps      2, a window of 128 on each of 2 ranks, cpu, .*: loss (.*), (.*)", done.stdout)
    assert all(10.5 < float(loss) < 11.2 for loss in steps)  # log(50,304) = 10.83
    assert not any("run" in path.name for path in tmp_path.iterdir())


@pytest.mark.slow
def test_a_dry_run_of_masked_diffusion_masks(tokenizer, tmp_path):
    done = _alone(tokenizer, tmp_path, "--model_name_or_path", "configs/models/demo.json", "masked_diffusion")
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"steps      2, a window of 128 on 1 rank, cpu, .*: loss \d", done.stdout)


@pytest.mark.slow
def test_a_dry_run_of_an_encoder_decoder_counts_pairs_and_makes_two_steps(tokenizer, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [5], "labels": [6]}\n' * 160)
    length = ("--max_steps", "-1", "--num_train_epochs", "1", "--data_paths", str(rows), "--dry_run_gpus", "2")
    done = _alone(tokenizer, tmp_path, "--model_name_or_path", "configs/models/tiny-t5.json", *length, "seq2seq")
    assert done.returncode == 0, done.stderr[-3000:]
    for line in (
        "model      271,232 parameters: embedding 41,088, head 0, body 230,144",
        "memory     of each of 2 GPUs, 8 pairs of 128 ids to read and 128 to say at a time, 32 bits:",
        "length     at most 40,960 tokens",  # 160 pairs of 256 ids
        "dry run    done; no data were read, and nothing is left behind",
    ):
        assert line in done.stdout
    assert re.search(r"steps      2, a pair of 128 and 128 on 1 rank, cpu, .*: loss \d", done.stdout)


def _alone(tokenizer, folder, *more):
    command = [
        sys.executable, "train/pretrain.py", "--tokenizer_name", str(tokenizer), "--num_meta_lang_tokens", "0",
        "--random_initialize", "True", "--output_dir", str(folder / "run"), "--data_paths", "not-there",
        "--data_ratios", "1", "--use_cpu", "True", "--max_steps", "10", "--report_to", "none", "--dry_run", "True",
        "--save_strategy", "no", "--max_length", "128", *more[:-1], "--architecture", more[-1],
    ]  # fmt: skip
    return subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--dry_run_mfu", "40"), "--dry_run_mfu 40 is no share of the peak; give 0 to 1, such as 0.4"),
        (("--dry_run_gpus", "0"), "--dry_run_gpus 0 is no count; give 1 or more, such as 8"),
    ],
)
def test_a_dry_run_of_what_cannot_be_is_refused(tmp_path, more, message):
    flags = (
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", "t", "--random_initialize", "True",
        "--output_dir", str(tmp_path / "run"), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "9",
        "--use_cpu", "True",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        parse_arguments([*flags, *more])
