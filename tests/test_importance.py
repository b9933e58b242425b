"""How important an id is where it stands: the estimator that a run learns, keeps and goes on with."""

import json

import numpy as np
import pytest
import torch

from metalang.building import TextBuild, build_corpus
from metalang.errors import ConfigError, CorpusError, MismatchError
from metalang.mixing.step_sizes import StepSizes
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.architectures import feed
from metalang.training.checkpoints import claim_output, require_unchanged
from metalang.training.config import parse_arguments
from metalang.training.diffusion.estimator import SCALE, Estimator, read_estimator
from metalang.training.diffusion.learning import learned


@pytest.fixture(scope="module")
def windows():
    """Ids 1 to 31 about equally often, at random places, but for id 1: half of them stand behind an id 0."""
    ids = np.random.default_rng(0).integers(2, 32, size=(500, 64))
    ids[:, 7], ids[:, 8], ids[:, 20] = 0, 1, 1
    return ids


@pytest.fixture(scope="module")
def estimator(windows):
    return learned(windows, np.ones(windows.shape, dtype=bool), 32, seed=1)


def test_an_id_that_its_neighbours_foretell_is_less_important_than_the_same_id_elsewhere(windows, estimator):
    importance = np.stack([estimator.of(row, np.array([8, 20])) for row in windows])
    foretold, elsewhere = importance.mean(axis=0)
    assert foretold < 0.1
    assert elsewhere > 0.9


def test_importance_is_a_rank_all_over_0_to_1(windows, estimator):
    importance = np.stack([estimator.of(row, np.arange(64)) for row in windows])
    counts = np.histogram(importance, bins=10, range=(0, 1))[0]
    assert (importance.min() >= 0, importance.max() <= 1, counts.sum()) == (True, True, 500 * 64)
    assert (counts / counts.sum()).round(2).tolist() == [0.1] * 10


def test_an_estimator_is_that_of_its_seed_whatever_the_threads_and_leaves_the_generator(windows, estimator):
    every = np.ones(windows.shape, dtype=bool)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(3 - min(threads, 2))
    again, other = (learned(windows, every, 32, seed=seed) for seed in (1, 2))
    torch.set_num_threads(threads)
    assert again.digest == estimator.digest != other.digest
    assert torch.equal(torch.get_rng_state(), state)


def test_a_surprisal_is_that_of_the_id_less_what_its_neighbours_say():
    one = SCALE
    whole = Estimator(
        surprisal=np.array([5, 7, 9]) * one**3,
        said=np.array([[1], [2], [3]], dtype=np.int32) * one,
        seen=np.array([[10], [20], [30], [0]], dtype=np.int32) * one,
        places=np.array([[1], [2], [3], [4]], dtype=np.int32) * one,
        ranked=np.array([-900, -300, -300, 0]) * one**3,
    )
    # id 0: 3 * 20 + 4 * 30; id 1: 2 * 10 + 3 * 30; id 2: 1 * 10 + 2 * 20; 3 is no neighbour
    found = whole.surprisals(np.array([0, 1, 2, 3]), np.array([0, 1, 2]))
    assert (found // one**3).tolist() == [5 - 180, 7 - 2 * 110, 9 - 3 * 50]
    assert whole.of(np.array([0, 1, 2, 3]), np.array([0, 2])).tolist() == [0.75, 0.75]
    assert whole.of(np.array([0]), np.array([0])).tolist() == [1.0]


def test_a_file_gives_back_its_estimator_and_a_damaged_one_is_refused(tmp_path, estimator):
    path = tmp_path / "importance.npz"
    estimator.write(path)
    assert read_estimator(path).digest == estimator.digest
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CorpusError, match=r"importance\.npz is no estimator of importance"):
        read_estimator(path)


# Runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A text in words of its own tokenizer."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "text.txt").write_text("A lobster is larger than a shrimp. " * 300)
    text = TextSource(f"{folder}/text.txt")
    train_tokenizer([text], vocab_size=320, output_dir=folder / "tokenizer")
    build_corpus(TextBuild(text, f"{folder}/tokenizer"), folder / "corpus")
    return folder


def _flags(data, output, *more):
    return [
        "--architecture", "masked_diffusion", "--model_name_or_path", "configs/models/tiny.json", "--use_cpu", "True",
        "--tokenizer_name", f"{data}/tokenizer", "--random_initialize", "True", "--output_dir", str(output),
        "--data_paths", f"{data}/corpus", "--data_ratios", "1", "--max_length", "16", "--max_steps", "4",
        "--curriculum", "importance", "--importance", "learned", *more,
    ]  # fmt: skip


def _feed(data, output, *more, is_resumed, branch_from=None):
    settings = parse_arguments(_flags(data, output, *more))
    settings.schedule.branch_from = branch_from  # as a flag it needs DeepSpeed, which nothing here runs
    return feed(settings, load_tokenizer(f"{data}/tokenizer"), StepSizes(8), is_resumed=is_resumed)


def _ids(made):
    return torch.stack([row["input_ids"] for row in made.train.__getitems__(range(32))])


def test_a_run_goes_on_with_its_own_estimator_and_with_no_other(data, tmp_path):
    begun = _feed(data, tmp_path / "run", is_resumed=False)
    kept = tmp_path / "run" / "importance.npz"
    digest = read_estimator(kept).digest
    assert begun.masks == f"importance learned ({digest}) easy=0.0-0.4 medium=0.3-0.7 hard=0.6-1.0 until 0.33 and 0.66"
    checkpoint = tmp_path / "run" / "checkpoint-2"
    checkpoint.mkdir()
    (checkpoint / "complete.json").write_text(json.dumps({"unchanged": {"masks": begun.masks}}))

    resumed = _feed(data, tmp_path / "run", "--max_steps", "8", is_resumed=True)  # a longer run has another sample
    branch = _feed(data, tmp_path / "branch", branch_from=str(checkpoint), is_resumed=True)
    for each in (resumed, branch):
        require_unchanged(checkpoint, {"masks": each.masks})
    assert torch.equal(_ids(branch), _ids(begun))
    assert (tmp_path / "branch" / "importance.npz").read_bytes() == kept.read_bytes()

    other = _feed(data, tmp_path / "other", "--data_seed", "5", is_resumed=False)
    with pytest.raises(MismatchError, match=f"{digest}.* then, .*importance learned .* now"):
        require_unchanged(checkpoint, {"masks": other.masks})
    kept.unlink()
    with pytest.raises(ConfigError, match=r"goes on with the estimator that the run began with, .* is not there"):
        _feed(data, tmp_path / "run", is_resumed=True)


def test_the_masks_of_a_window_do_not_depend_on_the_batch(data, tmp_path):
    made = _feed(data, tmp_path / "run", is_resumed=False)
    alone = torch.stack([made.train[place]["input_ids"] for place in reversed(range(32))]).flip(0)
    assert torch.equal(alone, _ids(made))
    unigram = _feed(data, tmp_path / "other", "--importance", "surprisal", is_resumed=False)
    assert not torch.equal(_ids(unigram), alone)
    assert not (tmp_path / "other").exists()


def test_a_run_that_was_killed_behind_its_estimator_begins_again(data, tmp_path):
    _feed(data, tmp_path, is_resumed=False)
    assert [path.name for path in tmp_path.iterdir()] == ["importance.npz"]
    claim_output(tmp_path, resume=False)


def test_importance_without_a_curriculum_has_no_effect(data, tmp_path):
    with pytest.raises(ConfigError, match="--importance learned has no effect without --curriculum importance"):
        parse_arguments(_flags(data, tmp_path, "--curriculum", "none"))


def test_an_importance_that_is_none_is_one_line(data, tmp_path):
    with pytest.raises(ConfigError, match=r"^--importance 'loss' is none of its values; known: surprisal, learned$"):
        parse_arguments(_flags(data, tmp_path, "--importance", "loss"))
