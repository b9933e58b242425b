"""What has to be set before torch and DeepSpeed are imported."""

import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

from metalang.errors import ConfigError

_STALE_SECONDS = 900


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Gives this Python environment a folder of its own for the C++ parts that DeepSpeed compiles, once.

    Two environments that share one build over each other's files, and a lock that a killed run left there makes the
    next one wait for ever without a word (pytorch issue 189245): such a lock raises ConfigError.
    """
    folder = Path(environment.setdefault("TORCH_EXTENSIONS_DIR", str(Path(sys.prefix) / "torch_extensions")))
    for lock in folder.glob("*/lock"):
        age = time.time() - lock.stat().st_mtime
        if age > _STALE_SECONDS:
            raise ConfigError(
                f"{lock} is {age / 60:.0f} minutes old, left by a run that was killed while it compiled; every "
                f"run would wait for it for ever. Make sure that no other run is compiling, then: rm {lock}"
            )
