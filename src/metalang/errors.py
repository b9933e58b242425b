"""The errors of ours that a person can meet.

MetalangError
├── ConfigError     mend the input: a flag, a spec, a line of a source file
├── CorpusError     rebuild it: a corpus on disk is damaged, unfinished or of another version
└── MismatchError   two good things that do not fit: a corpus and a tokenizer, a plan and a checkpoint

A message says what is wrong, with the value; what would be right; what to do.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE_SECONDS = 3


class MetalangError(Exception):
    """Any error of ours: an entry script prints it as one line and exits 1."""


class ConfigError(MetalangError):
    """The input has to be mended."""


class CorpusError(MetalangError):
    """A corpus has to be rebuilt."""


class MismatchError(MetalangError):
    """Two good things do not fit together."""


@contextmanager
def reported(command: str, *, rank: int = 0) -> Iterator[None]:
    """Turns an error of ours, or of the disk, into one line on stderr and exit 1; any other passes through.

    Ranks past the first wait a little before they speak: most errors meet all, and the launcher ends all ranks with
    the first that ends.

    >>> with reported("mix"):
    ...     print("done")
    done
    """
    try:
        yield
    except BrokenPipeError:
        os._exit(0)  # whoever read our output has read enough
    except (MetalangError, OSError, MemoryError) as error:
        time.sleep(_PATIENCE_SECONDS if rank else 0)
        who = f"{command} (rank {rank} on {socket.gethostname()})" if rank else command
        said = " ".join(str(error).split()) or type(error).__name__
        print(f"{who}: {said}", file=sys.stderr, flush=True)
        sys.exit(1)
