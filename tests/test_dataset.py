"""Datasets: shares, marks, splits and orders, exact to the row."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.building import Dataset, LocalExecutor, build_corpus, read_dataset, rows, synthetic, synthetic_builds
from metalang.building.catalogue import check_rows
from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.domains import Sequences
from metalang.domains.copying import Identity
from metalang.domains.marks import Marks
from metalang.errors import ConfigError, CorpusError
from metalang.mixing.arrangement import draw_kinds
from metalang.specs import as_spec

ROOT = Path(__file__).parents[1]
COPY = {"type": "identity", "vocabulary": {"size": 50}, "sequence_length": {"min": 8, "max": 40}}
BACK = {"type": "reverse", "vocabulary": {"size": 90}, "sequence_length": {"min": 8, "max": 20}}
DYCK = {"type": "k_shuffle_dyck", "num_types": 8, "sequence_length": 30}
SHORT_FORM = """
{ "name": "identity", "vocab_size": 10000, "sequence_length_min": 256, "sequence_length_max": 1024,
  "split": {"shuffle_dataset": true, "shuffle_domain_order": false, "shuffle_domain_sequence": true, "split_ratio": [0.8, 0.1, 0.1]},
  "promoter_length_range": [4, 13],  # a comment, and a comma too many
}
"""  # noqa: E501 - as people paste it


def _dataset(*parts, num_token=20_000, split=None, **more):
    value = {"domains": list(parts), "num_token": num_token, "split": split or {}, **more}
    return as_spec(Dataset, value, "dataset")


def _built(dataset, folder):
    for build in synthetic_builds(dataset):
        build_corpus(build, folder / build.split)
    return {path.name: Corpus(path) for path in sorted(folder.iterdir())}


def _documents(corpus):
    return [corpus.document(number) for number in range(corpus.manifest.num_documents)]


def _sources(corpus):
    return [int(row["source"]) for _, _, row in _documents(corpus)]


def test_the_predecessors_short_form_is_read_whole(tmp_path):
    path = tmp_path / "identity.json"
    path.write_text(SHORT_FORM)
    assert read_dataset(path, num_token="5M") == Dataset(
        name="identity",
        num_token=5_000_000,
        domains=[
            {
                "domain": Identity(vocabulary={"size": 10000}, sequence_length={"min": 256, "max": 1024}),
                "promoter_length": {"min": 4, "max": 13},
            }
        ],
        split={"shuffle_domain_sequence": True, "split_ratio": [0.8, 0.1, 0.1]},
    )


@pytest.mark.parametrize("num_token", [3_000, 10_007, 200_000])
def test_tokens_in_all_are_those_asked_for_within_one_row(tmp_path, num_token):
    parts = ({"domain": COPY, "share": 0.5}, {"domain": BACK, "share": 0.3}, {"domain": DYCK, "share": 0.2})
    corpora = _built(_dataset(*parts, num_token=num_token), tmp_path)
    total = sum(corpus.num_tokens for corpus in corpora.values())
    assert num_token <= total < num_token + 40
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(corpora[name].num_tokens - share * num_token) <= 40


def test_shares_are_met_within_half_a_percent(tmp_path):
    parts = ({"domain": COPY, "share": 0.5}, {"domain": BACK, "share": 0.3}, {"domain": DYCK, "share": 0.2})
    train = _built(_dataset(*parts, num_token=200_000), tmp_path)["train"]
    found = [tokens / train.num_tokens for _, tokens in train.documents_per_source().values()]
    assert np.abs(np.array(found) - [0.5, 0.3, 0.2]).max() < 0.005
    assert list(train.documents_per_source()) == ["identity", "reverse", "k_shuffle_dyck"]


def test_twins_and_splits_share_no_row(tmp_path):
    wide = COPY | {"vocabulary": {"size": 5000}, "sequence_length": {"min": 20, "max": 40}}
    corpora = _built(_dataset({"domain": wide, "share": 0.5}, {"domain": wide, "share": 0.5}), tmp_path)
    rows = [symbols.tobytes() for corpus in corpora.values() for symbols, _, _ in _documents(corpus)]
    assert len(set(rows)) == len(rows) > 600
    assert corpora["test"].manifest.sources == ("identity-1", "identity-2")


def test_every_domain_has_marks_of_its_own_that_no_seed_and_no_split_changes():
    lengths = {"promoter_length": {"min": 4, "max": 13}, "delimiter_length": 2}
    parts = [{"domain": domain, "share": 0.5, **lengths} for domain in (COPY, BACK)]
    one, other = (_dataset(*parts, seed=seed) for seed in (0, 5))
    symbols = [symbol for marks in one.marks for symbol in (*marks.promoter, *marks.delimiter)]
    assert one.marks == other.marks
    assert sorted(symbols) == list(range(122, 122 + len(symbols)))
    assert one.num_symbols == 122 + len(symbols)
    assert all(4 <= len(marks.promoter) <= 13 and len(marks.delimiter) == 2 for marks in one.marks)


def test_the_marks_of_a_domain_are_golden():
    """They name a task in every corpus that was ever made: a changed one is a change of format."""
    marks = _dataset({"domain": COPY, "promoter_length": {"min": 4, "max": 13}, "delimiter_length": 3}).marks[0]
    assert marks == Marks(promoter=GOLDEN[0], delimiter=GOLDEN[1])


GOLDEN = ((89, 84, 86, 88, 90, 87, 85, 91, 83, 82), (92, 93, 94))


def test_marked_rows_on_disk_pass_their_check_and_broken_ones_are_named(tmp_path):
    parts = (
        {"domain": COPY, "share": 0.5, "promoter_length": 3, "delimiter_length": 2},
        {"domain": DYCK, "share": 0.5, "promoter_length": 2},
    )
    build = synthetic_builds(_dataset(*parts))[0]
    build_corpus(build, tmp_path / "good")
    good = Corpus(tmp_path / "good")
    assert check_rows(good) == good.manifest.num_documents
    faults = {0: r"position 0: the row is", 3: r"\(identity\), position \d+: symbol", -1: r"position \d+: symbol is 40"}
    symbols, predicted, _ = next(each for each in _documents(good) if each[2]["source"] == 0)
    for place, message in faults.items():
        row = symbols.copy()
        row[place] = 40 if row[place] != 40 else 41
        writer = ShardWriter(tmp_path / str(place), 0, build.ids.vocab_size)
        writer.append(Documents(row, np.array([len(row)]), np.array([0]), predicted))
        write_manifest(
            tmp_path / str(place), [writer.finish()], ids=build.ids, sources=build.sources, spec=build.spec
        )  # fmt: skip
        with pytest.raises(CorpusError, match=message):
            check_rows(Corpus(tmp_path / str(place)))


def test_a_symbol_that_the_dataset_does_not_have_is_named(tmp_path):
    build = synthetic_builds(
        _dataset({"domain": {"type": "lime_deduct"}}, num_token=2000, split={"split_ratio": [1, 0, 0]})
    )[0]
    domain = build.dataset.domains[0].domain
    rows = domain.sample(1, 0, 1)
    rows.symbols[30] = domain.num_symbols + 5
    writer = ShardWriter(tmp_path, 0, build.ids.vocab_size + 10)
    writer.append(Documents(rows.symbols, rows.ends, rows.ends, rows.predicted))
    write_manifest(tmp_path, [writer.finish()], ids=build.ids, sources=build.sources, spec=build.spec)
    with pytest.raises(CorpusError, match="position 30: symbol 1046 is not below 1041"):
        check_rows(Corpus(tmp_path))


def test_marks_take_the_mask_of_what_they_stand_at():
    rows = Sequences(np.array([40, 3, 40, 2, 50, 51]), np.array([4, 6]), np.array([0, 0, 1, 1, 1, 1], bool))
    marked = Marks(promoter=(90, 91), delimiter=(92, 93)).on(rows)
    assert marked.symbols.tolist() == [90, 91, 40, 92, 93, 40, 2, 90, 91, 50, 51]
    assert marked.predicted.astype(int).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert marked.ends.tolist() == [7, 11]


@settings(max_examples=50, deadline=None)
@given(
    row=st.lists(st.sampled_from([2, 3, 4, 32, 33, 34]), min_size=1, max_size=20),
    promoter=st.integers(0, 4),
    delimiter=st.integers(0, 4),
    data=st.data(),
)
def test_marks_come_off_as_they_went_on(row, promoter, delimiter, data):
    flags = data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row)))
    marks = Marks(tuple(range(90, 90 + promoter)), tuple(range(80, 80 + delimiter)))
    marked = marks.on(Sequences(np.array(row), np.array([len(row)]), np.array(flags)))
    symbols, predicted = marks.off(marked.symbols, marked.predicted)
    assert (symbols.tolist(), predicted.tolist()) == (row, flags)


def test_one_domain_after_the_other_is_a_curriculum(tmp_path):
    parts = [{"domain": domain, "share": share} for domain, share in ((DYCK, 0.2), (COPY, 0.5), (BACK, 0.3))]
    train = _built(_dataset(*parts, split={"shuffle_dataset": False}), tmp_path)["train"]
    sources = _sources(train)
    assert train.manifest.in_order
    assert sources == sorted(sources)
    assert sorted(set(sources)) == [0, 1, 2]


def test_the_order_of_domains_is_shuffled_whole_and_the_same_in_each_split(tmp_path):
    parts = [{"domain": COPY | {"vocabulary": {"size": size}}, "share": 0.125} for size in range(50, 58)]
    split = {"shuffle_dataset": False, "shuffle_domain_order": True}
    corpora = _built(_dataset(*parts, num_token=50_000, split=split), tmp_path)
    orders = [list(dict.fromkeys(_sources(corpus))) for corpus in corpora.values()]
    assert orders[0] == orders[1] == orders[2] != list(range(8))
    assert sorted(orders[0]) == list(range(8))
    assert all(np.count_nonzero(np.diff(_sources(corpus))) == 7 for corpus in corpora.values())


@pytest.mark.parametrize("shuffle_dataset", [True, False])
def test_a_shuffled_domain_has_the_rows_of_the_unshuffled_in_another_order(tmp_path, shuffle_dataset, monkeypatch):
    monkeypatch.setattr(rows, "_BLOCK_ROWS", 16)
    parts = ({"domain": COPY, "share": 0.5}, {"domain": DYCK, "share": 0.5})
    found = {}
    for shuffled in (False, True):
        split = {"shuffle_dataset": shuffle_dataset, "shuffle_domain_sequence": shuffled}
        train = _built(_dataset(*parts, split=split), tmp_path / str(shuffled))["train"]
        found[shuffled] = [(int(row["source"]), int(row["row"]), s.tobytes()) for s, _, row in _documents(train)]
    assert sorted(found[True]) == sorted(found[False])
    numbers = {key: [number for source, number, _ in each if source == 0] for key, each in found.items()}
    assert numbers[False] == list(range(len(numbers[False])))
    assert np.corrcoef(numbers[True], numbers[False])[0, 1] < 0.5


def test_a_shuffled_dataset_mixes_its_domains_and_every_arrangement_is_as_likely():
    arrangements = {}
    for key in range(20_000):
        drawn = tuple(draw_kinds(np.uint64(key), 0, np.array([2, 3]), 5).tolist())
        arrangements[drawn] = arrangements.get(drawn, 0) + 1
    counts = np.array(list(arrangements.values()))
    assert len(counts) == 10
    assert ((counts - 2000) ** 2 / 2000).sum() < 28.0  # 9 degrees of freedom: p below 1e-3


def test_units_chunks_and_workers_change_no_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_UNIT_TOKENS", 4_000)
    parts = ({"domain": COPY, "share": 0.6, "promoter_length": 3}, {"domain": DYCK, "share": 0.4})
    dataset = _dataset(*parts, split={"shuffle_domain_sequence": True})
    payloads = []
    for number, (workers, chunk) in enumerate([(1, 2**20), (2, 2**20), (8, 2**20), (1, 500), (1, 33)]):
        monkeypatch.setattr(synthetic, "_CHUNK_TOKENS", chunk)
        monkeypatch.setattr(rows, "_CHUNK_TOKENS", chunk)
        folder = tmp_path / str(number)
        build_corpus(synthetic_builds(dataset)[0], folder, LocalExecutor(workers))
        payloads.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert all(payload == payloads[0] for payload in payloads)
    assert "00003.bin" in payloads[0]


def test_a_dataset_survives_json_and_has_one_fingerprint_in_every_process():
    parts = ({"domain": COPY, "share": 0.6, "promoter_length": 3}, {"domain": DYCK, "share": 0.4})
    dataset = _dataset(*parts, num_token="20K", split={"split_ratio": [0.9, 0.1, 0]})
    text = json.dumps(dataset.model_dump(mode="json"))
    assert as_spec(Dataset, json.loads(text), "again") == dataset
    assert json.dumps(as_spec(Dataset, json.loads(text), "again").model_dump(mode="json")) == text
    code = (
        "import json, sys\nfrom metalang.building import Dataset\n"
        "print(Dataset.model_validate(json.loads(sys.argv[1])).fingerprint)"
    )
    done = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == dataset.fingerprint


def test_a_domain_may_be_the_path_of_its_file(tmp_path):
    (tmp_path / "copy.json").write_text(json.dumps(COPY))
    (tmp_path / "set.yaml").write_text(f"domains: [{{domain: {tmp_path}/copy.json}}]\nnum_token: 1K\n")
    assert read_dataset(tmp_path / "set.yaml").domains[0].domain == Identity(**COPY)


def test_a_vocabulary_may_have_the_counts_of_a_corpus(tmp_path):
    skewed = COPY | {"vocabulary": {"size": 9, "distribution": {"type": "zipf", "alpha": 2.0, "beta": 0.0}}}
    _built(_dataset({"domain": skewed}), tmp_path / "skewed")
    path = tmp_path / "copy.json"
    law = {"type": "corpus", "path": str(tmp_path / "skewed/train")}
    path.write_text(json.dumps(COPY | {"vocabulary": {"size": 5, "distribution": law}}))
    dataset = read_dataset(path, num_token="50K")
    counts = dataset.domains[0].domain.vocabulary.distribution.counts
    assert len(counts) == 9 and 3.5 < counts[0] / counts[1] < 4.5
    corpora = _built(dataset, tmp_path / "out")
    found = corpora["train"].frequencies()[32:37]
    assert np.abs(found / found.sum() - np.array(counts[:5]) / sum(counts[:5])).max() < 0.02
    moved = dataset.domains[0].domain.vocabulary.distribution.model_copy(update={"path": "elsewhere"})
    assert moved.fingerprint == dataset.domains[0].domain.vocabulary.distribution.fingerprint
    assert check_rows(corpora["test"]) > 0


def test_counts_of_a_missing_corpus_are_asked_for_by_its_path(tmp_path):
    path = tmp_path / "copy.json"
    law = {"type": "corpus", "path": str(tmp_path / "missing")}
    path.write_text(json.dumps(COPY | {"vocabulary": {"size": 5, "distribution": law}}))
    with pytest.raises(CorpusError, match="missing is no corpus"):
        read_dataset(path, num_token="50K")


def test_a_dataset_of_a_control_is_written_and_named_so(tmp_path):
    corpora = _built(_dataset({"domain": COPY, "promoter_length": 3}, control="shuffled"), tmp_path)
    assert corpora["train"].manifest.sources == ("identity-shuffled",)
    promoters = {tuple(symbols[:3].tolist()) for symbols, _, _ in _documents(corpora["train"])}
    assert len(promoters) == 1


def _parts(*shares):
    return [{"domain": COPY, "share": share} for share in shares]


FAULTS = {
    "shares": ({"domains": _parts(0.5, 0.4)}, "share 0.5 0.4 sum to 0.9 and should sum to 1"),
    "ratios": ({"split": {"split_ratio": [0.8, 0.1, 0.2]}}, "split: split_ratio 0.8 0.1 0.2 sum to 1.1 and should"),
    "no_shares": ({"split": {"split_ratio": [0, 0, 0]}}, "split_ratio .*sum to 0 and should sum to 1"),
    "one_length": ({"domains": [{"domain": COPY, "promoter_length": [4]}]}, "promoter_length"),
    "no_path": (
        {"domains": [{"domain": COPY | {"vocabulary": {"size": 5, "distribution": {"type": "corpus", "path": 5}}}}]},
        "distribution.corpus.path",
    ),
    "negative": ({"split": {"split_ratio": [1.2, -0.1, -0.1]}}, "split_ratio .* has a share below 0"),
    "two_ratios": ({"split": {"split_ratio": [0.9, 0.1]}}, "split.split_ratio"),
    "share_of_nothing": ({"domains": _parts(1.0, 0.0)}, "domains.1.share: .*greater than 0"),
    "no_domain": ({"domains": []}, "domains has 0 parts; give 1 to 65,536"),
    "unknown_type": (
        {"domains": [{"domain": {"type": "revers"}}]},
        "domains.0.domain: type 'revers' is no domain; did",
    ),
    "no_type": ({"domains": [{"domain": {}}]}, "type None is no domain"),
    "unknown_key": ({"domain": []}, "unknown key 'domain'; did you mean 'domains'"),
    "unknown_mode": ({"split": {"shuffle": True}}, "split: unknown key 'shuffle'; did you mean 'shuffle_"),
    "upside_down": ({"domains": [{"domain": COPY, "promoter_length": {"min": 9, "max": 4}}]}, "min 9 and max 4 are no"),
    "deep": ({"domains": [{"domain": COPY | {"vocabulary": {"size": 0}}}]}, "vocabulary.size: .*greater than or equal"),
    "no_separator": ({"domains": [{"domain": DYCK, "delimiter_length": 2}]}, "rows of k_shuffle_dyck have no SEP"),
    "nothing_asked": ({"num_token": 0}, "num_token: .*greater than or equal to 1"),
    "too_much_asked": ({"num_token": "2000T"}, "num_token: .*less than or equal"),
    "too_little_for_splits": ({"num_token": 30}, "num_token 30 is too little: identity would have no row in"),
    "missing_file": ({"domains": [{"domain": "missing.json"}]}, "missing.json: No such file"),
    "no_tokens": ({"num_token": None}, "num_token is not given; set --num_token"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_dataset_gets_one_clear_line(tmp_path, changes, message):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"num_token": 9000, "domains": [{"domain": COPY}]} | changes))
    with pytest.raises(ConfigError, match=message) as caught:
        synthetic_builds(read_dataset(path))
    assert "\n" not in str(caught.value)


def test_a_folder_of_another_dataset_is_refused_before_anything_is_built(tmp_path):
    (tmp_path / "copy.json").write_text(json.dumps(COPY))
    command = [
        sys.executable, ROOT / "data_tools/synthesize.py", "--num_token", "2K", "--data_config", tmp_path / "copy.json",
        "--output_dir", tmp_path / "out",
    ]  # fmt: skip
    subprocess.run([*command, "--split_ratio", "0", "0", "1"], check=True, capture_output=True)
    done = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "out/test holds another corpus" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test"]


def test_the_command_line_writes_three_corpora_and_says_so(tmp_path):
    (tmp_path / "identity.json").write_text(SHORT_FORM)
    command = [
        sys.executable, ROOT / "data_tools/synthesize.py", "--num_token", "200K", "--data_config",
        tmp_path / "identity.json", "--output_dir", tmp_path / "out",
    ]  # fmt: skip
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    totals = [Corpus(tmp_path / "out" / split).num_tokens for split in ("train", "validation", "test")]
    assert 200_000 <= sum(totals) < 201_100
    assert printed.count("predicted:") == 3
