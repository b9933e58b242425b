"""Where compiled kernels are kept, and a word when one has to be compiled.

numba looks at a kernel's own file to tell whether its compiled form is old, not at the files whose helpers and
constants were compiled into it. So all are kept in a folder that bears the hash of every file that holds kernels.
"""

import hashlib
import logging
import multiprocessing
import os
import tempfile
from pathlib import Path

import numba
from numba.core import event

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent
_ROOMS = ("*.py", "corpus/*.py", "domains/*.py", "mixing/*.py", "training/phases/spans.py")


def kernel_hash() -> str:
    """16 hexadecimal digits that name the source of all kernels."""
    files = sorted(path for room in _ROOMS for path in _PACKAGE.glob(room))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def keep_kernels() -> None:
    """Points numba at the folder of these kernels, beside the package's other caches where that can be written."""
    beside = _PACKAGE / "__pycache__"
    writable = os.access(beside if beside.exists() else _PACKAGE, os.W_OK)
    base = beside if writable else Path(tempfile.gettempdir()) / f"metalang-{os.getuid()}"
    numba.config.CACHE_DIR = str(base / f"kernels-{kernel_hash()}")
    if multiprocessing.parent_process() is None:
        event.register("numba:compile", _Announcement())


class _Announcement(event.Listener):
    """Says once, in the process that people look at, why nothing seems to happen."""

    said = False

    def on_start(self, event: event.Event) -> None:
        if not _Announcement.said:
            logger.warning("compiling kernels: some seconds, once; they are kept in %s", numba.config.CACHE_DIR)
        _Announcement.said = True

    def on_end(self, event: event.Event) -> None:
        """Nothing: the work that waited for it goes on."""
