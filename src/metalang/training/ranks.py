"""What all ranks do together: wait, and agree."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist
from torch.distributed import distributed_c10d

from metalang.errors import MetalangError
from metalang.training.stopping import Stopped, asked, at_once

_Decision = TypeVar("_Decision")


def num_ranks() -> int:
    """All processes that train together, 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait_for_all() -> None:
    """Returns once every rank has come here."""
    if dist.is_initialized():
        dist.barrier()


def forget_shared_buffers() -> None:
    """Takes the name from this rank's buffer of DeepSpeed's shared memory, once all ranks have it open.

    DeepSpeed 0.19 makes one of 69 MB for each CPU rank and never removes it: after 300 runs no memory was left.
    """
    wait_for_all()
    place = (os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"))
    name = "_".join(("deepspeed_allreduce_buffer", str(os.getuid()), *place))
    (Path("/dev/shm") / name).unlink(missing_ok=True)


def wait_at_most(timeout: timedelta) -> None:
    """Bounds what a rank waits for the others in every process group there is.

    DeepSpeed 0.19 makes groups of its own with torch's default of 30 minutes, whatever --ddp_timeout says; torch 2.13
    changes that of a group that is there by private names only.
    """
    if dist.is_initialized():
        for group in list(distributed_c10d._world.pg_map):
            distributed_c10d._set_pg_timeout(timeout, group)


def agreed(decide: Callable[[], _Decision]) -> _Decision:
    """What rank 0 decides, on all ranks: an error of ours, or of the disk, is raised on all of them.

    So is Stopped, at once, where rank 0 is asked to stop while it decides.

    >>> agreed(lambda: 5)
    5
    """
    if not dist.is_initialized():
        with at_once():
            return decide()
    said: list[_Decision | MetalangError | OSError | Stopped | None] = [None]
    if dist.get_rank() == 0:
        try:
            with at_once():
                said = [decide()]
        except (MetalangError, OSError, Stopped) as error:
            said = [error]
    dist.broadcast_object_list(said, src=0)
    if isinstance(said[0], Stopped):
        wait_for_all()  # a launcher sends SIGTERM where a rank has died, too: that is no stop
    if isinstance(said[0], (MetalangError, OSError, Stopped)):
        raise said[0]
    return said[0]


def stop_if_asked() -> None:
    """Raises Stopped on all ranks where one of them was asked to stop. All ranks call it."""
    said = [asked()]
    if dist.is_initialized():
        said = [None] * dist.get_world_size()
        dist.all_gather_object(said, asked())
    if any(said):
        raise Stopped
