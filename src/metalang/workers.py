"""Processes that run units for this one, each behind a pipe of its own.

There is no queue, lock or counter between them: those of `multiprocessing` have names in /dev/shm, and a kill -9 of
all processes leaves them there. A worker ends with the process that started it, however that one ends.
"""

import multiprocessing
import multiprocessing.connection
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any

from metalang.errors import ConfigError

Task = Callable[[Any, Callable[[int], Any]], None]
"""Runs a unit, whatever that is, and calls a function with what it has counted since the last time."""


def run_all(
    task: Task, units: Sequence[Any], *, workers: int, count: Callable[[int], Any] = lambda counted: None
) -> None:
    """Runs the task for every unit, here and in up to `workers` - 1 other processes.

    Raises what a unit raised, once those under way have ended; the others are not begun.
    """
    waiting, lock = deque(units), Lock()

    def count_alone(counted: int) -> None:
        with lock:
            count(counted)

    def run_others(worker: _Worker) -> None:
        for unit in _taken_from(waiting):
            worker.run(unit, count_alone)

    num_others = min(workers, len(units)) - 1
    with ExitStack() as processes, ThreadPoolExecutor(max(1, num_others)) as threads:
        others = [
            threads.submit(run_others, processes.enter_context(closing(_Worker(task)))) for _ in range(num_others)
        ]
        try:
            for unit in _taken_from(waiting):
                task(unit, count_alone)
                for other in others:
                    if other.done():
                        other.result()
            for other in as_completed(others):
                other.result()
        finally:
            waiting.clear()


def _taken_from(waiting: deque[Any]) -> Iterator[Any]:
    """Units that nobody else takes, until there are none."""
    while waiting:
        try:
            unit = waiting.popleft()
        except IndexError:  # another thread was faster
            return
        yield unit


class _Worker:
    """A process that runs a task for the units that it is given, one after the other."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(task, theirs))
        self._process.start()
        theirs.close()

    def run(self, unit: int, count: Callable[[int], Any]) -> None:
        """Runs a unit, and calls `count` with what it counts. Raises what the task raises."""
        try:
            self._pipe.send(unit)
            while isinstance(said := self._pipe.recv(), int):
                count(said)
        except (EOFError, ConnectionError):
            raise ConfigError(
                "a worker was killed, by hand or for want of memory; start again with fewer --workers"
            ) from None
        if said is not None:
            error, where = said
            raise error from RuntimeError(f"in a worker: {where}")

    def close(self) -> None:
        """Ends the process; it has no unit under way."""
        self._pipe.close()
        self._process.join()


def _work(task: Task, pipe: Connection) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core a process: the pool is the parallelism
    Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        if not multiprocessing.parent_process().is_alive():  # killed behind a unit that it gave
            return
        try:
            task(unit, lambda counted: pipe.send(int(counted)))
            pipe.send(None)
        except Exception as error:
            pipe.send((error, traceback.format_exc()))


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
