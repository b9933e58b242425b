"""Text that is trained on without a copy on disk: windows, bookmarks, addresses, memory."""

import gzip
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from torch.utils.data import DataLoader

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.domains.copying import Identity
from metalang.errors import ConfigError, MismatchError
from metalang.mixing import Plan, Source, Stage, Stream
from metalang.mixing.bookmarks import Bookmark, Bookmarks
from metalang.mixing.stream import EncodedText
from metalang.text.encoding import Encoder
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.dataset import PlanDataset

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path_factory.mktemp("t") / "tok")
    return load_tokenizer(str(folder))


def document(number: int) -> str:
    return f"Document {number} says: " + " ".join(str(number * other % 997) for other in range(number % 40 + 1))


def write_lines(path: Path, texts: list[str]) -> Path:
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    packed = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix, bytes)
    path.write_bytes(packed(content))
    return path


def stream_of(tokenizer, source, folder, *, length=16, max_epochs=1.0, kept=None, is_writer=True, name="text"):
    source = source if isinstance(source, TextSource) else TextSource(str(source))
    encoder = Encoder("tokenizers", tokenizer.tokenizer_json)
    return Stream(
        name,
        EncodedText(source, encoder, tokenizer.eos_id, BadLines(skip=True)),
        length=length,
        max_epochs=max_epochs,
        bookmarks=Bookmarks(folder / "bookmarks.jsonl", kept or {"source": source.stamp()}, is_writer=is_writer),
    )


def corpus_of(tokenizer, source, folder, *, length=16):
    build_corpus(TextBuild(TextSource(str(source)), tokenizer.name, skip_bad_lines=True), folder)
    return Source("text", folder, tokenizer.id_space, length=length)


def written_bookmarks(folder: Path) -> list[int]:
    lines = (folder / "bookmarks.jsonl").read_text().splitlines()
    return [value["ids"] for value in map(json.loads, lines) if "ids" in value]


# Reading from a place on


def _files(folder: Path) -> dict[str, TextSource]:
    texts = [document(number) for number in range(50)]
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        write_lines(folder / name, texts)
    (folder / "a.txt").write_text("\n".join(texts))
    (folder / "a.csv").write_text("text\n" + "\n".join(f'"{text}"' for text in texts))
    pq.write_table(pa.table({"text": texts}), folder / "a.parquet", row_group_size=7)
    (folder / "both").mkdir()
    write_lines(folder / "both/1.jsonl", texts[:20])
    write_lines(folder / "both/2.jsonl.gz", texts[20:])
    (folder / "hub").mkdir()
    for shard in range(3):
        part = texts[shard * 20 : shard * 20 + 20]
        pq.write_table(pa.table({"text": part}), folder / f"hub/train-0000{shard}-of-00003.parquet", row_group_size=6)
    names = ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.txt", "a.csv", "a.parquet", "both", "hub:train")
    return {name: TextSource(name, sample_by="line") for name in names}


def test_from_every_place_the_rest_is_read_whatever_holds_the_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in _files(tmp_path).items():
        places = [json.loads(json.dumps(behind())) for _, behind in source.read_from()]
        assert len(places) == 50, name
        for number in (0, 6, 19, 20, 33, 48, 49):
            rest = [text for text, _ in source.read_from(places[number])]
            assert rest == [document(later) for later in range(number + 1, 50)], name


def test_a_stamp_names_files_by_name_and_size(tmp_path):
    (tmp_path / "b.txt").write_text("1234")
    assert TextSource(str(tmp_path)).stamp() == {
        "files": [{"name": "b.txt", "bytes": 4}],
        "text_field": "text",
        "sample_by": "document",
    }


def test_a_commit_of_a_hub_dataset_is_kept_without_asking_the_hub():
    assert TextSource("nobody/nothing", commit="abc").stamp() == {
        "hub": {"dataset": "nobody/nothing", "revision": "abc"},
        "text_field": "text",
        "sample_by": "document",
    }


# Windows


def test_windows_are_those_of_a_corpus_read_in_order(tokenizer, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_lines(data / "1.jsonl", [document(number) for number in range(2000)])
    write_lines(data / "2.jsonl.gz", [document(number) for number in range(2000, 2500)])
    corpus, stream = corpus_of(tokenizer, data, tmp_path / "corpus"), stream_of(tokenizer, data, tmp_path)
    assert corpus.num_windows > 6000
    for window in range(corpus.num_windows):
        ids, predicted = stream.read([window])
        expected, all_but_one = corpus.read([window])
        assert ids.tobytes() == expected.tobytes()
        assert predicted.tobytes() == all_but_one.tobytes()
    assert stream.read([0])[0][0, 0] == tokenizer.eos_id


def test_what_a_reader_leaves_out_changes_nothing(tokenizer, tmp_path):
    data = write_lines(tmp_path / "a.jsonl", [document(number) for number in range(1500)])
    whole = stream_of(tokenizer, data, tmp_path)
    expected = [whole.read([window])[0][0].tolist() for window in range(3000)]
    for place in range(3):
        rank = stream_of(tokenizer, data, tmp_path / "none", is_writer=False)
        assert [rank.read([window])[0][0].tolist() for window in range(place, 3000, 3)] == expected[place::3]
    assert not (tmp_path / "none").exists()
    assert [whole.read([window])[0][0].tolist() for window in (2999, 5, 4, 1700)] == [
        expected[window] for window in (2999, 5, 4, 1700)
    ]


def test_a_further_epoch_begins_at_the_first_document_and_the_last_is_enforced(tokenizer, tmp_path, caplog):
    data = write_lines(tmp_path / "a.jsonl", [document(number) for number in range(20)])
    corpus = corpus_of(tokenizer, data, tmp_path / "corpus")
    count, held = corpus.num_windows, corpus.num_tokens
    stream = stream_of(tokenizer, data, tmp_path, max_epochs=2.5)
    windows = [stream.read([window])[0][0].tolist() for window in range(int(count * 2.5))]
    assert windows[count : 2 * count] == windows[:count]
    assert windows[2 * count :] == windows[: count // 2]
    assert f"text has ended: {count} windows, {held - 16 * count} tokens behind the last are not read" in caplog.text
    with pytest.raises(ConfigError) as refused:
        stream.read([3 * count])
    assert str(refused.value) == (
        f"text ({data}) holds {held:,} tokens, {count} windows of 16, and is asked for window {3 * count + 1}. At most "
        "2.5 epochs are allowed: set --max_epochs 4 or more, or a smaller --max_steps, or give more data"
    )


def test_a_stream_of_less_than_a_window_is_refused(tokenizer, tmp_path):
    stream = stream_of(tokenizer, write_lines(tmp_path / "a.jsonl", ["a"]), tmp_path)
    with pytest.raises(
        ConfigError, match=r"holds \d tokens, less than one window of 16; give more data, or less --max"
    ):
        stream.read([0])


def test_a_stream_and_a_corpus_are_mixed_in_exact_shares(tokenizer, tmp_path):
    data = write_lines(tmp_path / "a.jsonl", [document(number) for number in range(300)])
    build_corpus(domain_build(IDENTITY, num_token=20_000), tmp_path / "identity")
    ids = tokenizer.with_meta_tokens(82).id_space
    identity = Source("identity", tmp_path / "identity", ids, length=16)
    mixture = Plan([stream_of(tokenizer, data, tmp_path), identity], [Stage((9, 1))], length=16, seed=3)
    windows = [mixture.read([index])[0][0] for index in range(100)]
    streamed = [window for window in windows if not (window >= tokenizer.text_size).any()]
    alone = stream_of(tokenizer, data, tmp_path)
    assert len(streamed) == 90
    assert [window.tolist() for window in streamed] == [alone.read([window])[0][0].tolist() for window in range(90)]
    assert next((use.held_tokens, use.num_windows) for use in mixture.usage(100)) == (None, 90)
    other = write_lines(tmp_path / "b.jsonl", [document(number) for number in range(301)])
    changed = Plan([stream_of(tokenizer, other, tmp_path), identity], [Stage((9, 1))], length=16, seed=3)
    assert changed.fingerprint != mixture.fingerprint


def test_loader_workers_change_no_window(tokenizer, tmp_path):
    data = write_lines(tmp_path / "a.jsonl", [document(number) for number in range(400)])
    batches = {}
    for num_workers in (0, 1, 2):
        mixture = Plan([stream_of(tokenizer, data, tmp_path / str(num_workers))], [Stage((1,))], length=16, seed=3)
        loader = DataLoader(PlanDataset(mixture, 800), batch_size=8, num_workers=num_workers)
        batches[num_workers] = [batch["input_ids"].tolist() for batch in loader]
    assert len(batches[0]) == 100
    assert batches[1] == batches[0]
    assert batches[2] == batches[0]


# Bookmarks


def test_a_fresh_process_begins_at_a_bookmark_and_not_at_the_beginning(tokenizer, tmp_path):
    data = write_lines(tmp_path / "a.jsonl", [document(number) for number in range(3000)])
    kept = {"source": "toy"}
    first = stream_of(tokenizer, data, tmp_path, kept=kept)
    expected = [first.read([window])[0][0].tolist() for window in range(9000)]
    assert written_bookmarks(tmp_path)[0] == 0
    assert len(written_bookmarks(tmp_path)) == 3
    content = data.read_bytes()
    data.write_bytes(b"#" * 2000 + content[2000:])  # whoever reads from the beginning loses documents
    again = stream_of(tokenizer, data, tmp_path, kept=kept)
    assert [again.read([window])[0][0].tolist() for window in range(8000, 9000)] == expected[8000:]
    from_the_beginning = stream_of(tokenizer, data, tmp_path / "none", kept=kept)
    assert from_the_beginning.read([8000])[0][0].tolist() != expected[8000]


def test_a_hub_dataset_goes_on_at_a_bookmark_and_reads_no_row_of_the_shards_before(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub").mkdir()
    for shard in range(3):
        part = [document(number) for number in range(shard * 1000, shard * 1000 + 1000)]
        pq.write_table(
            pa.table({"text": part}), tmp_path / f"hub/train-0000{shard}-of-00003.parquet", row_group_size=100
        )
    whole = stream_of(tokenizer, TextSource("hub:train"), tmp_path)
    expected = [whole.read([window])[0][0].tolist() for window in range(8500)]
    assert [ids > 0 for ids in written_bookmarks(tmp_path)] == [False, True, True]
    again = stream_of(tokenizer, TextSource("hub:train"), tmp_path)
    shard = tmp_path / "hub/train-00000-of-00003.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + b"#" * 2000 + content[2004:])  # its schema, at the end, is read; its rows are not
    assert [again.read([window])[0][0].tolist() for window in range(8000, 8500)] == expected[8000:]
    with pytest.raises(ConfigError, match="'hub:train' is nothing on this disk, and the hub did not give it"):
        stream_of(tokenizer, TextSource("hub:train"), tmp_path / "none").read([0])


def test_a_text_that_has_changed_behind_a_bookmark_is_refused(tokenizer, tmp_path):
    data = write_lines(tmp_path / "a.jsonl", [document(number) for number in range(3000)])
    stream_of(tokenizer, data, tmp_path).read([9000])
    content = data.read_bytes()
    data.write_bytes(content.replace(b"Document 1999 says", b"Document 1999 sang"))
    with pytest.raises(
        MismatchError, match=r"gives other ids behind id .*, unlike before .*bookmarks.jsonl.: its text"
    ):
        for window in range(0, 9000, 100):
            stream_of(tokenizer, data, tmp_path).read([window])


def test_a_bookmark_cut_off_by_a_kill_is_passed_over(tmp_path):
    path = tmp_path / "a" / "bookmarks.jsonl"
    Bookmarks(path, {"source": 1}, is_writer=True).add(Bookmark(0, None, "x"))
    path.write_bytes(path.read_bytes() + b'{"ids": 20000, "pla')
    opened = Bookmarks(path, {"source": 1}, is_writer=True)
    assert opened.last_before(10**9) == Bookmark(0, None, "x")
    opened.add(Bookmark(20_000, {"row": 7}, "y"))
    opened.add(Bookmark(30_000, {"row": 8}, "z"))  # less than 16K behind the last
    opened.end(50_000)
    again = Bookmarks(path, {"source": 1}, is_writer=False)
    assert again.last_before(10**9) == Bookmark(20_000, {"row": 7}, "y")
    assert again.last_before(19_999) == Bookmark(0, None, "x")
    assert again.num_ids() == 50_000
    assert path.read_text().count("\n") == 5


def test_bookmarks_of_another_stream_are_refused(tmp_path):
    path = tmp_path / "bookmarks.jsonl"
    Bookmarks(path, {"source": {"bytes": 5}, "tokenizer": "t"}, is_writer=True).add(Bookmark())
    with pytest.raises(MismatchError) as refused:
        Bookmarks(path, {"source": {"bytes": 6}, "tokenizer": "t"}, is_writer=True).require_same()
    assert str(refused.value) == (
        f'the stream of {path} has changed since the run began: source was {{"bytes": 5}} and is {{"bytes": 6}}; give '
        "the data of then, or start anew in another --output_dir"
    )


# Addresses


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, with ETag and, under /ranges/, ranges; /broken/ breaks every answer off after 50,000 bytes."""

    def do_GET(self):
        kind, _, name = self.path[1:].partition("/")
        path = Path(self.directory) / name
        self.server.asked.append((kind, self.headers["Range"]))
        if not path.is_file():
            return self.send_error(404)
        content, start, stop = path.read_bytes(), 0, None
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if asked and kind not in ("plain", "endless"):
            start, stop = int(asked[1]), int(asked[2]) + 1 if asked[2] else None
        self.send_response(206 if asked and kind not in ("plain", "endless") else 200)
        if kind != "silent":
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        body = content[start:stop]
        if asked and kind not in ("plain", "endless"):
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        if kind != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:50_000] if kind == "broken" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    (tmp_path / "www").mkdir()

    def handler(*arguments):
        return Handler(*arguments, directory=str(tmp_path / "www"))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def address(server, *parts):
    return f"http://127.0.0.1:{server.server_port}/" + "/".join(parts)


@pytest.mark.parametrize("kind", ["plain", "ranges", "broken"])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl", "a.jsonl.zst", "a.parquet", "a.csv"])
def test_a_file_behind_an_address_is_read_as_the_file(server, tmp_path, kind, name):
    texts = [document(number * 7919) for number in range(3000)]
    path = tmp_path / "www" / name
    if name == "a.parquet":
        pq.write_table(pa.table({"text": texts}), path, row_group_size=500)
    elif name == "a.csv":
        path.write_text("text\n" + "\n".join(f'"{text}"' for text in texts))
    else:
        write_lines(path, texts)
    source = TextSource(address(server, kind, name))
    read = [(text, behind()) for text, behind in source.read_from()]
    assert [text for text, _ in read] == texts
    assert [text for text, _ in source.read_from(read[2000][1])] == texts[2001:]


def test_a_plain_file_behind_an_address_is_read_from_its_byte_on(server, tmp_path):
    write_lines(tmp_path / "www/a.jsonl", [document(number) for number in range(3000)])
    source = TextSource(address(server, "ranges", "a.jsonl"))
    place = [behind() for _, behind in source.read_from()][2500]
    server.asked.clear()
    assert next(source.read_from(place))[0] == document(2501)
    assert server.asked == [("ranges", f"bytes={place['row'] - 1}-")]


def test_a_stream_from_an_address_has_the_windows_of_the_file(server, tokenizer, tmp_path):
    data = write_lines(tmp_path / "www/a.jsonl.gz", [document(number) for number in range(500)])
    far, near = (
        stream_of(tokenizer, source, tmp_path / folder)
        for folder, source in (("far", address(server, "plain", "a.jsonl.gz")), ("near", data))
    )
    for window in range(0, 1000, 3):
        assert far.read([window])[0].tobytes() == near.read([window])[0].tobytes()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["bookmarks.jsonl"]


def test_the_stamp_of_an_address_changes_with_its_etag(server, tmp_path):
    path = write_lines(tmp_path / "www/a.jsonl", ["one"])
    name = address(server, "ranges", "a.jsonl")
    before = TextSource(name).stamp()
    path.write_text(path.read_text().replace("one", "two"))
    after = TextSource(name).stamp()
    assert (before["bytes"], before["modified"]) == (after["bytes"], after["modified"]) == (16, None)
    assert before["etag"] != after["etag"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "plain/none.jsonl",
            r"/plain/none\.jsonl cannot be read: HTTP Error 404: Not Found; check the address and the",
        ),
        ("endless/a.jsonl", r"/endless/a\.jsonl: the server does not say how long the file is; download it, give the"),
        ("plain/a.zip", r"/plain/a\.zip ends in none of \.txt \.jsonl .*; give a file or folder of"),
        ("ranges/empty.jsonl", r"/ranges/empty\.jsonl is empty; fill it or take it away"),
    ],
)
def test_an_address_without_text_is_refused_in_one_line(server, tmp_path, name, message):
    write_lines(tmp_path / "www/a.jsonl", ["one"])
    (tmp_path / "www/empty.jsonl").write_bytes(b"")
    with pytest.raises(ConfigError, match=message):
        TextSource(address(server, name))


def test_a_server_that_is_not_there_is_refused_in_one_line():
    with pytest.raises(
        ConfigError, match=r"^http://127\.0\.0\.1:9/a\.jsonl cannot be read: .*refused.*; check the add"
    ):
        TextSource("http://127.0.0.1:9/a.jsonl")


# Memory


_READ_ALL = """
import re, sys
from pathlib import Path
from torch.utils.data import DataLoader
from metalang.mixing import Plan, Stage, Stream
from metalang.mixing.bookmarks import Bookmarks
from metalang.mixing.stream import EncodedText
from metalang.text.encoding import Encoder
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.training.dataset import PlanDataset
tokenizer, path, num_windows = load_tokenizer(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
text = EncodedText(
    TextSource(str(path)), Encoder("tokenizers", tokenizer.tokenizer_json), tokenizer.eos_id, BadLines()
)
bookmarks = Bookmarks(path.with_suffix(".bookmarks"), {}, is_writer=True)
stream = Stream("text", text, length=256, max_epochs=1.0, bookmarks=bookmarks)
peak = lambda: re.search("VmHWM:(.*)kB", Path("/proc/self/status").read_text())[1]  # ru_maxrss is pytest's, by fork
before = peak()
dataset = PlanDataset(Plan([stream], [Stage((1,))], length=256, seed=1), num_windows)
total = sum(batch["input_ids"].numel() for batch in DataLoader(dataset, batch_size=16))
print(total, peak(), before)
"""


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_memory_of_a_loader_is_flat_over_ten_times_the_data(tokenizer, tmp_path, form):
    peaks = {}
    for num_windows in (2_000, 20_000):
        path = tmp_path / f"{num_windows}.{form}"
        texts = [document(number * 7919) * 8 for number in range(num_windows)]
        if form == "jsonl":
            write_lines(path, texts)
        else:
            pq.write_table(pa.table({"text": texts}), path, row_group_size=1000)
        command = [sys.executable, "-c", _READ_ALL, tokenizer.name, str(path), str(num_windows)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        total, peaks[num_windows], before = map(int, done.stdout.split())
        assert total == 256 * num_windows
        print(f"{form}: {path.stat().st_size:,} bytes, peak {peaks[num_windows]:,} kB, {before:,} kB before")
    assert peaks[20_000] < 1.1 * peaks[2_000]


# Whole runs


def _command(tokenizer, output, *more, ranks=2):
    return [
        DEEPSPEED, "--num_gpus", str(ranks), "--master_port", str(29_900 + os.getpid() % 90), "train/pretrain.py",
        "--model_name_or_path", "configs/models/tiny.json", "--tokenizer_name", tokenizer.name,
        "--num_meta_lang_tokens", "82", "--random_initialize", "True", "--deepspeed", "configs/ds/zero2.json",
        "--output_dir", str(output), "--learning_rate", "1e-3", "--use_cpu", "True", "--max_length", "128",
        "--per_device_train_batch_size", "16", "--max_steps", "40", "--logging_steps", "1", "--save_strategy", "steps",
        "--save_steps", "8", "--report_to", "none", "--gather_weights", "True", *more,
    ]  # fmt: skip


def _environment():
    return {name: value for name, value in os.environ.items() if name != "WANDB_MODE"} | {
        "PYTHONPATH": str(ROOT / "src")
    }


def _run(command):
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=_environment(), timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def _killed_behind(command, said):
    """Starts a run and kills all of it once it has said so."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment(),
        start_new_session=True,
    )  # fmt: skip
    printed = []
    for line in process.stdout:
        printed.append(line)
        if said in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert said in printed[-1], "".join(printed)[-5000:]


def _losses(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return {entry["step"]: entry["loss"] for entry in history if "loss" in entry}


@pytest.fixture
def mixed(tmp_path, tokenizer):
    """A text to stream and a corpus beside it: the flags that name them."""
    write_lines(tmp_path / "web.jsonl.gz", [document(number) for number in range(6000)])
    build_corpus(domain_build(IDENTITY, num_token=60_000), tmp_path / "identity")
    return ("--data_paths", f"{tmp_path}/web.jsonl.gz", f"{tmp_path}/identity", "--data_ratios", ".9", ".1",
            "--streaming", "True")  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_of_two_ranks_goes_on_at_its_sample(tokenizer, tmp_path, mixed):
    code, printed = _run(_command(tokenizer, tmp_path / "whole", *mixed))
    assert code == 0, printed[-5000:]
    assert "source     web: 90.00%, 147,456 tokens, streamed in the order of the text" in printed
    assert not (tmp_path / "tokenized").exists()
    _killed_behind(_command(tokenizer, tmp_path / "killed", *mixed), "step 34/40")
    assert (tmp_path / "killed" / "checkpoint-32" / "complete.json").is_file()
    resume = (*mixed, "--resume_training", "True", "--dataloader_num_workers", "1")
    code, printed = _run(_command(tokenizer, tmp_path / "killed", *resume))
    assert code == 0, printed[-5000:]
    assert "checkpoint-32" in printed
    begun = re.search(r"web is read from its id ([\d,]+) on, for id ([\d,]+)", printed)
    assert int(begun[1].replace(",", "")) > 60_000
    assert begun[2] == "118,016"  # window 922, within one of 0.9 * 32 steps * 32 windows, of 128 ids
    assert _losses(tmp_path / "killed") == _losses(tmp_path / "whole")
    saved = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("killed", "whole")]
    assert saved[0] == saved[1]
    with gzip.open(tmp_path / "web.jsonl.gz", "ab") as file:
        file.write(b'{"text": "more"}\n')
    shutil.rmtree(tmp_path / "killed" / "checkpoint-40")
    code, printed = _run(_command(tokenizer, tmp_path / "killed", *mixed, "--resume_training", "True"))
    assert code != 0
    assert "web.jsonl has changed since the run began: source was" in printed
    assert "Traceback" not in printed


@pytest.mark.long
def test_one_rank_sees_the_tokens_of_two(tokenizer, tmp_path, mixed):
    short = (*mixed, "--max_steps", "4", "--save_strategy", "no")
    losses = {}
    for ranks, batch in ((1, "32"), (2, "16")):
        output = tmp_path / f"ranks{ranks}"
        code, printed = _run(_command(tokenizer, output, *short, "--per_device_train_batch_size", batch, ranks=ranks))
        assert code == 0, printed[-5000:]
        losses[ranks] = [_losses(output)[step] for step in (1, 2, 3, 4)]
    assert losses[2] == pytest.approx(losses[1], abs=2e-5)


_LESS_OFTEN = [
    (["{0}/identity"], [], "pretrain: --streaming True has nothing to stream: all --data_paths are corpora"),
    (["nobody/nothing"], [], "pretrain: 'nobody/nothing' is nothing on this disk, and the hub did not give it"),
    (["configs/mixtures/english.yaml"], [], "is a mixture that is prepared on disk; name its sources instead"),
    (["http://127.0.0.1:9/a.jsonl"], [], "pretrain: http://127.0.0.1:9/a.jsonl cannot be read: .*refused"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("paths", "more", "message"),
    [
        (["{0}/short.jsonl"], [], "pretrain.*: short .*holds [0-9,]+ tokens, [0-9]+ windows of 128, and is asked for"),
        (["{0}/wrong.jsonl"], [], "pretrain: .*line 1: no 'text'; its keys are 'body', 'id' .see --text_field."),
        (["{0}/empty.jsonl"], [], "pretrain: .*empty.jsonl holds no text; give a source that does"),
        (["{0}/short.jsonl"], ["--dataloader_num_workers", "2"], "--dataloader_num_workers 2 would read and encode al"),
        *(pytest.param(*case, marks=pytest.mark.long) for case in _LESS_OFTEN),
    ],
)
def test_a_stream_that_cannot_be_trained_on_ends_both_ranks_in_one_line(
    tokenizer, tmp_path, mixed, paths, more, message
):
    write_lines(tmp_path / "short.jsonl", [document(number) for number in range(40)])
    (tmp_path / "wrong.jsonl").write_text('{"body": "a", "id": 1}\n' * 2)
    write_lines(tmp_path / "empty.jsonl", ["", " "])
    given = ["--data_paths", *(path.format(tmp_path) for path in paths), "--data_ratios", "1"]
    code, printed = _run(_command(tokenizer, tmp_path / "run", *mixed, *given, *more))
    assert code != 0
    assert re.search(message, printed), printed[-3000:]
    assert "Traceback" not in printed
