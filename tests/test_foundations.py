"""Sizes, specs, ids, seeds, errors: the two lowest floors."""

import subprocess
import sys
from pathlib import Path

import numba
import pytest

from metalang import kernels
from metalang.errors import ConfigError, CorpusError, MetalangError, MismatchError
from metalang.ids import IdSpace
from metalang.seeds import key_for
from metalang.sizes import format_size, parse_size
from metalang.specs import Range, Size, Spec, as_spec, read_config


class _Box(Spec):
    """A spec for these tests."""

    width: Size
    sequence_length: Range = Range(min=1, max=2)


@pytest.mark.parametrize(
    ("text", "size"),
    [("5M", 5_000_000), ("1.5B", 1_500_000_000), ("10_000", 10_000), ("40K", 40_000), ("2T", 2 * 10**12), (7, 7)],
)
def test_sizes_read_as_whole_numbers(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5m", "M", "-3", "1e6", "1.5", "1.23456K", "5 M", "5MB", "0x10", "_5", "nan"])
def test_any_other_size_is_refused_with_the_forms_that_work(text):
    with pytest.raises(ConfigError, match=r"5_000_000, 5M, 40K, 1\.5B"):
        parse_size(text)


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_500, 1_234_567, 5_000_000, 10**12])
def test_a_formatted_size_reads_back(size):
    assert parse_size(format_size(size)) == size


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"box\.json: unknown key 'widht'; did you mean 'width'\?"):
        as_spec(_Box, {"widht": 3}, "box.json")


def test_every_fault_of_a_spec_is_named_at_once():
    with pytest.raises(ConfigError, match=r"width: '3x' is not a whole number.*sequence_length: min 5 and max 3"):
        as_spec(_Box, {"width": "3x", "sequence_length": {"min": 5, "max": 3}}, "box.json")


def test_a_spec_dumped_and_read_again_is_equal_and_has_the_same_fingerprint():
    box = as_spec(_Box, {"width": "1K", "sequence_length": 7}, "box.json")
    again = as_spec(_Box, box.model_dump(mode="json"), "box.json")
    assert again == box
    assert again.fingerprint == box.fingerprint == "ac8491429d932f4a"


def test_json_may_hold_comments_and_trailing_commas(tmp_path):
    path = tmp_path / "box.json"
    path.write_text('// a box\n{\n  "width": 3, # wide\n  "names": [1, 2,],\n}\n')
    assert read_config(path) == {"width": 3, "names": [1, 2]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.json", "", "is empty"),
        ("broken.json", '{"a": [1, 2', "does not parse"),
        ("broken.yaml", "a: [1, 2", "does not parse"),
        ("date.yaml", "a: 2024-99-99", "date.yaml does not parse: month must be in"),
        ("twice.yaml", "a: {b: 1, c: 2, b: 3}", "'b' stands twice in line 1; keep one"),
        ("spec.txt", "{}", "ends in .json"),
        ("missing.json", None, "No such file"),
    ],
)
def test_a_file_that_is_no_spec_is_refused_with_the_reason(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / name)


def test_keys_depend_on_every_name_and_on_nothing_else():
    assert key_for("identity", 0, "train") == 5459018334786162572
    assert len({key_for("identity", seed, split) for seed in (0, 1) for split in ("train", "test")}) == 4


def test_keys_are_equal_in_another_process():
    code = "from metalang.seeds import key_for; print(key_for('identity', 0, 'train'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "5459018334786162572"


def test_compiled_kernels_are_kept_under_the_hash_of_every_file_that_holds_one():
    package = Path(kernels.__file__).parent
    hashed = {path for room in kernels._ROOMS for path in package.glob(room)}
    assert {path for path in package.rglob("*.py") if "@njit" in path.read_text()} <= hashed
    assert kernels.kernel_hash() in numba.config.CACHE_DIR


def test_symbols_land_on_the_meta_language_tokens_and_the_end_of_a_document_on_the_tokenizers_eos():
    ids = IdSpace(text_size=100, meta_size=16, eos_id=0, tokenizer="toy")
    assert ids.of_symbols([0, 3, 15, 2]).tolist() == [100, 103, 115, 0]


def test_a_symbol_past_the_meta_language_tokens_is_refused():
    with pytest.raises(ConfigError, match=r"symbols 3 to 16 do not lie in \[0, 16\)"):
        IdSpace(text_size=100, meta_size=16, eos_id=0, tokenizer="toy").of_symbols([3, 16])


def test_a_corpus_that_needs_more_meta_language_tokens_is_refused_with_the_flag_to_set():
    model = IdSpace(text_size=100, meta_size=16, eos_id=0, tokenizer="toy")
    with pytest.raises(MismatchError, match=r"identity needs 40 .* set --num_meta_lang_tokens 40"):
        model.require(IdSpace.of_domain(40), "identity")


def test_a_corpus_of_another_tokenizer_of_the_same_size_is_refused():
    model = IdSpace(text_size=100, meta_size=0, eos_id=0, tokenizer="toy")
    with pytest.raises(MismatchError, match="wiki was tokenized with tokenizer other"):
        model.require(IdSpace(text_size=100, meta_size=0, eos_id=0, tokenizer="other"), "wiki")


def test_the_error_tree_is_the_one_drawn_in_its_module():
    assert [kind.__mro__[1] for kind in (ConfigError, CorpusError, MismatchError)] == [MetalangError] * 3


def test_an_error_of_ours_is_one_line_on_stderr_and_exit_code_1():
    code = (
        "from metalang.errors import ConfigError, reported\n"
        "with reported('mix'):\n    raise ConfigError('two\\nlines')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "mix: two lines\n")
