"""The weights that a run begins with: Pythia's, and those of earlier runs and models."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from metalang.errors import ConfigError, MismatchError
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.earlier import read_earlier
from metalang.training.flags import ModelArguments
from metalang.training.init import pythia_init
from metalang.training.model import build_model
from metalang.training.transfer import transfer

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "configs/models/tiny.json")
LLAMA = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 256,
}  # fmt: skip
EMBEDDINGS = {"gpt_neox.embed_in.weight", "lm_head.weight"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder))


def _built(tokenizer, seed, architecture=TINY):
    arguments = ModelArguments(model_name_or_path=architecture, tokenizer_name="t", random_initialize=True)
    return build_model(arguments, tokenizer, seed=seed, max_length=32)


def _tensors(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


# Pythia's


def test_pythia_draws_every_matrix_of_gpt_neox_by_its_role(tokenizer):
    model = _built(tokenizer, seed=1)
    assert (
        pythia_init(model, seed=1) == "init       pythia: std 0.0791, and 0.1250 for the outputs of attention and MLP"
    )
    small = pytest.approx(0.0791, rel=0.03)  # sqrt(2 / (5 * 64)); 2 / (2 * sqrt(64)) = 0.125
    wang = pytest.approx(0.125, rel=0.03)
    assert {name: parameter.std().item() for name, parameter in model.named_parameters() if parameter.ndim == 2} == {
        "gpt_neox.embed_in.weight": small,
        "gpt_neox.layers.0.attention.query_key_value.weight": small,
        "gpt_neox.layers.0.attention.dense.weight": wang,
        "gpt_neox.layers.0.mlp.dense_h_to_4h.weight": small,
        "gpt_neox.layers.0.mlp.dense_4h_to_h.weight": wang,
        "gpt_neox.layers.1.attention.query_key_value.weight": small,
        "gpt_neox.layers.1.attention.dense.weight": wang,
        "gpt_neox.layers.1.mlp.dense_h_to_4h.weight": small,
        "gpt_neox.layers.1.mlp.dense_4h_to_h.weight": wang,
        "lm_head.weight": small,
    }
    vectors = {name: set(parameter.tolist()) for name, parameter in model.named_parameters() if parameter.ndim == 1}
    assert all(values == ({1.0} if "norm.weight" in name else {0.0}) for name, values in vectors.items())


def test_pythia_draws_a_llama_by_the_same_roles():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **LLAMA))
    pythia_init(model, seed=1)
    small, wang = pytest.approx(0.0791, rel=0.05), pytest.approx(0.125, rel=0.05)
    layer = {
        name.split(".")[-2]: parameter.std().item() for name, parameter in model.model.layers[1].named_parameters()
    }
    assert layer == {
        "q_proj": small, "k_proj": small, "v_proj": small, "o_proj": wang, "gate_proj": small, "up_proj": small,
        "down_proj": wang, "input_layernorm": 0.0, "post_attention_layernorm": 0.0,
    }  # fmt: skip


def test_pythias_weights_depend_on_the_seed_alone(tokenizer):
    one, again, other = (_built(tokenizer, seed=5) for _ in range(3))
    torch.rand(7)
    for model, seed in ((one, 3), (again, 3), (other, 4)):
        pythia_init(model, seed=seed)
    assert all((one.state_dict()[name] == tensor).all() for name, tensor in again.state_dict().items())
    assert not (one.lm_head.weight == other.lm_head.weight).any()


def test_pythia_refuses_a_model_of_another_build():
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 32}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **sizes))
    with pytest.raises(
        ConfigError, match=r"--init pythia knows GPT-NeoX and Llama-like .* GPT2LMHeadModel has a parameter"
    ):
        pythia_init(model, seed=1)


# Those of an earlier model


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A model with a mean and a std of its own in each tensor, with 10 symbols, and its tokenizer."""
    path = tmp_path_factory.mktemp("earlier")
    with_symbols = tokenizer.with_meta_tokens(10)
    model = _built(with_symbols, seed=1)
    with torch.no_grad():
        for number, (_, parameter) in enumerate(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
            parameter.mul_(0.01 * (number + 1)).add_(number)
    model.save_pretrained(path)
    with_symbols.save(path)
    return path


@pytest.fixture(scope="module")
def earlier(folder):
    return read_earlier(str(folder))


def test_a_model_folder_gives_all_its_weights_under_the_names_of_memory(folder, earlier):
    assert "embed_out.weight" in load_file(folder / "model.safetensors")
    assert (earlier.tensors["lm_head.weight"] == load_file(folder / "model.safetensors")["embed_out.weight"]).all()
    assert earlier.origin == f"float32 weights of {folder}"


def _after(tokenizer, earlier, parts, embeddings=None, num_symbols=10):
    """Names of the tensors that are the earlier ones, of those that are as fresh, all tensors, and what was said."""
    with_symbols = tokenizer.with_meta_tokens(num_symbols)
    model = _built(with_symbols, seed=2)
    fresh = _tensors(model)
    said = transfer(model, with_symbols.id_space, earlier, parts=parts, embeddings=embeddings, seed=2)
    after = _tensors(model)
    same = {name for name, tensor in after.items() if torch.equal(tensor, earlier.tensors[name])}
    return same, {name for name, tensor in after.items() if torch.equal(tensor, fresh[name])}, after, said


def test_all_is_the_earlier_model(tokenizer, earlier, folder):
    same, fresh, after, said = _after(tokenizer, earlier, "all")
    assert same == set(after) and len(same) == 28 and fresh == set()
    assert said == (
        f"first      all of float32 weights of {folder}",
        "           embeddings keep: 2 tensors, 81,920 parameters",
        "           taken: 26 tensors, 100,096 parameters",
        "           rows kept: 600 of 600 text ids, 10 of 10 symbols",
    )


def test_the_body_is_all_but_the_embeddings(tokenizer, earlier):
    same, fresh, after, said = _after(tokenizer, earlier, "body")
    assert fresh == EMBEDDINGS and same == set(after) - EMBEDDINGS
    assert said[1:] == (
        "           fresh: 2 tensors, 81,920 parameters",
        "           taken: 26 tensors, 100,096 parameters",
    )


@pytest.mark.parametrize(
    ("parts", "modules"),
    [("attention", {"query_key_value", "dense"}), ("mlp", {"dense_h_to_4h", "dense_4h_to_h"})],
)
def test_attention_and_mlp_are_taken_alone(tokenizer, earlier, parts, modules):
    same, fresh, after, _ = _after(tokenizer, earlier, parts)
    assert same == {name for name in after if name.split(".")[-2] in modules} and len(same) == 8
    assert fresh == set(after) - same


def test_statistics_keep_the_mean_and_the_std_of_each_tensor_and_nothing_else(tokenizer, earlier):
    same, fresh, after, _ = _after(tokenizer, earlier, "statistics")
    assert same == fresh == set()
    for number, (name, tensor) in enumerate(after.items()):
        of_mean = 5 * 0.01 * (number + 1) / tensor.numel() ** 0.5
        assert tensor.mean().item() == pytest.approx(number, abs=of_mean), name
        assert tensor.std().item() == pytest.approx(0.01 * (number + 1), rel=5 / (2 * tensor.numel()) ** 0.5), name
    again = _after(tokenizer, earlier, "statistics")[2]
    assert all(torch.equal(again[name], tensor) for name, tensor in after.items())


def test_statistics_may_keep_the_embeddings(tokenizer, earlier):
    assert _after(tokenizer, earlier, "statistics", "keep")[0] == EMBEDDINGS
    assert _after(tokenizer, earlier, "statistics", "fresh")[1] == EMBEDDINGS


def test_symbol_rows_are_kept_by_symbol_where_the_text_vocabulary_differs(earlier, tmp_path):
    smaller = load_tokenizer(str(train_tokenizer([TextSource("pydoc:")], vocab_size=500, output_dir=tmp_path / "tok")))
    fresh = _tensors(_built(smaller.with_meta_tokens(12), seed=2))["lm_head.weight"]
    _, _, after, said = _after(smaller, earlier, "all", num_symbols=12)
    head, before = after["lm_head.weight"], earlier.tensors["lm_head.weight"]
    assert torch.equal(head[:500], before[:500])
    assert torch.equal(head[500:510], before[600:610])
    assert torch.equal(head[510:], fresh[510:])
    assert "rows kept: 500 of 500 text ids, 10 of 12 symbols; text ids were those of another tokenizer (" in said[-1]


def test_mean_rows_are_the_mean_of_the_earlier_rows_without_the_padding(tokenizer, earlier):
    same, _, after, said = _after(tokenizer, earlier, "all", "mean", num_symbols=200)
    assert after["gpt_neox.embed_in.weight"].shape == (896, 64)
    for name in EMBEDDINGS:
        mean = earlier.tensors[name][:610].mean(dim=0)
        assert (after[name] - mean).abs().max() < 1e-5
    assert same == set(after) - EMBEDDINGS
    assert said[1] == "           embeddings mean: 2 tensors, 114,688 parameters"


def test_a_model_of_other_sizes_is_refused_with_the_size_that_differs(tokenizer, earlier, tmp_path):
    path = tmp_path / "wide.json"
    path.write_text(Path(TINY).read_text().replace('"hidden_size": 64', '"hidden_size": 128'))
    with pytest.raises(
        MismatchError, match="has hidden_size 64 and this model 128; give --model_name_or_path the arch"
    ):
        transfer(_built(tokenizer, 1, str(path)), tokenizer.id_space, earlier, seed=1)


def test_embeddings_of_a_model_without_a_tokenizer_cannot_be_kept(tokenizer, tmp_path):
    _built(tokenizer, seed=1).save_pretrained(tmp_path)
    alone = read_earlier(str(tmp_path))
    with pytest.raises(ConfigError, match="has no tokenizer, which says what the rows"):
        transfer(_built(tokenizer, seed=2), tokenizer.id_space, alone, seed=2)
    transfer(_built(tokenizer, seed=2), tokenizer.id_space, alone, embeddings="fresh", seed=2)


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a run without a model and without a complete checkpoint"):
        read_earlier(str(tmp_path))
    with pytest.raises(ConfigError, match="nowhere' does not exist; give the --output_dir of a run"):
        read_earlier(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--transfer", "body"), "--transfer body has no effect without --init_from"),
        (("--embeddings", "mean"), "--embeddings mean has no effect without --init_from"),
        (
            ("--init", "pythia", "--random_initialize", "False", "--model_name_or_path", "some-model"),
            "--init pythia needs --random_initialize True",
        ),
    ],
)
def test_flags_of_the_first_weights_that_would_do_nothing_are_refused(more, message):
    flags = ["--model_name_or_path", TINY, "--tokenizer_name", "t", "--random_initialize", "True", "--output_dir", "r"]
    data = ["--data_paths", "a", "--data_ratios", "1", "--max_steps", "5", "--use_cpu", "True"]
    with pytest.raises(ConfigError, match=message):
        parse_arguments([*flags, *data, *more])
