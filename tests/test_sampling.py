"""What a model says on the way, without a launcher."""

import json
from pathlib import Path

import pytest
import torch
from transformers import TrainerControl, TrainerState

from metalang.building import build_corpus, domain_build
from metalang.corpus import Corpus
from metalang.domains.copying import Identity
from metalang.errors import ConfigError
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.callbacks.samples import Samples
from metalang.training.config import parse_arguments
from metalang.training.evaluation.answers import answer_batch, answers_of
from metalang.training.evaluation.stopping import EarlyStopping
from metalang.training.flags import ModelArguments, SampleArguments
from metalang.training.model import build_model
from metalang.training.objectives.causal import Causal
from metalang.training.objectives.token_loss import TokenLoss
from metalang.training.sampling import Sampler

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "configs/models/tiny.json")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder)).with_meta_tokens(40)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Rows of x of two symbols out of three."""
    folder = tmp_path_factory.mktemp("c") / "identity"
    identity = Identity(vocabulary={"size": 3}, sequence_length={"min": 6, "max": 6})
    build_corpus(domain_build(identity, num_token=600), folder)
    return answers_of(Corpus(folder), count=9, longest=32)


def _settings(tmp_path, *more):
    flags = [
        "--model_name_or_path", TINY, "--tokenizer_name", "some-folder", "--random_initialize", "True",
        "--output_dir", str(tmp_path), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "5",
        "--use_cpu", "True", *more,
    ]  # fmt: skip
    return parse_arguments(flags)


def _model(tokenizer):
    arguments = ModelArguments(model_name_or_path=TINY, tokenizer_name="t", random_initialize=True)
    return build_model(arguments, tokenizer, seed=1, max_length=32)


def _sampler(tokenizer, answers, **flags):
    named = {"identity": answers} if answers else {}
    return Sampler(SampleArguments(**flags), tokenizer, named, seed=1, max_length=32, behind_eos=True)


# Samples


def test_drawn_samples_move_no_random_stream_and_leave_the_model_in_training(tokenizer):
    model, sampler = _model(tokenizer).train(), _sampler(tokenizer, [], sample_tokens=8, sample_temperature=1.0)
    before = torch.get_rng_state()
    (one,), (again,), (later,) = (sampler.samples(model, step) for step in (10, 10, 20))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert one.text == again.text != later.text
    assert (one.step, one.source, one.prompt, one.expected) == (10, "text", "The", None)


def test_a_model_that_has_learned_a_function_answers_its_rows(tokenizer, answers):
    model, sampler = _model(tokenizer), _sampler(tokenizer, answers, sample_prompts=[])
    fresh = sampler.samples(model, 0)
    batch = answer_batch(answers, tokenizer.id_space, behind_eos=True)
    optimizer, token_loss = torch.optim.AdamW(model.parameters(), lr=3e-3), TokenLoss(model)
    for _ in range(60):
        optimizer.zero_grad()
        token_loss(model, *Causal().prepare(batch, step=None)).total.backward()
        optimizer.step()
    learned = sampler.samples(model, 60)
    assert [sample.text == sample.expected for sample in fresh] == [False, False]
    assert [sample.text == sample.expected for sample in learned] == [True, True]
    assert learned[0].expected == learned[0].prompt.replace("SEP", "EOS")
    assert learned[0].line() == f"step 60 | identity | {learned[0].prompt} ⟦{learned[0].expected}⟧ is right"
    assert "⟧ should be " in fresh[0].line()


def test_a_resumed_run_drops_the_samples_of_steps_that_come_again(tokenizer, tmp_path):
    lines = [json.dumps({"step": step, "text": "é"}, ensure_ascii=False) + "\n" for step in (2, 4, 6)]
    (tmp_path / "samples.jsonl").write_text("".join(lines) + '{"step": 8, "te')
    samples = Samples(_sampler(tokenizer, [], sample_tokens=8), 2, tokens_seen=lambda: 0, leave_out=lambda: None)
    state = TrainerState(global_step=4)
    samples.on_train_begin(_settings(tmp_path).run, state, TrainerControl())
    assert (tmp_path / "samples.jsonl").read_text() == "".join(lines[:2])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"sample_steps": 0}, "--sample_steps 0 is no interval; give 1 or more"),
        ({"sample_tokens": 0}, "--sample_tokens 0 adds nothing; give 1 or more"),
        ({"sample_temperature": -1.0}, "--sample_temperature -1.0 is no temperature; give 0"),
        ({"sample_prompts": ["The", ""]}, "--sample_prompts has an empty text; give texts"),
        ({"sample_tokens": 31}, "--sample_prompts 'The' has 2 tokens, which with --sample_tokens 31 are more than"),
    ],
)
def test_samples_that_cannot_be_are_refused(tokenizer, flags, message):
    with pytest.raises(ConfigError, match=message):
        _sampler(tokenizer, [], **flags)


# Early stopping


def test_a_run_that_had_stopped_stops_again(tmp_path):
    flags = ("--nl_eval_data_path", "b", "--eval_strategy", "steps", "--eval_steps", "2")
    run = _settings(tmp_path, *flags, "--early_stopping_patience", "2").run
    counted = {"args": {}, "attributes": {"early_stopping_patience_counter": 2}}
    state, control = TrainerState(global_step=8, stateful_callbacks={"EarlyStopping": counted}), TrainerControl()
    EarlyStopping(3).on_train_begin(run, state, control)
    assert not control.should_training_stop
    EarlyStopping(2).on_train_begin(run, state, control)
    assert control.should_training_stop
