"""Downloads, from a real server on this machine: resumed, checked, whole or not there, and every failure one line."""

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metalang.building import hub_lines
from metalang.building.download import cut_at_line, download
from metalang.building.fetching import RemoteFile
from metalang.building.hub_lines import HubSplit
from metalang.building.known import DATASETS, KnownDataset, catalogue
from metalang.errors import ConfigError, CorpusError

ROOT = Path(__file__).resolve().parents[1]
SHAKESPEARE = ROOT.parent / "shared" / "data" / "tinyshakespeare" / "input.txt"
CONTENT = b"".join(b"line %d of the file\n" % number for number in range(20_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `content`; `answers` says what happens to the next requests: bytes before the line is cut, or a status."""

    def __init__(self) -> None:
        self.content, self.etag, self.ranges, self.answers = CONTENT, '"1"', True, []
        self.asked: list[str | None] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers["Range"]
                server.asked.append(asked)
                cut = server.answers.pop(0) if server.answers else {}
                if "status" in cut:
                    self.send_error(cut["status"])
                    return
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else 0
                total = len(server.content)
                if start >= total:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{total}")
                else:
                    self.send_response(206 if start else 200)
                    self.send_header("Content-Length", str(total - start))
                if 0 < start < total:
                    self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
                if server.etag:
                    self.send_header("ETag", server.etag)
                self.end_headers()
                self.wfile.write(server.content[start : start + cut.get("bytes", total)])

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def known(*parts, **more) -> KnownDataset:
    return KnownDataset("toy", "a toy", "1 MB", "none", parts, **more)


def remote(server: Server, name: str = "input.txt", sha256: str | None = SHA256) -> RemoteFile:
    return RemoteFile(name, f"{server.address}/{name}", sha256)


def refusal(dataset: KnownDataset, folder: Path, given: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        download(dataset, folder, given=given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def script(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_tools" / "download.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_file_comes_whole_with_a_record_of_what_it_is(server, tmp_path):
    download(known(remote(server)), tmp_path / "toy")
    assert names(tmp_path) == ["toy"]
    assert names(tmp_path / "toy") == ["input.txt", "metalang_download.json"]
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT
    record = json.loads((tmp_path / "toy" / "metalang_download.json").read_text())
    assert (record["dataset"], record["licence"]) == ("toy", "none")
    assert record["files"] == {"input.txt": {"bytes": len(CONTENT), "sha256": SHA256}}


def test_a_second_run_asks_nobody(server, tmp_path):
    first = download(known(remote(server)), tmp_path / "toy")
    assert download(known(remote(server)), tmp_path / "toy") == first
    assert server.asked == [None]


def test_a_cut_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.answers = [{"bytes": 98_304}, {"bytes": 49_152}]
    download(known(remote(server)), tmp_path / "toy")
    assert server.asked == [None, "bytes=98304-", "bytes=147456-"]
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT


def test_a_later_run_goes_on_where_the_first_one_lost_its_server(server, tmp_path):
    server.answers = [{"bytes": 98_304}, {"bytes": 0}]
    said = refusal(known(remote(server)), tmp_path / "toy")
    assert "It is the network, not the name; 98,304 bytes are kept. Try again" in said
    assert names(tmp_path) == ["toy.part"]
    download(known(remote(server)), tmp_path / "toy")
    assert server.asked == [None, "bytes=98304-", "bytes=98304-"]
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT
    assert names(tmp_path) == ["toy"]


def test_a_part_of_another_version_of_the_file_is_not_continued(server, tmp_path):
    server.answers = [{"bytes": 98_304}, {"bytes": 0}]
    refusal(known(remote(server, sha256=None)), tmp_path / "toy")
    server.content, server.etag = CONTENT.upper(), '"2"'
    download(known(remote(server, sha256=None)), tmp_path / "toy")
    assert server.asked[2:] == ["bytes=98304-", None]
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT.upper()


def test_without_hash_and_version_nothing_is_continued(server, tmp_path):
    server.etag, server.answers = None, [{"bytes": 98_304}]
    download(known(remote(server, sha256=None)), tmp_path / "toy")
    assert server.asked == [None, "bytes=98304-", None]
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges, server.answers = False, [{"bytes": 98_304}]
    download(known(remote(server)), tmp_path / "toy")
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_more_bytes(server, tmp_path):
    server.answers = [{"bytes": 98_304}, {"bytes": 0}]
    refusal(known(remote(server)), tmp_path / "toy")
    (tmp_path / "toy.part" / "input.txt.part").write_bytes(CONTENT)
    download(known(remote(server)), tmp_path / "toy")
    assert server.asked[2:] == [f"bytes={len(CONTENT)}-"]


def test_a_file_that_is_not_there_is_no_network_error(server, tmp_path):
    server.answers = [{"status": 404}]
    said = refusal(known(remote(server)), tmp_path / "toy")
    assert said.startswith(f"{server.address}/input.txt is not there (404 Not Found). It is the address, not the netw")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_for_later(server, tmp_path, status):
    server.answers = [{"status": status}]
    said = refusal(known(remote(server)), tmp_path / "toy")
    assert f"its server is in trouble ({status} " in said and "Try again later" in said


def test_no_server_is_a_network_error(tmp_path):
    address = f"http://127.0.0.1:{closed_port()}/input.txt"
    said = refusal(known(RemoteFile("input.txt", address, SHA256)), tmp_path / "toy")
    assert said == (
        f"{address} cannot be reached: [Errno 111] Connection refused. It is the network, not the name; 0 bytes are "
        "kept. Try again, or fetch it on another machine and give --from FILE"
    )
    assert names(tmp_path) == []


def test_another_content_is_refused_and_not_kept(server, tmp_path):
    server.content = b"an error page"
    said = refusal(known(remote(server)), tmp_path / "toy")
    assert f"/input.txt gave another file than input.txt: sha256 {hashlib.sha256(b'an error page').hexdigest()}" in said
    assert names(tmp_path) == []


def test_files_that_came_are_kept_while_others_are_missing(server, tmp_path):
    dataset = known(remote(server, "a.txt"), remote(server, "b.txt"))
    server.answers = [{}, {"status": 503}]
    refusal(dataset, tmp_path / "toy")
    assert names(tmp_path / "toy.part") == ["a.txt", "claim"]
    download(dataset, tmp_path / "toy")
    assert len(server.asked) == 3
    assert names(tmp_path / "toy") == ["a.txt", "b.txt", "metalang_download.json"]


def test_a_killed_download_goes_on(server, tmp_path):
    server.content = CONTENT * 200
    program = (
        "import sys; from pathlib import Path; from metalang.building.download import download\n"
        "from metalang.building.fetching import RemoteFile; from metalang.building.known import KnownDataset\n"
        "part = RemoteFile('input.txt', sys.argv[1])\n"
        "download(KnownDataset('toy', '', '', 'none', (part,)), Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", program, f"{server.address}/input.txt", str(tmp_path / "toy")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        part = tmp_path / "toy.part" / "input.txt.part"
        while process.poll() is None and not (part.exists() and part.stat().st_size > 10**6):
            pass
        process.kill()
    assert not (tmp_path / "toy").exists()
    held = part.stat().st_size
    download(known(remote(server, sha256=None)), tmp_path / "toy")
    assert server.asked == [None, f"bytes={held}-"]
    assert (tmp_path / "toy" / "input.txt").read_bytes() == CONTENT * 200


def test_a_text_is_cut_at_the_end_of_a_line_behind_90_percent():
    assert cut_at_line("aaaa\nbbb\ncc\n", 0.5) == ("aaaa\nbbb\n", "cc\n")
    assert cut_at_line("ééééé\nü\n", 0.75) == ("ééééé\n", "ü\n")
    assert cut_at_line("no end of a line", 0.9) == ("no end of a line", "")


def test_the_one_text_is_cut_into_train_and_val(server, tmp_path):
    download(known(remote(server), train_share=0.9), tmp_path / "toy")
    assert names(tmp_path / "toy") == ["metalang_download.json", "train.txt", "val.txt"]
    train, val = ((tmp_path / "toy" / name).read_bytes() for name in ("train.txt", "val.txt"))
    assert train + val == CONTENT
    assert train.endswith(b"\n") and val.startswith(b"line ")
    assert 0 <= len(train) - 0.9 * len(CONTENT) < len(b"line 18000 of the file\n")


def test_a_file_given_is_checked_and_cut_as_a_fetched_one(server, tmp_path):
    (tmp_path / "shakes.txt").write_bytes(CONTENT)
    dataset = known(remote(server), train_share=0.9)
    fetched = download(dataset, tmp_path / "fetched")
    assert download(dataset, tmp_path / "taken", given=tmp_path / "shakes.txt") == fetched
    assert len(server.asked) == 1
    (tmp_path / "shakes.txt").write_bytes(CONTENT + b"more\n")
    said = refusal(dataset, tmp_path / "toy", tmp_path / "shakes.txt")
    assert "shakes.txt is another file than input.txt: sha256 " in said and "Nothing was kept" in said
    assert names(tmp_path) == ["fetched", "shakes.txt", "taken"]


def test_files_may_be_given_one_by_one(server, tmp_path):
    dataset = known(remote(server, "a.txt"), remote(server, "b.txt"))
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_bytes(CONTENT)
    assert "c.txt has no a.txt and no b.txt, so toy is not whole; give" in refusal(
        dataset, tmp_path / "toy", tmp_path / "c.txt"
    )
    assert not (tmp_path / "toy.part").exists()
    assert "a.txt has no b.txt, so toy is not whole; what it has is kept" in refusal(
        dataset, tmp_path / "toy", tmp_path / "a.txt"
    )
    download(dataset, tmp_path / "toy", given=tmp_path / "b.txt")
    assert names(tmp_path / "toy") == ["a.txt", "b.txt", "metalang_download.json"]
    download(dataset, tmp_path / "both", given=tmp_path)
    assert names(tmp_path / "both") == ["a.txt", "b.txt", "metalang_download.json"]


def test_a_folder_of_something_else_is_refused_and_nothing_is_lost(server, tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "thesis.txt").write_text("years of work")
    assert "toy holds something else; give another --output_dir" in refusal(known(remote(server)), tmp_path / "toy")
    download(known(remote(server)), tmp_path / "other")
    another = KnownDataset("another", "", "", "none", (remote(server),))
    assert "other holds toy, not another; give another --output_dir" in refusal(another, tmp_path / "other")
    assert (tmp_path / "toy" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "other" / "input.txt").write_text("short")
    with pytest.raises(CorpusError, match=r"input.txt is not the 448,890 bytes that were written; remove"):
        download(known(remote(server)), tmp_path / "other")


def test_a_part_of_another_data_set_is_refused(server, tmp_path):
    server.answers = [{"bytes": 98_304}, {"bytes": 0}]
    refusal(known(remote(server)), tmp_path / "toy")
    another = KnownDataset("another", "", "", "none", (remote(server),))
    assert "toy.part holds a part of toy; remove it, or" in refusal(another, tmp_path / "toy")


def test_two_processes_do_not_write_into_one_folder(server, tmp_path):
    (tmp_path / "toy.part").mkdir()
    with open(tmp_path / "toy.part" / "claim", "w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        assert "toy.part is in use by another process" in refusal(known(remote(server)), tmp_path / "toy")


def shards(folder: Path) -> Path:
    """A dataset as the hub stores it: three shards of train, one of test."""
    folder.mkdir()
    for number in range(3):
        rows = [f"Document {number * 40 + row} says “да”." for row in range(40)]
        pq.write_table(pa.table({"text": [*rows, ""]}), folder / f"train-0000{number}-of-00003.parquet")
    pq.write_table(pa.table({"text": ["One test."]}), folder / "test-00000-of-00001.parquet")
    return folder


def lines(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


DOCUMENTS = [f"Document {number} says “да”." for number in range(120)]


def test_splits_of_the_hub_become_json_lines(tmp_path):
    hub = str(shards(tmp_path / "hub"))
    dataset = known(HubSplit("train.jsonl", hub, "train"), HubSplit("test.jsonl", hub, "test"))
    download(dataset, tmp_path / "toy")
    assert names(tmp_path / "toy") == ["metalang_download.json", "test.jsonl", "train.jsonl"]
    assert lines(tmp_path / "toy" / "train.jsonl") == DOCUMENTS
    assert (tmp_path / "toy" / "test.jsonl").read_text() == '{"text": "One test."}\n'


def test_a_stream_that_broke_goes_on_at_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_lines, "_BATCH_ROWS", 7)
    hub = shards(tmp_path / "hub")
    shard = hub / "train-00001-of-00003.parquet"
    good = shard.read_bytes()
    shard.write_bytes(good[:200] + b"\0" * (len(good) - 200))
    dataset = known(HubSplit("train.jsonl", str(hub), "train"))
    said = refusal(dataset, tmp_path / "toy")
    assert "cannot be had from the hub: " in said and "It is the network or the hub, not the name" in said
    part = tmp_path / "toy.part" / "train.jsonl.part"
    assert lines(part) == DOCUMENTS[:35]
    assert json.loads((tmp_path / "toy.part" / "train.jsonl.part.json").read_text())["place"]["row"] == 35
    with open(part, "a") as file:
        file.write('{"text": "a line that was cut')
    shard.write_bytes(good)
    (hub / "train-00000-of-00003.parquet").write_bytes(good)  # it is not read a second time but for the rows left
    download(dataset, tmp_path / "toy")
    assert len(lines(tmp_path / "toy" / "train.jsonl")) == 120
    assert lines(tmp_path / "toy" / "train.jsonl")[:35] == DOCUMENTS[:35]
    assert lines(tmp_path / "toy" / "train.jsonl")[40:] == DOCUMENTS[40:]


def test_a_clone_of_the_dataset_or_a_file_of_it_may_be_given(tmp_path):
    hub = shards(tmp_path / "hub")
    dataset = known(
        HubSplit("train.jsonl", "nobody/nothing", "train"), HubSplit("test.jsonl", "nobody/nothing", "test")
    )
    download(dataset, tmp_path / "toy", given=hub)
    assert lines(tmp_path / "toy" / "train.jsonl") == DOCUMENTS
    one = known(HubSplit("train.jsonl", "nobody/nothing", "train"))
    download(one, tmp_path / "one", given=hub / "train-00001-of-00003.parquet")
    assert lines(tmp_path / "one" / "train.jsonl") == DOCUMENTS[40:80]
    (hub / "test-00000-of-00001.parquet").unlink()
    assert "hub gives no test split: Bad split: test" in refusal(dataset, tmp_path / "two", hub)


def test_the_hub_tells_a_wrong_name_from_no_network(server, tmp_path):
    server.answers = [{"status": 404}] * 20
    flags = ("--dataset", "lm1b", "--output_dir", tmp_path / "lm1b")
    done = script(*flags, HF_ENDPOINT=server.address, HF_HOME=str(tmp_path / "home"))
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said.startswith("download: the hub has no dvruette/lm1b (")
    assert "It is the name, not the network" in said
    done = script(*flags, HF_ENDPOINT=f"http://127.0.0.1:{closed_port()}", HF_HOME=str(tmp_path / "home"))
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said.startswith("download: dvruette/lm1b cannot be had from the hub: ")
    assert "It is the network or the hub, not the name; 0 bytes are kept" in said


def test_an_unknown_name_is_one_line_with_the_nearest(tmp_path):
    done = script("--dataset", "tinyshakespear", "--output_dir", tmp_path / "toy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "download: --dataset 'tinyshakespear' is not known here; did you mean tinyshakespeare? the names are "
        "tinyshakespeare, wikitext-2, tinystories, lm1b, openwebtext"
    )


def test_help_lists_every_data_set_with_size_and_licence():
    said = script("--help").stdout
    assert catalogue() in said
    assert "  tinyshakespeare  1.1 MB; licence: public domain\n" in said
    assert "  wikitext-2       13 MB; licence: CC BY-SA 3.0\n" in said


def test_what_no_machine_can_give_is_one_line(tmp_path):
    done = script("--dataset", "lm1b", "--output_dir", tmp_path / "toy", "--from", tmp_path / "nowhere")
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == f"download: --from {tmp_path}/nowhere does not exist; give a file or a folder"
    )


def test_every_hash_has_64_digits_and_every_file_a_name_of_its_own():
    for dataset in DATASETS:
        assert len({part.name for part in dataset.parts}) == len(dataset.parts)
    hashes = [part.sha256 for dataset in DATASETS[:2] for part in dataset.parts]
    assert [len(each) if each else None for each in hashes] == [64, None, 64, 64]


def test_the_real_tinyshakespeare_has_its_known_parts(tmp_path):
    if not SHAKESPEARE.exists():
        pytest.skip("the data sample tinyshakespeare is not beside this checkout")
    done = script("--dataset", "tinyshakespeare", "--output_dir", tmp_path / "toy", "--from", SHAKESPEARE)
    assert done.returncode == 0, done.stderr
    assert "train.txt: 1,003,856 bytes" in done.stdout and "val.txt: 111,538 bytes" in done.stdout
