"""Documents within windows: where they begin, by the index alone; positions and attention that keep them apart."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig

from metalang.building import MixedBuild, build_corpus
from metalang.corpus import Documents, ShardWriter, write_manifest
from metalang.errors import ConfigError
from metalang.ids import IdSpace
from metalang.mixing import Plan, PlanSpec, Source, Stage, Stream
from metalang.mixing.bookmarks import Bookmarks
from metalang.mixing.stream import EncodedText
from metalang.text.encoding import Encoder
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.training.dataset import EvaluationDataset, PlanDataset

SPACE = IdSpace(text_size=100, meta_size=0, eos_id=2, tokenizer="toy")
LENGTHS = (5, 3, 9, 1, 4, 7, 2, 8)


def _corpus(folder, *, lengths=LENGTHS, documents_a_shard=3, first=10):
    """Documents of these lengths, counted through, each with an EOS in its middle and at its end."""
    entries, number = [], 0
    for shard, begin in enumerate(range(0, len(lengths), documents_a_shard)):
        parts = []
        for length in lengths[begin : begin + documents_a_shard]:
            ids = first + (np.arange(number, number + length) % 80)
            ids[length // 2], ids[-1] = 2, 2
            parts.append(ids)
            number += length
        writer = ShardWriter(folder, shard, SPACE.vocab_size)
        writer.append(Documents(np.concatenate(parts), np.cumsum([len(part) for part in parts]), np.arange(len(parts))))
        entries.append(writer.finish())
    write_manifest(folder, entries, ids=SPACE, sources=["toy"], spec={})
    return folder


def _begins(lengths=LENGTHS):
    return set(np.cumsum([0, *lengths[:-1]]).tolist())


@pytest.mark.parametrize("length", [3, 6, 12])
def test_documents_begin_where_the_index_says_and_not_behind_an_eos(tmp_path, length):
    corpus = Source("s", _corpus(tmp_path), SPACE, length=length).corpus
    starts = np.arange(-1, 39)
    found = corpus.document_starts(starts, length + 1)
    for start, row in zip(starts.tolist(), found, strict=True):
        expected = [(start + place) % 39 in _begins() for place in range(length + 1)]
        assert row.tolist() == expected


def test_positions_begin_anew_at_each_document(tmp_path):
    plan = Plan([Source("s", _corpus(tmp_path), SPACE, length=12)], [Stage((1,))], length=12, seed=0)
    windows = PlanDataset(plan, 3, "mask").__getitems__(range(3))
    for window, place in zip(windows, plan.locate(range(3)).window.tolist(), strict=True):
        expected, position = [], 0
        for token in range(12 * place - 1, 12 * place + 11):
            position = 0 if token in _begins() or not expected else position + 1
            expected.append(position)
        assert window["position_ids"].tolist() == expected
        assert "attention_mask" not in window


def test_boundaries_that_are_ignored_cost_nothing_and_say_nothing(tmp_path):
    plan = Plan([Source("s", _corpus(tmp_path), SPACE, length=12)], [Stage((1,))], length=12, seed=0)
    always = {"input_ids", "labels", "source"}
    assert set(PlanDataset(plan, 3)[0]) == always
    assert set(PlanDataset(plan, 3, "reset_positions")[0]) == always | {"position_ids", "attention_mask"}


def test_a_mixture_on_disk_keeps_the_documents_of_its_windows(tmp_path):
    folders = (("a", str(_corpus(tmp_path / "a"))), ("b", str(_corpus(tmp_path / "b", first=15))))
    spec = PlanSpec((Stage((2, 1)),), (9.0, 9.0), length=6, num_windows=30, seed=1)
    build_corpus(MixedBuild(folders, spec, SPACE), tmp_path / "mixed")
    there = PlanDataset(spec.plan(folders, SPACE), 30, "mask").__getitems__(range(30))
    mixed = Plan([Source("m", tmp_path / "mixed", SPACE, length=6)], [Stage((1,))], length=6, seed=7)
    here = PlanDataset(mixed, 30, "mask").__getitems__(range(30))
    for one, other in zip(there, here, strict=True):
        for name in ("input_ids", "labels", "position_ids"):
            assert one[name].tolist() == other[name].tolist()
    assert len({tuple(window["position_ids"].tolist()) for window in here}) > 5


CONFIGS = {
    "gpt_neox": GPTNeoXConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    ),
    "llama": LlamaConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    ),
    "gpt2": GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=2, n_positions=64),
}


def _model(name, attention):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # large enough that what is attended to matters
    model.config.use_cache = False  # as the Trainer sets it
    return model


def _logits(model, windows):
    inputs = {
        name: torch.stack([window[name] for window in windows])
        for name in windows[0]
        if name not in ("labels", "source")
    }
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_masked_logits_are_those_of_the_documents_run_apart(tmp_path, name, attention):
    plan = Plan([Source("s", _corpus(tmp_path), SPACE, length=12)], [Stage((1,))], length=12, seed=0)
    model = _model(name, attention)
    windows = PlanDataset(plan, 3, "mask").__getitems__(range(3))
    logits = _logits(model, windows)
    for row, window in enumerate(windows):
        cuts = [*np.flatnonzero(window["position_ids"].numpy() == 0).tolist(), 12]
        for begin, end in pairwise(cuts):
            with torch.no_grad():
                alone = model(window["input_ids"][None, begin:end]).logits[0]
            assert (logits[row, begin:end] - alone).abs().max() < 1e-4
    ignored = _logits(model, PlanDataset(plan, 3).__getitems__(range(3)))
    reset = _logits(model, PlanDataset(plan, 3, "reset_positions").__getitems__(range(3)))
    assert (ignored - logits).abs().max() > 1e-2
    assert (reset - logits).abs().max() > 1e-2
    assert (reset - ignored).abs().max() > 1e-3


def test_evaluation_keeps_documents_apart_too(tmp_path):
    source = Source("s", _corpus(tmp_path), SPACE, length=12)
    dataset = EvaluationDataset(source, length=12, boundaries="mask")
    assert len(dataset) == 4
    for index in range(4):
        expected, position = [], 0
        for token in range(12 * index - 1, 12 * index + 11):
            position = 0 if (token in _begins() and token < 39) or not expected else position + 1
            expected.append(position)
        assert dataset[index]["position_ids"].tolist() == expected


def test_a_stream_has_no_index(tmp_path):
    (tmp_path / "a.txt").write_text("some text\n")
    text = EncodedText(TextSource(str(tmp_path / "a.txt")), Encoder("tokenizers", "{}"), 2, BadLines())
    bookmarks = Bookmarks(tmp_path / "bookmarks", {}, is_writer=False)
    plan = Plan([Stream("far", text, length=4, max_epochs=1.0, bookmarks=bookmarks)], [Stage((1,))], length=4, seed=0)
    with pytest.raises(ConfigError, match="far is streamed, and a stream keeps no index of its documents; leave --str"):
        plan.document_starts([0])
