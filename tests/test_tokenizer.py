"""Tokenizers: one thing for every form, exact ids, one fingerprint."""

import io
import json
import pickle
import shutil
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.errors import ConfigError
from metalang.text.spm import PROBES
from metalang.text.tokenizer import fingerprint_of, load_tokenizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LINES = [
    "The whale, the great white whale, was seen by the men of the ship.",
    "Белый кит, большой белый кит, был виден людям с корабля.",
    "    if whale is not None:\n        return [white for white in whale]",
    "Call me 12345, or 67890; 😀 and ünïcödé too.",
] * 5


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the data sample {name} is not beside this checkout")
    return path


def spm_model(path: Path, lines: list[str] = LINES, **options: object) -> Path:
    model = io.BytesIO()
    plain = {
        "model_type": "bpe",
        "vocab_size": 420,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, minloglevel=2, num_threads=1, **plain | options
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spm_model(tmp_path_factory.mktemp("spm") / "tiny.model", user_defined_symbols=["<sep>", "\n\n"])


@pytest.fixture(scope="module")
def pair(model: Path) -> tuple[object, object]:
    return sentencepiece.SentencePieceProcessor(model_file=str(model)), load_tokenizer(str(model))


def toy_json(path: Path, tokens: dict[str, int], **parts: object) -> Path:
    """A tokenizer.json of whole words."""
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": tokens, "unk_token": "?"},
    }
    path.write_text(json.dumps(content | parts))
    return path


def encode(tokenizer: object, text: str) -> list[int]:
    return tokenizer.encode([text])[0].tolist()


def test_ids_are_joined_and_ends_say_where_each_text_ends(tmp_path):
    tokenizer = load_tokenizer(str(toy_json(tmp_path / "tokenizer.json", {"?": 0, "</s>": 1, "a": 2, "b": 3})))
    ids, ends = tokenizer.encode(["a b", "", "b b a"])
    assert (ids.tolist(), ids.dtype) == ([2, 3, 3, 3, 2], "int32")
    assert (ends.tolist(), ends.dtype) == ([2, 2, 5], "int64")
    assert [part.tolist() for part in tokenizer.encode([])] == [[], []]


def test_neither_truncation_nor_special_tokens_of_the_file_change_ids(tmp_path):
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    vocabulary = {"?": 0, "</s>": 1, "a": 2}
    end = {"id": "</s>", "ids": [1], "tokens": ["</s>"]}
    template = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"</s>": end},
    }
    path = toy_json(tmp_path / "tokenizer.json", vocabulary, truncation=truncation, post_processor=template)
    plain = toy_json(tmp_path / "plain.json", vocabulary)
    assert encode(load_tokenizer(str(path)), "a a a a") == [2, 2, 2, 2]
    assert load_tokenizer(str(path)).fingerprint == load_tokenizer(str(plain)).fingerprint


def test_a_sentencepiece_model_keeps_its_ids(model):
    processor, tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(model)), load_tokenizer(str(model))
    assert (tokenizer.text_size, tokenizer.eos_id) == (420, 2)
    texts = [*PROBES, *LINES, "<sep>a<sep><sep> b", "a\n\n\nb", "x</s>y"]
    for text in texts:
        assert encode(tokenizer, text) == processor.encode(text)
        assert tokenizer.decode(processor.encode(text)) == text.replace("▁", " ")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.one_of(st.sampled_from(" \t\nwhalebk<>sep/0=а"), st.characters(codec="utf-8")), max_size=60))
def test_any_text_has_sentencepieces_ids(pair, text):
    processor, tokenizer = pair
    assert encode(tokenizer, text) == processor.encode(text)


def test_a_model_with_a_leading_space_keeps_its_ids(tmp_path):
    path = spm_model(tmp_path / "llama.model", add_dummy_prefix=True)
    processor, tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(path)), load_tokenizer(str(path))
    for text in [*PROBES, *LINES]:
        assert encode(tokenizer, text) == processor.encode(text)
    assert tokenizer.decode(encode(tokenizer, "a  b")) == "a  b"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "unigram"}, "is a SentencePiece unigram model"),
        ({"normalization_rule_name": "nmt_nfkc"}, r"normalizes text \(nmt_nfkc\)"),
        ({"add_dummy_prefix": True, "user_defined_symbols": ["<sep>"]}, "cannot be reproduced id by id: 'a <sep>"),
        ({"add_dummy_prefix": True, "treat_whitespace_as_suffix": True}, "cannot be reproduced id by id"),
    ],
)
def test_a_model_without_an_exact_copy_is_refused_with_the_reason(tmp_path, options, reason):
    path = spm_model(tmp_path / "odd.model", hard_vocab_limit=False, **options)
    with pytest.raises(ConfigError, match=reason):
        load_tokenizer(str(path))


def test_real_text_has_sentencepieces_ids(tmp_path):
    english, russian = real("text/botchan.txt").read_text("utf-8"), real("ntrex-en-ru/rus.txt").read_text("utf-8")
    path = spm_model(tmp_path / "real.model", [*english.splitlines(), *russian.splitlines()], vocab_size=2000)
    processor, tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(path)), load_tokenizer(str(path))
    for text in (english, russian):
        assert encode(tokenizer, text) == processor.encode(text)
        assert tokenizer.decode(processor.encode(text)) == text


def test_a_full_disk_is_an_error_of_the_disk(tmp_path, model):
    (tmp_path / "tokenizer.json").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        load_tokenizer(str(model)).save(tmp_path)


def test_a_saved_tokenizer_is_loaded_by_transformers_with_the_same_ids(tmp_path, model, capfd):
    from transformers import AutoTokenizer

    load_tokenizer(str(model)).with_meta_tokens(3).save(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "gpt_neox"}')
    capfd.readouterr()
    auto = AutoTokenizer.from_pretrained(str(tmp_path / "saved"))
    assert capfd.readouterr() == ("", "")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for text in LINES:
        assert auto(text)["input_ids"] == processor.encode(text)
    assert auto("<meta_lang_2>")["input_ids"] == [422]
    assert auto.eos_token_id == 2


def test_one_tokenizer_has_one_fingerprint_in_every_form(tmp_path, model):
    tokenizer = load_tokenizer(str(model))
    tokenizer.with_meta_tokens(5).save(tmp_path / "saved")
    forms = [tmp_path / "saved", tmp_path / "saved" / "tokenizer.json"]
    only_model = tmp_path / "only_model"
    only_model.mkdir()
    shutil.copy(model, only_model / "tokenizer.model")
    for form in [*forms, only_model]:
        assert load_tokenizer(str(form)).fingerprint == tokenizer.fingerprint
    assert tokenizer.with_meta_tokens(5).fingerprint == tokenizer.fingerprint
    assert [load_tokenizer(str(form)).num_meta_lang_tokens for form in forms] == [5, 5]


def test_another_vocabulary_or_another_eos_is_another_fingerprint(tmp_path):
    first = toy_json(tmp_path / "first.json", {"?": 0, "</s>": 1, "<s>": 2, "a": 3})
    swapped = toy_json(tmp_path / "swapped.json", {"?": 0, "</s>": 1, "a": 2, "<s>": 3})
    reordered = toy_json(tmp_path / "reordered.json", {"a": 3, "<s>": 2, "</s>": 1, "?": 0})
    fingerprint = load_tokenizer(str(first)).fingerprint
    assert len(fingerprint) == 16
    assert load_tokenizer(str(reordered)).fingerprint == fingerprint
    assert load_tokenizer(str(swapped)).fingerprint != fingerprint
    assert load_tokenizer(str(first), eos_token="<s>").fingerprint != fingerprint


def serialized(**parts: object) -> str:
    model = {"type": "BPE", "unk_token": None, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    end = {"id": 3, "content": "</s>", "special": True, "lstrip": False}
    content = {"version": "1.0", "added_tokens": [end], "normalizer": {"type": "NFC"}, "model": model}
    return json.dumps(content | {"pre_tokenizer": {"type": "ByteLevel", "use_regex": True}, "decoder": None} | parts)


def test_what_ids_do_not_depend_on_has_no_part_in_the_fingerprint():
    model = json.loads(serialized())["model"]
    end = {"id": 3, "content": "</s>", "special": True}
    meta = {"id": 4, "content": "<meta_lang_0>", "special": True}
    assert fingerprint_of(serialized(), "</s>") == "b4f74c9439840e55"
    for same in (
        {"version": "2.0", "a_new_part": {"type": "Any"}, "decoder": {"type": "ByteLevel"}, "padding": {"length": 3}},
        {"model": model | {"a_new_setting": False, "another": None}},
        {"normalizer": {"type": "NFC", "a_new_setting": None}},
        {"added_tokens": [end, meta]},
    ):
        assert fingerprint_of(serialized(**same), "</s>") == "b4f74c9439840e55"


def test_whatever_ids_depend_on_changes_the_fingerprint():
    model = json.loads(serialized())["model"]
    others = [
        {"model": model | {"merges": []}},
        {"model": model | {"vocab": {"b": 0, "a": 1, "ab": 2}}},
        {"model": model | {"a_new_setting": True}},
        {"model": model | {"unk_token": "a"}},
        {"normalizer": None},
        {"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}},
        {"added_tokens": []},
        {"added_tokens": [{"id": 3, "content": "</s>", "special": False}]},
    ]
    fingerprints = [fingerprint_of(serialized(**other), "</s>") for other in [{}, *others]]
    assert len({*fingerprints, fingerprint_of(serialized(), "a")}) == 10


def test_meta_tokens_stand_behind_the_text_ids(model):
    tokenizer = load_tokenizer(str(model))
    with pytest.raises(ConfigError, match="--num_meta_lang_tokens 1,000,000,000,000 is more than a tokenizer holds"):
        tokenizer.with_meta_tokens(10**12)
    larger = tokenizer.with_meta_tokens(10032)
    assert larger.hf.convert_tokens_to_ids(["<meta_lang_0>", "<meta_lang_10031>"]) == [420, 10451]
    assert larger.id_space.of_symbols([3, 10031, 2]).tolist() == [423, 10451, 2]
    assert (larger.text_size, larger.id_space.vocab_size) == (420, 10452)
    assert (len(tokenizer.hf), tokenizer.num_meta_lang_tokens) == (420, 0)
    assert larger.with_meta_tokens(10032) is larger
    with pytest.raises(ConfigError, match="holds 10,032 meta-language tokens and is asked for 7"):
        larger.with_meta_tokens(7)


def test_meta_tokens_need_ids_without_gaps(tmp_path):
    path = toy_json(tmp_path / "tokenizer.json", {"?": 0, "</s>": 1, "a": 7})
    with pytest.raises(ConfigError, match="its ids have gaps"):
        load_tokenizer(str(path)).with_meta_tokens(2)


def test_no_text_can_spell_eos_or_a_symbol(model):
    tokenizer = load_tokenizer(str(model)).with_meta_tokens(4)
    ids = encode(tokenizer, "a</s>b<meta_lang_3><s>")
    assert not {1, 2, 420, 421, 422, 423} & set(ids)
    assert tokenizer.decode(ids) == "a</s>b<meta_lang_3><s>"
    tokenizer.hf("a</s>", truncation=True, max_length=1)
    assert encode(tokenizer, "a</s>b<meta_lang_3><s>") == ids
    assert encode(pickle.loads(pickle.dumps(tokenizer)), "a</s>b<meta_lang_3><s>") == ids


def test_a_tokenizer_whose_text_can_spell_eos_is_refused(tmp_path):
    path = toy_json(tmp_path / "t.json", {"?": 0, "</s>": 1, "a": 2}, pre_tokenizer={"type": "WhitespaceSplit"})
    with pytest.raises(ConfigError, match="reads '</s>' or an unknown character in a text as the end"):
        load_tokenizer(str(path))


def test_a_tokenizer_whose_unknown_characters_are_eos_is_refused(tmp_path):
    path = toy_json(
        tmp_path / "t.json",
        {"?": 0, "[SEP]": 1},
        model={"type": "BPE", "vocab": {"</s>": 0, "a": 1}, "merges": [], "unk_token": "</s>"},
    )
    with pytest.raises(ConfigError, match="reads '</s>' or an unknown character in a text as the end"):
        load_tokenizer(str(path))


def test_the_neox_file_has_its_known_ids(tmp_path):
    tokenizer = load_tokenizer(str(real("neox/20B_tokenizer.json")))
    assert (tokenizer.text_size, tokenizer.eos_id, tokenizer.num_meta_lang_tokens) == (50277, 0, 0)
    assert tokenizer.fingerprint == "2d627e35e45a1bdc"
    assert encode(tokenizer, "Hello world") == [12092, 1533]
    assert 0 not in encode(tokenizer, "a<|endoftext|>b")
    assert tokenizer.decode(encode(tokenizer, "a<|endoftext|>\n    b")) == "a<|endoftext|>\n    b"
    tokenizer.with_meta_tokens(10032).save(tmp_path)
    assert load_tokenizer(str(tmp_path)).fingerprint == tokenizer.fingerprint
    assert load_tokenizer(str(tmp_path)).id_space.vocab_size == 60309


def test_a_folder_of_gpt2_files_loads_by_its_class(tmp_path):
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(real(f"gpt2/{name}"), tmp_path / name)
    with pytest.raises(ConfigError, match="holds no tokenizer that can be read"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    tokenizer = load_tokenizer(str(tmp_path))
    assert (tokenizer.text_size, tokenizer.eos_id) == (50257, 50256)
    assert encode(tokenizer, "Hello world") == [15496, 995]
    tokenizer.save(tmp_path / "saved")
    assert load_tokenizer(str(tmp_path / "saved")).fingerprint == tokenizer.fingerprint


def test_eos_is_named_by_the_user_or_known_or_asked_for(tmp_path):
    path = toy_json(tmp_path / "t.json", {"?": 0, "a": 1, "stop": 2})
    with pytest.raises(
        ConfigError, match=r'has none of <\|endoftext\|>, .*; put {"eos_token": "ITS TOKEN"} into token'
    ):
        load_tokenizer(str(path))
    with pytest.raises(ConfigError, match="EOS token 'halt' is not in the vocabulary"):
        load_tokenizer(str(path), eos_token="halt")
    known = toy_json(tmp_path / "known.json", {"?": 0, "[SEP]": 1, "<eos>": 2})
    assert load_tokenizer(str(known)).eos_id == 2
    assert load_tokenizer(str(known), eos_token="[SEP]").eos_id == 1


def test_eos_is_read_from_the_folder_of_the_tokenizer(tmp_path):
    model = {"type": "BPE", "vocab": {"s": 0, "stop": 1}, "merges": []}
    toy_json(tmp_path / "tokenizer.json", {}, model=model)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "stop"}')
    assert load_tokenizer(str(tmp_path)).eos_id == 1


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch, name):
    toy_json(tmp_path / "tokenizer.json", {"?": 0, "</s>": 1, "a": 2})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"an empty name is given for the tokenizer \(is a shell variable unset\?\); "
    ):
        load_tokenizer(name)


@pytest.mark.parametrize("name", ["./nowhere", "nowhere.model", "/nowhere/tokenizer.json"])
def test_a_path_without_tokenizer_is_refused(name):
    with pytest.raises(ConfigError, match="does not exist; give a Hugging Face tokenizer folder"):
        load_tokenizer(name)


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    for name in ("bad.json", "bad.model"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match=r"bad.json' holds no tokenizer that can be read"):
        load_tokenizer(str(tmp_path / "bad.json"))
    with pytest.raises(ConfigError, match=r"bad.model is no SentencePiece model"):
        load_tokenizer(str(tmp_path / "bad.model"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no tokenizer that can be read"):
        load_tokenizer(str(tmp_path / "empty"))


def test_an_unreachable_hub_is_one_clear_line(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="'nobody/nothing' is nothing on this disk, and the hub did not give it"):
        load_tokenizer("nobody/nothing")
