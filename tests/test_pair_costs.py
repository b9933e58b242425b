"""What encoder-decoders cost on pairs, and what a run on pairs counts and logs."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BartConfig, BartForConditionalGeneration, FSMTConfig, T5Config, T5ForConditionalGeneration

from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.estimate import memory
from metalang.training.objectives.output_layer import why_not_fused
from metalang.training.pair_costs import activation_bytes_of_pairs, flops_per_pair
from metalang.training.run import pretrain
from metalang.training.seq2seq.lengths import mean_lengths
from metalang.training.seq2seq.pairs import open_pairs
from metalang.training.speed import yardstick

SMALL = T5Config(
    vocab_size=512, d_model=64, d_kv=16, d_ff=128, num_layers=3, num_decoder_layers=1, num_heads=8,
    feed_forward_proj="gated-gelu", tie_word_embeddings=False,
)  # fmt: skip


def test_operations_of_a_pair_are_three_forwards_as_torch_counts_them_and_its_norms():
    model = T5ForConditionalGeneration(SMALL)
    ids = torch.ones(1, 32, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids, decoder_input_ids=ids[:, :8], use_cache=False)
    norms = 6 * 64 * (7 * 32 + 4 * 8)  # 7 norms of 64 in the encoder, 4 in the decoder
    assert flops_per_pair(SMALL, 32, 8) == 3 * counter.get_total_flops() + norms == 46_596_096


def test_activations_of_a_pair_are_those_of_encoder_and_decoder_layers():
    # 3 encoder layers of 34 * 32, 1 decoder layer of 43 * 8 + 4 * 32, 5 pairs of width 64, in 16 bits
    sizes = {"pairs": 5, "source": 32, "target": 8}
    assert activation_bytes_of_pairs(SMALL, **sizes, number_bytes=2) == (3_264 + 472) * 5 * 64
    assert activation_bytes_of_pairs(SMALL, **sizes, number_bytes=4) == 2 * (3_264 + 472) * 5 * 64
    row = memory(SMALL, stage=0, gpus=1, windows=5, length=8, number_bytes=2, activations=1_000)
    assert row.activations == 1_000


def test_a_token_of_a_pair_costs_the_mean_of_what_is_read_and_said():
    found = yardstick(SMALL, (32, 8), torch.device("cpu"), num_devices=2, peak_flops="2T")
    assert (found.flops_per_token, found.peak_flops) == (46_596_096 / 40, 4e12)
    assert yardstick(SMALL, (32, 8), torch.device("cpu"), num_devices=2, peak_flops=None) is None


def test_a_model_that_adds_a_bias_to_its_logits_is_trained_by_its_logits():
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    bart = BartConfig(vocab_size=64, encoder_attention_heads=2, decoder_attention_heads=2, **sizes)
    assert why_not_fused(BartForConditionalGeneration(bart)) == "it changes its logits behind the output layer"
    assert why_not_fused(T5ForConditionalGeneration(SMALL)) is None


def _rows(folder, *lengths):
    path = folder / "rows.jsonl"
    rows = [{"input_ids": [5] * source, "labels": [6] * target} for source, target in lengths]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_mean_pair_is_one_of_whole_ids(tmp_path):
    pairs = open_pairs(_rows(tmp_path, (1, 2), (6, 1), (9, 1)), IdSpace(10, 0, 2, "t"), max_length=8)
    assert mean_lengths(pairs) == (5, 1)  # 15 / 3, the last one cut to 8; 4 / 3


def test_a_run_on_pairs_counts_what_is_read_and_said_without_padding(tmp_path):
    (tmp_path / "text.txt").write_text("A lobster is larger than a shrimp. " * 100)
    tokenizer = train_tokenizer([TextSource(f"{tmp_path}/text.txt")], vocab_size=300, output_dir=tmp_path / "tokenizer")
    path = _rows(tmp_path, (1, 2), (2, 1), (3, 5), (4, 2))  # a batch is all four: 10 ids are read, 10 said
    pretrain(parse_arguments([
        "--architecture", "seq2seq", "--model_name_or_path", "configs/models/tiny-t5.json", "--use_cpu", "True",
        "--tokenizer_name", str(tokenizer), "--random_initialize", "True", "--output_dir", f"{tmp_path}/run",
        "--data_paths", path, "--data_ratios", "1", "--max_length", "16", "--save_strategy", "no",
        "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2", "--max_steps", "3",
        "--logging_steps", "1", "--disable_tqdm", "True", "--peak_flops", "2T",
    ]))  # fmt: skip
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    logs = [entry for entry in history if "loss" in entry]
    assert [log["tokens_seen"] for log in logs] == [20, 40, 60]
    for log in logs[1:]:
        assert log["mfu"] == pytest.approx(log["flops_per_second"] / 2e12, abs=1e-4)
        # 6 (98,624 * 2 + (115,136 + 24,576) * 2 + 16,384 * 2) + 12 * 64 * 2 (4 + 8) for a pair of 2 and 2
        assert log["flops_per_second"] == pytest.approx(log["tokens_per_second"] * 3_075_072 / 4, rel=1e-2)


def test_an_encoder_decoder_of_another_build_has_no_formula():
    config = FSMTConfig(d_model=16, encoder_layers=1, decoder_layers=1)
    with pytest.raises(ConfigError, match="the cost of a fsmt has no formula here; give one of t5, mt5, "):
        flops_per_pair(config, 4, 4)
    assert yardstick(config, (4, 4), torch.device("cpu"), num_devices=1, peak_flops="2T") is None
