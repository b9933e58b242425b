"""Plans: stages, epochs that are cut elsewhere, beginnings that nothing changes, any index at once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.corpus import Documents, ShardWriter, write_manifest
from metalang.errors import ConfigError, CorpusError
from metalang.ids import IdSpace
from metalang.mixing import Plan, PlanSpec, Source, Stage
from metalang.mixing.plan import differences
from metalang.mixing.shares import Interleave

TEXT = IdSpace(text_size=10_000, meta_size=0, eos_id=2, tokenizer="toy")


def corpus(folder, ids, *, shard_tokens=1000, predicted=None, space=TEXT):
    entries = []
    for number, start in enumerate(range(0, len(ids), shard_tokens)):
        part = np.array(ids[start : start + shard_tokens])
        mask = None if predicted is None else np.array(predicted[start : start + shard_tokens], dtype=bool)
        writer = ShardWriter(folder, number, space.vocab_size)
        writer.append(Documents(part, np.array([len(part)]), np.array([number]), mask))
        entries.append(writer.finish())
    write_manifest(folder, entries, ids=space, sources=["toy"], spec={})
    return folder


def source(tmp_path, name, size, *, length=4, first=10, **more):
    return Source(name, corpus(tmp_path / name, list(range(first, first + size)), **more), TEXT, length=length)


@pytest.fixture
def two(tmp_path):
    return [source(tmp_path, "a", 400), source(tmp_path, "b", 81, first=1000)]


def plan(sources, *stages, length=4, seed=0):
    return Plan(sources, stages, length=length, seed=seed)


# Stages


def test_a_stage_has_its_own_shares_and_the_next_goes_on_where_sources_were(two):
    staged = plan(two, Stage((1, 0), until=10), Stage((1, 1), until=30), Stage((0, 1)))
    places = staged.locate(np.arange(40))
    assert places.stage.tolist() == [0] * 10 + [1] * 20 + [2] * 10
    assert places.source[:10].tolist() == [0] * 10
    assert sorted(places.source[10:30].tolist()) == [0] * 10 + [1] * 10
    assert places.source[30:].tolist() == [1] * 10
    first = places.window[places.source == 0]
    assert len(set(first.tolist())) == 20  # none of its 100 windows twice in the first epoch
    second = places.window[places.source == 1]
    assert sorted(second.tolist()) == list(range(20))  # its 20 windows once, over two stages
    assert places.epoch.max() == 0


def test_a_stage_alone_is_read_as_a_plan_of_it_alone(two):
    staged, alone = plan(two, Stage((1, 0), until=7), Stage((2, 1))), plan(two, Stage((2, 1)))
    assert staged.locate(np.arange(7, 60)).source.tolist() == alone.locate(np.arange(53)).source.tolist()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_longer_run_or_a_further_stage_leaves_every_earlier_window_in_its_place(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("plans")
    sources = [source(folder, "a", 400), source(folder, "b", 81, first=1000), source(folder, "c", 57, first=2000)]
    shares = st.tuples(*[st.integers(0, 9)] * 3).filter(any)
    ends = sorted(data.draw(st.sets(st.integers(1, 90), min_size=1, max_size=3)))
    stages = [Stage(data.draw(shares), until=end) for end in ends]
    short = plan(sources, *stages)
    longer = plan(sources, *stages[:-1], Stage(stages[-1].shares, until=ends[-1] + 50), Stage(data.draw(shares)))
    indices = np.arange(ends[-1])
    assert [column.tolist() for column in short.locate(indices)] == [
        column.tolist() for column in longer.locate(indices)
    ]
    assert short.description(ends[-1]) == longer.description(ends[-1])
    assert short.description(ends[-1] + 1) != longer.description(ends[-1] + 1) or short.num_windows == ends[-1]


def test_one_index_alone_is_that_of_the_batch_in_any_order(two):
    staged = plan(two, Stage((3, 1), until=33), Stage((1, 5)))
    shuffled = np.random.default_rng(0).permutation(100)
    ids, predicted, sources = staged.read(shuffled)
    for row, index in enumerate(shuffled.tolist()):
        one, mask, chosen = staged.read([index])
        assert one[0].tolist() == ids[row].tolist()
        assert mask[0].tolist() == predicted[row].tolist()
        assert chosen[0] == sources[row]


def test_impossible_stages_are_refused(two):
    with pytest.raises(ConfigError, match="stage 1 has no until, and others follow it"):
        plan(two, Stage((1, 0)), Stage((0, 1)))
    with pytest.raises(ConfigError, match="stage 2 ends at window 5 and begins at 5"):
        plan(two, Stage((1, 0), until=5), Stage((0, 1), until=5))
    with pytest.raises(ConfigError, match="asks for 21 windows, and the last stage ends behind window 20"):
        plan(two, Stage((1, 0), until=20)).require_epochs(21, [4, 4])
    with pytest.raises(ConfigError, match="max_epochs 0 reads nothing"):
        PlanSpec((Stage((1, 1)),), (4.0, 0.0), length=4, num_windows=3, seed=0)
    with pytest.raises(
        ConfigError, match="4,611,686,018,427,387,904 windows of --max_length 4 are more tokens than any"
    ):
        PlanSpec((Stage((1, 1)),), (4.0, 4.0), length=4, num_windows=2**62, seed=0)


def test_each_source_has_a_limit_of_its_own_over_all_stages(two):
    staged = plan(two, Stage((0, 1), until=30), Stage((1, 1)))
    staged.require_epochs(50, [1, 2])
    message = (
        r"b holds 81 tokens and is asked for 120, 1\.50 epochs of 1 at most\. Set max_epochs 1\.5 .* at most 80 tokens"
    )
    with pytest.raises(ConfigError, match=message):
        staged.require_epochs(30, [1, 1])
    staged.require_epochs(20, [1, 1])


def test_what_each_stage_takes_is_counted(two):
    staged = plan(two, Stage((1, 0), until=10, name="first"), Stage((1, 3)))
    (first, begin, end, uses), (_, *_, second) = staged.usage_by_stage(50)
    assert (first.name, begin, end) == ("first", 0, 10)
    assert [(use.name, use.num_windows, use.epochs) for use in uses] == [("a", 10, 0.1)]
    assert [(use.name, use.num_windows, use.epochs) for use in second] == [("a", 10, 0.2), ("b", 30, 1.5)]
    assert [use.num_windows for use in staged.usage(50)] == [20, 30]


# Epochs


def test_each_epoch_predicts_all_but_a_few_ids_once_and_leaves_out_other_ones(tmp_path):
    held = source(tmp_path, "a", 83, length=8)  # 10 windows, 3 ids over
    staged = plan([held], Stage((1,)), length=8)
    left_out = []
    for epoch in range(12):
        ids, _, _ = staged.read(np.arange(10 * epoch, 10 * epoch + 10))
        predicted = ids[:, 1:].ravel().tolist()
        assert len(set(predicted)) == 80
        left_out.append(frozenset(range(10, 93)) - set(predicted))
    assert left_out[0] == {90, 91, 92}
    assert len(set(left_out)) > 3


def test_a_window_reads_the_id_before_it_around_the_end_of_the_corpus(tmp_path):
    held = source(tmp_path, "a", 83, length=8)
    staged = plan([held], Stage((1,)), length=8)
    ids, predicted, _ = staged.read(np.arange(10, 120))
    ring = {now: before for before, now in zip([*range(11, 93), 10], [*range(12, 93), 10, 11], strict=True)}
    for row in ids.tolist():
        for before, now in pairwise(row):
            assert before == ring[now] or (before, now) == (2, 10)
    assert not predicted[:, 0].any() and predicted[:, 1:].all()
    assert any(10 in row[2:] for row in ids.tolist())  # some window goes around


def test_windows_over_many_shards_with_masks_are_the_ids_that_lie_there(tmp_path):
    rng = np.random.default_rng(1)
    ids, mask = rng.integers(0, 9000, 5003), rng.random(5003) < 0.5
    held = Source("a", corpus(tmp_path / "a", ids, shard_tokens=37, predicted=mask), TEXT, length=100)
    starts = rng.integers(-1, 5003, 300)
    found, predicted = held.corpus.gather(starts, 101)
    places = (starts[:, None] + np.arange(101)) % 5003
    assert (found == ids[places]).all()
    assert (predicted == mask[places]).all()


def test_an_id_past_the_symbols_is_no_id(tmp_path):
    held = corpus(tmp_path / "a", [33, 34, 35, 39], space=IdSpace.of_domain(40))
    found = Source("a", held, IdSpace(100, 40, 2, "toy"), length=3)
    path = held / "00000.bin"
    path.write_bytes(np.array([33, 34, 4000, 39], dtype="<u2").tobytes())
    with pytest.raises(CorpusError, match="holds an id past 39"):
        found.read([0])


# Size


def test_a_thousand_sources_keep_their_shares_and_any_index_is_found_at_once():
    rng = np.random.default_rng(0)
    shares = np.maximum(1, (rng.pareto(0.7, 1000) * 50).astype(np.int64))
    shares[0] += 1_000_000 - shares.sum() if shares.sum() < 1_000_000 else 0
    interleave, period = Interleave(shares), int(shares.sum())
    indices = rng.integers(0, 10**9, 200)
    sources, ordinals = interleave.locate(indices)
    for index, chosen, ordinal in zip(indices.tolist(), sources.tolist(), ordinals.tolist(), strict=True):
        counts = interleave.counts(index)
        assert ordinal == counts[chosen]
        assert (np.abs(counts * period - shares * index) < period).all()


def test_a_billion_windows_cost_no_more_than_a_few(two):
    staged = plan(two, Stage((999_999, 1)))
    places = staged.locate([10**9 - 1, 5, 10**9 - 1])
    assert places.epoch[0] == places.epoch[2] > 9_000_000
    assert staged.usage(10**9)[1].num_windows == 1000


# Descriptions


def test_what_differs_is_said(two):
    one = plan(two, Stage((1, 0), until=10), Stage((1, 1))).description()
    two_ = plan(two, Stage((1, 0), until=12), Stage((3, 1)), seed=1).description()
    found = differences(one, two_)
    assert found[:2] == ["seed 0 then, 1 now", "stage 1 until window 10 then, 12 now"]
    assert found[2].startswith("stage 2 0.5 a (")
    assert differences(one, {**one, "stages": one["stages"][:1]}) == ["stage 2 is gone"]
    assert differences(one, one) == []


def test_a_description_of_a_beginning_knows_nothing_of_what_comes_later(two):
    one, other = plan(two, Stage((1, 0), until=10), Stage((1, 1))), plan(two, Stage((1, 0), until=20), Stage((0, 1)))
    assert one.description(10) == other.description(10)
    assert one.description(11) != other.description(11)
    assert [stage["until"] for stage in one.description(11)["stages"]] == [10, None]
