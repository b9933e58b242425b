"""Parallel text: what is read, left out, kept together and kept apart."""

import gzip
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metalang.building.parallel import (
    Cleaning,
    PairSource,
    ParallelText,
    Provenance,
    language,
    prepare_parallel,
    repeats,
)
from metalang.building.parallel.repeats import mark_repeats
from metalang.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RU, EN = language("ru"), language("en")


def text_of(*inputs: object, fields: tuple[str, str] | None = None, **settings: object) -> ParallelText:
    limits = {name: settings.pop(name) for name in list(settings) if name in Cleaning.__dataclass_fields__}
    tags = Provenance(**settings.pop("tags", {}))
    pairs = PairSource(tuple(map(str, inputs)), RU, EN, fields)
    return ParallelText(pairs, Cleaning(RU, EN, **limits), tags, **settings)


def write_pairs(folder: Path, pairs: list[tuple[str, str]]) -> tuple[Path, Path]:
    for name, side in (("ru.txt", 0), ("en.txt", 1)):
        (folder / name).write_text("".join(pair[side] + "\n" for pair in pairs), "utf-8")
    return folder / "ru.txt", folder / "en.txt"


def many(count: int) -> list[tuple[str, str]]:
    return [(f"Кит номер {number} плывёт.", f"Whale number {number} swims.") for number in range(count)]


def lines(path: Path) -> list[str]:
    content = path.read_bytes().decode()
    assert content.endswith("\n")
    return content.removesuffix("\n").split("\n")


def pairs_in(folder: Path, split: str) -> list[tuple[str, str]]:
    return list(zip(lines(folder / f"{split}_ru.txt"), lines(folder / f"{split}_en.txt"), strict=True))


def all_pairs(folder: Path) -> list[tuple[str, str]]:
    return sorted(pairs_in(folder, "train") + pairs_in(folder, "val"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_tools" / "prepare_parallel.py"), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


FAULTY = [
    ("", "Nothing here."),
    ("Дом.", "  \u00a0 "),
    ("Да", "Yes it is so very long"),
    ("я" * 40, "a" * 41),
    ("Не переведено: one two three four", "Not translated: one two three four"),
    ("Переведено верно.", "Это не переведено"),
    ("12 345", "12 345"),
    ("Метка <author_Гоголь> тут", "A tag <author_Gogol> here"),
]


def test_every_pair_that_is_left_out_is_counted_by_its_reason(tmp_path):
    pairs = [*many(60), *FAULTY, *many(3)]
    text = text_of(*write_pairs(tmp_path, pairs), max_characters=40, keep_rejected=True)
    stats = prepare_parallel(text, tmp_path / "out")
    assert (stats["read"], stats["kept"]) == (71, 60)
    assert stats["left_out"] == {
        "bad_line": 0,
        "empty": 2,
        "too_short": 0,
        "too_long": 1,
        "length_ratio": 1,
        "spells_tag": 1,
        "script_ru": 2,
        "script_en": 1,
        "duplicate": 3,
    }
    assert all_pairs(tmp_path / "out") == sorted(many(60))
    rejected = [json.loads(line) for line in lines(tmp_path / "out" / "rejected.jsonl")]
    assert [(each["reason"], each["ru"]) for each in rejected[2:5]] == [
        ("length_ratio", "Да"),
        ("too_long", "я" * 40),
        ("script_ru", "Не переведено: one two three four"),
    ]
    assert [each["reason"] for each in rejected[8:]] == ["duplicate"] * 3


@pytest.mark.parametrize(
    ("limits", "pair", "reason"),
    [
        ({"min_characters": 15}, ("Кит.", "Whale."), "too_short"),
        ({"max_characters": 30}, ("К" * 31, "W" * 30), "too_long"),
        ({"max_length_ratio": 1.5}, ("Кит плывёт.", "The white whale swims."), "length_ratio"),
        ({"min_script_share": 0.8}, ("Белый whale плывёт.", "The whale swims."), "script_ru"),
    ],
)
def test_each_limit_can_be_set(tmp_path, limits, pair, reason):
    files = write_pairs(tmp_path, [*many(40), pair])
    assert prepare_parallel(text_of(*files), tmp_path / "as_usual")["kept"] == 41
    stats = prepare_parallel(text_of(*files, **limits), tmp_path / "limited")
    assert (stats["kept"], stats["left_out"][reason]) == (40, 1)


def test_texts_are_normalized_and_white_space_is_one_space(tmp_path):
    decomposed = "Е\u0308лка  и\u0306од\u00a0\u2028 №½\x00"
    rows = [{"ru": f"\ufeff{decomposed}{number}\n", "en": f" The fir\r\n\ttree {number} "} for number in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare_parallel(text_of(tmp_path / "a.jsonl"), tmp_path / "nfc")
    assert ("Ёлка йод №½7", "The fir tree 7") in all_pairs(tmp_path / "nfc")
    prepare_parallel(text_of(tmp_path / "a.jsonl", normalization="nfkc"), tmp_path / "nfkc")
    assert ("Ёлка йод No1⁄27", "The fir tree 7") in all_pairs(tmp_path / "nfkc")
    prepare_parallel(text_of(tmp_path / "a.jsonl", normalization="none"), tmp_path / "none")
    assert ("Е\u0308лка и\u0306од №½7", "The fir tree 7") in all_pairs(tmp_path / "none")


def test_neither_order_nor_duplicates_nor_other_pairs_move_a_pair_to_the_other_split(tmp_path):
    pairs = many(2000)
    prepare_parallel(text_of(*write_pairs(tmp_path, pairs)), tmp_path / "whole")
    shuffled = pairs[:1500] * 2
    random.Random(5).shuffle(shuffled)
    prepare_parallel(text_of(*write_pairs(tmp_path, shuffled)), tmp_path / "part")
    whole = {split: set(pairs_in(tmp_path / "whole", split)) for split in ("train", "val")}
    part = {split: pairs_in(tmp_path / "part", split) for split in ("train", "val")}
    assert whole["train"].isdisjoint(whole["val"])
    assert whole["train"] | whole["val"] == set(pairs)
    assert 160 <= len(whole["val"]) <= 240
    assert set(part["train"]) <= whole["train"] and set(part["val"]) <= whole["val"]
    assert len(part["train"]) + len(part["val"]) == 1500


def test_pairs_stay_in_the_order_of_the_files(tmp_path):
    prepare_parallel(text_of(*write_pairs(tmp_path, many(300))), tmp_path / "out")
    for split in ("train", "val"):
        found = pairs_in(tmp_path / "out", split)
        assert found == sorted(found, key=many(300).index)


def test_another_seed_is_another_split_of_the_same_pairs(tmp_path):
    files = write_pairs(tmp_path, many(500))
    for seed in (0, 1):
        prepare_parallel(text_of(*files, seed=seed), tmp_path / str(seed))
    assert pairs_in(tmp_path / "0", "val") != pairs_in(tmp_path / "1", "val")
    assert all_pairs(tmp_path / "0") == all_pairs(tmp_path / "1")


def test_unique_by_source_keeps_other_translations_of_a_text_out_of_the_other_split(tmp_path):
    pairs = [(f"Кит {number % 200}.", f"The whale {number}.") for number in range(1000)]
    files = write_pairs(tmp_path, pairs)
    counts = {}
    for unique_by in ("pair", "source", "target", "none"):
        folder = tmp_path / unique_by
        counts[unique_by] = prepare_parallel(text_of(*files, unique_by=unique_by), folder)["left_out"]["duplicate"]
    assert counts == {"pair": 0, "source": 800, "target": 0, "none": 0}
    leaked = {pair[0] for pair in pairs_in(tmp_path / "pair", "val")} & {
        pair[0] for pair in pairs_in(tmp_path / "pair", "train")
    }
    assert len(leaked) > 50


@pytest.mark.parametrize("at_a_time", [2, 7, 64, 10_000])
def test_every_hash_that_stood_before_is_marked(tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr(repeats, "_HASHES_AT_A_TIME", at_a_time)
    generator = random.Random(at_a_time)
    values = [generator.choice([0, 2**64 - 1, generator.randrange(40), generator.randrange(2**64)]) for _ in range(500)]
    np.array(values, dtype="<u8").tofile(tmp_path / "hashes")
    mark_repeats(tmp_path / "hashes", tmp_path / "marks")
    seen: set[int] = set()
    expected = []
    for value in values:
        expected.append(int(value in seen))
        seen.add(value)
    assert list((tmp_path / "marks").read_bytes()) == expected


def test_tags_stand_before_every_line_of_both_languages(tmp_path):
    tags = {"author": "Л. Н.  Толстой", "city": "New York", "year": "1869"}
    stats = prepare_parallel(text_of(*write_pairs(tmp_path, many(50)), tags=tags), tmp_path / "out")
    prefix = "<author_Л._Н._Толстой> <city_New_York> <year_1869> "
    assert stats["tags"] == ["<author_Л._Н._Толстой>", "<city_New_York>", "<year_1869>"]
    for source, target in all_pairs(tmp_path / "out"):
        assert source.startswith(prefix + "Кит номер ") and target.startswith(prefix + "Whale number ")
    assert len(all_pairs(tmp_path / "out")) == 50


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (
            {"author": "A<b>"},
            r"--author 'A<b>' holds '<' '>'; a name has letters, digits, spaces",
        ),
        ({"city": "Тула😀"}, "--city 'Тула😀' holds '😀'"),
        ({"city": " "}, "--city '' is empty"),
        ({"year": "19 век"}, "--year '19 век' is no year; write one to four digits, such as 1869"),
        ({"year": ""}, "--year '' is no year"),
    ],
)
def test_a_name_that_makes_no_tag_is_refused(tags, reason):
    with pytest.raises(ConfigError, match=reason):
        Provenance(**tags)


def test_tab_separated_columns_are_numbers_or_names(tmp_path):
    rows = [f"{number}\t{ru}\t{en}" for number, (ru, en) in enumerate(many(40))]
    (tmp_path / "plain.tsv").write_text("\n".join(rows))
    prepare_parallel(text_of(tmp_path / "plain.tsv", fields=("2", "3")), tmp_path / "numbers")
    (tmp_path / "named.tsv").write_bytes(("\ufeffid\trussian\tenglish\r\n" + "\r\n".join(rows)).encode())
    prepare_parallel(text_of(tmp_path / "named.tsv", fields=("russian", "english")), tmp_path / "names")
    assert all_pairs(tmp_path / "numbers") == all_pairs(tmp_path / "names") == sorted(many(40))
    with pytest.raises(ConfigError, match=r"no column 'ru'; its first line names 'id', 'russian', 'english'"):
        prepare_parallel(text_of(tmp_path / "named.tsv", fields=("ru", "en")), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"--fields 0 3: columns are counted from 1"):
        prepare_parallel(text_of(tmp_path / "plain.tsv", fields=("0", "3")), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"plain\.tsv line 1: 3 columns and none of number 4 \(see --fields\)"):
        prepare_parallel(text_of(tmp_path / "plain.tsv", fields=("2", "4")), tmp_path / "out")


def test_json_fields_are_the_codes_of_the_languages_or_named_with_dots(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"ru": ru, "en": en}) + "\n" for ru, en in many(40)))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"t": {"r": ru, "e": en}}) + "\n\n" for ru, en in many(40)))
    prepare_parallel(text_of(tmp_path / "a.jsonl"), tmp_path / "a")
    stats = prepare_parallel(text_of(tmp_path / "b.jsonl", fields=("t.r", "t.e")), tmp_path / "b")
    assert all_pairs(tmp_path / "a") == all_pairs(tmp_path / "b") == sorted(many(40))
    assert stats["left_out"]["empty"] == 40


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            '{"ru": "Кит", "text": "a"}',
            r"a\.jsonl line 41: no 'en'; its keys are 'ru', 'text' \(see --fields\)",
        ),
        ('{"ru": "Кит", "en": 3}', r"line 41: 'en' is no string but int"),
        ('["Кит", "whale"]', r"line 41: no object with 'ru' but list"),
        ('{"ru": "Кит"', r"line 41: no JSON: Expecting ',' delimiter at column 13"),
        ('{"ru": "\\ud800", "en": "a"}', r"line 41: 'ru' holds half a surrogate pair"),
        (b'{"ru": "\xff"}', r"line 41: no UTF-8: invalid start byte"),
    ],
)
def test_a_bad_line_is_named_or_counted(tmp_path, line, reason):
    good = "".join(json.dumps({"ru": ru, "en": en}) + "\n" for ru, en in many(40)).encode()
    (tmp_path / "a.jsonl").write_bytes(good + (line if isinstance(line, bytes) else line.encode()) + b"\n" + good)
    with pytest.raises(ConfigError, match=reason):
        prepare_parallel(text_of(tmp_path / "a.jsonl"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    stats = prepare_parallel(text_of(tmp_path / "a.jsonl", skip_bad_lines=True), tmp_path / "out")
    assert (stats["read"], stats["kept"]) == (81, 40)
    assert (stats["left_out"]["bad_line"], stats["left_out"]["duplicate"]) == (1, 40)


def test_files_of_other_lengths_are_refused_with_both_counts(tmp_path):
    source, target = write_pairs(tmp_path, many(40))
    target.write_text(target.read_text() + "One more.\nAnd one more.\n")
    with pytest.raises(ConfigError, match=r"ru\.txt has 40 lines and .*en\.txt has 42; line n of one has to be the"):
        prepare_parallel(text_of(source, target), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"en\.txt has 42 lines and .*ru\.txt has 40"):
        prepare_parallel(text_of(target, source), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["en.txt", "ru.txt"]


def test_broken_utf8_names_file_and_line_and_a_skipped_line_keeps_the_alignment(tmp_path):
    source, target = write_pairs(tmp_path, many(40))
    broken = target.read_bytes().split(b"\n")
    broken[6] = b"Whale \xff"
    target.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(broken))
    with pytest.raises(ConfigError, match=r"en\.txt line 7: no UTF-8: invalid start byte\. Mend it, or set --on_bad_l"):
        prepare_parallel(text_of(source, target), tmp_path / "out")
    stats = prepare_parallel(text_of(source, target, skip_bad_lines=True), tmp_path / "out")
    assert stats["left_out"]["bad_line"] == 1
    assert all_pairs(tmp_path / "out") == sorted(pair for pair in many(40) if " 6 " not in pair[0])


def test_a_folder_pairs_files_by_the_languages_in_their_names(tmp_path):
    folder = tmp_path / "corpora"
    (folder / "deep").mkdir(parents=True)
    pairs = many(60)
    for name, side, part in (
        ("news.ru.txt", 0, pairs[:10]),
        ("news.en.txt", 1, pairs[:10]),
        ("deep/train_rus.txt", 0, pairs[10:20]),
        ("deep/train_eng.txt", 1, pairs[10:20]),
        ("opus.en-ru.ru", 0, pairs[20:30]),
        ("opus.en-ru.en", 1, pairs[20:30]),
    ):
        (folder / name).write_text("".join(pair[side] + "\n" for pair in part))
    with gzip.open(folder / "more.tsv.gz", "wt") as file:
        file.writelines(f"{ru}\t{en}\n" for ru, en in pairs[30:40])
    (folder / "rows.jsonl").write_text("".join(json.dumps({"ru": ru, "en": en}) + "\n" for ru, en in pairs[40:]))
    (folder / "LICENSE").write_text("free")
    (folder / ".hidden.txt").write_text("no")
    stats = prepare_parallel(text_of(folder), tmp_path / "out")
    assert (stats["kept"], all_pairs(tmp_path / "out")) == (60, sorted(pairs))
    (folder / "notes.txt").write_text("notes\n")
    with pytest.raises(ConfigError, match=r"notes\.txt names neither ru nor en; give it a name such as news\.ru\.txt"):
        prepare_parallel(text_of(folder), tmp_path / "other")
    (folder / "notes.txt").rename(folder / "notes.en.txt")
    with pytest.raises(ConfigError, match=r"notes\.en\.txt is en and needs one partner in ru, such as notes"):
        prepare_parallel(text_of(folder), tmp_path / "other")


def test_what_cannot_be_pairs_is_refused_in_words(tmp_path):
    source, target = write_pairs(tmp_path, many(40))
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"ru": "a", "en": "b"}\n' * 10_000)[:-20])
    for inputs, reason in (
        ((source,), r"ru\.txt is neither \.tsv nor \.jsonl, and a text file needs its partner"),
        ((tmp_path / "empty",), "empty holds no pairs of ru and en; give two text files"),
        (("nowhere.tsv",), "'nowhere.tsv' does not exist; give two text files"),
        ((tmp_path / "cut.jsonl.gz",), r"cut\.jsonl\.gz is damaged or cannot be read: .*; fetch it again"),
        (
            (target, source),
            r"no pair is left of 40 \(40 script_ru left out\)\. If the first",
        ),
    ):
        with pytest.raises(ConfigError, match=reason):
            prepare_parallel(text_of(*inputs), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"none of 1 pairs fell into (train|val); give more pairs"):
        prepare_parallel(text_of(*write_pairs(tmp_path, many(1))), tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"val_ratio": 1}, "--val_ratio 1 leaves one split empty; give a share such as 0.1"),
        ({"min_characters": 9, "max_characters": 8}, "--min_characters 9 to --max_characters 8 leaves no text"),
        ({"max_length_ratio": 0.5}, "--max_length_ratio 0.5 leaves no pair"),
        ({"min_script_share": 1.5}, "--min_script_share 1.5 is no share"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        text_of(*write_pairs(tmp_path, many(40)), **settings)


def test_a_language_whose_script_is_unknown_needs_the_check_left_out():
    klingon = language("tlh")
    with pytest.raises(ConfigError, match="the script of language 'tlh' is not known; known are ar az be"):
        Cleaning(klingon, EN)
    assert Cleaning(klingon, EN, min_script_share=0).fault("nuqneH", "hello") is None
    with pytest.raises(ConfigError, match="'Русский' is no code of a language"):
        language("Русский")


def test_a_second_run_changes_nothing_and_other_settings_are_refused(tmp_path):
    files = write_pairs(tmp_path, many(40))
    first = prepare_parallel(text_of(*files), tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert sorted(before) == ["dataset_stats.json", "train_en.txt", "train_ru.txt", "val_en.txt", "val_ru.txt"]
    assert prepare_parallel(text_of(*files), tmp_path / "out") == first
    with pytest.raises(ConfigError, match="holds other pairs: max_characters 1000 there and 50 now, seed 0"):
        prepare_parallel(text_of(*files, seed=7, max_characters=50), tmp_path / "out")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "out" / "val_ru.txt").write_text("changed")
    with pytest.raises(ConfigError, match=r"is damaged: val_ru\.txt changed since it was written; nothing was changed"):
        prepare_parallel(text_of(*files), tmp_path / "out")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    files = write_pairs(tmp_path, many(40))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "train_ru.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"exists and holds no pairs of ours \(no dataset_stats\.json of version 1\)"):
        prepare_parallel(text_of(*files), tmp_path / "thesis")
    assert content(tmp_path / "thesis") == {"train_ru.txt": b"years of work"}


def test_a_run_that_is_killed_leaves_no_folder_and_the_next_writes_the_same_bytes(tmp_path):
    files = write_pairs(tmp_path, many(60_000))
    prepare_parallel(text_of(*files), tmp_path / "whole")
    command = [sys.executable, str(ROOT / "data_tools" / "prepare_parallel.py"), *map(str, files), "--output_dir"]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    for moment in ("cleaned.tsv", "hashes.bin", "repeats.bin", "train_ru.txt"):
        with subprocess.Popen(
            [*command, str(tmp_path / "out")], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            unfinished = tmp_path / f"out.{process.pid}.partial" / moment
            while process.poll() is None and not unfinished.exists():
                pass
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "out").exists()
    prepare_parallel(text_of(*files), tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_memory_does_not_grow_with_the_pairs(tmp_path):
    peaks = []
    for count in (8_000, 80_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        write_pairs(folder, many(count))
        code = (
            "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__');"
            "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
        )
        tool = str(ROOT / "data_tools" / "prepare_parallel.py")
        arguments = [tool, f"{folder}/ru.txt", f"{folder}/en.txt", "--output_dir", f"{folder}/out"]
        environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.1 * peaks[0]


def test_the_script_prints_what_it_kept_and_says_what_is_wrong_in_one_line(tmp_path):
    files = write_pairs(tmp_path, many(200))
    arguments = (*files, "--output_dir", tmp_path / "out", "--author", "Ishmael")
    done = script(*arguments)
    assert done.returncode == 0
    first, second, third, *_, last = done.stdout.splitlines()
    assert (first, second) == (f"{tmp_path / 'out'}: 200 pairs of ru and en, of 200 read", "  left out: none")
    assert third.startswith("  train: 1") and third.endswith(" pairs")
    assert last == "  tags before each text: <author_Ishmael>"
    assert script(*arguments).stdout == done.stdout
    done = script(*arguments, "--seed", 3)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("prepare_parallel: ") and done.stderr.count("\n") == 1


def test_real_news_is_kept_but_for_the_line_that_nobody_translated(tmp_path):
    folder = DATA / "ntrex-en-ru"
    if not folder.exists():
        pytest.skip("the data sample ntrex-en-ru is not beside this checkout")
    stats = prepare_parallel(text_of(folder, keep_rejected=True), tmp_path / "out")
    assert (stats["read"], stats["kept"], stats["train"]["pairs"], stats["val"]["pairs"]) == (1997, 1996, 1795, 201)
    assert {reason: count for reason, count in stats["left_out"].items() if count} == {"script_ru": 1}
    assert json.loads((tmp_path / "out" / "rejected.jsonl").read_text()) == {
        "reason": "script_ru",
        "ru": "Il faut bien le faire.",
        "en": "Il faut bien le faire.",
    }
    assert stats["val"]["ru"] == {"characters": 27649, "words": 3892, "mean_characters": 137.56, "mean_words": 19.36}
