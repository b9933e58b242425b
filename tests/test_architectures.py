"""Runs of `--architecture masked_diffusion` and `seq2seq`: in this process, and by DeepSpeed on two ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.domains.copying import Reverse
from metalang.errors import ConfigError, MismatchError
from metalang.ids import IdSpace
from metalang.mixing.step_sizes import StepSizes
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.architectures import feed
from metalang.training.checkpoints import require_unchanged
from metalang.training.config import parse_arguments
from metalang.training.evaluation.answers import answers_of
from metalang.training.generation import continue_text
from metalang.training.run import pretrain
from metalang.training.seq2seq.pairs import open_pairs

ROOT = Path(__file__).parents[1]
REVERSE = Reverse(vocabulary={"size": 32}, sequence_length={"min": 6, "max": 8})


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models as small as these are slower on several threads, and much slower on cores that others use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A text and another of the same kind, a tokenizer of their words, and mappings that turn a string round."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "text.txt").write_text("A lobster is larger than a shrimp. " * 300)
    (folder / "held_out.txt").write_text("Is a shrimp larger than a lobster? A lobster is larger than a shrimp. " * 8)
    texts = [TextSource(f"{folder}/{name}.txt") for name in ("text", "held_out")]
    train_tokenizer(texts, vocab_size=320, output_dir=folder / "tokenizer")  # pydoc: differs from Python to Python
    build_corpus(TextBuild(TextSource(f"{folder}/text.txt"), f"{folder}/tokenizer"), folder / "corpus")
    for name, num_token, seed in (("train", 200_000, 0), ("held_out", 1_000, 1), ("other", 2_000, 2)):
        build_corpus(domain_build(REVERSE, num_token=num_token, seed=seed), folder / f"reverse_{name}")
    return folder


def _flags(data, output, architecture, model, *more):
    return [
        "--architecture", architecture, "--model_name_or_path", f"configs/models/{model}.json", "--use_cpu", "True",
        "--tokenizer_name", f"{data}/tokenizer", "--random_initialize", "True", "--output_dir", str(output),
        "--data_ratios", "1", "--save_strategy", "no", "--report_to", "none", "--logging_steps", "1",
        "--disable_tqdm", "True", "--learning_rate", "3e-3", "--max_epochs", "1000", *more,
    ]  # fmt: skip


def _diffusion(data, output, *more):
    paths = ("--data_paths", f"{data}/text.txt", "--nl_eval_data_path", f"held_out={data}/held_out.txt")
    return _flags(data, output, "masked_diffusion", "tiny", *paths, "--max_length", "16", *more)


def _seq2seq(data, output, *more):
    paths = ("--data_paths", f"{data}/reverse_train", "--nl_eval_data_path", f"held_out={data}/reverse_held_out")
    return _flags(
        data, output, "seq2seq", "tiny-t5", *paths, "--max_length", "16", "--num_meta_lang_tokens", "64", *more
    )


def _history(output):
    return json.loads((output / "trainer_state.json").read_text())["log_history"]


def _values(output, key):
    return [entry[key] for entry in _history(output) if key in entry]


def test_a_run_of_masked_diffusion_goes_on_with_its_curriculum_alone(data, tmp_path):
    """Another one, or a causal run, is refused."""
    tokenizer = load_tokenizer(f"{data}/tokenizer")

    def masks(architecture, *more):
        flags = _diffusion(data, tmp_path / "run", "--architecture", architecture, "--max_steps", "4", *more)
        return feed(parse_arguments(flags), tokenizer, StepSizes(8), is_resumed=False).masks

    asked = masks("masked_diffusion", "--curriculum", "importance")
    assert asked == "importance easy=0.0-0.4 medium=0.3-0.7 hard=0.6-1.0 until 0.33 and 0.66"
    checkpoint = tmp_path / "checkpoint-2"
    checkpoint.mkdir()
    (checkpoint / "complete.json").write_text(json.dumps({"unchanged": {"masks": asked}}))
    require_unchanged(checkpoint, {"masks": masks("masked_diffusion", "--curriculum", "importance")})
    for other, said in ((("masked_diffusion",), "every id alike"), (("causal",), "None")):
        with pytest.raises(MismatchError, match=f"until 0.33 and 0.66 then, {said} now"):
            require_unchanged(checkpoint, {"masks": masks(*other)})


@pytest.fixture(scope="module")
def diffused(data, tmp_path_factory):
    """A run of masked diffusion of 300 steps."""
    output = tmp_path_factory.mktemp("runs") / "diffused"
    batch = ("--per_device_train_batch_size", "64", "--per_device_eval_batch_size", "16")
    steps = ("--max_steps", "300", "--warmup_steps", "30")
    evaluated = ("--eval_on_start", "--eval_strategy", "steps", "--eval_steps", "300")
    pretrain(parse_arguments(_diffusion(data, output, *batch, *steps, *evaluated)))
    return output


def test_masked_diffusion_learns_a_text(diffused):
    first, last = _values(diffused, "eval_held_out_loss")
    assert 5.5 < first < 6.5  # a fresh model of 384 rows knows nothing: log(384) = 5.95
    assert last < first - 2.0
    assert _values(diffused, "eval_held_out_perplexity")[1] == pytest.approx(torch.tensor(last).exp().item(), rel=1e-4)


@pytest.mark.parametrize("sampling", ["ancestral", "confident"])
def test_a_saved_model_of_masked_diffusion_fills_in_what_it_learned(diffused, sampling):
    text = continue_text(
        str(diffused), "A lobster is larger", max_new_tokens=8, temperature=0, seed=0, sampling=sampling, num_steps=8
    )
    assert text.startswith("A lobster is larger than ")


_CUTS = {
    "masked_diffusion": (_diffusion, ("--curriculum", "importance", "--stage_1_end", "0.25", "--stage_2_end", "0.5")),
    "seq2seq": (_seq2seq, ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", _CUTS)
def test_the_losses_are_the_same_however_a_batch_is_cut(data, tmp_path, architecture):
    """In float32: one rank of 8 in this process, 2 x 4 by accumulation, and two ranks of 4 by DeepSpeed."""
    cuts = {"1x8": ("8", "1"), "2x4": ("4", "2"), "ranks": ("4", "1")}
    flags, more = _CUTS[architecture]
    common = ("--max_steps", "4", "--eval_strategy", "steps", "--eval_steps", "4", *more)
    commands = {
        name: flags(data, tmp_path / name, *common, "--per_device_train_batch_size", batch,
                    "--gradient_accumulation_steps", accumulation)
        for name, (batch, accumulation) in cuts.items()
    }  # fmt: skip
    for name in ("1x8", "2x4"):
        pretrain(parse_arguments(commands[name]))
    launcher = [str(Path(sys.executable).parent / "deepspeed"), "--num_gpus", "2", "--master_port"]
    done = subprocess.run(
        [*launcher, str(29_300 + os.getpid() % 200), "train/pretrain.py", *commands["ranks"],
         "--deepspeed", "configs/ds/zero2.json"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    whole, evaluated = (_values(tmp_path / "1x8", key) for key in ("loss", "eval_held_out_loss"))
    assert (len(whole), len(evaluated)) == (4, 1)
    for name in ("2x4", "ranks"):
        assert _values(tmp_path / name, "loss") == pytest.approx(whole, rel=1e-6)
        assert _values(tmp_path / name, "eval_held_out_loss") == pytest.approx(evaluated, rel=1e-6)


def test_an_encoder_decoder_learns_to_turn_strings_round(data, tmp_path):
    batch = ("--per_device_train_batch_size", "64", "--max_steps", "600")
    evaluated = ("--eval_on_start", "--eval_strategy", "steps", "--eval_steps", "600")
    pretrain(parse_arguments(_seq2seq(data, tmp_path / "run", *batch, *evaluated)))
    first, last = _values(tmp_path / "run", "eval_held_out_loss")
    assert first > 4.0
    assert last < 0.3  # who does not read must guess 2.5 symbols of 32 in 3.5 ids: log(32) * 2.5 / 3.5 = 2.48
    tokenizer = load_tokenizer(f"{data}/tokenizer").with_meta_tokens(64)
    pairs = open_pairs(f"{data}/reverse_held_out", tokenizer.id_space, max_length=16)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "run")

    def is_right(source, target):
        said = model.generate(torch.tensor([source]), max_new_tokens=8, do_sample=False)[0, 1:].tolist()
        return said[: len(target)] == target

    right = sum(is_right(pair.source.tolist(), pair.target.tolist()) for pair in (pairs[index] for index in range(40)))
    assert right >= 30  # by chance, none: a string is one of 1,024 or 32,768
    before, behind = _values(tmp_path / "run", "eval_held_out_exact_match")
    answers = answers_of(pairs.corpus, count=64, longest=31)
    of_answers = [tokenizer.id_space.of_symbols(answer.symbols).tolist() for answer in answers]
    asked = [([*ids[: each.begin], 2], ids[each.begin :]) for ids, each in zip(of_answers, answers, strict=True)]
    assert before == 0.0
    assert (len(asked), behind) == (64, sum(is_right(*pair) for pair in asked) / 64)


@pytest.mark.parametrize(("architecture", "model"), [("masked_diffusion", "tiny"), ("seq2seq", "tiny-t5")])
def test_a_run_begins_where_the_run_that_it_is_initialized_from_ended(data, tmp_path, architecture, model):
    """Trained on symbols, then on something else: before its first step the second is as good as the first was."""
    evaluated = ("--nl_eval_data_path", f"held_out={data}/reverse_held_out", "--max_length", "16", "--max_steps", "4")
    common = (*evaluated, "--num_meta_lang_tokens", "64", "--per_device_train_batch_size", "16")
    first = ("--data_paths", f"{data}/reverse_train", "--eval_strategy", "steps", "--eval_steps", "4")
    other = f"{data}/{'text.txt' if architecture == 'masked_diffusion' else 'reverse_other'}"
    then = ("--data_paths", other, "--eval_on_start", "--seed", "7", "--init_from", f"{tmp_path}/first")
    pretrain(parse_arguments(_flags(data, tmp_path / "first", architecture, model, *common, *first)))
    pretrain(parse_arguments(_flags(data, tmp_path / "then", architecture, model, *common, *then)))
    (ended,), (began,) = (_values(tmp_path / name, "eval_held_out_loss") for name in ("first", "then"))
    assert began == ended
    assert ended < 5.8  # it has learned something: a fresh model of 512 rows has log(512) = 6.24


def test_a_document_is_cut_where_it_begins_to_be_predicted(data):
    ids = IdSpace(text_size=100, meta_size=64, eos_id=2, tokenizer="t")
    pair = open_pairs(f"{data}/reverse_train", ids, max_length=16)[0]
    content = [each for each in pair.source.tolist() if each >= 132]
    assert [each for each in pair.target.tolist() if each >= 132] == content[::-1]
    assert 2 <= len(content) <= 3
    assert (pair.source[-1], pair.target[-1]) == (2, 2)
    assert pair.predicted.all()


def _rows(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_rows_of_parallel_text_are_read_as_they_were_written(tmp_path):
    path = _rows(tmp_path, {"input_ids": [5, 6, 2], "labels": [7, 2]}, {"input_ids": [8, 2], "labels": [9, 9, 9, 2]})
    pairs = open_pairs(path, IdSpace(10, 0, 2, "t"), max_length=3)
    assert [[part.tolist() for part in pairs[index][:2]] for index in (0, 1)] == [
        [[5, 6, 2], [7, 2]],
        [[8, 2], [9, 9, 9]],
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"input_ids": [5]}, "line 2: labels is no list of ids"),
        ({"input_ids": [5], "labels": "text"}, "line 2: labels is no list of ids"),
        ({"input_ids": [10], "labels": [5]}, "line 2: input_ids has ids from 10 to 10, and the model has 10"),
    ],
)
def test_a_row_that_is_no_pair_is_refused(tmp_path, row, message):
    path = _rows(tmp_path, {"input_ids": [5], "labels": [5]}, row)
    with pytest.raises(ConfigError, match=message):
        open_pairs(path, IdSpace(10, 0, 2, "t"), max_length=3)


def test_rows_of_another_tokenizer_are_refused(tmp_path):
    path = _rows(tmp_path, {"input_ids": [5], "labels": [5]})
    (tmp_path / "seq2seq_stats.json").write_text('{"spec": {"tokenizer": "other"}}')
    with pytest.raises(MismatchError, match="was written with tokenizer other, not with t; give the tokenizer folder"):
        open_pairs(path, IdSpace(10, 0, 2, "t"), max_length=3)


@pytest.mark.parametrize(
    ("architecture", "more", "message"),
    [
        ("causal", ("--curriculum", "importance"), "--architecture causal masks nothing"),
        ("masked_diffusion", ("--phase", "sft"), "masked_diffusion does not go with --phase sft"),
        ("masked_diffusion", ("--document_boundaries", "mask"), "does not go with --document_boundaries mask"),
        ("seq2seq", ("--skip_steps", "3"), "seq2seq does not go with --skip_steps"),
        ("seq2seq", (), r"document 0 of .* has no prompt, and --architecture seq2seq reads one"),
    ],
)
def test_flags_that_do_not_fit_an_architecture_are_refused(data, tmp_path, architecture, more, message):
    flags = _flags(data, tmp_path / "run", architecture, "tiny", "--data_paths", f"{data}/corpus", "--max_steps", "2")
    with pytest.raises(ConfigError, match=message):
        feed(parse_arguments([*flags, *more]), load_tokenizer(f"{data}/tokenizer"), StepSizes(8), is_resumed=False)


@pytest.mark.parametrize(
    ("architecture", "model", "message"),
    [
        ("causal", "tiny-t5", "--architecture causal does not fit configs/models/tiny-t5.json, a t5; give seq2seq as"),
        ("seq2seq", "tiny", "--architecture seq2seq does not fit .*tiny.json, a gpt_neox; give an encoder-decoder"),
        (
            "masked_diffusion",
            "tiny-t5",
            "masked_diffusion needs a model that can see both ways, and t5 is not known to",
        ),
    ],
)
def test_a_model_that_does_not_fit_an_architecture_is_refused(data, tmp_path, architecture, model, message):
    path = "reverse_train" if architecture == "seq2seq" else "text.txt"
    more = ("--data_paths", f"{data}/{path}", "--max_steps", "2", "--num_meta_lang_tokens", "64", "--max_length", "16")
    with pytest.raises(ConfigError, match=message):
        pretrain(parse_arguments(_flags(data, tmp_path / "run", architecture, model, *more)))
