"""What a run leaves out: steps and documents; everything else stays where it is."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.corpus import Documents, ShardWriter, write_manifest
from metalang.errors import ConfigError, CorpusError, MismatchError
from metalang.ids import IdSpace
from metalang.mixing import Plan, Reading, Source, Stage
from metalang.mixing.reading import leave_out, read_run
from metalang.mixing.skips import SkippedDocument, SkippedSteps, continued, parse_steps, read_documents, unpredict

MODEL = IdSpace(text_size=1000, meta_size=0, eos_id=2, tokenizer="toy")


def _source(folder, name, lengths, *, length=4, first=10, parts=("left", "right"), shard_documents=3):
    """A corpus of documents of these lengths; row r of each of two parts in turn, ids from `first` up."""
    entries = []
    for number, begin in enumerate(range(0, len(lengths), shard_documents)):
        here = lengths[begin : begin + shard_documents]
        places = np.arange(begin, begin + len(here))
        writer = ShardWriter(folder, number, MODEL.vocab_size)
        ids = np.arange(sum(here)) + sum(lengths[:begin]) + first
        writer.append(Documents(ids, np.cumsum(here), (places // 2).astype(np.uint64), None, places % 2))
        entries.append(writer.finish())
    write_manifest(folder, entries, ids=MODEL, sources=list(parts), spec={})
    return Source(name, folder, MODEL, length=length)


_RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=6)


@settings(max_examples=100, deadline=None)
@given(_RANGES, st.integers(1, 4))
def test_a_run_reads_the_steps_that_are_left_in_turn(ranges, windows_per_step):
    skipped = {step for first, more in ranges for step in range(first, first + more + 1)}
    steps = parse_steps([f"{first}-{first + more}" for first, more in ranges])
    left = [step for step in range(1, 200) if step not in skipped][:80]
    assert steps.of_plan(range(1, 81)).tolist() == left
    windows = [(step - 1) * windows_per_step + place for step in left for place in range(windows_per_step)]
    assert steps.windows(range(80 * windows_per_step), windows_per_step).tolist() == windows
    assert steps.num_steps == len(skipped)


@pytest.mark.parametrize(
    "text", ["0", "7-3", "1200-", "a", "-5", "1,200", "3.5", "", "\u0663", "1-99999999999999999999"]
)
def test_what_names_no_steps_is_refused(text):
    with pytest.raises(ConfigError, match="names no steps; write 1200-1250, or 1300, counted from 1"):
        parse_steps(["5", text])


def test_steps_behind_the_run_are_refused():
    parse_steps(["3-4", "12"]).require_reached(10)  # reads 1, 2, 5, ... 11, 13
    with pytest.raises(
        ConfigError, match="--skip_steps 12 lies behind the run: its 9 steps read the plan up to step 11"
    ):
        parse_steps(["3-4", "12"]).require_reached(9)


def test_steps_behind_the_checkpoint_may_be_added():
    parse_steps(["1201-1250"]).require_continues(SkippedSteps(), 1200)
    parse_steps(["10-19", "1211", "1300"]).require_continues(parse_steps(["10-19"]), 1200)  # 1200 is 1210 of the plan
    parse_steps(["1200-1260"]).require_continues(parse_steps(["1200-1250"]), 1100)


def test_steps_that_were_read_cannot_be_left_out_later():
    with pytest.raises(
        MismatchError, match="names steps that the run has read: it stands at step 1,200, which is step"
    ):
        parse_steps(["1200-1250"]).require_continues(SkippedSteps(), 1200)
    with pytest.raises(MismatchError, match="which is step 1,210 of the plan"):
        parse_steps(["10-19", "1205"]).require_continues(parse_steps(["10-19"]), 1200)


def test_steps_that_were_left_out_stay_so():
    with pytest.raises(MismatchError, match="--skip_steps 10-19 were left out when the run came to step 1,200"):
        parse_steps(["10-18"]).require_continues(parse_steps(["10-19"]), 1200)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.lists(st.integers(-1, 30), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_an_id_of_a_span_is_not_predicted_wherever_a_window_meets_it(lengths, starts, length):
    ends = np.cumsum(lengths)
    spans, num_tokens = np.stack([ends - lengths, ends], axis=1)[::2].astype(np.int64), int(ends[-1])
    starts = [start % num_tokens if start > 0 else start for start in starts]
    predicted = np.ones((len(starts), length), dtype=bool)
    unpredict(np.array(starts), num_tokens, spans, predicted)
    in_span = {place for first, last in spans.tolist() for place in range(first, last)}
    expected = [[(start + column) % num_tokens not in in_span for column in range(length)] for start in starts]
    assert predicted.tolist() == expected


def test_left_out_documents_are_read_and_not_predicted_and_nothing_moves(tmp_path):
    whole = _source(tmp_path / "c", "text", [5, 3, 6, 2, 4])
    without = Source("text", tmp_path / "c", MODEL, length=4)
    assert leave_out([without], [SkippedDocument("text", 0, "right"), SkippedDocument("text", 2)]) == 7
    plans = [Plan([source], [Stage((1,))], length=4, seed=3) for source in (whole, without)]
    (ids, predicted, _), (same_ids, fewer, _) = (plan.read(range(25)) for plan in plans)  # five epochs
    assert (ids == same_ids).all()
    in_documents = ((ids >= 15) & (ids < 18)) | (ids >= 26)  # ids are places + 10: [5, 8) and [16, 20)
    assert (fewer == predicted & ~in_documents).all()
    assert fewer.sum() < predicted.sum()


def test_a_document_that_is_not_there_or_is_one_of_two_is_refused_in_a_line(tmp_path):
    sources = [_source(tmp_path / "c", "text", [5, 3, 6, 2, 4])]
    with pytest.raises(ConfigError, match="names text 9, and no such document is there"):
        leave_out(sources, [SkippedDocument("text", 9)])
    with pytest.raises(ConfigError, match="names text/middle 1, and no such document is there"):
        leave_out(sources, [SkippedDocument("text", 1, "middle")])
    with pytest.raises(ConfigError, match="names text 1, which is one of several: text/left 1 or text/right 1"):
        leave_out(sources, [SkippedDocument("text", 1)])
    with pytest.raises(ConfigError, match="names other 1, and no source 'other' is read; the sources are text"):
        leave_out(sources, [SkippedDocument("other", 1)])


def test_documents_are_named_by_lines_or_json(tmp_path):
    (tmp_path / "f").write_text(
        'text 7\n\nen/a file.txt 12\n{"source": "text", "row": 7}\n{"source": "t/x y", "row": 0}\n'
    )
    assert read_documents(tmp_path / "f") == (
        SkippedDocument("text", 7),
        SkippedDocument("en", 12, "a file.txt"),
        SkippedDocument("t", 0, "x y"),
    )


@pytest.mark.parametrize(
    "line", ["text", "text seven", '{"source": "text"}', '{"row": 1}', '{"source": "t", "row": "1"}']
)
def test_a_line_that_names_no_document_is_refused(tmp_path, line):
    (tmp_path / "f").write_text(f"text 1\n{line}\n")
    with pytest.raises(ConfigError, match=r"line 2: .* names no document; write SOURCE ROW"):
        read_documents(tmp_path / "f")


def test_a_line_that_nests_too_deep_names_no_document(tmp_path):
    (tmp_path / "f").write_text('{"a":' * 100_000)
    with pytest.raises(ConfigError, match=r"line 1: .* names no document"):
        read_documents(tmp_path / "f")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f names no document; write a line SOURCE ROW for each, or leave it out"),
        (b"\n \n", "f names no document"),
        (b"caf\xe9 3\n", "f is no UTF-8 text .* at byte 3.; save it as UTF-8"),
    ],
)
def test_a_file_that_names_nothing_is_refused(tmp_path, content, message):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_documents(tmp_path / "f")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbftext 7\n")
    assert read_documents(tmp_path / "f") == (SkippedDocument("text", 7),)


def test_documents_that_are_added_on_the_way_are_left_out_from_there_on():
    before = [SkippedDocument("text", 7, from_step=0), SkippedDocument("text", 8, from_step=100)]
    now = [SkippedDocument("text", 9), SkippedDocument("text", 8), SkippedDocument("text", 7)]
    assert [document.from_step for document in continued(now, before, 1200)] == [1200, 100, 0]
    with pytest.raises(MismatchError, match="--skip_documents named text 7 when the run came to step 1,200"):
        continued(now[:2], before, 1200)


def _reading(folder, texts=(), num_steps=30):
    sources = [_source(folder / "a", "a", [5, 3, 6, 2, 40]), _source(folder / "b", "b", [9, 30, 8], first=500)]
    plan = Plan(sources, [Stage((2, 1), 40), Stage((1, 3))], length=4, seed=3)
    return Reading(plan, MODEL, "toy", windows_per_step=4, num_steps=num_steps, steps=parse_steps(texts))


def test_counts_are_those_of_the_windows_that_are_read(tmp_path):
    reading = _reading(tmp_path, ["1", "9-11", "40-45"])
    for step in (0, 1, 7, 8, 30):
        sources = reading.plan.locate(reading.windows(np.arange(4 * step))).source.tolist()
        assert reading.counts(step) == {"a": sources.count(0), "b": sources.count(1)}


def test_a_reading_is_made_again_from_its_record(tmp_path):
    reading = _reading(tmp_path, ["9-11"])
    (tmp_path / "run.json").write_text(json.dumps({"plan": reading.record()}))
    again = read_run(tmp_path, 30)
    assert again.record() == reading.record()
    ids, predicted, _ = reading.plan.read(reading.windows(range(120)))
    same_ids, same_predicted, _ = again.plan.read(again.windows(range(120)))
    assert (ids == same_ids).all() and (predicted == same_predicted).all()


@pytest.mark.parametrize("written", [[], {"plan": 3}, {"plan": {}}, {"plan": {"max_length": 8}}])
def test_a_record_that_was_changed_by_hand_is_refused(tmp_path, written):
    (tmp_path / "run.json").write_text(json.dumps(written))
    with pytest.raises((ConfigError, CorpusError), match=r"run\.json holds no plan|the plan of .*run\.json is damaged"):
        read_run(tmp_path, 1)
