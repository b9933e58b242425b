"""Being asked to stop: SIGTERM or SIGUSR1 to a rank, or the end of the launcher that started it.

A rank that is asked goes on; `callbacks.stop` has all ranks stop at one step, with a checkpoint. Before the first step
they stop where they meet (`ranks.stop_if_asked`), and what one rank makes for all is broken off (`at_once`).
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

STOPPED_EXIT_CODE = 85
"""Of a run that was stopped and can go on; 85 is ERESTART in Linux, and no shell or launcher gives it a meaning."""
STOPPED_FILE = "stopped.json"
"""In the output folder of a run that was stopped, until it is started again: {"step": 120}."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1
_asked: list[str] = []
_launchers: list[psutil.Process] = []
_breaks_off: list[bool] = []


class Stopped(BaseException):
    """A run was asked to stop, and has no step to end: raised on all ranks, past what takes any error for its own."""


@contextmanager
def listening(environment: Mapping[str, str]) -> Iterator[None]:
    """Inside, SIGTERM and SIGUSR1 only ask to stop. Beside, a rank is asked when what started it ends.

    Behind it, no process that reads for this one is left.
    """
    previous = {number: signal.signal(number, _ask) for number in _SIGNALS}
    if "RANK" in environment:
        _follow_launchers()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _asked.clear()
        _end_readers()


def asked() -> str | None:
    """Who asked this process to stop; None where nobody did."""
    if _asked:
        return _asked[0]
    family = [psutil.Process(), *_launchers]
    for child, parent in zip(family, _launchers, strict=False):
        if not child.is_running() or child.ppid() != parent.pid:
            return f"the end of process {parent.pid}, which had started it"
    return None


@contextmanager
def at_once() -> Iterator[None]:
    """Inside, who is asked to stop raises Stopped, there and then."""
    _breaks_off.append(True)
    try:
        if asked():
            raise Stopped
        yield
    finally:
        _breaks_off.clear()


def reads_on(number: int, begin: Callable[[int], None] | None = None) -> None:
    """How a DataLoader's worker begins, behind `begin`: a signal to all processes of a run leaves it to its rank.

    torch 2.13 has its workers end on SIGTERM, and their rank with them, before it has saved.
    """
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    if begin is not None:
        begin(number)


def _end_readers() -> None:
    """Ends what reads for this process: it ignores SIGTERM, and Python waits for it before a process ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch 2.13 makes an error of a reader that is killed
    for reader in multiprocessing.active_children():
        reader.kill()


def end_with_parent() -> None:
    """Has the kernel send SIGTERM to this process when its parent ends, be it by SIGKILL (Linux; nothing elsewhere)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _ask(number: int, frame: object) -> None:
    _asked.append(signal.Signals(number).name)
    if _breaks_off:
        _breaks_off.clear()  # what is cleared up behind it is not broken off again
        raise Stopped


def _follow_launchers() -> None:
    """DeepSpeed's launch.py, and the `deepspeed` above it, which ends on SIGTERM without telling anyone (0.19)."""
    end_with_parent()
    launcher = psutil.Process(os.getppid())
    _launchers[:] = [launcher]
    runner = launcher.parent()
    if "deepspeed.launcher.launch" in launcher.cmdline() and runner is not None and _is_runner(runner):
        _launchers.append(runner)


def _is_runner(process: psutil.Process) -> bool:
    return any(Path(word).name in ("deepspeed", "ds") for word in process.cmdline()[:3])
