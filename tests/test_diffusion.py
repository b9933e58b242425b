"""Masked diffusion: noise, bound, curriculum, attention both ways, sampling, and runs."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from metalang.errors import ConfigError
from metalang.training.dataset import as_windows
from metalang.training.diffusion.importance import Curriculum, OfIds, importance_of
from metalang.training.diffusion.network import is_diffusion, see_both_ways
from metalang.training.diffusion.noise import LEAST_TIME, EvaluationNoise, TrainingNoise
from metalang.training.diffusion.sampling import fill
from metalang.training.diffusion.windows import NoisyWindows
from metalang.training.flags import ObjectiveArguments

MASK = 6


def _network(kind="gpt_neox", attention="sdpa"):
    torch.manual_seed(1)
    config = AutoConfig.for_model(
        kind, vocab_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=16, ffn_dim=64, word_embed_proj_dim=32,
        initializer_range=0.5, pad_token_id=0, bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    see_both_ways(model, MASK)
    return model


class Repeated:
    """One window, many times."""

    def __init__(self, ids, predicted, count):
        self._window = as_windows(np.array([ids]), np.array([predicted], dtype=bool))[0]
        self._count = count

    def __len__(self):
        return self._count

    def __getitems__(self, indices):
        return [self._window for _ in indices]


# Attention


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "kind", ["gpt_neox", "gpt2", "llama", "mistral", "olmo2", "opt", "phi", "qwen2", "qwen3"]
)  # fmt: skip
def test_a_later_id_changes_every_earlier_logit(kind, attention):
    model = _network(kind, attention)
    with torch.no_grad():
        one, other = (model(torch.tensor([[1, 2, 3, 4, 5, last]])).logits[0] for last in (1, 2))
    assert ((one - other).abs().amax(dim=1) > 1e-4).tolist() == [True] * 6


def test_a_saved_network_says_that_it_is_one_of_diffusion(tmp_path):
    _network().save_pretrained(tmp_path)
    assert is_diffusion(AutoConfig.from_pretrained(tmp_path))
    assert not is_diffusion(AutoConfig.for_model("gpt_neox"))
    with pytest.raises(ConfigError, match="has its mask at id 6 and the tokenizer's ids end before 7"):
        see_both_ways(AutoModelForCausalLM.from_pretrained(tmp_path), 7)


# Noise and bound

_IDS, _PREDICTED = [0, 1, 2, 3, 4, 5], [False, True, True, False, True, True]
_MAY_BE_MASKED = (0, 1, 3, 4)  # places of 1, 2, 4, 5 behind the first id


def _of_masks(model):
    """Loss of each set of masked places: the summed negative log-likelihood of what stood there."""
    ids = torch.tensor(_IDS[1:])
    sums = {}
    for count in (1, 2, 3, 4):
        for places in combinations(_MAY_BE_MASKED, count):
            noisy = ids.clone()
            noisy[list(places)] = MASK
            with torch.no_grad():
                logs = model(noisy[None]).logits[0].double().log_softmax(dim=1)
            sums[places] = -sum(float(logs[place, ids[place]]) for place in places)
    return sums


def _estimates(noise, sums, count):
    """The estimate of each of many draws of one window."""
    rows = NoisyWindows(Repeated(_IDS, _PREDICTED, count), noise, MASK).__getitems__(range(count))
    found = []
    for row in rows:
        places = tuple((row["input_ids"] == MASK).nonzero().squeeze(1).tolist())
        found.append(float(row["weights"].max()) * sums[places] if places else 0.0)
    return np.array(found)


def test_evaluation_estimates_the_bound_that_all_masks_together_give():
    sums = _of_masks(_network())
    bound = sum(factorial(len(s) - 1) * factorial(4 - len(s)) / factorial(4) * loss for s, loss in sums.items())
    found = _estimates(EvaluationNoise(), sums, 4000)
    error = found.std() / 4000**0.5
    assert error < 0.02 * bound
    assert abs(found.mean() - bound) < 3 * error


def test_training_without_a_curriculum_estimates_the_integral_from_the_least_time_on():
    sums = _of_masks(_network())
    times = np.linspace(LEAST_TIME, 1, 200_001)
    bound = sum(
        np.trapezoid(times ** (len(s) - 1) * (1 - times) ** (4 - len(s)), times) / (1 - LEAST_TIME) * loss
        for s, loss in sums.items()
    )
    found = _estimates(TrainingNoise(seed=1, windows_per_step=8, num_steps=2500), sums, 20_000)
    error = found.std() / 20_000**0.5
    assert error < 0.02 * bound
    assert abs(found.mean() - bound) < 3 * error


def test_what_is_not_predicted_is_never_masked_and_what_follows_the_last_prediction_always():
    noise = TrainingNoise(seed=0, windows_per_step=4, num_steps=50)
    rows = NoisyWindows(Repeated([0, 1, 2, 3, 4, 5], [False, False, True, True, False, False], 200), noise, MASK)
    for row in rows.__getitems__(range(200)):
        assert row["input_ids"][[0, 3, 4]].tolist() == [1, MASK, MASK]
        assert row["labels"].tolist() == [-100, 2, 3, -100, -100]
        assert ((row["weights"] > 0) == (row["input_ids"] == MASK))[1:3].all()
        assert row["weights"][[0, 3, 4]].tolist() == [0, 0, 0]


def test_the_times_of_a_step_lie_at_even_distances():
    noise = TrainingNoise(seed=3, windows_per_step=8, num_steps=10)
    times = np.sort([noise.time(place) for place in range(16, 24)])
    assert np.diff(times) == pytest.approx([0.999 / 8] * 7, abs=1e-9)
    assert sorted(noise.time(place) for place in range(24, 32)) != times.tolist()


def test_masks_depend_on_the_seed_and_the_place_alone():
    def masks(seed, *batches):
        noise = TrainingNoise(seed=seed, windows_per_step=8, num_steps=10)
        rows = NoisyWindows(Repeated([0, *range(1, 6)] * 5, [True] * 30, 80), noise, MASK)
        return torch.stack([row["input_ids"] for batch in batches for row in rows.__getitems__(batch)])

    whole = masks(1, range(8))
    assert torch.equal(whole, masks(1, range(4), range(4, 8)))
    assert torch.equal(whole[4:], masks(1, range(4, 8)))
    assert not torch.equal(whole, masks(2, range(8)))
    assert not torch.equal(whole, masks(1, range(8, 16)))


# Curriculum


def test_importance_is_the_share_of_tokens_that_surprise_less_and_half_of_those_that_surprise_equally():
    assert importance_of(np.array([50, 20, 20, 0, 10])).tolist() == [0.25, 0.7, 0.7, 1.0, 0.95]


def test_a_stage_masks_ids_of_its_range_ten_times_as_readily():
    ids = np.arange(6).repeat(10)
    importance = np.array([0.1, 0.2, 0.5, 0.5, 0.8, 0.9])
    curriculum = Curriculum(OfIds(importance), (0.33, 0.66), ObjectiveArguments().ranges)
    noise = TrainingNoise(seed=1, windows_per_step=10, num_steps=300, curriculum=curriculum)
    shares = []
    for stage in range(3):
        counts = sum(
            np.bincount(ids[noise.draw(place, ids, np.arange(60)).masked[:6]], minlength=6)
            for place in range(1000 * stage, 1000 * stage + 990)
        )
        shares.append((counts / counts.sum()).reshape(3, 2).sum(axis=1).round(1).tolist())
    assert shares == [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]


def test_a_curriculum_changes_which_ids_are_masked_and_not_how_many():
    ids = np.arange(6).repeat(10)
    curriculum = Curriculum(OfIds(np.array([0.1, 0.2, 0.5, 0.5, 0.8, 0.9])), (0.33, 0.66), ObjectiveArguments().ranges)
    with_it, without = (TrainingNoise(1, 10, 300, chosen) for chosen in (curriculum, None))
    places = np.arange(60)
    drawn = [(with_it.draw(place, ids, places), without.draw(place, ids, places)) for place in range(100)]
    assert all(len(one.masked) == len(other.masked) and one.weight == other.weight for one, other in drawn)
    assert any(set(one.masked) != set(other.masked) for one, other in drawn)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage_1_end": 0.7}, "--stage_1_end 0.7 and --stage_2_end 0.66 are no shares of a run in order"),
        ({"importance_ranges": ["easy=0.4-0.0", "medium=0-1", "hard=0-1"]}, "easy=0.4-0.0 is no range of a stage"),
        ({"importance_ranges": ["soft=0-1", "medium=0-1", "hard=0-1"]}, "soft=0-1 is no range of a stage"),
        ({"importance_ranges": ["easy=0-1", "easy=0-1", "hard=0-1"]}, "does not give easy, medium and hard once each"),
    ],
)
def test_a_curriculum_that_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ObjectiveArguments(**changes)


# Sampling


@pytest.mark.parametrize("sampling", ["ancestral", "confident"])
def test_sampling_finds_all_masks_leaves_the_rest_and_is_its_seeds(sampling):
    model = _network()
    ids = torch.tensor([1, 2, *[MASK] * 10, 3])

    def filled(seed, num_steps):
        return fill(model, ids, sampling=sampling, num_steps=num_steps, temperature=1.0, seed=seed).tolist()

    for num_steps in (1, 4, 10):
        found = filled(0, num_steps)
        assert found[:2] + found[-1:] == [1, 2, 3]
        assert max(found) < MASK
        assert found == filled(0, num_steps)
    assert filled(0, 10) != filled(1, 10)


def test_the_most_certain_id_is_found_first():
    model = _network()
    ids = torch.tensor([1, 2, *[MASK] * 4])
    with torch.no_grad():
        chances = model(ids[None]).logits[0, 2:, :MASK].softmax(dim=1)
    place, found = divmod(int(chances.argmax()), MASK)
    asked = []
    hook = model.register_forward_pre_hook(
        lambda _, __, named: asked.append(named["input_ids"][0].tolist()), with_kwargs=True
    )
    fill(model, ids, sampling="confident", num_steps=4, temperature=0, seed=0)
    hook.remove()
    assert [row.count(MASK) for row in asked] == [4, 3, 2, 1]
    assert asked[1][2 + place] == found
