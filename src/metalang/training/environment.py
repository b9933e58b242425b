"""What has to be set before torch and DeepSpeed are imported, and how a process of theirs ends."""

import importlib.util
import logging
import os
import re
import sys
import time
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from metalang.errors import ConfigError, MetalangError

_STALE_SECONDS = 900
_LOST = re.compile(r"gloo|NCCL|Connection closed by peer|Connection reset by peer|Timed out waiting")
_PATIENCE_SECONDS = 8
_NO = ("no", "false", "f", "n", "0")  # transformers 5.23: string_to_bool


def prepare_environment(environment: MutableMapping[str, str], argv: Sequence[str] = ()) -> None:
    """Shares the cores out to the ranks, and gives this Python environment a folder for what DeepSpeed compiles.

    Two environments that share such a folder build over each other's files, and a lock that a killed run left there
    makes the next one wait for ever without a word (pytorch issue 189245): such a lock raises ConfigError.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")  # DeepSpeed 0.19's own calls
    ranks = int(environment.get("LOCAL_SIZE", environment.get("LOCAL_WORLD_SIZE", "1")))
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // ranks)))
    if is_asked_for("use_cpu", argv):
        environment.setdefault(
            "DS_ACCELERATOR", "cpu"
        )  # DeepSpeed 0.19 takes a GPU that it sees, whatever is asked for
    _require_launcher(environment, argv)
    folder = Path(environment.setdefault("TORCH_EXTENSIONS_DIR", str(Path(sys.prefix) / "torch_extensions")))
    for lock in folder.glob("*/lock"):
        age = time.time() - lock.stat().st_mtime
        if age > _STALE_SECONDS:
            raise ConfigError(
                f"{lock} is {age / 60:.0f} minutes old, left by a run that was killed while it compiled; every "
                f"run would wait for it for ever. Make sure that no other run is compiling, then: rm {lock}"
            )


def is_asked_for(name: str, argv: Sequence[str]) -> bool:
    """Whether a command line sets a flag that is True or False, in any form that the parser of all flags takes.

    >>> [is_asked_for("use_cpu", line.split()) for line in ("--use_cpu=True", "--use-cpu", "--use_cpu 0")]
    [True, True, False]
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        f"--{name}", f"--{name.replace('_', '-')}", nargs="?", const="True", default="False", dest="said"
    )
    return parser.parse_known_args(argv)[0].said.lower() not in _NO


def _require_launcher(environment: Mapping[str, str], argv: Sequence[str]) -> None:
    """Raises ConfigError where --deepspeed is given and nobody has started ranks: DeepSpeed would ask MPI for them."""
    asked = any(word.partition("=")[0] == "--deepspeed" for word in argv)
    if asked and "RANK" not in environment and importlib.util.find_spec("mpi4py") is None:
        raise ConfigError(
            "--deepspeed needs a launcher, which says how many ranks there are; start it as deepspeed --num_gpus 1 "
            "train/pretrain.py FLAGS, or leave --deepspeed out"
        )


@contextmanager
def told_of_lost_ranks() -> Iterator[None]:
    """Turns what a library says where another rank has died or hangs (--ddp_timeout) into one line of ours.

    It waits before it speaks: a rank that has ended for a reason has said it, and the launcher ends this one.

    >>> with told_of_lost_ranks():
    ...     raise RuntimeError("no rank's fault")
    Traceback (most recent call last):
    RuntimeError: no rank's fault
    """
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        time.sleep(_PATIENCE_SECONDS)
        timed_out = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        raise MetalangError(
            "another rank "
            + ("was not heard of for --ddp_timeout seconds: it hangs" if timed_out else "has ended")
            + "; start the same command again, with --resume_training True, to go on from the newest checkpoint"
        ) from None


def leave(code: int = 0) -> None:
    """Ends a process whose work is done and saved, with an exit code, before C++ destructors run.

    Now and then a two-rank run (torch 2.13, gloo, deepspeed 0.19) dies in them: "terminate called without an active
    exception", exit code -6, after everything was saved; the launcher then reports a failure that was none.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
