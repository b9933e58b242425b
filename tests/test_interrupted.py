"""Builds that end in the middle, killed at any moment or on a full disk; a rerun gives the bytes of an unharmed one."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from metalang.building import build_corpus, domain_build
from metalang.corpus import Corpus
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
IDENTITY = Identity(vocabulary={"size": 50}, sequence_length={"min": 8, "max": 40})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A tokenizer, a mixture of texts, and a corpus."""
    folder = tmp_path_factory.mktemp("inputs")
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=folder / "tokenizer")
    with open(folder / "lines.jsonl", "w") as file:
        for number in range(36_000):
            file.write(json.dumps({"text": f"document {number} " + "word " * 200}) + "\n")
    part = {"name": "one", "source": str(folder / "lines.jsonl"), "mix_ratio": 1.0}
    mixture = {"metadata": {"phase": "p", "seed": 1}, "datasets": [part], "validation": {"ratio": 0.1}}
    (folder / "mix.yaml").write_text(yaml.safe_dump(mixture))
    build_corpus(domain_build(IDENTITY, num_token="2M"), folder / "identity")
    return folder


def _synthesize(inputs, output):
    """Three corpora, of two units, one and one."""
    return [
        "synthesize.py", "--num_token", "40M", "--data_config", ROOT / "configs/domains/identity.json",
        "--split_ratio", "0.5", "0.25", "0.25", "--output_dir", output, "--workers", "2",
    ]  # fmt: skip


def _prepare(inputs, output):
    """A pool of two units, two files of lines, two corpora."""
    return [
        "prepare_dataset.py", "--mixture_config", inputs / "mix.yaml", "--output_dir", output,
        "--tokenizer", inputs / "tokenizer", "--workers", "2",
    ]  # fmt: skip


def _mix(inputs, output):
    """A mixture on disk, of two units."""
    return [
        "mix.py", "--data_paths", inputs / "identity", "--data_ratios", "1", "--tokenizer", inputs / "tokenizer",
        "--max_length", "512", "--num_token", "20M", "--max_epochs", "11", "--output_dir", output, "--workers", "2",
    ]  # fmt: skip


BUILDS = {"synthesize": _synthesize, "prepare": _prepare, "mix": _mix}


def _start(command, **more):
    command = [sys.executable, ROOT / "data_tools" / command[0], *map(str, command[1:])]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, **more)


def _finish(command):
    running = _start(command, stderr=subprocess.PIPE, text=True)
    assert running.communicate()[1] is not None and running.returncode == 0


def _begin(command, output):
    """Starts a build; returns once its folder is there, or it has ended."""
    running = _start(command, stderr=subprocess.DEVNULL)
    while not output.exists() and running.poll() is None:
        time.sleep(0.002)
    return running


def _kill(running, seconds, *, group):
    """Kills a build after so many seconds, alone or with its workers; whether it was still running."""
    try:
        running.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        (os.killpg if group else os.kill)(running.pid, signal.SIGKILL)
        running.wait()
        return True


def _tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _killed_at(name, inputs, tmp_path, moments):
    """Kills a build at random moments, reruns it each time, and compares all that is there; how many kills hit."""
    build, rng, output = BUILDS[name](inputs, tmp_path / "out"), random.Random(moments), tmp_path / "out"
    _finish(build)  # kernels may be compiled, which the next builds need not do
    shutil.rmtree(output)
    running, begun = _begin(build, output), time.monotonic()
    assert running.wait() == 0
    lasted, whole, num_killed = time.monotonic() - begun, _tree(output), 0
    shutil.rmtree(output)
    for moment in range(moments):
        running = _begin(build, output)
        part = (moment + rng.random()) / moments  # one moment in each equal part of the time that a build lasts
        num_killed += _kill(running, part * lasted, group=moment % 2 == 0)
        _finish(build)
        found = _tree(output)
        assert list(found) == list(whole)  # no lock, report, claim or partial file among them
        assert all(found[name] == content for name, content in whole.items())
        shutil.rmtree(output)
    return num_killed


@pytest.mark.parametrize(("name", "moments"), [("synthesize", 4), ("prepare", 3), ("mix", 3)])
def test_killed_at_ten_moments_a_rerun_gives_the_same_files(inputs, tmp_path, name, moments):
    assert _killed_at(name, inputs, tmp_path, moments) > 0


@pytest.mark.long
@pytest.mark.parametrize(("name", "moments"), [("synthesize", 40), ("prepare", 30), ("mix", 30)])
def test_killed_at_a_hundred_moments_a_rerun_gives_the_same_files(inputs, tmp_path, name, moments):
    assert _killed_at(name, inputs, tmp_path, moments) > moments / 2


def test_a_build_killed_behind_its_manifest_is_tidied_by_a_rerun(tmp_path):
    build = domain_build(IDENTITY, num_token=5_000)
    build_corpus(build, tmp_path)
    whole = _tree(tmp_path)
    (tmp_path / "build.json").write_text(json.dumps({"spec": Corpus(tmp_path).manifest.spec}))
    (tmp_path / "00000.report.json").write_text("{}")
    build_corpus(build, tmp_path)
    assert _tree(tmp_path) == whole


def test_a_part_that_a_killed_builds_worker_leaves_while_the_rerun_builds_is_tidied(tmp_path):
    build = domain_build(IDENTITY, num_token=5_000)
    build_corpus(build, tmp_path / "whole")
    rows = build.write

    def write(unit, writer):
        (tmp_path / "corpus/00000.bin.99999.partial").write_bytes(b"half")
        return rows(unit, writer)

    object.__setattr__(build, "write", write)
    build_corpus(build, tmp_path / "corpus")
    assert _tree(tmp_path / "corpus") == _tree(tmp_path / "whole")


def test_a_worker_whose_build_was_killed_runs_no_unit_that_it_was_given(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        "from metalang.workers import _Worker\n"
        "def task(unit, count):\n"
        "    pathlib.Path(sys.argv[1]).write_text('run')\n"
        "if __name__ == '__main__':\n"
        "    _Worker(task)._pipe.send(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, script, tmp_path / "file"]
    killed = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # until the worker has ended too
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "file").exists()


def _lives(pid):
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # that of a zombie is empty
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the processes of a build are looked at in /proc")
def test_a_build_holds_nothing_with_a_name_in_shared_memory_and_its_workers_end_with_it(inputs, tmp_path):
    running = _begin(_synthesize(inputs, tmp_path / "out"), tmp_path / "out")
    while len(list((tmp_path / "out/train").glob("*.bin*"))) < 2 and running.poll() is None:
        time.sleep(0.01)
    family = [running.pid, *_children(running.pid)]
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in family)
    assert running.poll() is None and len(family) > 1
    assert [line for line in maps.splitlines() if "/dev/shm/" in line and "(deleted)" not in line] == []
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 10
    while any(map(_lives, family)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_lives, family))


# A full disk.


def _small(output):
    return ["synthesize.py", "--num_token", "5K", "--data_config", ROOT / "configs/domains/demo-identity.json",
            "--split_ratio", "1", "0", "0", "--output_dir", output, "--workers", "1"]  # fmt: skip


def _require_a_clear_end(running, folder):
    printed = running.communicate()[1].strip().splitlines()
    assert running.returncode == 1
    assert printed[-1].startswith(f"synthesize: {folder}/train cannot be written to: the disk is full, or a limit on")
    assert printed[-1].endswith("make room and start again: what is finished is kept")
    assert not any("Traceback" in line for line in printed)
    assert not (folder / "train/manifest.json").exists()


def test_a_limit_on_files_is_one_clear_line_at_every_moment(tmp_path):
    _finish(_small(tmp_path / "whole"))
    whole = _tree(tmp_path / "whole")
    sizes = sorted({len(content) for content in whole.values()})
    assert len(sizes) == 5  # ids, mask, index, documents, manifest: a limit below each ends the build at another
    for limit in (0, *(size - 1 for size in sizes)):
        limits = (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        running = _start(
            _small(tmp_path / "full"), stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda limits=limits: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
        )  # fmt: skip
        _require_a_clear_end(running, tmp_path / "full")
        assert not list((tmp_path / "full").rglob("*.partial"))
    _finish(_small(tmp_path / "full"))
    assert _tree(tmp_path / "full") == whole


def _tmpfs(folder, kilobytes, command):
    """The command with a small disk of its own in `folder`, which nobody else sees; needs no root."""
    mounted = f'mount -t tmpfs -o size={kilobytes}k tmpfs "$0" && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted, str(folder), *map(str, command)]


def _can_mount(folder):
    if not shutil.which("unshare"):
        return False
    return subprocess.run(_tmpfs(folder, 64, ["true"]), capture_output=True, check=False).returncode == 0


def test_a_full_disk_is_one_clear_line_at_every_moment(tmp_path):
    if not _can_mount(tmp_path):
        pytest.skip("this user may not mount a tmpfs in a namespace of its own")
    ended, kilobytes = [], 4
    while not ended or ended[-1]:
        command = [sys.executable, ROOT / "data_tools/synthesize.py", *_small(tmp_path / "out")[1:]]
        after = 'status=0; "$@" || status=$?; test -e "$0/out/train/manifest.json" && echo finished; exit $status'
        done = subprocess.run(
            _tmpfs(tmp_path, kilobytes, ["sh", "-c", after, tmp_path, *command]),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        ended.append(done.returncode)
        assert ("finished" in done.stdout) == (done.returncode == 0)
        if done.returncode:
            assert "the disk is full" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
        kilobytes += 8
    assert ended[:-1] == [1] * (len(ended) - 1) and len(ended) > 3
