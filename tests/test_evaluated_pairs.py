"""What an encoder-decoder is measured on beside its loss: bytes of what it says, rows that it answers."""

import json
import math

import numpy as np
import pytest

from metalang.building import build_corpus, domain_build
from metalang.domains.copying import Reverse
from metalang.ids import IdSpace
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.evaluation.answers import Answer, pair_batch
from metalang.training.evaluation.of_pairs import answers_of_pairs, num_target_bytes
from metalang.training.run import pretrain
from metalang.training.seq2seq.pairs import open_pairs

IDS = IdSpace(text_size=100, meta_size=64, eos_id=2, tokenizer="t")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tokenizer, and rows of two translations to train and to test on."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "text.txt").write_text("Кит плывёт. A whale swims. " * 200, "utf-8")
    train_tokenizer([TextSource(f"{folder}/text.txt")], vocab_size=300, output_dir=folder / "tokenizer")
    tokenizer = load_tokenizer(f"{folder}/tokenizer")
    for name, pairs in (
        ("train", [("A whale swims.", "Кит плывёт.")] * 8),
        ("held_out", [("Кит", "A whale"), ("whale", "Кит")]),
    ):
        rows = [[[*tokenizer.backend.encode(text).ids, tokenizer.eos_id] for text in pair] for pair in pairs]
        lines = [json.dumps({"input_ids": source, "labels": target}) for source, target in rows]
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_the_bytes_of_pairs_are_those_of_what_is_said(folder):
    tokenizer = load_tokenizer(f"{folder}/tokenizer")
    pairs = open_pairs(f"{folder}/held_out.jsonl", tokenizer.id_space, max_length=64)
    assert num_target_bytes(pairs, tokenizer) == 7 + 6  # "A whale", three letters of two bytes


def test_a_run_logs_bits_a_byte_of_what_is_said(folder, tmp_path):
    pretrain(parse_arguments([
        "--architecture", "seq2seq", "--model_name_or_path", "configs/models/tiny-t5.json", "--use_cpu", "True",
        "--tokenizer_name", f"{folder}/tokenizer", "--random_initialize", "True", "--output_dir", f"{tmp_path}/run",
        "--data_paths", f"{folder}/train.jsonl", "--data_ratios", "1", "--max_length", "64", "--save_strategy", "no",
        "--nl_eval_data_path", f"{folder}/held_out.jsonl", "--eval_on_start", "--max_steps", "1",
        "--disable_tqdm", "True",
    ]))  # fmt: skip
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    (logged,) = [entry for entry in history if "eval_held_out_loss" in entry]
    bits = logged["eval_held_out_loss"] * logged["eval_held_out_tokens"] / math.log(2)
    assert logged["eval_held_out_bits_per_byte"] == pytest.approx(bits / 13)
    assert "eval_held_out_exact_match" not in logged


def test_an_answer_is_asked_as_it_is_trained_on():
    short, long = Answer(np.array([40, 1, 41]), 2, 3), Answer(np.array([40, 50, 1, 51, 52, 0]), 3, 5)
    batch = pair_batch([long, short], IDS, start_id=9)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[140, 150, 101, 2], [140, 101, 2, 9]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]],
        "decoder_input_ids": [[9, 151, 152], [9, 9, 9]],
        "decoder_attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[151, 152, -100], [141, -100, -100]],
    }


def test_rows_that_are_not_read_whole_are_not_asked(tmp_path, caplog):
    """Two to four symbols and a separator are read, with EOS behind them; as many and EOS are said."""
    reverse = Reverse(vocabulary={"size": 32}, sequence_length={"min": 6, "max": 10})
    build_corpus(domain_build(reverse, num_token=2_000, seed=1), tmp_path / "reverse")

    def lengths(max_length):
        pairs = open_pairs(f"{tmp_path}/reverse", IDS, max_length=max_length)
        return {
            (each.begin, len(each.symbols) - each.begin)
            for each in answers_of_pairs("r", pairs, count=64, max_length=max_length)
        }

    assert lengths(6) == {(3, 3), (4, 4), (5, 5)}
    assert lengths(5) == {(3, 3), (4, 4)}
    assert lengths(3) == set()
    assert "r has no exact match: questions or answers of all rows that were looked at are longer than 2" in caplog.text
