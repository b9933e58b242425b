"""Runs a launcher of ranks and all that it starts as one: `python3 -m metalang.training.supervision deepspeed ...`.

It ends when all of them have, and a signal to it stops the run at a step, with a checkpoint: the `deepspeed` command
alone ends at once on SIGTERM, without telling the ranks (0.19). SIGTERM, SIGUSR1 and SIGINT ask the ranks to stop; a
second one of them kills. Exit code: 85 for a run that was stopped and can go on, else that of the command.
"""

import ctypes
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import psutil

from metalang.training.stopping import STOPPED_EXIT_CODE, STOPPED_FILE, end_with_parent

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_SECONDS = 10


def supervise(command: list[str]) -> int:
    """The exit code of a command, once no process that came of it is left."""
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("--output_dir", "--output-dir", "--log_dir", "--log-dir", type=Path)
    output_dir = parser.parse_known_args(command)[0].output_dir
    stopped = output_dir and output_dir / STOPPED_FILE
    if stopped:
        stopped.unlink(missing_ok=True)
    if sys.platform == "linux":  # what loses its parent becomes a child of this process, and is waited for
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    forward = _Forward()
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, forward)
    launcher = subprocess.Popen(command, start_new_session=True, preexec_fn=end_with_parent)
    code = _wait(launcher.pid)
    if stopped and stopped.exists():
        return STOPPED_EXIT_CODE
    if forward.was_asked and code == -signal.SIGTERM:  # before there was a rank
        return STOPPED_EXIT_CODE
    return code if code >= 0 else 128 - code


class _Forward:
    """Asks the ranks to stop the first time, kills all the second."""

    def __init__(self) -> None:
        self.was_asked = False

    def __call__(self, number: int, frame: object) -> None:
        family = psutil.Process().children(recursive=True)
        ranks = [process for process in family if _is_rank(process)]
        for process in family if self.was_asked else ranks or family:  # without ranks there is nothing to save yet
            _send(process, signal.SIGKILL if self.was_asked else signal.SIGTERM)
        self.was_asked = True


def _wait(launcher: int) -> int:
    """The exit code of the launcher, when it and all ranks have ended; what then is left is ended."""
    code = None
    while code is None or any(map(_is_rank, psutil.Process().children(recursive=True))):
        try:
            ended, status = os.wait()
        except ChildProcessError:
            break
        if ended == launcher:
            code = os.waitstatus_to_exitcode(status)
    rest = psutil.Process().children(recursive=True)
    for process in rest:
        _send(process, signal.SIGTERM)
    for process in psutil.wait_procs(rest, timeout=_PATIENCE_SECONDS)[1]:
        _send(process, signal.SIGKILL)
    assert code is not None, "the launcher is a child"
    return code


def _is_rank(process: psutil.Process) -> bool:
    """Whether a process was started as a rank: it has a RANK, and what started it has none."""
    try:
        return "RANK" in process.environ() and "RANK" not in process.parent().environ()
    except (psutil.Error, AttributeError):
        return False


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
