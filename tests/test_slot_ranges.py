"""`deepspeed --include localhost:0-7` means what it says, by the .pth file that the installed package brings."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from metalang.slot_ranges import expand, teach

LEAVE_RANK = """
import os
with open(os.path.join(os.environ["RANKS"], os.environ["RANK"]), "w") as file:
    file.write(os.environ["WORLD_SIZE"])
"""


def commas_only(node):
    host, _, slots = node.partition(":")
    return host, [int(slot) for slot in slots.split(",")]


@pytest.mark.parametrize(
    ("nodes", "expanded"),
    [
        ("localhost:0-7", "localhost:0,1,2,3,4,5,6,7"),
        ("localhost:0-3,6", "localhost:0,1,2,3,6"),
        ("node-1:0-1@node-2:4", "node-1:0,1@node-2:4"),
        ("localhost:5-5", "localhost:5"),
        ("localhost:2,0", "localhost:2,0"),
        ("gpu-01", "gpu-01"),
    ],
)
def test_ranges_are_written_out_and_the_rest_is_kept(nodes, expanded):
    assert expand(nodes) == expanded


@pytest.mark.parametrize("slots", ["7-0", "a-b", "0-", "-1", "1-2-3"])
def test_a_bad_range_is_refused_with_a_form_that_works(slots):
    message = f"'{slots}' in 'localhost:{slots}' is no range of slots; write localhost:0-7, or localhost:0-3,6"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        expand(f"localhost:{slots}")


def test_a_parser_that_reads_commas_only_learns_ranges():
    runner = SimpleNamespace(parse_node_config=commas_only)
    teach(runner)
    assert runner.parse_node_config("localhost:0-3,6") == ("localhost", [0, 1, 2, 3, 6])


def test_a_parser_that_reads_ranges_is_left_alone():
    def reads_ranges(node):
        return commas_only(expand(node))

    runner = SimpleNamespace(parse_node_config=reads_ranges)
    teach(runner)
    assert runner.parse_node_config is reads_ranges


def test_python_starts_in_silence_where_the_package_is_gone(tmp_path):
    hook = Path(__file__).parents[1] / "src/metalang-slot-ranges.pth"
    (tmp_path / hook.name).write_bytes(hook.read_bytes())
    code = f"import site; site.addsitedir({str(tmp_path)!r}); print('started')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("started\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "num_ranks"), [("0-7", 8), ("0-3,6", 5)])
def test_the_launcher_starts_a_rank_for_each_slot_of_a_range(slots, num_ranks, tmp_path):
    done = launch(f"localhost:{slots}", tmp_path)
    assert done.returncode == 0, done.stderr
    ranks = {file.name: file.read_text() for file in (tmp_path / "ranks").iterdir()}
    assert ranks == {str(rank): str(num_ranks) for rank in range(num_ranks)}


@pytest.mark.slow
def test_the_launcher_refuses_a_bad_range_in_one_clear_line(tmp_path):
    done = launch("localhost:7-0", tmp_path)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        "ValueError: '7-0' in 'localhost:7-0' is no range of slots; write localhost:0-7, or localhost:0-3,6"
    )


def launch(include: str, folder: Path) -> subprocess.CompletedProcess:
    """DeepSpeed's launcher on a host of 8 slots; each rank leaves a file of its name that holds the world size."""
    (folder / "ranks").mkdir()
    (folder / "hostfile").write_text("localhost slots=8\n")
    (folder / "leave_rank.py").write_text(LEAVE_RANK)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    command = f"--hostfile hostfile --no_ssh --node_rank 0 --master_addr 127.0.0.1 --master_port {port}".split()
    return subprocess.run(
        [Path(sys.executable).with_name("deepspeed"), *command, "--include", include, "leave_rank.py"],
        cwd=folder,
        env={**os.environ, "RANKS": str(folder / "ranks")},
        capture_output=True,
        text=True,
        timeout=300,
    )
