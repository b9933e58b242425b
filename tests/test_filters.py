"""Filters: what is kept, what is refused and why; near-duplicates: all but the first of a cluster."""

import inspect
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalang.errors import ConfigError
from metalang.specs import as_spec
from metalang.text.filters import AnyFilter
from metalang.text.near_duplicates import MinHash, cluster, match, near_duplicates, sign

PROSE = (
    "The harbour lay quiet when we came down to the water that morning. Two boats had gone out before dawn, and the "
    "men who stayed behind were mending their nets with great care. A boy asked me whether I have ever seen the "
    "storm of which his father used to speak. I told him that I had read of it in a book, and nothing more. He "
    "laughed, took up his basket, and walked along the wall to be alone with his thoughts."
)
RUSSIAN = "Утром мы спустились к воде, и в гавани было тихо. Две лодки ушли ещё до рассвета, остальные чинили сети."
DEFAULTS = ["gopher_quality", "gopher_repetition", "c4_quality", "fineweb_quality", "language"]


def judged(text: str, type: str, **settings: Any) -> tuple[str | None, str]:
    return as_spec(AnyFilter, {"type": type, **settings}, "filter").open()(text)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_eval(path: Path, *texts: str) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


@pytest.mark.parametrize("type", DEFAULTS)
def test_prose_passes_every_filter_unchanged(type):
    assert judged(PROSE, type) == (PROSE, "")


@pytest.mark.parametrize("type", DEFAULTS[:-1])
@pytest.mark.parametrize("text", ["", "\n", " \t\n\n "])
def test_a_text_without_text_is_refused_as_empty(type, text):
    assert judged(text, type) == (None, "empty")


@pytest.mark.parametrize(
    ("settings", "text", "verdict"),
    [
        ({"min_chars": 3}, "abc", ("abc", "")),
        ({"min_chars": 4}, "abc", (None, "too_few_chars")),
        ({"max_chars": 2}, "abc", (None, "too_many_chars")),
        ({"max_chars": "1K"}, "a" * 1001, (None, "too_many_chars")),
        ({"min_words": 3, "max_words": 3}, "one  two\nthree", ("one  two\nthree", "")),
        ({"min_words": 4}, "one two three", (None, "too_few_words")),
        ({"max_words": 2}, "one two three", (None, "too_many_words")),
    ],
)
def test_length_limits_are_inclusive(settings, text, verdict):
    assert judged(text, "length", **settings) == verdict


def test_a_pattern_drops_what_holds_it_or_keeps_that_alone():
    assert judged("call 555-0100 now", "regex", pattern=r"\d{3}-\d{4}") == (None, "pattern_found")
    assert judged("call me", "regex", pattern=r"\d{3}-\d{4}") == ("call me", "")
    assert judged("call me", "regex", pattern=r"\d{3}-\d{4}", action="keep") == (None, "pattern_not_found")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The boat is here.", "gopher_short_doc"),
        ("green harbour " * 30, "gopher_enough_stop_words"),
        ("the a be to of " * 12, "gopher_below_avg_threshold"),
        ("the and incomprehensibilities counterrevolutionary " * 15, "gopher_above_avg_threshold"),
        (PROSE + " #" * 20, "gopher_too_many_hashes"),
        (PROSE + " and so on ..." * 20, "gopher_too_many_ellipsis"),
        ("\n".join(f"- {sentence}" for sentence in PROSE.split(". ")), "gopher_too_many_bullets"),
        (PROSE.replace(". ", " …\n"), "gopher_too_many_end_ellipsis"),
        (PROSE + " 17 23 42" * 20, "gopher_below_alpha_threshold"),
    ],
)
def test_gopher_names_the_rule_of_quality_that_fails(text, reason):
    assert judged(text, "gopher_quality") == (None, reason)


def test_gopher_takes_the_stop_words_of_another_language():
    assert judged(RUSSIAN, "gopher_quality", language="ru", min_doc_words=10) == (None, "gopher_enough_stop_words")
    settings = {"language": "ru", "min_doc_words": 10, "stop_words": ["и", "в", "до"]}
    assert judged(RUSSIAN, "gopher_quality", **settings) == (RUSSIAN, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("same\n\nsame\n\nother\n\nsame", "dup_para_frac"),
        (f"{PROSE}\n" + "menu\n" * 4, "dup_line_frac"),
        ("buy now " * 10, "top_2_gram"),
        (f"{PROSE[:180]} {PROSE[:180]} " + "A different tale is told of these people here.", "duplicated_5_n_grams"),
    ],
)
def test_gopher_names_the_rule_of_repetition_that_fails(text, reason):
    assert judged(text, "gopher_repetition") == (None, reason)


def test_c4_keeps_the_lines_of_prose_without_their_citations():
    text = (
        "Home | About | Contact\n"
        "The town was founded in 1801.[3] It grew fast.\n"
        "Read more...\n"
        "Please enable Javascript to see this page.\n"
        "  We climbed the hill. It was steep. Nobody spoke.  \n"
        "Yes it.\n"
        "By reading this you accept our terms of use.\n"
    )
    assert judged(text, "c4_quality") == (
        "The town was founded in 1801. It grew fast.\nWe climbed the hill. It was steep. Nobody spoke.",
        "",
    )


@pytest.mark.parametrize(
    ("text", "settings", "verdict"),
    [
        ("One line is here. And two.", {}, (None, "too_few_sentences")),
        (PROSE + "\nint main() { return 0; }.", {}, (None, "curly_bracket")),
        (PROSE + "\nLorem ipsum dolor sit amet.", {}, (None, "lorem_ipsum")),
        ("Menu\nNews", {"min_num_sentences": 0}, (None, "empty")),
        ("aaaa " * 3 + "end.", {"min_num_sentences": 0, "max_word_length": 3}, (None, "empty")),
        ("aaaa " * 3 + "end.", {"min_num_sentences": 0, "max_word_length": None}, ("aaaa aaaa aaaa end.", "")),
    ],
)
def test_c4_refuses_what_is_no_prose(text, settings, verdict):
    assert judged(text, "c4_quality", **settings) == verdict


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A line that is long enough, but has no end\n" * 3, "line_punct_ratio"),
        ("Short line one.\nShort line two.\nShort line three.", "short_line_ratio"),
        ("The very same sentence stands here again.\n" * 2, "char_dup_ratio"),
        ("Donaudampfschifffahrtsgesellschaft Nord.\nRindfleischetikettierungsgesetz Sued.\n", "list_ratio"),
    ],
)
def test_fineweb_names_the_rule_that_fails(text, reason):
    assert judged(text, "fineweb_quality") == (None, reason)


def test_a_language_is_told_from_another():
    assert judged(RUSSIAN, "language", languages=["ru"]) == (RUSSIAN, "")
    assert judged(RUSSIAN, "language") == (None, "language_ru")
    assert judged(PROSE, "language", languages=["ru", "uk"]) == (None, "language_en")
    assert judged(PROSE, "language", languages=["ru", "en"]) == (PROSE, "")
    assert judged("Привет, как дела?", "language", languages=["ru"]) == (None, "language_unsure")


def test_a_fasttext_model_tells_languages_and_is_named_by_its_content(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    lines = [f"__label__en {sentence}" for sentence in PROSE.split(". ")] * 30
    lines += [f"__label__ru {sentence}" for sentence in RUSSIAN.split(". ")] * 30
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    model = fasttext.train_supervised(str(tmp_path / "lines.txt"), dim=4, minn=2, maxn=3, epoch=10, thread=1, verbose=0)
    model.save_model(str(tmp_path / "a.bin"))
    (tmp_path / "b.bin").write_bytes((tmp_path / "a.bin").read_bytes())
    settings = {"type": "language", "backend": "ft176"}
    one, other = (as_spec(AnyFilter, settings | {"model": str(tmp_path / name)}, "x") for name in ("a.bin", "b.bin"))
    assert one.open()(PROSE + "\n" + PROSE) == (PROSE + "\n" + PROSE, "")
    assert one.open()(RUSSIAN) == (None, "language_ru")
    assert one.identity() == other.identity()
    assert one.identity()["model"] != as_spec(AnyFilter, {"type": "language"}, "x").identity().get("model")


THIRTEEN = "who wrote the letter that the captain found under the lamp at midnight"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"He asked: {THIRTEEN}? Nobody knew.", "contaminated"),
        ("(Who WROTE the letter—that the\ncaptain, found “under” the lamp at Midnight!)", "contaminated"),
        ("Who wrote the letter that the captain found under the lamp at ｍｉｄｎｉｇｈｔ", "contaminated"),
        ("He asked who wrote the letter that the captain found under the lamp at noon.", ""),
        ("who wrote the letter that the captain found under a lamp at midnight", ""),
        ("", ""),
    ],
)
def test_thirteen_words_in_common_are_too_many_and_twelve_are_not(tmp_path, text, reason):
    path = write_eval(tmp_path / "eval.jsonl", "Too short to count.", f"Question: {THIRTEEN}?")
    assert judged(text, "decontaminate", paths=[path]) == (None if reason else text, reason)


WORDS = st.lists(st.sampled_from("abc"), max_size=12)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=3), text=WORDS, ngram=st.integers(1, 4))
def test_decontamination_agrees_with_a_comparison_of_all_pairs_of_runs(tmp_path_factory, texts, text, ngram):
    path = write_eval(tmp_path_factory.mktemp("eval") / "eval.jsonl", "z " * ngram, *map(" ".join, texts))
    runs = [each[at : at + ngram] for each in texts for at in range(len(each)) if at + ngram <= len(each)]
    shared = any(text[at : at + ngram] == run for run in runs for at in range(len(text)))
    assert judged(" ".join(text), "decontaminate", paths=[path], ngram=ngram)[1] == ("contaminated" if shared else "")


def test_decontamination_is_named_by_what_it_looks_for_not_by_where_that_lies(tmp_path):
    def identity(*paths: str) -> dict[str, Any]:
        return as_spec(AnyFilter, {"type": "decontaminate", "paths": paths}, "x").identity()

    first = write_eval(tmp_path / "first.jsonl", THIRTEEN)
    second = write_eval(tmp_path / "second.jsonl", THIRTEEN.upper() + "!")
    third = write_eval(tmp_path / "third.jsonl", THIRTEEN + " or later")
    assert identity(first) == identity(second) == identity(second, first)
    assert identity(first) != identity(third)
    write_eval(tmp_path / "first.jsonl", THIRTEEN + " or later")
    assert identity(first) == identity(third)


def test_an_evaluation_set_that_is_not_there_or_too_short_is_named(tmp_path):
    path = write_eval(tmp_path / "eval.jsonl", "Too short to count.")
    assert refusal(lambda: judged("a", "decontaminate", paths=[path])) == (
        f"decontaminate: no document of {path!r} has 13 words, so nothing can be looked for; lower ngram, or name "
        "another text_field"
    )
    assert "'/no/such.jsonl' does not exist" in refusal(lambda: judged("a", "decontaminate", paths=["/no/such.jsonl"]))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "gopher"}, "f: type 'gopher' is no filter; did you mean 'gopher_quality'?"),
        ({"type": "repetition"}, "f: type 'repetition' is no filter; did you mean 'gopher_repetition'?"),
        ({"type": "lenght"}, "f: type 'lenght' is no filter; did you mean 'length'?"),
        (
            {"min_chars": 5},
            "f: a filter is written as {type: length, min_chars: 50}; types: length, regex, gopher_quality, "
            "gopher_repetition, c4_quality, fineweb_quality, language, decontaminate",
        ),
        ({"type": "length"}, "f: length: it sets no limit; give min_chars, max_chars, min_words or max_words"),
        ({"type": "length", "min_char": 5}, "f: length: unknown key 'min_char'; did you mean 'min_chars'?"),
        (
            {"type": "length", "min_chars": 10, "max_chars": 5},
            "f: length: min_chars 10 is above max_chars 5; no text is as long",
        ),
        (
            {"type": "gopher_quality", "max_symbol_word_ratio": 0},
            "f: gopher_quality.max_symbol_word_ratio: Input should be greater than 0",
        ),
        (
            {"type": "language", "threshold": 1.5},
            "f: language.threshold: Input should be less than 1 (got 1.5)",
        ),
        (
            {"type": "regex", "pattern": "("},
            "f: regex.pattern: '(' is no pattern of Python's re: missing ), unterminated subpattern at position 0; "
            "write \\ before . ( [ * + ?",
        ),
        (
            {"type": "language", "backend": "ft176"},
            "f: language: backend ft176 has no model; download https://dl.fbaipublicfiles.com/fasttext/"
            "supervised-models/lid.176.bin (126 MB), and give its path as model",
        ),
    ],
)
def test_a_bad_spec_is_told_in_one_line_that_names_the_field(spec, message):
    assert refusal(lambda: as_spec(AnyFilter, spec, "f")) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"type": "language", "languages": ["en", "rus"]},
            "language: langid does not know 'rus'; did you mean 'ru'?",
        ),
        (
            {"type": "language", "backend": "ft176", "model": "no.bin"},
            "language: no model at 'no.bin'; download https://dl.fbaipublicfiles.com/fasttext/supervised-models/"
            "lid.176.bin (126 MB), and give its path as model",
        ),
        (
            {"type": "gopher_quality", "language": "english"},
            "language 'english' has no word tokenizer in datatrove; give an ISO 639 code, as en or ru",
        ),
    ],
)
def test_what_is_missing_here_is_told_when_a_filter_is_opened(spec, message):
    assert refusal(as_spec(AnyFilter, spec, "f").open) == message


@pytest.mark.parametrize("type", DEFAULTS[:-1])
def test_defaults_are_those_of_datatrove(type):
    from datatrove.pipeline.filters import gopher_quality_filter

    spec = as_spec(AnyFilter, {"type": type}, "f")
    theirs = inspect.signature(type_of_step(spec).__init__).parameters
    ours = spec.model_dump(exclude={"type", "language"})
    assert ours.keys() == theirs.keys() - {"self", "exclusion_writer", "language", "stop_chars"}
    expected = {name: theirs[name].default for name in ours}
    if type == "gopher_quality":
        expected["stop_words"] = tuple(gopher_quality_filter.STOP_WORDS)
    assert ours == expected


def type_of_step(spec: Any) -> type:
    return type(spec._step(**spec.model_dump(exclude={"type"})))


def test_no_heavy_package_is_loaded_before_a_filter_is_opened():
    code = (
        "import sys, metalang.text.filters, metalang.text.near_duplicates\n"
        "print({'datatrove', 'spacy', 'torch', 'py3langid', 'fasttext', 'loguru'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_verdicts_depend_on_the_text_alone():
    code = (
        "import sys; from metalang.specs import as_spec; from metalang.text.filters import AnyFilter\n"
        "from metalang.text.pydoc import PydocText; texts = list(PydocText(()).documents())[:40]\n"
        f"judges = [as_spec(AnyFilter, {{'type': type}}, 'f').open() for type in {DEFAULTS}]\n"
        "order = range(40) if sys.argv[1] == 'up' else range(39, -1, -1)\n"
        "verdicts = {at: [judge(texts[at]) for judge in judges] for at in order}\n"
        "print([verdicts[at] for at in range(40)])"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, order],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for order, seed in (("up", "1"), ("down", "2"))
    ]
    assert outputs[0] == outputs[1]
    assert "(None, " in outputs[0]
    assert outputs[0].count("'')") > 40


def word(number: int) -> str:
    """A word of six letters: datatrove takes all numbers for one."""
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(6))


def noisy_copies(count: int, copies: int, seed: int) -> list[tuple[str, str]]:
    """`count` texts of 300 words of their own, each with copies in which about one word in 100 is another."""
    rng = random.Random(seed)
    documents = []
    for text in range(count):
        words = [word(rng.randrange(26**6)) for _ in range(300)]
        for copy in range(copies):
            other = [word(rng.randrange(26**6)) if copy and rng.random() < 1 / 100 else each for each in words]
            documents.append((f"{text}-{copy}", " ".join(other)))
    return documents


def write_documents(folder: Path, documents: list[tuple[str, str]], num_files: int) -> Path:
    folder.mkdir()
    lines = [json.dumps({"id": id, "text": text}) + "\n" for id, text in documents]
    for file in range(num_files):
        first, last = (len(lines) * edge // num_files for edge in (file, file + 1))
        (folder / f"{file:03}.jsonl").write_text("".join(lines[first:last]))
    return folder


def test_near_copies_are_dropped_and_the_first_and_distinct_texts_kept(tmp_path):
    documents = [
        ("prose", PROSE),
        ("other", RUSSIAN + " " + RUSSIAN.replace("лодки", "шхуны")),
        ("case", PROSE.upper().replace(".", "!")),
        ("short", "Too short."),
        ("short again", "Too short."),
        ("tail", PROSE + " Then it rained."),
    ]
    folder = write_documents(tmp_path / "in", documents, 2)
    assert near_duplicates(folder, MinHash(), scratch=tmp_path / "scratch") == ["case", "tail"]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_first_of_a_cluster_is_kept_though_datatrove_keeps_another(tmp_path):
    by_id = dict(noisy_copies(12, 2, seed=1))
    documents = [(f"{text}-{copy}", by_id[f"{text}-{min(copy, 1)}"]) for text in range(12) for copy in range(4)]
    parts = [[write_documents(tmp_path / "in", documents, 1) / "000.jsonl"]]
    assert near_duplicates(tmp_path / "in", MinHash(), scratch=tmp_path / "scratch") == [
        f"{text}-{copy}" for text in range(12) for copy in (1, 2, 3)
    ]
    sign((0, parts[0]), work=tmp_path, config=MinHash())
    for bucket in range(14):
        match(bucket, work=tmp_path, config=MinHash())
    cluster(tmp_path, MinHash())
    theirs = np.fromfile(tmp_path / "clusters" / "000000.remove", "<u4").tolist()
    assert len(theirs) == 36
    assert 0 < sum(place % 4 == 0 for place in theirs) < 12


def test_near_duplicates_depend_on_neither_workers_nor_files(tmp_path):
    documents = noisy_copies(6, 3, seed=2)
    random.Random(3).shuffle(documents)
    one = write_documents(tmp_path / "one", documents, 1)
    nine = write_documents(tmp_path / "nine", documents, 9)
    dropped = near_duplicates(one, MinHash(), scratch=tmp_path / "a")
    assert len(dropped) == 12
    assert near_duplicates(nine, MinHash(), scratch=tmp_path / "b", num_workers=2) == dropped


def test_a_book_takes_little_memory_and_nothing_is_said(tmp_path):
    book = " ".join(word(number * 997) for number in range(100_000))
    write_documents(tmp_path / "small", [("prose", PROSE)], 1)
    write_documents(tmp_path / "large", [("book", book)], 1)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from metalang.text.near_duplicates import MinHash, near_duplicates\n"
        "peaks = []\n"
        "for name in ('small', 'large'):\n"
        "    near_duplicates(Path(sys.argv[1], name), MinHash(), scratch=Path(sys.argv[1], 'scratch'))\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "print(peaks[1] - peaks[0] < 150_000)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("line", ["no json", '{"id": 1}', '{"id": 1, "text": null}', "[1]"])
def test_a_line_without_id_and_text_is_named(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(f'{{"id": 1, "text": "a"}}\n{line}\n')
    assert refusal(lambda: near_duplicates(tmp_path, MinHash(), scratch=tmp_path)) == (
        f'{tmp_path}/a.jsonl line 2 is no {{"id": number or string, "text": string}}; write the file again'
    )


def test_a_folder_without_documents_is_refused(tmp_path):
    assert refusal(lambda: near_duplicates(tmp_path, MinHash(), scratch=tmp_path)) == (
        f"{tmp_path} holds no .jsonl file; near-duplicates are looked for in those"
    )
