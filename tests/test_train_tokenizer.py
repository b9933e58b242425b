"""Training a tokenizer: the same bytes each time, the same ids everywhere, nothing lost."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sentencepiece

from metalang.errors import ConfigError
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_sentencepiece import sentences
from metalang.text.train_tokenizer import bytes_per_token, train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PYDOC = (TextSource("pydoc:"),)
TEXTS = [
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка-2024: 15 °C, №7 «тест».",
    'The quick brown fox, 3.14159 and 1,000,000; don\'t , "stop" (e-mail: a.b@c.org) !',
    "def f(x: int) -> str:\n\tif x % 2 == 0:\n\t    return f'{x:>8}'  # даже так\n        pass\n",
    "😀 👩‍👩‍👧‍👦 🇷🇺 中文，日本語。 한국어 العربية á ﬁ ½ \u00a0\u200b\u3000\ufeff\u2028|\x00\x7f",
    "", " ", "\n", "\t", "\r\n", "\n\n\n", " \n \n", "\t\t x\t", " a", "a ", "  a  b   c    d  ", "a\n\n  b", " " * 37,
    "a</s>b<s> <unk> <|endoftext|><|padding|> <0x0A>",
]  # fmt: skip
CODE = "def f(x):\n    return {\n        'key':\t[1, 22, 333],  # комментарий 😀\n    }\n\n\n  end  "


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_tools" / "train_tokenizer.py"), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path_factory.mktemp("trained") / "tokenizer")


def test_two_trainings_write_equal_bytes(folder, tmp_path):
    again = train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path / "again")
    assert content(again) == content(folder)
    assert sorted(content(folder)) == [
        "metalang_tokenizer.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_the_folder_has_exactly_the_ids_asked_for(folder):
    tokenizer = load_tokenizer(str(folder))
    assert (tokenizer.text_size, tokenizer.eos_id) == (1024, 2)
    assert tokenizer.hf.convert_ids_to_tokens([0, 1, 2, 3]) == ["<unk>", "<s>", "</s>", "<0x00>"]


def test_transformers_and_sentencepiece_give_the_same_ids(folder, capfd):
    from transformers import AutoTokenizer

    capfd.readouterr()
    auto = AutoTokenizer.from_pretrained(str(folder))
    assert capfd.readouterr() == ("", "")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    documents = [document.text for unit in PYDOC[0].units(10**6) for document in PYDOC[0].read(unit)]
    for text in [*documents[:40], CODE, *TEXTS[:-1]]:
        ids = processor.encode(text)
        assert auto(text)["input_ids"] == ids
        assert load_tokenizer(str(folder)).encode([text])[0].tolist() == ids
        assert auto.decode(ids) == text


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("trained") / "byte_level"
    return train_tokenizer(
        PYDOC, vocab_size=3000, output_dir=output_dir, kind="byte_level", user_defined_symbols=["<city_Тула>", "<x>"]
    )


@pytest.fixture(scope="module")
def original() -> object:
    """The same tokenizer, made with nothing but the `tokenizers` library."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<|endoftext|>", "<|padding|>", AddedToken("<city_Тула>"), AddedToken("<x>")],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    documents = (document.text for unit in PYDOC[0].units(10**6) for document in PYDOC[0].read(unit))
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


@pytest.mark.parametrize("text", [*TEXTS, "<city_Тула> <x>Тула"])
def test_a_byte_level_folder_gives_the_ids_of_the_tokenizer_that_was_trained(byte_level, original, text):
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(str(byte_level))
    assert auto(text)["input_ids"] == original.encode(text).ids
    assert auto.decode(auto(text)["input_ids"]) == text
    ours = load_tokenizer(str(byte_level))
    assert ours.decode(ours.encode([text])[0]) == text
    assert not {0, 1} & set(ours.encode([text])[0].tolist())


def test_the_special_tokens_of_both_kinds_have_the_roles_that_transformers_knows(folder, byte_level):
    from transformers import AutoTokenizer

    pieces, bytes_ = (AutoTokenizer.from_pretrained(str(path)) for path in (folder, byte_level))
    assert (pieces.unk_token_id, pieces.bos_token_id, pieces.eos_token_id, pieces.pad_token_id) == (0, 1, 2, 0)
    assert (bytes_.unk_token_id, bytes_.bos_token_id, bytes_.eos_token_id, bytes_.pad_token_id) == (None, 0, 0, 1)
    for auto, pad in ((pieces, 0), (bytes_, 1)):
        batch = auto(["a", "a b c 12345"], padding=True)
        first, second = batch["attention_mask"]
        assert (first[0], first[-1], set(second)) == (1, 0, {1})
        assert batch["input_ids"][0][-1] == pad
    assert not {0, 1, 2} & {index for text in TEXTS for index in load_tokenizer(str(folder)).encode([text])[0].tolist()}


def test_a_byte_level_folder_has_exactly_the_ids_asked_for(byte_level, tmp_path):
    tokenizer = load_tokenizer(str(byte_level))
    assert (tokenizer.text_size, tokenizer.eos_id) == (3000, 0)
    assert tokenizer.hf.convert_ids_to_tokens([0, 1, 2, 3, 4]) == [
        "<|endoftext|>", "<|padding|>", "<city_Тула>", "<x>", "!",
    ]  # fmt: skip
    (tmp_path / "a.txt").write_text("the cat sat on the mat and the cat sat on the hat\n" * 20)
    with pytest.raises(ConfigError, match=r"vocab_size 5,000 is too much for this text; it gives at most \d+ ids"):
        train_tokenizer(
            [TextSource(str(tmp_path / "a.txt"))], vocab_size=5000, output_dir=tmp_path / "out", kind="byte_level"
        )
    with pytest.raises(ConfigError, match="vocab_size 258 leaves no room beside 258 reserved ids"):
        train_tokenizer(PYDOC, vocab_size=258, output_dir=tmp_path / "out", kind="byte_level")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_byte_level_symbol_is_one_id_and_nothing_is_learned_from_it(byte_level, tmp_path):
    tokenizer = load_tokenizer(str(byte_level))
    assert tokenizer.encode(["<city_Тула><x>"])[0].tolist() == [2, 3]
    assert tokenizer.decode(tokenizer.encode(["a <city_Тула> b<x>"])[0]) == "a <city_Тула> b<x>"
    (tmp_path / "a.txt").write_text("<whale> ship ocean " * 200)
    out = train_tokenizer(
        [TextSource(str(tmp_path / "a.txt"))],
        vocab_size=264,
        output_dir=tmp_path / "out",
        kind="byte_level",
        user_defined_symbols=["<whale>"],
    )
    merged = sorted(token for token in load_tokenizer(str(out)).hf.get_vocab() if len(token) > 1)
    assert not [token for token in merged if set(token) & set("wl") and token != "<whale>"]


def test_two_byte_level_trainings_write_equal_bytes(byte_level, tmp_path):
    again = train_tokenizer(
        PYDOC,
        vocab_size=3000,
        output_dir=tmp_path / "a",
        kind="byte_level",
        user_defined_symbols=["<city_Тула>", "<x>"],
    )
    assert content(again) == content(byte_level)
    assert sorted(content(again)) == ["metalang_tokenizer.json", "tokenizer.json", "tokenizer_config.json"]


def test_a_folder_of_the_other_kind_is_refused(byte_level):
    with pytest.raises(ConfigError, match="kind 'byte_level' there and 'sentencepiece' now"):
        train_tokenizer(PYDOC, vocab_size=3000, output_dir=byte_level, user_defined_symbols=["<city_Тула>", "<x>"])


def test_the_manifest_says_what_made_it(folder):
    manifest = json.loads((folder / "metalang_tokenizer.json").read_text())
    assert manifest["settings"] == {
        "vocab_size": 1024,
        "character_coverage": 0.9995,
        "user_defined_symbols": [],
        "max_bytes": 1_000_000_000,
        "kind": "sentencepiece",
    }
    assert manifest["sources"] == [PYDOC[0].identity()]
    assert manifest["fingerprint"] == load_tokenizer(str(folder)).fingerprint
    assert manifest["versions"]["sentencepiece"] == sentencepiece.__version__


def test_the_same_settings_again_change_nothing(folder):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train_tokenizer(PYDOC, vocab_size=1024, output_dir=folder) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_setting_or_source_is_refused_and_nothing_is_lost(folder, tmp_path):
    before = content(folder)
    with pytest.raises(ConfigError, match="other settings: vocab_size 1024 there and 2048 now; nothing was changed"):
        train_tokenizer(PYDOC, vocab_size=2048, output_dir=folder)
    (tmp_path / "a.txt").write_text("Some other text.")
    with pytest.raises(ConfigError, match="holds a tokenizer of other sources"):
        train_tokenizer([TextSource(str(tmp_path / "a.txt"))], vocab_size=1024, output_dir=folder)
    assert content(folder) == before


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="exists and holds no tokenizer of ours"):
        train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path)
    with pytest.raises(ConfigError, match="exists and holds no tokenizer of ours"):
        train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path / "thesis.txt")
    assert content(tmp_path) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("manifest", ["[]", '{"version": 2}', "no"])
def test_a_folder_whose_manifest_is_none_of_ours_is_refused(tmp_path, manifest):
    (tmp_path / "metalang_tokenizer.json").write_text(manifest)
    with pytest.raises(ConfigError, match=r"holds no tokenizer of ours \(no metalang_tokenizer.json of version 1\)"):
        train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path)


def test_a_damaged_folder_is_refused(tmp_path):
    train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path / "a")
    (tmp_path / "a" / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"is damaged: tokenizer\.json changed since it was written"):
        train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path / "a")


def test_a_vocabulary_that_does_not_fit_the_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat and the cat sat on the hat\n" * 20)
    source = TextSource(str(tmp_path / "a.txt"))
    with pytest.raises(ConfigError, match=r"vocab_size 5,000 is too much for this text; it gives at most \d+ ids"):
        train_tokenizer([source], vocab_size=5000, output_dir=tmp_path / "out")
    with pytest.raises(ConfigError, match="vocab_size 259 leaves no room beside 259 reserved ids"):
        train_tokenizer([source], vocab_size=259, output_dir=tmp_path / "out")
    with pytest.raises(ConfigError, match="vocab_size 265 is too little for the characters of this text"):
        train_tokenizer([source], vocab_size=265, output_dir=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" \n\n\t ", r"'.*a\.txt' holds no text; name a source that does"),
        (b"\0" * 5000, r"a\.txt line 1: a NUL byte in the text"),
        (b"\n\0\n\0", r"a\.txt line 2: a NUL byte in the text"),
    ],
)
def test_text_without_a_character_is_refused(tmp_path, content, reason):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        train_tokenizer([TextSource(str(tmp_path / "a.txt"))], vocab_size=300, output_dir=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_settings_out_of_range_are_refused(tmp_path):
    for options, reason in (
        ({"character_coverage": 1.5}, r"character_coverage 1\.5 does not lie in \(0, 1\]"),
        ({"user_defined_symbols": ["</s>"]}, r"user_defined_symbols \['</s>'\] are reserved"),
        ({"user_defined_symbols": ["<a>", "<a>"]}, r"user_defined_symbols names \['<a>'\] more than once"),
        ({"max_bytes": 0}, "max_bytes 0 leaves no text"),
        ({"kind": "byte_level", "character_coverage": 0.9}, r"character_coverage 0\.9 has no meaning for byte_level"),
        ({"kind": "byte_level", "user_defined_symbols": ["<|padding|>"]}, r"\['<\|padding\|>'\] are reserved"),
        ({"kind": "wordpiece"}, "kind is 'wordpiece'; it can be sentencepiece, byte_level"),
    ):
        with pytest.raises(ConfigError, match=reason):
            train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path / "out", **options)


def test_user_defined_symbols_are_one_id(tmp_path):
    out = train_tokenizer(PYDOC, vocab_size=1024, output_dir=tmp_path / "out", user_defined_symbols=["<code>", "\n\n"])
    tokenizer = load_tokenizer(str(out))
    assert tokenizer.hf.convert_tokens_to_ids(["<code>", "\n\n"]) == [3, 4]
    assert tokenizer.encode(["<code>\n\n<code>"])[0].tolist() == [3, 4, 3]


def test_sentences_are_lines_and_long_lines_are_cut_at_spaces():
    assert list(sentences(iter(["a b\n\n c ", "d"]))) == ["a b", " c ", "d"]
    assert list(sentences(iter(["x" * 4096]))) == ["x" * 4096]
    assert list(sentences(iter(["x" * 4097]))) == ["x" * 1024, "x" * 3073]
    assert list(sentences(iter(["я" * 3000]))) == ["я" * 1024, "я" * 1976]
    assert list(sentences(iter(["x" * 1000 + " " + "y" * 5000]))) == ["x" * 1000, " " + "y" * 1023, "y" * 3977]


def test_one_line_of_sixteen_million_characters_is_cut_in_a_moment():
    begin = time.monotonic()
    assert sum(map(len, sentences(iter(["whale ship ocean " * 1_000_000])))) == 17_000_000
    assert time.monotonic() - begin < 2


def test_documents_of_one_long_line_are_learned_from(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "whale ship ocean " * 20_000}) + "\n")
    out = train_tokenizer([TextSource(str(tmp_path / "a.jsonl"))], vocab_size=285, output_dir=tmp_path / "out")
    assert "▁whale" in load_tokenizer(str(out)).hf.get_vocab()


def test_bad_lines_stop_the_training_or_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "whale ship ocean"}\n' * 50 + "no\n")
    source = TextSource(str(tmp_path / "a.jsonl"))
    for kind in ("sentencepiece", "byte_level"):
        with pytest.raises(ConfigError, match=r"^\S+a\.jsonl line 51: no JSON.*set --on_bad_line skip$"):
            train_tokenizer([source], vocab_size=275, output_dir=tmp_path / "out", kind=kind)
    bad_lines = BadLines(skip=True)
    train_tokenizer([source], vocab_size=275, output_dir=tmp_path / "out", bad_lines=bad_lines)
    assert bad_lines.num_bad == 1


def test_max_bytes_takes_the_beginning_of_each_source(tmp_path):
    for name, word in (("a", "whale "), ("b", "zebra ")):
        lines = [word * 20] * 100 + ["giraffe " * 20] * 100
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    sources = [TextSource(str(tmp_path / f"{name}.jsonl")) for name in "ab"]
    out = train_tokenizer(sources, vocab_size=275, output_dir=tmp_path / "out", max_bytes=20_000)
    vocabulary = load_tokenizer(str(out)).hf.get_vocab()
    assert {"w", "h", "z", "b"} <= set(vocabulary)
    assert not {"g", "f", "i"} & set(vocabulary)


def test_the_script_prints_folder_ids_and_bytes_per_token(tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat and the cat sat on the hat\n" * 20)
    arguments = (tmp_path / "a.txt", "--vocab_size", "290", "--output_dir", tmp_path / "out")
    done = script(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path / 'out'}: 290 ids, ")
    assert done.stdout.endswith(" bytes per token\n")
    assert script(*arguments).stdout == done.stdout
    done = script(tmp_path / "a.txt", "--vocab_size", "264", "--output_dir", tmp_path / "bytes", "--kind", "byte_level")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path / 'bytes'}: 264 ids, ")


def test_the_script_says_what_is_wrong_in_one_line(tmp_path):
    done = script("nowhere.txt", "--vocab_size", "290", "--output_dir", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("train_tokenizer: 'nowhere.txt' does not exist; give a file or folder")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level"])
@pytest.mark.parametrize("vocab_size", [3_000, 32_000])
def test_real_text_of_two_languages_comes_back_from_small_and_large_vocabularies(tmp_path, kind, vocab_size):
    from transformers import AutoTokenizer

    names = [DATA / "ntrex-en-ru" / "rus.txt", DATA / "ntrex-en-ru" / "eng.txt", DATA / "text" / "mobydick.txt"]
    if not all(name.exists() for name in names):
        pytest.skip("the data samples ntrex-en-ru and mobydick are not beside this checkout")
    sources = [TextSource(str(name)) for name in names]
    out = train_tokenizer(sources, vocab_size=vocab_size, output_dir=tmp_path / "out", kind=kind)
    auto, ours = AutoTokenizer.from_pretrained(str(out)), load_tokenizer(str(out))
    assert (len(auto), ours.text_size) == (vocab_size, vocab_size)
    for name in names:
        text = name.read_text("utf-8")
        ids = auto(text)["input_ids"]
        assert ours.encode([text])[0].tolist() == ids
        assert auto.decode(ids) == text


def test_real_russian_and_english_are_reproduced(tmp_path):
    names = [DATA / "ntrex-en-ru" / "rus.txt", DATA / "text" / "botchan.txt"]
    if not all(name.exists() for name in names):
        pytest.skip("the data samples ntrex-en-ru and botchan are not beside this checkout")
    sources = [TextSource(str(name)) for name in names]
    out = train_tokenizer(sources, vocab_size=4096, output_dir=tmp_path / "out")
    assert bytes_per_token(out, sources) > 3.5
    processor = sentencepiece.SentencePieceProcessor(model_file=str(out / "tokenizer.model"))
    for name in names:
        text = name.read_text("utf-8")
        assert load_tokenizer(str(out)).encode([text])[0].tolist() == processor.encode(text)
