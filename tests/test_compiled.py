"""--torch_compile, --attn_implementation and --gradient_checkpointing: other ways to the same numbers."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from metalang.building import build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.errors import ConfigError
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.attention import attend_by
from metalang.training.compiling import told_of_compiler
from metalang.training.config import parse_arguments
from metalang.training.objectives.causal import Causal
from metalang.training.objectives.token_loss import TokenLoss

ROOT = Path(__file__).parents[1]


def _model(attention="sdpa"):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "gpt_neox", vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention)


def _batch(divisor):
    """Ids and labels, (2, 32) each, all but each `divisor`-th id predicted."""
    ids = torch.arange(64).view(2, 32) * 7 % 97
    return {"input_ids": ids, "labels": ((ids + 3) % 97).where(ids % divisor > 0, -100)}


def _loss_and_gradient(token_loss, model, called):
    """Of two batches with unequal numbers of predicted ids: losses, and the gradient of all parameters in a vector."""
    losses = [token_loss(called, *Causal().prepare(_batch(divisor), step=0)).total for divisor in (2, 5)]
    sum(losses).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    model.zero_grad()
    return [loss.item() for loss in losses], gradient


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
def test_a_compiled_model_has_the_losses_and_gradients_of_the_plain_one(checkpointing):
    model = _model().train()
    token_loss = TokenLoss(model)
    losses, gradient = _loss_and_gradient(token_loss, model, model)
    if checkpointing:
        model.gradient_checkpointing_enable()
    compiled = torch.compile(model)
    ours, slope = _loss_and_gradient(token_loss, model, compiled)
    assert ours == pytest.approx(losses, rel=1e-6)
    assert torch.allclose(slope, gradient, rtol=1e-4, atol=1e-6)
    with torch.compiler.set_stance("fail_on_recompile"):  # however many ids are predicted
        token_loss(compiled, *Causal().prepare(_batch(3), step=0)).total.backward()


_ROTATED = """
import sys
import torch
from torch._inductor.utils import run_and_get_code
from transformers import TrainingArguments
from metalang.training.compiling import prepare_compiler
prepare_compiler(TrainingArguments(sys.argv[1], torch_compile=True, use_cpu=True))
code = run_and_get_code(torch.compile(lambda angles: (2 * angles).cos() * (2 * angles).sin()), torch.ones(3, 7))[1][0]
print(code.count(".cos()"), code.count(".sin()"), "torch.ops.aten.cos" in code, "torch.ops.aten.sin" in code)
"""


@pytest.mark.slow
def test_sines_and_cosines_of_compiled_code_are_those_of_pytorch(tmp_path):
    """In a process of its own: what the compiler is told holds for all that it compiles."""
    done = subprocess.run(
        [sys.executable, "-c", _ROTATED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "0 0 True True\n", done.stderr[-2000:]


def test_what_the_compiler_does_not_compile_is_one_line():
    import torch._inductor.config as inductor

    with inductor.patch({"cpp.cxx": (None, "/nowhere/g++"), "fx_graph_cache": False}):
        with pytest.raises(ConfigError) as caught, told_of_compiler():
            torch.compile(lambda numbers: numbers.sin() + 0.1234567)(torch.ones(3, 7))
    assert str(caught.value).startswith("--torch_compile True fails here (InvalidCxxCompiler: No working C++ compiler")
    assert str(caught.value).endswith("; leave it out, or, without a GPU, leave out --bf16")
    assert "\n" not in str(caught.value)


# Attention


def test_every_attention_of_a_cpu_gives_the_same_losses():
    given = {}
    for name in ("sdpa", "eager"):
        model = _model()
        attend_by(model, name)
        assert model.config._attn_implementation == name
        given[name] = _loss_and_gradient(TokenLoss(model), model, model)
    assert given["eager"][0] == pytest.approx(given["sdpa"][0], rel=1e-6)
    assert torch.allclose(given["eager"][1], given["sdpa"][1], rtol=1e-4, atol=1e-6)


def test_without_a_name_a_model_attends_as_transformers_chooses():
    model = _model("eager")
    attend_by(model, None)
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "bloom",
            "sdpa",
            "^--attn_implementation sdpa is none that a BloomForCausalLM takes; leave it out for the one",
        ),
        (
            "mamba",
            "flex_attention",
            r"flex_attention is not to be had \(MambaForCausalLM does not support .*\); leave it",
        ),
        (
            "mamba",
            "flash_attention_2",
            r"is not to be had \(MambaForCausalLM does not support Flash Attention 2 yet\); ",
        ),
    ],
)
def test_an_attention_that_a_model_does_not_have_is_refused_in_one_line(kind, name, message):
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=64, hidden_size=32))
    with pytest.raises(ConfigError, match=message) as caught:
        attend_by(model, name)
    assert "\n" not in str(caught.value)


def _settings(tmp_path, *more):
    return parse_arguments([
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", "t", "--random_initialize", "True",
        "--output_dir", str(tmp_path), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "5",
        "--use_cpu", "True", *more,
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sdpb", r"^--attn_implementation sdpb is no attention; did you mean 'sdpa'\?$"),
        ("fast", "^--attn_implementation fast is no attention; .*flash_attention_2"),
        (
            "flex_attention",
            "^--attn_implementation flex_attention does not train on a CPU; give sdpa, or leave it out$",
        ),
        ("flash_attention_2", "^--attn_implementation flash_attention_2 does not train on a CPU; give sdpa, or"),
    ],
)
def test_an_attention_that_cannot_be_meant_is_refused(tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        _settings(tmp_path, "--attn_implementation", name)


def test_the_fast_ways_have_sane_defaults(tmp_path):
    settings = _settings(tmp_path)
    assert settings.run.optim == "adamw_torch_fused"
    assert (settings.run.torch_compile, settings.model.attn_implementation) == (False, None)
    assert _model(None).config._attn_implementation == "sdpa"


# Under DeepSpeed


@pytest.mark.long
@pytest.mark.slow
def test_a_compiled_run_has_the_losses_of_a_plain_one_and_is_resumed(tmp_path):
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path / "tokenizer")
    identity = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 20})
    build_corpus(domain_build(identity, num_token=2_000), tmp_path / "identity")
    build_corpus(domain_build(identity, num_token=600, seed=1), tmp_path / "copies")
    _run(tmp_path, "plain")
    _run(tmp_path, "compiled", "--torch_compile", "True")
    losses, evaluated = _losses(tmp_path / "plain", "loss"), _losses(tmp_path / "plain", "eval_loss")
    assert sorted(losses) == [1, 2, 3, 4] and sorted(evaluated) == [2, 4]
    assert _losses(tmp_path / "compiled", "loss") == pytest.approx(losses, abs=1e-4)
    assert _losses(tmp_path / "compiled", "eval_loss") == pytest.approx(evaluated, abs=1e-4)
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "compiled" / "run.json", tmp_path / "resumed")
    shutil.copytree(tmp_path / "compiled" / "checkpoint-2", tmp_path / "resumed" / "checkpoint-2")
    _run(tmp_path, "resumed", "--torch_compile", "True", "--resume_training", "True")
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("compiled", "resumed"))
    assert _losses(tmp_path / "resumed", "loss") == _losses(tmp_path / "compiled", "loss")
    assert len(whole) == 28
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def _run(folder, name, *more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "deepspeed.launcher.runner", "--num_gpus", "2", "--master_port", str(port),
        "train/pretrain.py", "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name",
        f"{folder}/tokenizer", "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed",
        "configs/ds/zero2.json", "--output_dir", f"{folder}/{name}", "--use_cpu", "True", "--data_paths",
        f"{folder}/identity", "--data_ratios", "1", "--max_length", "32", "--per_device_train_batch_size", "4",
        "--learning_rate", "1e-3", "--max_steps", "4", "--logging_steps", "1", "--save_strategy", "steps",
        "--save_steps", "2", "--nl_eval_data_path", f"copies={folder}/copies", "--eval_strategy", "steps",
        "--eval_steps", "2", "--report_to", "none", *more,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900, env=environment
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


def _losses(output, key):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return {row["step"]: row[key] for row in history if key in row}
