"""Sources of text: every document once, however it is stored and cut."""

import csv
import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.errors import ConfigError
from metalang.text.hub import HubDataset
from metalang.text.readers import MAX_DOCUMENT_BYTES, BadLines
from metalang.text.sources import ROWS_PER_FILE, Document, TextSource, Unit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def texts(source: TextSource, unit_bytes: int = 1000, **options: object) -> list[str]:
    return [document.text for unit in source.units(unit_bytes) for document in source.read(unit, **options)]


def json_lines(*values: str) -> bytes:
    return b"".join(json.dumps({"text": value}).encode() + b"\n" for value in values)


def refusal(name: Path, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        texts(TextSource(str(name), **options))
    return str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    unit_bytes=st.integers(1, 300),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    ends=st.booleans(),
)
def test_byte_ranges_hold_every_line_once(tmp_path_factory, lengths, unit_bytes, line_end, ends):
    path = tmp_path_factory.mktemp("ranges") / "a.jsonl"
    lines = [b'{"text": "%d %s"}' % (number, b"x" * length) for number, length in enumerate(lengths)]
    path.write_bytes(line_end.join(lines) + (line_end if ends else b""))
    source = TextSource(str(path))
    documents = [document for unit in source.units(unit_bytes) for document in source.read(unit)]
    assert [document.text for document in documents] == [f"{n} {'x' * length}" for n, length in enumerate(lengths)]
    assert [path.read_bytes()[row:][:9] for row in (document.row for document in documents)] == [b'{"text": '] * len(
        lines
    )


def test_units_are_ranges_of_the_size_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json_lines("one", "two", "three"))
    source = TextSource(str(tmp_path / "a.jsonl"))
    assert source.units(20) == [Unit(0, 1, 0, 20), Unit(0, 1, 20, 40), Unit(0, 1, 40, 50)]
    assert [[d.text for d in source.read(unit)] for unit in source.units(20)] == [["one", "two"], ["three"], []]
    assert source.units(50) == [Unit(0, 1)]


def test_small_files_share_a_unit(tmp_path):
    for number in range(1000):
        (tmp_path / f"{number:04}.txt").write_text("0123456789")
    source = TextSource(str(tmp_path))
    assert source.units(3000) == [Unit(0, 300), Unit(300, 600), Unit(600, 900), Unit(900, 1000)]
    assert len(texts(source, 3000)) == 1000
    assert [d.row for d in source.read(Unit(5, 7))] == [5 * ROWS_PER_FILE, 6 * ROWS_PER_FILE]


def test_a_large_file_between_small_ones_is_cut_alone(tmp_path):
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "b.jsonl").write_bytes(json_lines("one", "two", "three"))
    (tmp_path / "c.txt").write_text("last")
    source = TextSource(str(tmp_path))
    assert source.units(30) == [Unit(0, 1), Unit(1, 2, 0, 30), Unit(1, 2, 30, 50), Unit(2, 3)]
    assert texts(source, 30) == ["first", "one", "two", "three", "last"]


def test_a_folder_gives_its_files_sorted_and_leaves_hidden_ones_out(tmp_path):
    for name in ("b/a.txt", "a.txt", ".hidden.txt", ".git/c.txt", "notes.md", "c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"text": "c.jsonl"}' if name == "c.jsonl" else name)
    assert texts(TextSource(str(tmp_path))) == ["a.txt", "b/a.txt", "c.jsonl"]


def packed(folder: Path, content: bytes, stem: str) -> list[Path]:
    paths = [folder / f"{stem}{packing}" for packing in ("", ".gz", ".zst")]
    frames = zstandard.ZstdCompressor()
    half = len(content) // 2
    for path, data in zip(
        paths,
        [content, gzip.compress(content), frames.compress(content[:half]) + frames.compress(content[half:])],
        strict=True,
    ):
        path.write_bytes(data)
    return paths


def test_packed_and_parquet_files_hold_what_the_plain_file_holds(tmp_path):
    values = ["a", "два\nстроки", "😀" * 100_000, "d"]
    paths = packed(tmp_path, json_lines(*values), "a.jsonl")
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "text": values}), tmp_path / "a.parquet", row_group_size=1)
    with open(tmp_path / "a.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(values)])
    for path in [*paths, tmp_path / "a.parquet", tmp_path / "a.csv"]:
        assert texts(TextSource(str(path))) == values
    source = TextSource(str(tmp_path / "a.parquet"))
    assert [(u.start, u.stop) for u in source.units(1)] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert [document.row for unit in source.units(1) for document in source.read(unit)] == [0, 1, 2, 3]
    assert texts(source, 1) == texts(source, 10**9) == values


def test_sample_by_says_what_a_document_of_plain_text_is(tmp_path):
    content = b"\xef\xbb\xbfa b\r\nc\r\n \r\n\r\nd\n\n\ne"
    for path in packed(tmp_path, content, "a.txt"):
        assert texts(TextSource(str(path))) == ["a b\nc\n \n\nd\n\n\ne"]
        assert texts(TextSource(str(path), sample_by="paragraph")) == ["a b\nc", "d", "e"]
        assert texts(TextSource(str(path), sample_by="line")) == ["a b", "c", "d", "e"]
    source = TextSource(str(tmp_path / "a.txt"), sample_by="line")
    assert texts(source, 1) == ["a b", "c", "d", "e"]
    paragraphs = TextSource(str(tmp_path / "a.txt"), sample_by="paragraph")
    assert [d.row for d in paragraphs.read(Unit())] == [0, 16, 20]
    with pytest.raises(ConfigError, match="sample_by is 'page'; it can be document, paragraph, line"):
        TextSource(str(tmp_path), sample_by="page")


def test_documents_without_text_are_counted_and_left_out(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json_lines("a", "", " \n", "b") + b"\n  \n")
    pq.write_table(pa.table({"text": ["c", None, ""]}), tmp_path / "b.parquet")
    bad_lines = BadLines()
    assert texts(TextSource(str(tmp_path)), bad_lines=bad_lines) == ["a", "b", "c"]
    assert (bad_lines.num_empty, bad_lines.num_bad) == (4, 0)


BAD = {
    b'{"text": "a"': "no JSON: Expecting ',' delimiter at column 13",
    b'["text"]': "no object with 'text' but list",
    b'{"story": "a", "id": 1}': "no 'text'; its keys are 'story', 'id' (see --text_field)",
    b'{"text": 5}': "'text' is no string but int",
    b'{"text": null}': "'text' is no string but NoneType",
    b'{"text": "\xff"}': "no UTF-8: invalid start byte",
    b'{"text": "\\ud800"}': "'text' holds half a surrogate pair at character 0",
    b"[" * 100_000: "maximum recursion depth exceeded",
    b'{"text": "a\\u0000"}': "a NUL byte in the text",
    b'{"text": "a\0"}': "no JSON: Invalid control character at at column 12",
}


@pytest.mark.parametrize("line", BAD, ids=list(BAD.values()))
def test_a_malformed_line_is_named_by_file_line_and_fault(tmp_path, line):
    content = json_lines("one", "two") + line + b"\n" + json_lines("three")
    for path in packed(tmp_path, content, "a.jsonl"):
        assert f"{path} line 3: {BAD[line]}" in refusal(path)
    source, bad_lines = TextSource(str(tmp_path / "a.jsonl")), BadLines(skip=True)
    assert texts(source, 15, bad_lines=bad_lines) == ["one", "two", "three"]
    assert bad_lines.num_bad == 1


def test_what_pythons_own_parser_alone_takes_is_read(tmp_path):
    lines = b'{"text": "a", "score": NaN}\n{"text": "b", "n": 1e999}\n{"text": "c", "n": ' + b"9" * 400 + b"}\n"
    (tmp_path / "a.jsonl").write_bytes(lines + b'{"text": "x", "text": "d"}\n')
    assert texts(TextSource(str(tmp_path / "a.jsonl"))) == ["a", "b", "c", "d"]


def test_a_nul_byte_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\n\0\0\0\nfour\n")
    for sample_by in ("document", "paragraph", "line"):
        assert f"{tmp_path / 'a.txt'} line 3: a NUL byte in the text" in refusal(
            tmp_path / "a.txt", sample_by=sample_by
        )
    bad_lines = BadLines(skip=True)
    assert texts(TextSource(str(tmp_path / "a.txt"), sample_by="line"), bad_lines=bad_lines) == ["one", "two", "four"]
    assert bad_lines.num_bad == 1
    pq.write_table(pa.table({"text": ["a", "b\0"]}), tmp_path / "a.parquet")
    assert "a.parquet row 1: a NUL byte in the text" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize("sample_by", ["paragraph", "line"])
def test_a_text_too_long_for_a_document_is_a_bad_line(tmp_path, sample_by):
    long = b"x" * (MAX_DOCUMENT_BYTES + 1)
    for path in packed(tmp_path, b"one\n\n" + long + b"\n\nthree\n", "a.txt"):
        assert f"{path} line 3: more than 67,108,864 bytes of one document" in refusal(path, sample_by=sample_by)
        bad_lines = BadLines(skip=True)
        assert texts(TextSource(str(path), sample_by=sample_by), 2**20, bad_lines=bad_lines) == ["one", "three"]
        assert bad_lines.num_bad == 1


def test_many_bad_lines_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"no\n" * 100 + json_lines("a"))
    bad_lines = BadLines(skip=True)
    assert texts(TextSource(str(tmp_path / "a.jsonl")), 50, bad_lines=bad_lines) == ["a"]
    assert bad_lines.num_bad == 100


def test_the_message_of_a_skipped_line_is_never_made():
    bad_lines = BadLines(skip=True)
    bad_lines.meet(lambda: pytest.fail("finding a line's number reads its file from the beginning"))
    assert bad_lines.num_bad == 1


def test_plain_text_that_is_no_utf8_is_named_by_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\nth\xe9ee\nfour\n")
    assert f"{tmp_path / 'a.txt'} line 3: no UTF-8: invalid continuation byte" in refusal(tmp_path / "a.txt")
    assert f"{tmp_path / 'a.txt'} line 3: no UTF-8" in refusal(tmp_path / "a.txt", sample_by="line")


def test_damaged_files_are_refused(tmp_path):
    content = json_lines("a" * 1000, *map(str, range(20_000)))
    _, gz, zst = packed(tmp_path, content, "a.jsonl")
    for path in (gz, zst):
        path.write_bytes(path.read_bytes()[:-30])
        assert f"{path} is damaged or no {path.suffix} file" in refusal(path)
        path.write_bytes(b"plain text\n")
        assert f"{path} is damaged or no {path.suffix} file" in refusal(path)
    (tmp_path / "a.parquet").write_bytes(b"plain text\n")
    assert "a.parquet is damaged or no parquet file" in refusal(tmp_path / "a.parquet")


def test_a_table_without_a_column_of_texts_is_refused(tmp_path):
    pq.write_table(pa.table({"story": ["a"], "id": [1]}), tmp_path / "a.parquet")
    assert "has no column 'text'; its columns are story, id" in refusal(tmp_path / "a.parquet")
    assert "column 'id' holds int64 and not strings" in refusal(tmp_path / "a.parquet", text_field="id")
    assert texts(TextSource(str(tmp_path / "a.parquet"), text_field="story")) == ["a"]
    (tmp_path / "a.csv").write_text("story,id\na,1\n")
    assert "a.csv has no column 'text'; its columns are story, id" in refusal(tmp_path / "a.csv")
    assert texts(TextSource(str(tmp_path / "a.csv"), text_field="story")) == ["a"]


def test_a_damaged_csv_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_text('text,id\n"a",1\n"b"c,2\n')
    assert "a.csv behind line 2: " in refusal(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"text,id\na,1\n\xff,2\n")
    assert "a.csv behind line " in refusal(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("text,id\na,1\n,2\n")
    assert texts(TextSource(str(tmp_path / "a.csv"))) == ["a"]


def test_a_csv_row_of_another_number_of_columns_is_a_bad_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,a\n2\n3,one, two\n")
    assert "a.csv row 1: 1 columns and not 2" in refusal(path)
    path.write_text("id,text\n1,a\n3,one, two\n4,b\n")
    assert "a.csv row 1: 3 columns and not 2" in refusal(path)
    bad_lines = BadLines(skip=True)
    source = TextSource(str(path))
    assert [each.text for unit in source.units(99) for each in source.read(unit, bad_lines=bad_lines)] == ["a", "b"]
    assert (bad_lines.num_bad, bad_lines.num_empty) == (1, 0)


def test_names_without_text_are_refused(tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "a.tsv").write_text("a,b")
    (tmp_path / "folder").mkdir()
    assert "empty.txt is empty" in refusal(tmp_path / "empty.txt")
    assert "a.tsv ends in none of .txt .jsonl" in refusal(tmp_path / "a.tsv")
    assert "folder holds no .txt .jsonl" in refusal(tmp_path / "folder")
    for name in ("./nowhere", "nowhere.jsonl", "/nowhere/at/all"):
        assert f"{name!r} does not exist; give a file or folder of .txt .jsonl" in refusal(name)
    with pytest.raises(ConfigError, match="a unit of 0 bytes holds no text"):
        TextSource("pydoc:").units(0)


@pytest.mark.parametrize("name", ["", " ", "\t\n"])
def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch, name):
    (tmp_path / "a.txt").write_text("not asked for")
    monkeypatch.chdir(tmp_path)
    assert "an empty name is given for a source (is a shell variable unset?); give a file or folder" in refusal(name)
    assert texts(TextSource(".")) == ["not asked for"]


def test_a_huge_document_is_refused_with_what_would_do(tmp_path):
    path = tmp_path / "huge.txt"
    path.touch()
    os.truncate(path, 2**26)
    assert len(TextSource(str(path)).units(2**26)) == 1
    os.truncate(path, 2**26 + 1)
    assert refusal(path) == (
        f"{path} would be one document of 67,108,865 bytes; the limit is 67,108,864, as tokenizing takes about 105 "
        "bytes of memory a character. Cut it with --sample_by paragraph or --sample_by line"
    )
    assert TextSource(str(path), sample_by="line").units(2**26) == [Unit(0, 1, 0, 2**26), Unit(0, 1, 2**26, 2**26 + 1)]


def test_a_huge_document_in_a_packed_file_is_refused_when_it_is_read(tmp_path):
    for path in packed(tmp_path, (b"x" * 1023 + b"\n") * 2**16 + b"x", "huge.txt")[1:]:
        assert f"{path} would be one document of more than 67,108,864 bytes; the limit is 67,108,864" in refusal(path)
        assert sum(1 for _ in TextSource(str(path), sample_by="line").read(Unit())) == 2**16 + 1


def test_identity_follows_the_content_and_not_the_place(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("hello")
    first = TextSource(str(tmp_path / "one")).identity()
    assert first == {
        "files": [{"name": "a.txt", "bytes": 5, "xxh3_128": "b5e9c1ad071b3e7fc779cfaa5e523818"}],
        "text_field": "text",
        "sample_by": "document",
    }
    assert TextSource(str(tmp_path / "two")).identity() == first
    assert TextSource(str(tmp_path / "two" / "a.txt")).identity() == first
    assert TextSource(str(tmp_path / "two"), sample_by="line").identity() != first
    (tmp_path / "two" / "a.txt").write_text("hellO")
    assert TextSource(str(tmp_path / "two")).identity() != first


def test_pythons_own_reference_is_english_text():
    source = TextSource("pydoc:")
    documents = [document for unit in source.units(1000) for document in source.read(unit)]
    assert sum(len(document.text.encode()) for document in documents) > 400_000
    assert 'The "assert" statement' in documents[0].text
    assert [document.row for document in documents] == list(range(len(documents)))
    assert list(source.identity()["pydoc"]) == ["python"]


def test_docstrings_of_packages_are_read_without_importing_them(tmp_path, monkeypatch):
    package = tmp_path / "talkative"
    package.mkdir()
    long = "Says a lot of things." * 20
    (package / "__init__.py").write_text(f'"""{long}"""\nraise RuntimeError("imported")\n')
    (package / "b.py").write_text(f'class A:\n    """{long}"""\n    def f(self):\n        """F. {long}"""\n')
    (package / "c.py").write_text(f'def g():\n    """G.\n\n    {long}\n    """\ndef short():\n    """Short."""\n')
    (package / "broken.py").write_text("def (:")
    monkeypatch.syspath_prepend(tmp_path)
    source = TextSource("pydoc:talkative")
    reference = texts(TextSource("pydoc:"))
    assert texts(source) == [*reference, long, f"F. {long}", f"G.\n\n{long}"]
    with pytest.raises(ConfigError, match="'no_such_package' is no installed package"):
        TextSource("pydoc:numpy,no_such_package")


def test_the_version_of_a_package_is_in_the_identity():
    import numpy

    assert TextSource("pydoc:numpy").identity()["pydoc"]["numpy"] == numpy.__version__


def test_a_dataset_is_streamed_row_by_row(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(json_lines("one", "two"))
    (tmp_path / "test.jsonl").write_bytes(json_lines("three"))
    assert list(HubDataset(str(tmp_path), "text").texts()) == ["one", "two"]
    assert list(HubDataset(f"{tmp_path}:test", "text").texts()) == ["three"]
    assert list(HubDataset(f"{tmp_path}:default:test", "text").texts()) == ["three"]
    with pytest.raises(ConfigError, match=r"has no column 'story'; its columns: text"):
        list(HubDataset(str(tmp_path), "story").texts())
    with pytest.raises(ConfigError, match=r"did not give it .*dev"):
        list(HubDataset(f"{tmp_path}:dev", "text").texts())


def test_an_unreachable_hub_is_one_clear_error(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source = TextSource("nobody/nothing:train")
    assert source.units(1000) == [Unit(0, 1, 0, None)]
    with pytest.raises(
        ConfigError, match="'nobody/nothing:train' is nothing on this disk, and the hub did not give it"
    ):
        texts(source)


def test_real_stories_are_the_same_in_every_cut():
    path = DATA / "tinystories-ru" / "1b5a9beb.jsonl"
    if not path.exists():
        pytest.skip("the data sample tinystories-ru is not beside this checkout")
    source = TextSource(str(path), text_field="story")
    expected = [Document(d.text, d.row) for d in source.read(Unit())]
    assert len(expected) == sum(1 for line in path.read_text("utf-8").split("\n") if line)
    for unit_bytes in (1009, 100_000, 10**7):
        assert [d for unit in source.units(unit_bytes) for d in source.read(unit)] == expected
