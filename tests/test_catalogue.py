"""The list of domains, a page on one, and the check of a corpus."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from metalang.building import build_corpus, domain_build
from metalang.building.catalogue import check_rows, domain_document, domain_page, domain_table
from metalang.building.dataset import dataset_schema
from metalang.corpus import Corpus, Documents, ShardWriter, write_manifest
from metalang.domains import domain_types, read_domain
from metalang.domains.copying import Identity
from metalang.errors import ConfigError, CorpusError
from metalang.specs import read_config

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "configs/domains"
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


def test_the_schema_of_all_specs_is_as_the_specs_say_and_every_file_keeps_it():
    schema = json.loads((ROOT / "docs/dataset.schema.json").read_text())
    assert schema == dataset_schema(), "run `make docs`"
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    files = sorted((ROOT / "configs/domains").iterdir()) + sorted((ROOT / "configs/datasets").iterdir())
    assert [path.name for path in files if not validator.is_valid(json.loads(json.dumps(read_config(path))))] == []
    assert not validator.is_valid({"type": "identity", "vocabulary": {"size": "many"}})
    assert not validator.is_valid({"domains": [{"domain": {"type": "identiy"}}]})


@pytest.mark.parametrize("name", domain_types())
def test_every_type_names_its_source_and_draws_two_examples(name):
    kind = domain_types()[name]
    assert re.fullmatch(r"ours|seqthetic|\w[\w, &.-]+ \d{4}", kind.paper)
    assert kind.__doc__.count(">>>") >= 2


def test_every_type_has_a_preset_of_its_name():
    assert [name for name in domain_types() if not (PRESETS / f"{name}.json").exists()] == []


def test_a_preset_describes_the_type_that_its_name_begins_with():
    wrong = [path.name for path in PRESETS.glob("*.json") if read_domain(path).type not in path.stem.replace("-", "_")]
    assert wrong == []


def test_the_table_names_every_preset():
    table = domain_table(PRESETS)
    assert all(f"\n{path.stem} " in table for path in PRESETS.glob("*.json"))
    assert f"{len(domain_types())} types" in table.splitlines()[-1]


def test_a_page_shows_definition_parameters_and_rows():
    page = domain_page("identity", PRESETS, num_rows=2)
    assert "y = x." in page and '"size": 10000' in page and "row 1, " in page
    two = domain_page("addition", PRESETS, num_rows=1).splitlines()
    assert any(line.startswith("input ") for line in two) and any(line.startswith("predicted ") for line in two)


def test_the_document_of_all_domains_is_as_their_docstrings_say():
    assert (ROOT / "docs/domains.md").read_text() == domain_document(PRESETS) + "\n", "run `make docs`"


def test_an_unknown_type_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="'identiy' is no domain; did you mean 'identity'"):
        domain_page("identiy", PRESETS, num_rows=1)


def test_a_corpus_of_a_domain_passes_its_check(tmp_path):
    build_corpus(domain_build(IDENTITY, num_token=2_000), tmp_path)
    done = subprocess.run(
        [sys.executable, ROOT / "data_tools/domains.py", "check", tmp_path], capture_output=True, text=True, check=True
    )
    assert (
        done.stdout == f"checked: all {Corpus(tmp_path).manifest.num_documents} rows are as their domain defines them\n"
    )


def test_a_row_that_breaks_its_definition_is_named(tmp_path):
    build = domain_build(IDENTITY, num_token=100)
    rows = IDENTITY.sample(1, 0, 3)
    rows.symbols[rows.ends[0] + 1] ^= 1
    writer = ShardWriter(tmp_path, 0, build.ids.vocab_size)
    writer.append(Documents(rows.symbols, rows.ends, rows.ends, rows.predicted))
    write_manifest(tmp_path, [writer.finish()], ids=build.ids, sources=build.sources, spec=build.spec)
    with pytest.raises(CorpusError, match=r"row 1 \(identity\), position \d+: symbol is \d+ and should be \d+"):
        check_rows(Corpus(tmp_path))
