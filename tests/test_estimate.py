"""What a run costs, by formulas: sizes and operations."""

import pytest
from transformers import GPT2Config, GPTNeoXConfig, MambaConfig, Qwen3Config, T5Config

from metalang.errors import ConfigError
from metalang.training.estimate import flops_per_token, model_size
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


def test_a_model_that_is_not_causal_has_no_formula():
    with pytest.raises(ConfigError, match="a t5 is no causal model"):
        flops_per_token(T5Config(), 16)


def test_sizes_are_read_under_a_changed_vocabulary():
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    assert [model_size(GPTNeoXConfig(vocab_size=rows, **sizes)).head for rows in (128, 256)] == [2048, 4096]
