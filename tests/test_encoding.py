"""The fast encoder: the ids of the reference or not at all, the same bytes, one check a build."""

import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from metalang.building import LocalExecutor, TextBuild, build_corpus, text
from metalang.corpus import Corpus
from metalang.text import encoding
from metalang.text.encoding import Encoder, choose_encoder
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
EOS = "<|endoftext|>"
TEXTS = [
    "The quick brown fox; it's 3.14159 miles — isn't it?",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка-2024.",
    "def f(x: int) -> str:\n\tif x % 2 == 0:\n        return f'{x:>8}'  # so\n",
    "😀 👩‍👩‍👧‍👦 🇷🇺 中文，日本語。 한국어 العربية ά é ö ﬁ ½ Ａ\u00a0\u200b\u3000\ufeff\u2028|",
    "   a\t\t b  \r\n\r\n \n  c" + " " * 70 + "d\n\n\n",
    f"{EOS}a{EOS}{EOS} b </s> <s> <meta_lang_3> <|padding|> <unk>{EOS}",
    "a\x01b\x7f\x80 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ========",
] * 3


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """A byte-level BPE, as GPT-2's, and a SentencePiece BPE."""
    folder = tmp_path_factory.mktemp("tokenizers")
    level = pre_tokenizers.ByteLevel
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = level(add_prefix_space=False), decoders.ByteLevel()
    bpe.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=500, special_tokens=[EOS], initial_alphabet=level.alphabet())
    )
    bpe.save(str(folder / "bpe.json"))
    pieces = train_tokenizer([_lines(folder / "t.jsonl", TEXTS)], vocab_size=420, output_dir=folder / "pieces")
    return {"byte-level BPE": str(folder / "bpe.json"), "SentencePiece": str(pieces)}


def _lines(path, texts):
    path.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts))
    return TextSource(str(path))


def _byte_level(path, **parts):
    """A tokenizer.json of single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {**{byte: number for number, byte in enumerate(alphabet)}, EOS: 256}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    path.write_text(json.dumps(content | parts))
    return str(path)


def _real(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the data sample {name} is not beside this checkout")
    return path


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def _built_by_both(source, tokenizer, folder):
    """The bytes of the corpus by either backend, and the library that "auto" took."""
    build = TextBuild(source, tokenizer)
    build_corpus(build, folder / "auto")
    build_corpus(TextBuild(source, tokenizer, tokenizer_backend="reference"), folder / "reference")
    return _bytes(folder / "auto"), _bytes(folder / "reference"), build._encoder.library


@pytest.mark.parametrize("kind", ["byte-level BPE", "SentencePiece"])
def test_a_corpus_has_the_same_bytes_by_both_backends(tmp_path, tokenizers, kind):
    fast, slow, library = _built_by_both(_lines(tmp_path / "a.jsonl", TEXTS), tokenizers[kind], tmp_path)
    assert library == "gigatoken"
    assert fast == slow
    assert Corpus(tmp_path / "auto").manifest.num_documents == 21


@pytest.mark.parametrize("name", ["text/wiki_demo.txt", "ntrex-en-ru/rus.txt", "jsonl/c4_demo.jsonl"])
def test_a_corpus_of_real_text_and_neox_ids_has_the_same_bytes_by_both_backends(tmp_path, name):
    source = TextSource(str(_real(name)), sample_by="line")
    fast, slow, library = _built_by_both(source, str(_real("neox/20B_tokenizer.json")), tmp_path)
    assert library == "gigatoken"
    assert fast == slow


def test_ids_are_those_of_bytes_and_a_special_token_in_a_text_is_text(tmp_path):
    tokenizer = load_tokenizer(_byte_level(tmp_path / "t.json"))
    source = _lines(tmp_path / "a.jsonl", ["b"])
    for backend, library in (("auto", "gigatoken"), ("reference", "tokenizers")):
        encoder = choose_encoder(tokenizer, source, backend=backend, unit_bytes=2**20)
        ids, ends = encoder.encode(["ab", "", EOS, " "])
        assert encoder.library == library
        assert (ids.dtype, ends.dtype) == (np.int32, np.int64)
        assert ids.tolist() == [64, 65, 27, 91, 68, 77, 67, 78, 69, 83, 68, 87, 83, 91, 29, 220]
        assert ends.tolist() == [2, 2, 15, 16]
        assert [part.tolist() for part in encoder.encode([])] == [[], []]


def test_a_tokenizer_that_gigatoken_cannot_load_is_encoded_by_the_reference_and_the_log_says_why(tmp_path, caplog):
    path = _byte_level(tmp_path / "t.json", normalizer={"type": "Lowercase"})
    build = TextBuild(_lines(tmp_path / "a.jsonl", ["AB"]), path)
    build_corpus(build, tmp_path / "out")
    assert build._encoder.library == "tokenizers"
    assert Corpus(tmp_path / "out").document(0)[0].tolist() == [64, 65, 256]
    assert _warnings(caplog) == [
        f"gigatoken cannot load tokenizer {path!r} (Unsupported normalizer type: Lowercase); encoding by tokenizers"
    ]


def test_a_tokenizer_that_gigatoken_reads_otherwise_is_found_and_encoded_by_the_reference(tmp_path, caplog):
    path = _byte_level(tmp_path / "t.json", pre_tokenizer=None)  # gigatoken 0.10 maps bytes to characters all the same
    build = TextBuild(_lines(tmp_path / "a.jsonl", ["a b"]), path)
    build_corpus(build, tmp_path / "out")
    assert Corpus(tmp_path / "out").document(0)[0].tolist() == [64, 65, 256]
    (warning,) = _warnings(caplog)
    assert f"gigatoken is not used for tokenizer {path!r}: a probe ('The quick brown fox, " in warning
    assert "has from id 3 on [220, 80, 84, 72, 66] by gigatoken and [80, 84, 72, 66, 74] by tokenizers" in warning


def test_a_difference_in_one_document_is_named_by_its_row(tmp_path, tokenizers):
    tokenizer = load_tokenizer(_byte_level(tmp_path / "t.json"))
    other = Encoder("tokenizers", load_tokenizer(tokenizers["byte-level BPE"]).tokenizer_json)
    samples = [("row 0 of a.jsonl", ""), ("row 7 of a.jsonl", "fox"), ("row 9 of a.jsonl", "b")]
    found = encoding.first_difference(tokenizer, other, samples)
    assert found.startswith("row 7 of a.jsonl ('fox') has from id 0 on [")
    assert found.endswith("by gigatoken and [69, 78, 87] by tokenizers")
    assert encoding.first_difference(tokenizer, other, samples[:1]) is None


def test_the_sample_is_of_thousands_of_documents_from_all_over_the_source(tmp_path):
    source = _lines(tmp_path / "a.jsonl", [f"document {number:06d} " * 9 for number in range(20_000)])
    names = [name for name, _ in encoding._sample(source, 2**24)]
    size = (tmp_path / "a.jsonl").stat().st_size
    rows = sorted(int(name.split()[1]) for name in names)
    assert len(set(rows)) == len(names) > 2900
    assert rows[0] == 0 and rows[-1] > 0.97 * size
    assert max(np.diff(rows)) < 0.03 * size


def test_workers_take_the_encoder_that_was_chosen_once(tmp_path, caplog, capfd, monkeypatch):
    monkeypatch.setattr(text, "_UNIT_BYTES", 2000)
    path = _byte_level(tmp_path / "t.json", pre_tokenizer=None)
    build = TextBuild(_lines(tmp_path / "a.jsonl", ["a b"] * 1000), path)
    assert pickle.loads(pickle.dumps(build)).__dict__["_encoder"].library == "tokenizers"
    build_corpus(build, tmp_path / "two", LocalExecutor(2))
    assert build.num_units == 8
    assert len(_warnings(caplog)) == 1
    assert "gigatoken" not in capfd.readouterr().err
    build_corpus(TextBuild(build.source, path), tmp_path / "one")
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_a_build_that_one_backend_began_goes_on_by_the_other(tmp_path, tokenizers, monkeypatch):
    monkeypatch.setattr(text, "_UNIT_BYTES", 1000)
    source, tokenizer = _lines(tmp_path / "a.jsonl", TEXTS), tokenizers["byte-level BPE"]

    def write(self, unit, writer, whole=TextBuild.write):
        if unit == 2:
            raise InterruptedError
        yield from whole(self, unit, writer)

    with monkeypatch.context() as patch:
        patch.setattr(TextBuild, "write", write)
        with pytest.raises(InterruptedError):
            build_corpus(TextBuild(source, tokenizer), tmp_path / "stopped")
    build_corpus(TextBuild(source, tokenizer, tokenizer_backend="reference"), tmp_path / "stopped")
    build_corpus(TextBuild(source, tokenizer), tmp_path / "whole")
    assert _bytes(tmp_path / "stopped") == _bytes(tmp_path / "whole")


def test_the_command_line_forces_the_reference(tmp_path):
    path = _byte_level(tmp_path / "t.json", pre_tokenizer=None)
    _lines(tmp_path / "a.jsonl", ["a b"])
    said = {}
    for backend in ("auto", "reference"):
        command = [
            sys.executable, ROOT / "data_tools/tokenize_text.py", tmp_path / "a.jsonl", "--tokenizer", path,
            "--output_dir", tmp_path / backend, "--tokenizer_backend", backend,
        ]  # fmt: skip
        said[backend] = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "gigatoken is not used" in said["auto"]
    assert "gigatoken" not in said["reference"]
    assert _bytes(tmp_path / "auto") == _bytes(tmp_path / "reference")


def test_gigatoken_made_anew_for_want_of_memory_gives_the_same_ids(tmp_path, tokenizers, monkeypatch):
    tokenizer = load_tokenizer(tokenizers["byte-level BPE"])
    encoder = Encoder("gigatoken", tokenizer.tokenizer_json)
    first = encoder.encode(["The quick brown fox", "Ёлка"])[0].tolist()
    loaded = encoding._loaded("gigatoken", tokenizer.tokenizer_json)
    before = loaded._tokenizer
    monkeypatch.setattr(encoding, "_MAX_GROWTH_BYTES", -(2**40))
    assert encoder.encode(["The quick brown fox", "Ёлка"])[0].tolist() == first
    assert loaded._tokenizer is not before


def test_tokenizing_by_a_tokenizer_json_loads_no_large_package(tmp_path, tokenizers):
    _lines(tmp_path / "a.jsonl", TEXTS)
    code = (
        "import sys\nfrom metalang.building import TextBuild, build_corpus\n"
        "from metalang.text.sources import TextSource\n"
        f"build_corpus(TextBuild(TextSource({str(tmp_path / 'a.jsonl')!r}), {tokenizers['byte-level BPE']!r}), "
        f"{str(tmp_path / 'out')!r})\n"
        "print(sorted({'torch', 'transformers', 'numba', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_sample_of_a_single_document_is_a_good_part_of_it(tmp_path):
    (tmp_path / "a.txt").write_text("0123456789" * 20_000)
    ((name, piece),) = encoding._sample(TextSource(str(tmp_path / "a.txt")), 2**24)
    assert (name, len(piece)) == (f"row 0 of {tmp_path / 'a.txt'}", 65_536)
