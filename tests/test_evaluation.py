"""What an evaluation measures: one loss of all sources, bits a byte, answers that are right, the best model."""

import json
import math
from pathlib import Path

import pytest
import torch

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.building.dataset import Dataset
from metalang.building.synthetic import synthetic_builds
from metalang.corpus import Corpus
from metalang.domains.copying import Identity
from metalang.errors import ConfigError
from metalang.mixing import Source
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.dataset import EvaluationDataset
from metalang.training.evaluation import Measures, require_known_metric
from metalang.training.evaluation.answers import answer_batch, answers_of, exact_match
from metalang.training.evaluation.text_bytes import is_text, num_text_bytes
from metalang.training.flags import ModelArguments
from metalang.training.model import build_model
from metalang.training.objectives.causal import Causal
from metalang.training.objectives.token_loss import TokenLoss
from metalang.training.trainer import MetalangTrainer

TINY = str(Path(__file__).parents[1] / "configs/models/tiny.json")
IDENTITY = Identity(vocabulary={"size": 6}, sequence_length={"min": 6, "max": 8})  # x of 2 to 3 symbols


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder)).with_meta_tokens(40)


@pytest.fixture(scope="module")
def sources(tmp_path_factory, tokenizer):
    """Two documents of 30 sentences of 39 bytes, and rows of a function."""
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "text.jsonl").write_text(2 * (json.dumps({"text": "A lobster is “larger” — Größe. " * 30}) + "\n"))
    build_corpus(TextBuild(TextSource(str(folder / "text.jsonl")), tokenizer.name), folder / "text")
    build_corpus(domain_build(IDENTITY, num_token=3000), folder / "identity")
    names = ("text", "identity")
    return {name: Source(name, folder / name, tokenizer.id_space, length=32) for name in names}


def _settings(tmp_path, *more):
    flags = [
        "--model_name_or_path", TINY, "--tokenizer_name", "some-folder", "--random_initialize", "True",
        "--output_dir", str(tmp_path / "run"), "--data_paths", "a", "--data_ratios", "1", "--max_steps", "5",
        "--use_cpu", "True", "--max_length", "32", *more,
    ]  # fmt: skip
    return parse_arguments(flags)


def _model(tokenizer, seed=1):
    arguments = ModelArguments(model_name_or_path=TINY, tokenizer_name="t", random_initialize=True)
    return build_model(arguments, tokenizer, seed=seed, max_length=32)


def _trainer(tmp_path, tokenizer, sources, model, *more):
    answers = {"identity": answers_of(sources["identity"].corpus, count=20, longest=32)}
    return MetalangTrainer(
        objective=Causal(),
        tokens_per_step=256,
        measures=Measures(tokenizer.id_space, text_bytes={"text": 2340}, answers=answers),
        model=model,
        args=_settings(tmp_path, *more).run,
        eval_dataset={name: EvaluationDataset(source, length=32) for name, source in sources.items()},
    )


# Loss of all sources, bits a byte


def test_bytes_of_text_are_counted_and_meta_languages_have_none(sources, tokenizer):
    assert num_text_bytes(sources["text"].corpus, tokenizer) == 2 * 30 * 39
    assert is_text(sources["text"].corpus)
    assert not is_text(sources["identity"].corpus)


def test_an_evaluation_is_the_same_whatever_the_batch(sources, tokenizer, tmp_path):
    model = _model(tokenizer)
    one, three, eight = (
        _trainer(tmp_path, tokenizer, sources, model, "--per_device_eval_batch_size", batch).evaluate()
        for batch in ("1", "3", "8")
    )
    timed = [key for key in one if key.endswith(("_runtime", "_per_second", "_time"))]
    measured = {key: value for key, value in one.items() if key not in timed}
    assert measured == pytest.approx({key: three[key] for key in measured}, rel=1e-6)
    assert measured == pytest.approx({key: eight[key] for key in measured}, rel=1e-6)
    of_text, of_identity = ({key: one[f"eval_{name}_{key}"] for key in ("loss", "tokens")} for name in sources)
    assert of_text["tokens"] == sources["text"].num_tokens
    bits = of_text["loss"] * of_text["tokens"] / 0.6931471805599453 / 2340
    assert one["eval_text_bits_per_byte"] == pytest.approx(bits, rel=1e-9)
    assert "eval_identity_bits_per_byte" not in one and "eval_text_exact_match" not in one
    total = sum(each["loss"] * each["tokens"] for each in (of_text, of_identity))
    assert one["eval_tokens"] == of_text["tokens"] + of_identity["tokens"]
    assert one["eval_loss"] == pytest.approx(total / one["eval_tokens"], rel=1e-9)
    assert one["eval_perplexity"] == pytest.approx(math.exp(one["eval_loss"]), rel=1e-9)


# Answers


def test_rows_are_questions_with_the_answers_of_the_oracle(sources, tokenizer):
    answers = answers_of(sources["identity"].corpus, count=20, longest=32)
    assert len(answers) == 20
    assert [len(answer.symbols) for answer in answers] == sorted((len(a.symbols) for a in answers), reverse=True)
    first = answers[0]
    assert first.symbols.tolist()[:3] == first.symbols.tolist()[4:7]
    assert (first.begin, first.end) == (4, 8)
    assert first.question.endswith(" SEP") and first.text.endswith(" EOS")
    batch = answer_batch(answers[-1:] + answers[:1], tokenizer.id_space, behind_eos=True)
    assert batch["labels"][0].tolist()[:3] == [-100] * 3
    assert batch["labels"][0].tolist()[5:] == [tokenizer.eos_id, -100, -100]
    bare = answer_batch(answers[:1], tokenizer.id_space, behind_eos=False)
    assert batch["input_ids"][1].tolist() == [tokenizer.eos_id, *bare["input_ids"][0].tolist()]
    assert answers_of(sources["text"].corpus, count=20, longest=32) == []
    assert answers_of(sources["identity"].corpus, count=20, longest=5) == []


def test_rows_of_several_domains_keep_their_marks_and_controls_have_no_answers(tmp_path):
    parts = [
        {"domain": IDENTITY, "share": 0.5, "promoter_length": {"min": 2, "max": 2}},
        {"domain": {"type": "k_dyck"}, "share": 0.5},
    ]
    described = {"num_token": 40_000, "split": {"split_ratio": (1.0, 0.0, 0.0)}}
    (build,) = synthetic_builds(Dataset(domains=parts, **described))
    build_corpus(build, tmp_path / "both")
    answers = answers_of(Corpus(tmp_path / "both"), count=5, longest=32)
    promoter = build.dataset.marks[0].promoter
    assert len(answers) == 5 and len(promoter) == 2
    assert all(tuple(answer.symbols[:2].tolist()) == promoter for answer in answers)
    assert all(
        answer.symbols[2 : answer.begin - 1].tolist() == answer.symbols[answer.begin : -1].tolist()
        for answer in answers
    )
    (control,) = synthetic_builds(Dataset(domains=[{"domain": IDENTITY}], control="iid_uniform", **described))
    build_corpus(control, tmp_path / "control")
    assert answers_of(Corpus(tmp_path / "control"), count=5, longest=32) == []


def _learn(model, answers, ids, steps):
    """Trains on the answers alone until they are learned, or for so many steps."""
    batch = answer_batch(answers, ids, behind_eos=True)
    optimizer, token_loss = torch.optim.AdamW(model.parameters(), lr=3e-3), TokenLoss(model)
    for _ in range(steps):
        optimizer.zero_grad()
        token_loss(model, *Causal().prepare(batch, step=None)).total.backward()
        optimizer.step()


def _decoded(model, answers, ids):
    """How many answers greedy decoding gives, symbol by symbol."""
    right = 0
    for answer in answers:
        wanted = [ids.eos_id, *ids.of_symbols(answer.symbols).tolist()]
        said = wanted[: answer.begin + 1]
        while len(said) < len(wanted):
            said.append(model(input_ids=torch.tensor([said])).logits[0, -1].argmax().item())
        right += said == wanted
    return right


def test_exact_match_is_the_share_of_answers_that_greedy_decoding_gives(sources, tokenizer, tmp_path):
    model, ids = _model(tokenizer), tokenizer.id_space
    trainer = _trainer(tmp_path, tokenizer, sources, model, "--per_device_eval_batch_size", "3")
    answers = answers_of(sources["identity"].corpus, count=20, longest=32)

    def measured():
        model.eval()
        found = exact_match(trainer, answers, ids, behind_eos=True)
        assert found == pytest.approx(_decoded(model, answers, ids) / 20)
        return found

    shares = [measured()]
    for _ in range(8):
        _learn(model, answers, ids, 15)
        shares.append(measured())
    assert shares[0] == 0.0 and shares[-1] == 1.0
    assert any(0.0 < share < 1.0 for share in shares)
    assert trainer.evaluate()["eval_identity_exact_match"] == 1.0


# The best model

_EVALUATED = ("--nl_eval_data_path", "b", "--eval_strategy", "steps", "--eval_steps", "2")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--early_stopping_patience", "0"], "--early_stopping_patience 0 would end the run at once; give 1 or more"),
        (["--early_stopping_patience", "2"], "--early_stopping_patience 2 counts evaluations, and there are none"),
        (
            [*_EVALUATED, "--save_strategy", "steps", "--save_steps", "4", "--load_best_model_at_end", "True"],
            "with --eval_steps 2 and --save_steps 4: the best evaluation may have no checkpoint; give both the same",
        ),
        (["--exact_match_rows", "-1"], "--exact_match_rows -1 is no count; give 0 or more"),
    ],
)
def test_a_flag_of_the_evaluation_that_cannot_be_meant_is_refused(tmp_path, more, message):
    with pytest.raises(ConfigError, match=message):
        _settings(tmp_path, *more)


def test_the_metric_of_the_best_model_is_the_loss_of_all_and_smaller_is_better_but_for_answers(tmp_path):
    saved = (*_EVALUATED, "--save_strategy", "steps", "--save_steps", "2", "--load_best_model_at_end", "True")
    chosen = {
        "loss": _settings(tmp_path, *saved).run,
        "stopped": _settings(tmp_path, *_EVALUATED, "--early_stopping_patience", "2").run,
        "perplexity": _settings(tmp_path, *saved, "--metric_for_best_model", "b_perplexity").run,
        "answers": _settings(tmp_path, *saved, "--metric_for_best_model", "b_exact_match").run,
    }
    assert {name: (run.metric_for_best_model, run.greater_is_better) for name, run in chosen.items()} == {
        "loss": ("loss", False),
        "stopped": ("loss", False),
        "perplexity": ("b_perplexity", False),
        "answers": ("b_exact_match", True),
    }


def test_a_metric_that_no_evaluation_gives_is_refused_with_the_nearest():
    names = ["loss", "perplexity", "tokens", "wiki_loss", "wiki_bits_per_byte"]
    for known in (None, "loss", "eval_loss", "eval_wiki_loss", "wiki_bits_per_byte"):
        require_known_metric(known, names)
    with pytest.raises(
        ConfigError, match=r"^--metric_for_best_model wikki_loss is nothing .*; did you mean 'wiki_loss'"
    ):
        require_known_metric("wikki_loss", names)
