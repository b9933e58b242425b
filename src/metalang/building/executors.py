"""Where units run: in processes of this machine, as an array of Slurm jobs, or on a Ray cluster.

Slurm and Ray are reached through datatrove's executors; whether a unit is done is our own rule, see `units`.
"""

import importlib.util
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from metalang.errors import ConfigError
from metalang.workers import run_all

_SLURM_POLL_SECONDS = 3.0

Count = Callable[[int], Any]
"""Called with the tokens, or what is counted, that were written since the last time."""


class Task(Protocol):
    """What writes a unit, in any process."""

    folder: Path

    def __call__(self, unit: int, count: Count) -> None:
        """Writes a unit."""

    def done_size(self, unit: int) -> int:
        """What a unit holds that another process has written; 0 while it has not."""


class Executor(Protocol):
    """A place where units run."""

    def run(self, task: Task, units: list[int], bar: tqdm) -> None:
        """Runs the task for every unit, in any order, and returns when all have ended."""

    def where_to_look(self, folder: Path) -> str:
        """Where a person finds out why a unit was not written."""


def available_cores() -> int:
    """Cores that this process may use: what a scheduler gave it, not what the machine has."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine. This process is one of the workers: it has begun while others are still starting."""

    workers: int = 1

    def where_to_look(self, folder: Path) -> str:
        """Nowhere else: what fails here is raised here."""
        return "see the messages above"

    def run(self, task: Task, units: list[int], bar: tqdm) -> None:
        """Runs the task for every unit. Raises what a unit raised, and cancels those that have not begun."""
        run_all(task, units, workers=self.workers, count=bar.update)


@dataclass(frozen=True)
class _Pipeline:
    """A task as a step of a datatrove pipeline, whose rank r runs the r-th unit."""

    task: Task
    units: tuple[int, ...]

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.task(self.units[rank], lambda tokens: None)


@dataclass(frozen=True)
class SlurmExecutor:
    """An array of Slurm jobs, one unit each, `workers` at a time (-1: as many as there is room for).

    The jobs need the folders under the same paths, and this Python: their shells begin with `environment`.
    """

    partition: str
    time: str = "24:00:00"
    workers: int = -1
    cpus_per_task: int = 1
    memory_gb: int = 4
    environment: str = f'export PATH="{Path(sys.executable).parent}:$PATH"'
    options: dict[str, str] = field(default_factory=dict)
    """Further options of sbatch, such as {"account": "lab"}."""

    def where_to_look(self, folder: Path) -> str:
        """The folder of the jobs' own output."""
        return f"the jobs' messages are in {_logs(folder) / 'slurm_logs'}"

    def run(self, task: Task, units: list[int], bar: tqdm) -> None:
        """Submits the array and waits until no job of it is left. Raises ConfigError where it cannot be submitted."""
        if not units:
            return
        from datatrove.executor.slurm import SlurmPipelineExecutor

        array = SlurmPipelineExecutor(
            pipeline=[_Pipeline(task, tuple(units))],
            tasks=len(units),
            time=self.time,
            partition=self.partition,
            workers=self.workers,
            cpus_per_task=self.cpus_per_task,
            mem_per_cpu_gb=-(-self.memory_gb // self.cpus_per_task),
            job_name=f"metalang-{task.folder.name}",
            qos="",
            env_command=self.environment,
            sbatch_args=dict(self.options),
            logging_dir=str(_logs(task.folder)),
            skip_completed=False,
            requeue=False,
        )
        try:
            array.run()
        except FileNotFoundError:
            raise ConfigError("--executor slurm needs sbatch, and it is not here; start it on a login node") from None
        except subprocess.CalledProcessError as error:
            raise ConfigError(f"sbatch refuses the jobs: {error}; mend --partition, --time or --sbatch") from None
        _watch(task, units, bar, lambda: _is_queued(array.job_id))


def _is_queued(job_id: str) -> bool:
    listed = subprocess.run(["squeue", "--noheader", "--jobs", job_id], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip())


def _watch(task: Task, units: list[int], bar: tqdm, is_running: Callable[[], bool]) -> None:
    """Moves the bar as units are reported, until nothing runs any more."""
    open_units, running = set(units), True
    while running and open_units:
        running = is_running()
        for unit in sorted(open_units):
            if size := task.done_size(unit):
                bar.update(size)
                open_units.remove(unit)
        if running and open_units:
            time.sleep(_SLURM_POLL_SECONDS)


@dataclass(frozen=True)
class RayExecutor:
    """Tasks of a Ray cluster, `workers` at a time: the one of RAY_ADDRESS, or one that is started here."""

    workers: int = 1

    def where_to_look(self, folder: Path) -> str:
        """The folder of the tasks' own output."""
        return f"the tasks' messages are in {_logs(folder) / 'logs'}"

    def run(self, task: Task, units: list[int], bar: tqdm) -> None:
        """Runs the task for every unit. Raises ConfigError where Ray is not installed."""
        if not units:
            return
        if not importlib.util.find_spec("ray"):
            raise ConfigError("--executor ray needs Ray, and it is not here; pip install 'ray[default]'")
        from datatrove.executor.ray import RayPipelineExecutor

        RayPipelineExecutor(
            pipeline=[_Pipeline(task, tuple(units))],
            tasks=len(units),
            workers=self.workers,
            logging_dir=str(_logs(task.folder)),
            skip_completed=False,
        ).run()
        _watch(task, units, bar, lambda: False)


def add_executor_flags(parser: ArgumentParser) -> None:
    """The flags that say where units run: --executor and what belongs to it."""
    group = parser.add_argument_group("where it runs", "the bytes do not depend on it")
    group.add_argument(
        "--executor", choices=["local", "slurm", "ray"], default="local", help="(default: %(default)s, this machine)"
    )
    group.add_argument(
        "--workers",
        type=int,
        default=None,
        help="units at a time: processes, jobs or tasks (default: the cores of this machine; slurm: all)",
    )
    group.add_argument("--partition", help="slurm: where the jobs go; needed there")
    group.add_argument("--time", default="24:00:00", help="slurm: limit of a job (default: %(default)s)")
    group.add_argument("--memory_gb", type=int, default=4, help="slurm: GB of a job (default: %(default)s)")
    group.add_argument(
        "--sbatch", nargs="*", default=[], metavar="OPTION=VALUE", help="slurm: further options, such as account=lab"
    )


def executor_of(args: Namespace) -> Executor:
    """The executor that the flags name. Raises ConfigError for flags that do not go together."""
    if args.workers is not None and args.workers < 1:
        raise ConfigError(f"--workers {args.workers} do nothing; give 1 or more")
    if args.executor == "ray":
        return RayExecutor(args.workers or available_cores())
    if args.executor == "local":
        return LocalExecutor(args.workers or available_cores())
    if not args.partition:
        raise ConfigError("--executor slurm needs --partition; `sinfo` lists them")
    bad = [option for option in args.sbatch if "=" not in option]
    if bad:
        raise ConfigError(f"--sbatch {bad[0]} is no OPTION=VALUE; write it as account=lab")
    options = dict(option.split("=", 1) for option in args.sbatch)
    return SlurmExecutor(
        args.partition, args.time, workers=args.workers or -1, memory_gb=args.memory_gb, options=options
    )


def _logs(folder: Path) -> Path:
    """Where other machines say what they did: beside the folder, which holds what was made and nothing else."""
    return folder.parent.absolute() / f"{folder.name}.logs"
