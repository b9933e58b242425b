"""The order of windows: exact shares on every prefix, every window once an epoch, stable when a run grows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.corpus import Documents, ShardWriter, write_manifest
from metalang.errors import ConfigError, CorpusError, MismatchError
from metalang.ids import IdSpace
from metalang.mixing import Plan, Source, Stage, model_ids, named_paths, parse_shares
from metalang.mixing.permutation import permuted
from metalang.mixing.shares import Interleave

TEXT = IdSpace(text_size=1000, meta_size=0, eos_id=2, tokenizer="toy")
MODEL = IdSpace(text_size=1000, meta_size=40, eos_id=2, tokenizer="toy")


def _corpus(folder, ids, *, space=TEXT, predicted=None, shard_tokens=7, window_length=None, in_order=False):
    """A corpus of one document, cut into shards."""
    entries = []
    for number, start in enumerate(range(0, len(ids), shard_tokens)):
        part = np.array(ids[start : start + shard_tokens])
        mask = None if predicted is None else np.array(predicted[start : start + shard_tokens], dtype=bool)
        writer = ShardWriter(folder, number, space.vocab_size)
        writer.append(Documents(part, np.array([len(part)]), np.array([number]), mask))
        entries.append(writer.finish())
    write_manifest(folder, entries, ids=space, sources=["toy"], spec={}, window_length=window_length, in_order=in_order)
    return folder


def _plan(tmp_path, sizes, shares, *, length=4, seed=0):
    sources = []
    for number, size in enumerate(sizes):
        folder = _corpus(tmp_path / f"s{number}", list(range(100 * number, 100 * number + size)))
        sources.append(Source(f"s{number}", folder, MODEL, length=length))
    return Plan(sources, [Stage(tuple(shares))], length=length, seed=seed)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 9), st.integers(1, 999_999)), min_size=1, max_size=12), st.integers(0, 10**9))
def test_after_every_prefix_every_source_is_within_one_window_of_its_share(shares, start):
    interleave, period = Interleave(shares), sum(shares)
    windows = np.arange(start, start + 3000)
    sources, ordinals = interleave.locate(windows)
    counts = interleave.counts(start)
    for window, source, ordinal in zip(windows.tolist(), sources.tolist(), ordinals.tolist(), strict=True):
        assert ordinal == counts[source]
        counts[source] += 1
        for share, count in zip(shares, counts.tolist(), strict=True):
            assert abs(count * period - share * (window + 1)) < period


def test_a_share_of_a_millionth_is_kept():
    shares = parse_shares(["0.999999", "0.000001"])
    assert Interleave(shares).counts(3_000_000).tolist() == [2_999_997, 3]


def test_the_interleave_of_halves_is_this():
    assert Interleave([1, 1]).locate(np.arange(6))[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert Interleave([3, 1]).locate(np.arange(8))[0].tolist() == [0, 0, 1, 0, 0, 0, 1, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_a_permutation_visits_every_place_once(size, key):
    assert sorted(permuted(np.arange(size), size, np.uint64(key)).tolist()) == list(range(size))


def test_small_permutations_are_all_as_likely():
    counts: dict[tuple[int, ...], int] = {}
    for key in range(24_000):
        order = tuple(permuted(np.arange(4), 4, np.uint64(key)).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 60.0  # 23 degrees of freedom: p below 5e-5


def test_permutations_of_different_keys_have_nothing_in_common():
    one, two = (permuted(np.arange(10_000), 10_000, np.uint64(key)) for key in (1, 2))
    assert int((one == two).sum()) < 10
    assert abs(float(np.corrcoef(np.arange(10_000), one)[0, 1])) < 0.05


def test_windows_predict_every_id_once_and_read_the_id_before_them(tmp_path):
    source = Source("s", _corpus(tmp_path, [10, 11, 12, 13, 14, 15, 16, 17, 18]), MODEL, length=4)
    ids, predicted = source.read(np.arange(2))
    assert ids.tolist() == [[2, 10, 11, 12, 13], [13, 14, 15, 16, 17]]
    assert predicted.tolist() == [[False, True, True, True, True]] * 2
    assert [part.tolist() for part in source.rest()] == [[17, 18], [False, True]]
    assert (source.num_windows, source.num_left_over) == (2, 1)


def test_symbols_become_the_models_ids_and_their_mask_is_kept(tmp_path):
    folder = _corpus(tmp_path, [33, 3, 33, 2], space=IdSpace.of_domain(40), predicted=[0, 0, 1, 1])
    ids, predicted = Source("s", folder, MODEL, length=4).read(np.array([0]))
    assert ids.tolist() == [[2, 1033, 1003, 1033, 2]]
    assert predicted.tolist() == [[False, False, False, True, True]]


def test_an_epoch_is_complete_before_the_next_and_has_another_order(tmp_path):
    plan = _plan(tmp_path, [40], [1])
    windows = plan.locate(np.arange(30)).window.tolist()
    epochs = [windows[start : start + 10] for start in (0, 10, 20)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_order_is_golden(tmp_path):
    """A changed order is a change of format: say so in CHANGELOG.md."""
    _, sources, _, windows = _plan(tmp_path, [40, 24], [2, 1]).locate(np.arange(12))
    assert sources.tolist() == [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert windows.tolist() == [9, 1, 2, 1, 5, 3, 4, 4, 8, 5, 0, 6]


def test_one_index_alone_gives_what_the_batch_gives(tmp_path):
    plan = _plan(tmp_path, [40, 24, 28], [5, 3, 2])
    together = list(zip(*(column.tolist() for column in plan.locate(np.arange(200))), strict=True))
    alone = [tuple(int(column[0]) for column in plan.locate([index])) for index in range(200)]
    assert together == alone


def test_the_seed_changes_the_order_and_the_fingerprint(tmp_path):
    one, two = _plan(tmp_path, [40], [1], seed=0), _plan(tmp_path, [40], [1], seed=1)
    assert one.locate(np.arange(10)).window.tolist() != two.locate(np.arange(10)).window.tolist()
    assert one.fingerprint != two.fingerprint


def test_the_order_does_not_depend_on_the_name_or_the_place_of_a_corpus(tmp_path):
    one = _plan(tmp_path / "a", [40], [1])
    other = Source("renamed", _corpus(tmp_path / "b", list(range(40)), shard_tokens=7), MODEL, length=4)
    two = Plan([other], [Stage((1,))], length=4, seed=0)
    assert one.fingerprint == two.fingerprint


def test_usage_counts_windows_tokens_and_epochs(tmp_path):
    first, second = _plan(tmp_path, [41, 24], [3, 1]).usage(20)
    assert (first.num_windows, first.num_tokens, first.epochs, first.left_over) == (15, 60, 1.5, 1)
    assert (second.num_windows, second.num_tokens, round(second.epochs, 4)) == (5, 20, 0.8333)


def test_too_many_epochs_are_refused_with_what_would_do(tmp_path):
    plan = _plan(tmp_path, [40, 400], [1, 1])
    plan.require_epochs(20, [1.0, 1.0])
    message = (
        r"s0 holds 40 tokens and is asked for 60, 1\.50 epochs of 1 at most\. Set max_epochs 1\.5 .* at most 80 tokens"
    )
    with pytest.raises(ConfigError, match=message):
        plan.require_epochs(30, [1.0, 1.0])
    plan.require_epochs(20, [1.0, 1.0])
    plan.require_epochs(30, [1.5, 1.5])


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        (["0.5", "0.6"], "sum to 1.1 and should sum to 1"),
        (["1", "1"], "sum to 2 and should sum to 1"),
        (["0", "1"], "--data_ratios 0 is no share"),
        (["-0.5", "1.5"], "--data_ratios -0.5 is no share"),
        (["half", "0.5"], "half is no number"),
        (["nan", "0.5"], "nan is no share"),
        (["1e999999999", "1"], "--data_ratios 1e999999999 is no share; write 0.000001 to 1"),
        (["0.0000001", "0.9999999"], "--data_ratios 0.0000001 is no share"),
        (["0.5", "0.499998"], "sum to 0.999998 and should sum to 1"),
    ],
)
def test_ratios_that_are_no_shares_are_refused_with_both_numbers(ratios, message):
    with pytest.raises(ConfigError, match=message):
        parse_shares(ratios)


def test_ratios_may_miss_one_by_a_millionth():
    assert parse_shares(["0.333333", "0.333333", "0.333333"]) == (1, 1, 1)
    assert parse_shares(["0.333334", "0.333333", "0.333334"]) == (333334, 333333, 333334)


def test_ratios_of_more_than_six_decimals_are_rounded_and_lose_nothing():
    assert parse_shares(["0.3333333", "0.6666667"]) == (333333, 666667)
    assert parse_shares([1 / 3, 1 / 3, 1 / 3]) == (333334, 333333, 333333)


def test_ratios_that_do_not_fit_the_paths_in_number_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="2 --data_paths and 3 --data_ratios"):
        _plan(tmp_path, [40, 40], [1, 1, 1])


def test_the_same_corpus_twice_is_refused(tmp_path):
    folder = _corpus(tmp_path, list(range(40)))
    with pytest.raises(ConfigError, match="a and b hold the same tokens; name them once"):
        Plan([Source(name, folder, MODEL, length=4) for name in "ab"], [Stage((1, 1))], length=4, seed=0)


def test_a_corpus_shorter_than_a_window_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="s0 holds 3 tokens, less than one window of 4"):
        _plan(tmp_path, [3], [1])


def test_a_corpus_of_another_tokenizer_is_refused(tmp_path):
    other = IdSpace(text_size=1000, meta_size=0, eos_id=2, tokenizer="other")
    with pytest.raises(MismatchError, match="wiki was tokenized with tokenizer other"):
        Source("wiki", _corpus(tmp_path, list(range(40)), space=other), MODEL, length=4)


def test_a_written_mixture_keeps_its_window_length(tmp_path):
    folder = _corpus(tmp_path, list(range(20)), window_length=4, in_order=True)
    source = Source("mixed", folder, MODEL, length=4)
    assert source.read(np.arange(2))[0].tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert source.num_windows == 4
    with pytest.raises(MismatchError, match=r"was mixed for windows of 4 ids .* set --max_length 4"):
        Source("mixed", folder, MODEL, length=8)


def test_a_curriculum_is_read_in_its_order_beside_a_source_that_is_not(tmp_path):
    folders = [_corpus(tmp_path / str(in_order), list(range(40)), in_order=in_order) for in_order in (True, False)]
    sources = [Source(str(number), folder, MODEL, length=4) for number, folder in enumerate(folders)]
    _, chosen, _, windows = Plan(sources, [Stage((1, 1))], length=4, seed=0).locate(np.arange(20))
    assert windows[chosen == 0].tolist() == list(range(10))
    assert windows[chosen == 1].tolist() != list(range(10))
    assert len({source.corpus.manifest.content_hash for source in sources}) == 2


def test_an_empty_corpus_is_refused(tmp_path):
    writer = ShardWriter(tmp_path, 0, 1000)
    write_manifest(tmp_path, [writer.finish()], ids=TEXT, sources=["toy"], spec={})
    with pytest.raises(CorpusError, match="holds no tokens"):
        Source("s", tmp_path, MODEL, length=4)


def test_the_model_gets_room_for_the_symbols_of_all_corpora(tmp_path):
    folders = [_corpus(tmp_path / str(size), [33], space=IdSpace.of_domain(size)) for size in (40, 60)]
    assert model_ids(TEXT, folders) == IdSpace(text_size=1000, meta_size=60, eos_id=2, tokenizer="toy")


def test_an_empty_path_is_a_folder_without_a_corpus():
    assert named_paths([""]) == (("source", ""),)


def test_equal_names_are_refused():
    with pytest.raises(ConfigError, match="2 sources called 'wiki'; tell them apart by NAME=PATH"):
        named_paths(["/a/wiki", "/b/wiki"])
