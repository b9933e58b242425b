"""Weights of earlier models in runs of masked diffusion and of encoder-decoders."""

import json
from pathlib import Path

import pytest
import torch

from metalang.errors import ConfigError, MismatchError
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.earlier import read_earlier
from metalang.training.flags import ModelArguments
from metalang.training.model import build_model
from metalang.training.transfer import transfer

CONFIGS = Path(__file__).parents[1] / "configs/models"
FILES = {"causal": "tiny.json", "masked_diffusion": "tiny.json", "seq2seq": "tiny-t5.json"}
EMBEDDINGS = ("gpt_neox.embed_in.weight", "lm_head.weight")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder))


def _built(tokenizer, seed, architecture, num_symbols, file=None):
    arguments = ModelArguments(
        model_name_or_path=str(file or CONFIGS / FILES[architecture]), tokenizer_name="t", random_initialize=True,
        architecture=architecture,
    )  # fmt: skip
    return build_model(arguments, tokenizer.with_meta_tokens(num_symbols), seed=seed, max_length=32)


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    """A saved model of each architecture, with 10 symbols; the mask of diffusion is id 610."""
    path = tmp_path_factory.mktemp("earlier")
    for architecture in FILES:
        _built(tokenizer, 1, architecture, 10).save_pretrained(path / architecture)
        tokenizer.with_meta_tokens(10).save(path / architecture)
    return path


def _after(tokenizer, folder, architecture, num_symbols=10, **how):
    """Tensors of the earlier model, of a fresh one, of the latter after the transfer, and what was said."""
    earlier = read_earlier(str(folder))
    model = _built(tokenizer, 2, architecture, num_symbols)
    fresh = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    ids = tokenizer.with_meta_tokens(num_symbols).id_space
    said = transfer(model, ids, earlier, seed=2, **how)
    return earlier.tensors, fresh, {name: each.detach() for name, each in model.named_parameters()}, said


@pytest.mark.parametrize("architecture", ["masked_diffusion", "seq2seq"])
def test_all_is_the_earlier_model(tokenizer, folders, architecture):
    before, fresh, after, _ = _after(tokenizer, folders / architecture, architecture)
    assert len(after) == {"masked_diffusion": 28, "seq2seq": 47}[architecture]
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert not torch.equal(next(iter(fresh.values())), next(iter(after.values())))


@pytest.mark.parametrize("embeddings", ["keep", "mean"])
def test_the_mask_keeps_its_row_where_other_symbols_give_it_another_id(tokenizer, folders, embeddings):
    folder = folders / "masked_diffusion"
    before, _, after, said = _after(tokenizer, folder, "masked_diffusion", 3, embeddings=embeddings)
    for name in EMBEDDINGS:
        assert torch.equal(after[name][603], before[name][610])
        assert torch.equal(after[name][602], before[name][602]) == (embeddings == "keep")
    assert said[-1] == "           row of the mask kept"


@pytest.mark.parametrize("embeddings", ["keep", "mean"])
def test_a_causal_model_has_no_mask_to_give(tokenizer, folders, embeddings):
    before, fresh, after, said = _after(tokenizer, folders / "causal", "masked_diffusion", embeddings=embeddings)
    for name in EMBEDDINGS:
        assert torch.equal(after[name][610], fresh[name][610])
        assert torch.equal(after[name][609], before[name][609]) == (embeddings == "keep")
    assert said[-1] == "           the earlier model had no mask, and saw only what stands before"


def test_a_mask_becomes_no_symbol_of_a_causal_model(tokenizer, folders):
    before, fresh, after, said = _after(tokenizer, folders / "masked_diffusion", "causal", 12)
    for name in EMBEDDINGS:
        assert torch.equal(after[name][:610], before[name][:610])
        assert torch.equal(after[name][610:], fresh[name][610:])
    assert said[-1] == "           the earlier model saw both ways, this one sees only what stands before"


@pytest.mark.parametrize(
    ("earlier", "architecture", "how", "error", "message"),
    [
        ("causal", "seq2seq", {}, MismatchError, "has model_type gpt_neox and this model t5; give --model_name_or_p"),
        ("seq2seq", "masked_diffusion", {}, MismatchError, "has model_type t5 and this model gpt_neox; give --model"),
        ("seq2seq", "seq2seq", {"parts": "mlp"}, ConfigError, "--transfer mlp knows GPT-NeoX and Llama-like models"),
    ],
)
def test_what_cannot_be_transferred_is_refused(tokenizer, folders, earlier, architecture, how, error, message):
    with pytest.raises(error, match=message):
        _after(tokenizer, folders / earlier, architecture, **how)


@pytest.mark.parametrize("size", ["d_model", "num_layers", "num_decoder_layers"])
def test_an_encoder_decoder_of_other_sizes_is_refused_with_the_size_that_differs(tokenizer, folders, tmp_path, size):
    fields = json.loads((CONFIGS / "tiny-t5.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps(fields | {size: fields[size] // 2}))
    model = _built(tokenizer, 2, "seq2seq", 10, tmp_path / "other.json")
    with pytest.raises(MismatchError, match=f"has {size} {fields[size]} and this model {fields[size] // 2}; give"):
        transfer(model, tokenizer.with_meta_tokens(10).id_space, read_earlier(str(folders / "seq2seq")), seed=2)


def test_a_causal_run_refuses_a_model_that_sees_what_it_has_to_predict(tokenizer, folders):
    with pytest.raises(ConfigError, match=r"--architecture causal would see what it has to predict: .*/masked_diffu"):
        _built(tokenizer, 2, "causal", 10, folders / "masked_diffusion")
