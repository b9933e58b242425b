"""The errors of ours that a person can meet.

MetalangError
├── ConfigError     mend the input: a flag, a spec, a line of a source file
├── CorpusError     rebuild it: a corpus on disk is damaged, unfinished or of another version
└── MismatchError   two good things that do not fit: a corpus and a tokenizer, a plan and a checkpoint

A message says what is wrong, with the value; what would be right; what to do.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class MetalangError(Exception):
    """Any error of ours: an entry script prints it as one line and exits 1."""


class ConfigError(MetalangError):
    """The input has to be mended."""


class CorpusError(MetalangError):
    """A corpus has to be rebuilt."""


class MismatchError(MetalangError):
    """Two good things do not fit together."""


@contextmanager
def reported(command: str, *, speaks: bool = True) -> Iterator[None]:
    """Turns an error of ours into one line on stderr and exit code 1; anything else passes through.

    Of several ranks that meet the same error, one `speaks`.

    >>> with reported("mix"):
    ...     print("done")
    done
    """
    try:
        yield
    except MetalangError as error:
        if speaks:
            print(f"{command}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(1)
