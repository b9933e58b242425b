"""Makes corpora: of text, of domains, of mixtures. A build is a list of units, each a pure function of its spec.

A name is loaded when it is asked for: each of the processes that tokenize text would load the kernels of all domains.
"""

from importlib import import_module
from typing import Any

_ROOM_OF = {
    "Dataset": "dataset",
    "LocalExecutor": "executors",
    "MixedBuild": "mixed",
    "SyntheticBuild": "synthetic",
    "TextBuild": "text",
    "available_cores": "executors",
    "build_corpus": "corpora",
    "domain_build": "synthetic",
    "read_dataset": "dataset",
    "synthetic_builds": "synthetic",
}
__all__ = list(_ROOM_OF)


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
