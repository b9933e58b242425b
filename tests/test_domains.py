"""Domains: one contract over the registry, then what each family promises."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from golden_rows import FILE, PRESETS, ROOT, golden
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.building import Dataset, LocalExecutor, build_corpus, synthetic, synthetic_builds
from metalang.building.dataset import Part
from metalang.corpus import Corpus
from metalang.domains import domain_types, read_domain
from metalang.domains.copying import Duplicate, Identity, Reverse
from metalang.errors import ConfigError, CorpusError
from metalang.specs import as_spec, read_config

TYPES = list(domain_types())
GOLDEN = json.loads(FILE.read_text())
SMALL = {"vocabulary": {"size": 50}, "sequence_length": {"min": 8, "max": 40}}


def _rows(sequences):
    borders = sequences.ends[:-1]
    return list(zip(np.split(sequences.symbols, borders), np.split(sequences.predicted, borders), strict=True))


@pytest.mark.parametrize("seed", [0, 2**40, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_rows_of_every_preset_pass_their_check(path, seed):
    domain = read_domain(path)
    rows = _rows(domain.sample(domain.key(seed, "train"), 0, 1000))
    for symbols, predicted in rows:
        domain.check(symbols, predicted)
        assert symbols.max() < domain.num_symbols
    assert len(rows) == 1000


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_first_rows_of_every_preset_are_golden(path):
    """A changed row is a change of format: see golden_rows.py."""
    assert golden(read_domain(path)) == GOLDEN[path.stem]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_row_is_the_same_alone_in_a_chunk_and_far_out(path):
    domain = read_domain(path)
    key, far = domain.key(0, "train"), 10**9
    chunk = _rows(domain.sample(key, far, 20))
    alone = [_rows(domain.sample(key, far + index, 1))[0] for index in range(20)]
    assert [row[0].tolist() for row in chunk] == [row[0].tolist() for row in alone]
    assert [row[1].tolist() for row in chunk] == [row[1].tolist() for row in alone]
    assert domain.lengths(key, far, 20).tolist() == [len(row[0]) for row in chunk]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_rows_do_not_depend_on_the_chunk(path):
    domain = read_domain(path)
    whole, borders = domain.sample(9, 0, 300), [0, 1, 8, 72, 300]
    chunks = [domain.sample(9, first, last - first) for first, last in pairwise(borders)]
    assert np.concatenate([chunk.symbols for chunk in chunks]).tobytes() == whole.symbols.tobytes()
    assert np.concatenate([chunk.predicted for chunk in chunks]).tobytes() == whole.predicted.tobytes()


def test_a_dataset_of_all_types_has_the_same_bytes_for_1_2_and_8_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_UNIT_TOKENS", 400_000)
    parts = [{"domain": f"configs/domains/{name}.json", "share": 1 / len(TYPES)} for name in TYPES]
    monkeypatch.chdir(ROOT)
    build = synthetic_builds(as_spec(Dataset, {"domains": parts, "num_token": "4M"}, "all"))[0]
    payloads = []
    for workers in (1, 2, 8):
        build_corpus(build, tmp_path / str(workers), LocalExecutor(workers))
        payloads.append({path.name: path.read_bytes() for path in sorted((tmp_path / str(workers)).iterdir())})
    assert payloads[0] == payloads[1] == payloads[2]
    assert build.num_units == 9
    assert set(Corpus(tmp_path / "8").documents_per_source()) == set(TYPES)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_seeds_splits_and_twins_share_no_row(path):
    domain = read_domain(path)
    twins = Dataset(domains=[{"domain": domain, "share": 0.5}] * 2)
    streams = [domain.key(seed, split) for seed in (0, 1) for split in ("train", "validation", "test")]
    streams.append(int(twins.key(1, "train")))
    assert int(twins.key(0, "train")) == streams[0]
    rows = [row[0].tobytes() for key in streams for row in _rows(domain.sample(key, 0, 200))]
    assert len(set(rows)) >= 1260  # of 1,400: languages of few strings repeat some of them by chance


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_domain_survives_json(path):
    domain = read_domain(path)
    again = as_spec(type(domain), json.loads(json.dumps(domain.model_dump(mode="json"))), "again")
    assert again == domain
    assert again.fingerprint == domain.fingerprint


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([Identity, Reverse, Duplicate]),
    size=st.integers(1, 300),
    low=st.integers(0, 60),
    extra=st.integers(0, 60),
    distribution=st.sampled_from(["uniform", {"type": "zipf", "alpha": 1.5, "beta": 0.0}, "zipf"]),
    replacement=st.booleans(),
    mask=st.sampled_from(["all", "output", "output_no_eos"]),
    eos=st.booleans(),
    key=st.integers(0, 2**64 - 1),
)
def test_any_valid_description_gives_rows_that_pass_their_check(
    kind, size, low, extra, distribution, replacement, mask, eos, key
):
    value = {
        "type": kind.model_fields["type"].default,
        "vocabulary": {"size": size, "distribution": distribution, "replacement": replacement},
        "sequence_length": {"min": low, "max": low + extra},
        "mask": mask,
        "eos": eos,
    }
    try:
        domain = as_spec(kind, value, "given")
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    for symbols, predicted in _rows(domain.sample(key, 3, 5)):
        domain.check(symbols, predicted)
        assert low <= len(symbols) <= low + extra
        if not replacement:
            source = symbols[: symbols.tolist().index(3)].tolist()
            assert len(set(source)) == len(source)


def test_masks_are_what_they_say():
    expected = {
        "output": [False, False, False, True, True, True],
        "output_no_eos": [False, False, False, True, True, False],
        "all": [True] * 6,
    }
    for mask, flags in expected.items():
        domain = Identity(vocabulary={"size": 5}, sequence_length=6, mask=mask)
        assert domain.sample(1, 0, 1).predicted.tolist() == flags


@pytest.mark.parametrize(
    ("place", "symbol", "message"),
    [
        (1, 3, "position 4: symbol is 33 and should be 2"),
        (4, 40, "position 4: symbol is 40 and should be 33"),
        (0, 31, "position 0: symbol 31 is not content of identity"),
    ],
)
def test_check_names_the_first_position_that_breaks_the_definition(place, symbol, message):
    row = np.array([33, 33, 34, 3, 33, 33, 34, 2])
    domain = Identity(vocabulary={"size": 9}, sequence_length=8)
    mask = np.array([False] * 4 + [True] * 4)
    domain.check(row, mask)
    row[place] = symbol
    if place == 1:
        row[[0, 1, 2]] = [33, 3, 33]
        message = "position 3: symbol is 3 and should be 2"
    with pytest.raises(CorpusError, match=message):
        domain.check(row, mask)


def test_check_names_a_wrong_mask():
    domain = Identity(vocabulary={"size": 9}, sequence_length=4)
    with pytest.raises(CorpusError, match="position 1: mask is True and should be False"):
        domain.check(np.array([33, 3, 33, 2]), np.array([False, True, True, True]))


def test_rows_are_equal_in_another_process():
    code = (
        "from metalang.domains.copying import Identity\n"
        "domain = Identity(vocabulary={'size': 50}, sequence_length={'min': 8, 'max': 40})\n"
        "print(domain.sample(domain.key(0, 'train'), 10**9, 3).symbols.tolist())"
    )
    domain = Identity(**SMALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(domain.sample(domain.key(0, "train"), 10**9, 3).symbols.tolist())


def test_the_predecessors_short_form_is_read(tmp_path):
    path = tmp_path / "identity.json"
    path.write_text(
        '{\n  "name": "identity",\n  "vocab_size": 10000,\n'
        '  "sequence_length_min": 256,\n  "sequence_length_max": 1024,\n}\n'
    )
    assert read_domain(path) == Identity(vocabulary={"size": 10000}, sequence_length={"min": 256, "max": 1024})


FAULTS = {
    "unknown_key": ({"vocabulary": {"sise": 9}}, "unknown key 'sise'; did you mean 'size'"),
    "no_symbol": ({"vocabulary": {"size": 0}}, "vocabulary.size: .*greater than or equal to 1"),
    "upside_down": ({"sequence_length": {"min": 9, "max": 4}}, "min 9 and max 4 are no range"),
    "too_short": ({"sequence_length": 3}, "sequence_length 3 to 3 holds no row"),
    "too_few_symbols": (
        {"vocabulary": {"size": 9, "replacement": False}, "sequence_length": 40},
        "needs 19 different symbols and vocabulary.size is 9",
    ),
    "unknown_type": ({"type": "identiy"}, "type 'identiy' is no domain; did you mean 'identity'"),
    "bad_size": ({"vocabulary": {"size": "9m"}}, "'9m' is not a whole number"),
    "steep": ({"vocabulary": {"size": 9, "distribution": {"type": "zipf", "alpha": -1}}}, "distribution.zipf.alpha"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_description_gets_one_clear_line(tmp_path, changes, message):
    path = tmp_path / "domain.json"
    path.write_text(json.dumps({"type": "identity", "vocabulary": {"size": 9}, "sequence_length": 8} | changes))
    with pytest.raises(ConfigError, match=message) as caught:
        read_domain(path)
    assert "domain.json" in str(caught.value) and "\n" not in str(caught.value)


JUNK = [{"no": "thing"}, "no such thing", [[]]]


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(TYPES), data=st.data())
def test_a_senseless_value_is_refused_with_the_name_of_its_field(name, data):
    value = read_config(ROOT / f"configs/domains/{name}.json")
    fields = {key: field for key, field in domain_types()[name].model_fields.items() if key != "type"}
    key = data.draw(st.sampled_from(sorted(fields)))
    bad = data.draw(st.sampled_from([*JUNK, *_out_of_range(fields[key])]))
    with pytest.raises(ConfigError, match=key) as caught:
        as_spec(domain_types()[name], value | {key: bad}, "given")
    assert "\n" not in str(caught.value)


def _out_of_range(field):
    """Numbers just outside what a field of a description says of itself."""
    bounds = {
        name: getattr(each, name) for each in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(each, name)
    }
    steps = {"ge": -1, "gt": 0, "le": 1, "lt": 0}
    return [bound + steps[name] for name, bound in bounds.items()]


@pytest.mark.parametrize("name", TYPES)
def test_an_unknown_key_is_refused_with_its_name(name):
    value = read_config(ROOT / f"configs/domains/{name}.json")
    with pytest.raises(ConfigError, match="unknown key 'sequence_lenght'"):
        as_spec(domain_types()[name], value | {"sequence_lenght": 9}, "given")


def test_no_domain_has_a_field_that_a_dataset_has():
    """One file may hold both: a domain, and how many tokens of it."""
    taken = set(Dataset.model_fields) | set(Part.model_fields)
    assert [name for name, kind in domain_types().items() if taken & set(kind.model_fields)] == []


def test_a_file_that_holds_no_object_is_refused(tmp_path):
    path = tmp_path / "domain.json"
    path.write_text("[1, 2]")
    with pytest.raises(ConfigError, match="holds no object"):
        read_domain(path)
