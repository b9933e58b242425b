"""A supervised command: its exit code, what a signal does to it the first time and the second, what is left of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

SOURCES = Path(__file__).parents[1] / "src"


def _supervised(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "metalang.training.supervision", *command],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("code", "expected"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)])
def test_the_exit_code_is_that_of_the_command(code, expected):
    assert _supervised("bash", "-c", code).wait(timeout=60) == expected


def test_a_run_that_was_stopped_gives_85_and_one_that_was_stopped_earlier_does_not(tmp_path):
    stopping = ("bash", "-c", f"echo '{{}}' > {tmp_path}/stopped.json; exit 1", "run", "--output_dir", str(tmp_path))
    assert _supervised(*stopping).wait(timeout=60) == 85
    assert _supervised("true", "--output_dir", str(tmp_path)).wait(timeout=60) == 0


def test_a_command_that_is_asked_to_stop_before_it_has_ranks_gives_85():
    running = _supervised("bash", "-c", "echo up; sleep 1000")
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGUSR1)
    assert running.wait(timeout=60) == 85


@pytest.mark.parametrize("flag", ["--output_dir={}", "--output-dir={}", "--log_dir={}"])
def test_the_folder_of_a_run_is_known_in_every_form_of_its_flag(tmp_path, flag):
    stopping = ("bash", "-c", f"echo '{{}}' > {tmp_path}/stopped.json; exit 1", "run", flag.format(tmp_path))
    assert _supervised(*stopping).wait(timeout=60) == 85


def test_what_a_command_leaves_behind_is_ended():
    running = _supervised("bash", "-c", "setsid sleep 1000 & echo $!")
    left = int(running.stdout.readline())
    assert running.wait(timeout=60) == 0
    assert not psutil.pid_exists(left)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_the_first_signal_asks_the_ranks_and_the_second_kills_them(number):
    rank = 'trap "echo asked" TERM; echo up; while :; do sleep 0.1; done'
    running = _supervised("bash", "-c", f"RANK=0 bash -c '{rank}'; echo over")
    lines = iter(running.stdout.readline, "")
    assert next(lines) == "up\n"
    running.send_signal(number)
    assert next(lines) == "asked\n"
    running.send_signal(number)
    assert list(lines) == []  # not even what came behind the rank
    assert running.wait(timeout=60) == 137
