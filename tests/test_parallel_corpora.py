"""Corpora of parallel text: each tag one id, the translation alone predicted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metalang.building import LocalExecutor
from metalang.building.parallel import (
    Cleaning,
    PairSource,
    ParallelCorpora,
    ParallelText,
    Provenance,
    directions,
    language,
    prepare_parallel,
    tokenize_parallel,
)
from metalang.corpus import Corpus
from metalang.errors import ConfigError, CorpusError
from metalang.text.added_tokens import with_added_tokens
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RU, EN = language("ru"), language("en")
TAGS = ["<author_Герман_Мелвилл>", "<city_New_Bedford>", "<year_1851>"]
PREFIX = " ".join(TAGS) + " "


def prepared(folder: Path, inputs: tuple[Path, ...], **settings: object) -> str:
    tags = settings.pop("tags", {"author": "Герман Мелвилл", "city": "New Bedford", "year": "1851"})
    pairs = PairSource(tuple(map(str, inputs)), RU, EN)
    prepare_parallel(ParallelText(pairs, Cleaning(RU, EN), Provenance(**tags), **settings), folder)
    return str(folder)


def whales(folder: Path, count: int) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ru.txt").write_text("".join(f"Кит номер {number} плывёт.\n" for number in range(count)), "utf-8")
    (folder / "en.txt").write_text("".join(f"Whale number {number} swims.\n" for number in range(count)), "utf-8")
    return folder / "ru.txt", folder / "en.txt"


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").removesuffix("\n").split("\n")


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parallel")


@pytest.fixture(scope="module")
def folder(base: Path) -> str:
    return prepared(base / "whales", whales(base, 300))


@pytest.fixture(scope="module")
def plain(base: Path) -> str:
    return str(train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=base / "plain"))


@pytest.fixture(scope="module")
def causal(base: Path, folder: str, plain: str) -> Path:
    tokenize_parallel(ParallelCorpora((folder,), plain), base / "causal")
    return base / "causal"


@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level"])
def test_a_trained_tokenizer_keeps_every_tag_as_one_id(tmp_path, folder, kind):
    sources = [TextSource(f"{folder}/train_{code}.txt", sample_by="line") for code in ("ru", "en")]
    size = {"sentencepiece": 330, "byte_level": 320}[kind]
    trained = train_tokenizer(
        [*sources], vocab_size=size, output_dir=tmp_path / "t", kind=kind, user_defined_symbols=[*TAGS, "<sep>"]
    )
    tokenize_parallel(ParallelCorpora((folder,), str(trained)), tmp_path / "out")
    assert load_tokenizer(str(tmp_path / "out/tokenizer")).fingerprint == load_tokenizer(str(trained)).fingerprint
    require_whole_tags(Path(folder), tmp_path / "out/tokenizer")


@pytest.mark.parametrize("form", ["causal", "seq2seq"])
def test_a_tokenizer_that_exists_keeps_every_tag_as_one_id(tmp_path, folder, plain, form):
    tokenize_parallel(ParallelCorpora((folder,), plain, form), tmp_path / "out")
    require_whole_tags(Path(folder), tmp_path / "out/tokenizer")


def require_whole_tags(folder: Path, tokenizer: Path) -> None:
    """Every tag of every line is one id, for us and for transformers, and the line comes back whole."""
    from transformers import AutoTokenizer

    ours, auto = load_tokenizer(str(tokenizer)), AutoTokenizer.from_pretrained(str(tokenizer))
    tag_ids = auto.convert_tokens_to_ids(TAGS)
    assert len(set(tag_ids)) == 3 and auto.unk_token_id not in tag_ids
    for name in ("train_ru.txt", "train_en.txt", "val_ru.txt", "val_en.txt"):
        for line in lines(folder / name):
            ids = auto(line)["input_ids"]
            assert [index for index in ids if index in tag_ids] == tag_ids
            assert ids[0] == tag_ids[0]
            assert ours.encode([line])[0].tolist() == ids
            assert ours.decode(ids) == line


def test_a_document_is_text_separator_translation_and_eos_and_the_translation_is_predicted(causal, folder):
    tokenizer = load_tokenizer(str(causal / "tokenizer"))
    assert tokenizer.hf.convert_ids_to_tokens([600, 601, 602, 603]) == [*TAGS, "<sep>"]
    for split in ("train", "val"):
        corpus = Corpus(causal / split)
        texts, translations = lines(Path(folder, f"{split}_ru.txt")), lines(Path(folder, f"{split}_en.txt"))
        assert corpus.manifest.num_documents == len(texts)
        for number, (text, translation) in enumerate(zip(texts, translations, strict=True)):
            ids, predicted, row = corpus.document(number)
            assert tokenizer.decode(ids) == f"{text}<sep>{translation}</s>"
            assert tokenizer.decode(ids[predicted]) == f"{translation}</s>"
            assert predicted.tolist() == sorted(predicted.tolist())
            assert (int(row["row"]), int(row["source"])) == (number, 0)


def test_the_other_direction_and_both_directions(tmp_path, folder, plain):
    for direction in ("en-ru", "both"):
        tokenize_parallel(ParallelCorpora((folder,), plain, direction=direction), tmp_path / direction)
    tokenizer = load_tokenizer(str(tmp_path / "both/tokenizer"))
    text, translation = (lines(Path(folder, f"val_{code}.txt"))[0] for code in ("ru", "en"))
    back, both = Corpus(tmp_path / "en-ru/val"), Corpus(tmp_path / "both/val")
    forward, backward = f"{text}<sep>{translation}</s>", f"{translation}<sep>{text}</s>"
    assert tokenizer.decode(back.document(0)[0]) == backward
    assert [tokenizer.decode(both.document(number)[0]) for number in (0, 1)] == [forward, backward]
    assert both.manifest.num_documents == 2 * back.manifest.num_documents
    with pytest.raises(ConfigError, match="--direction is 'ru-de'; it can be ru-en, en-ru, both"):
        tokenize_parallel(ParallelCorpora((folder,), plain, direction="ru-de"), tmp_path / "out")


def test_one_worker_writes_the_bytes_of_two(tmp_path, folder, plain, monkeypatch):
    monkeypatch.setattr(directions, "UNIT_PAIRS", 100)
    for workers in (1, 2):
        tokenize_parallel(ParallelCorpora((folder,), plain), tmp_path / str(workers), LocalExecutor(workers))
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert len(Corpus(tmp_path / "1/train").manifest.shards) == 3


def test_rows_go_on_counting_from_unit_to_unit(tmp_path, folder, plain, monkeypatch):
    monkeypatch.setattr(directions, "UNIT_PAIRS", 7)
    tokenize_parallel(ParallelCorpora((folder,), plain), tmp_path / "out")
    corpus = Corpus(tmp_path / "out/val")
    rows = [int(corpus.document(number)[2]["row"]) for number in range(corpus.manifest.num_documents)]
    assert rows == list(range(len(lines(Path(folder, "val_ru.txt")))))


def test_a_pair_that_spells_the_separator_is_left_out_and_counted(tmp_path, plain):
    source, target = whales(tmp_path, 300)
    source.write_text(source.read_text().replace("номер 7 ", "номер <sep> 7 "))
    target.write_text(target.read_text().replace("number 8 ", "number 8<sep> "))
    prepared(tmp_path / "pairs", (source, target))
    tokenize_parallel(ParallelCorpora((str(tmp_path / "pairs"),), plain), tmp_path / "out")
    left_out = [Corpus(tmp_path / "out" / split).manifest.stats["spells_separator"] for split in ("train", "val")]
    assert sum(left_out) == 2


def test_a_separator_that_ends_documents_is_refused(tmp_path, folder, plain):
    with pytest.raises(ConfigError, match=r"--separator '</s>' ends documents"):
        tokenize_parallel(ParallelCorpora((folder,), plain, separator="</s>"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_other_tags_make_one_corpus_and_split_otherwise_they_are_refused(tmp_path, folder, plain):
    files = whales(tmp_path, 400)
    other = prepared(tmp_path / "other", files, tags={"author": "Ишмаэль"})
    tokenize_parallel(ParallelCorpora((folder, other), plain), tmp_path / "out")
    corpus = Corpus(tmp_path / "out/train")
    assert corpus.manifest.sources == (folder, other)
    tokenizer = load_tokenizer(str(tmp_path / "out/tokenizer"))
    assert tokenizer.hf.convert_ids_to_tokens([600, 603, 604]) == [TAGS[0], "<author_Ишмаэль>", "<sep>"]
    last, _, row = corpus.document(corpus.manifest.num_documents - 1)
    assert tokenizer.decode(last).startswith("<author_Ишмаэль> Кит") and int(row["source"]) == 1
    with pytest.raises(ConfigError, match=r"whales is named twice; name each folder once"):
        tokenize_parallel(ParallelCorpora((folder, other, folder), plain), tmp_path / "refused")
    seeded = prepared(tmp_path / "seeded", files, seed=3)
    with pytest.raises(ConfigError, match=r"seeded has seed 3 and .*whales 0, so they make no one corpus"):
        tokenize_parallel(ParallelCorpora((folder, seeded), plain), tmp_path / "refused")


def test_a_finished_corpus_is_left_alone_and_another_is_refused(causal, folder, plain):
    before = content(causal)
    tokenize_parallel(ParallelCorpora((folder,), plain), causal)
    assert content(causal) == before
    with pytest.raises(ConfigError, match=r"holds another corpus \(direction: \"ru-en\" there, \"en-ru\" here\)"):
        tokenize_parallel(ParallelCorpora((folder,), plain, direction="en-ru"), causal)
    with pytest.raises(ConfigError, match=r"causal/tokenizer holds tokenizer \w{16} and .* with these tags is \w{16}"):
        tokenize_parallel(ParallelCorpora((folder,), plain, separator="<to>"), causal)
    assert content(causal) == before


def test_texts_that_were_edited_after_preparing_are_refused(tmp_path, plain):
    folder = prepared(tmp_path / "pairs", whales(tmp_path, 300))
    Path(folder, "val_en.txt").write_text("edited\n")
    with pytest.raises(CorpusError, match=r"val_en\.txt is missing or changed since it was written"):
        tokenize_parallel(ParallelCorpora((folder,), plain), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds no dataset_stats\.json; give a folder"):
        tokenize_parallel(ParallelCorpora((str(tmp_path),), plain), tmp_path / "out")


@pytest.fixture(scope="module")
def rows(base: Path, folder: str, plain: str) -> Path:
    tokenize_parallel(ParallelCorpora((folder,), plain, "seq2seq"), base / "seq2seq")
    return base / "seq2seq"


def test_a_seq2seq_row_is_the_text_and_its_translation_each_with_eos(rows, folder):
    tokenizer = load_tokenizer(str(rows / "tokenizer"))
    for split in ("train", "val"):
        found = [json.loads(line) for line in lines(rows / f"rows/{split}.jsonl")]
        texts, translations = lines(Path(folder, f"{split}_ru.txt")), lines(Path(folder, f"{split}_en.txt"))
        assert [tokenizer.decode(row["input_ids"]) for row in found] == [f"{text}</s>" for text in texts]
        assert [tokenizer.decode(row["labels"]) for row in found] == [f"{text}</s>" for text in translations]
    stats = json.loads((rows / "rows/seq2seq_stats.json").read_text())
    assert stats["train"]["rows"] + stats["val"]["rows"] == 300


def test_seq2seq_rows_train_a_model_by_transformers_own_means(rows):
    import torch
    from datasets import load_dataset
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, T5Config, T5ForConditionalGeneration

    files = {split: str(rows / f"rows/{split}.jsonl") for split in ("train", "val")}
    data = load_dataset("json", data_files=files, cache_dir=str(rows / "cache"))
    tokenizer = AutoTokenizer.from_pretrained(str(rows / "tokenizer"))
    batch = DataCollatorForSeq2Seq(tokenizer)([data["train"][number] for number in (0, 150)])
    assert set(batch) >= {"input_ids", "attention_mask", "labels"}
    shorter, longer = sorted(batch["attention_mask"].sum(1).tolist())
    assert (shorter < longer, batch["input_ids"].shape[1]) == (True, longer)
    assert (batch["labels"] == -100).any()
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2,
        decoder_start_token_id=tokenizer.pad_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_finished_folder_of_rows_is_left_alone_and_anything_else_is_refused(rows, folder, plain, tmp_path):
    before = content(rows)
    tokenize_parallel(ParallelCorpora((folder,), plain, "seq2seq"), rows)
    assert content(rows) == before
    with pytest.raises(ConfigError, match="holds rows of other splits; give another --output_dir"):
        tokenize_parallel(ParallelCorpora((folder,), plain, "seq2seq", "both"), rows)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match=r"rows holds something else \(no seq2seq_stats\.json\)"):
        tokenize_parallel(ParallelCorpora((folder,), plain, "seq2seq"), tmp_path)
    assert (tmp_path / "rows" / "train.jsonl").read_text() == "mine"


def test_added_tokens_stand_behind_the_text_ids_and_a_text_gives_all_but_special_ones(plain, tmp_path):
    tokenizer = load_tokenizer(plain)
    larger = with_added_tokens(with_added_tokens(tokenizer, ["<x>", "<y>", "<x>"]), ["<z>"], special=True)
    assert (tokenizer.text_size, larger.text_size) == (600, 603)
    assert larger.encode(["<x><y>"])[0].tolist() == [600, 601]
    assert 602 not in larger.encode(["<z>"])[0].tolist()
    assert larger.fingerprint != tokenizer.fingerprint
    assert with_added_tokens(larger, ["<y>", "<x>"]) is larger
    larger.with_meta_tokens(4).save(tmp_path / "saved")
    saved = load_tokenizer(str(tmp_path / "saved"))
    assert (saved.fingerprint, saved.text_size, saved.num_meta_lang_tokens) == (larger.fingerprint, 603, 4)
    with pytest.raises(ConfigError, match="holds 4 meta-language tokens, behind which <w> cannot stand"):
        with_added_tokens(saved, ["<w>"])


def test_the_script_writes_a_corpus_and_says_what_is_wrong_in_one_line(tmp_path, folder, plain):
    def script(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "data_tools" / "tokenize_parallel.py"), *map(str, arguments)]
        environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    arguments = (folder, "--tokenizer", plain, "--workers", 1, "--output_dir", tmp_path / "out")
    done = script(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{tmp_path / 'out/tokenizer'}: 604 ids, tokenizer ")
    assert script(*arguments).stdout == done.stdout
    done = script(*arguments, "--separator", "a b")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tokenize_parallel: --separator 'a b' is empty or holds a space; give such as <sep>\n"


def test_real_news_with_the_neox_tokenizer_has_every_tag_whole(tmp_path):
    news, neox = DATA / "ntrex-en-ru", DATA / "neox/20B_tokenizer.json"
    if not (news.exists() and neox.exists()):
        pytest.skip("the data samples ntrex-en-ru and neox are not beside this checkout")
    folder = prepared(tmp_path / "news", (news,))
    tokenize_parallel(ParallelCorpora((folder,), str(neox)), tmp_path / "out")
    require_whole_tags(Path(folder), tmp_path / "out/tokenizer")
    corpus = Corpus(tmp_path / "out/train")
    ids, predicted, _ = corpus.document(0)
    assert np.flatnonzero(ids == 50280).tolist() == [int(np.argmax(predicted)) - 1]
    assert corpus.manifest.num_documents == 1795
