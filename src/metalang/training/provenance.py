"""Of which code and of which data a run is made, as run.json and trackers say it."""

import logging
import subprocess
from pathlib import Path
from typing import Any

from metalang.mixing import Source
from metalang.training.feed import Feed

logger = logging.getLogger(__name__)


def code_version(folder: Path = Path(__file__).parent) -> dict[str, Any]:
    """The git commit of this code, and whether tracked files differ from it; None where it is no part of a repository.

    `commit` has 40 hexadecimal digits. A folder that lies in a repository and is not tracked there (an environment
    in a project of yours) is no part of it.
    """
    if _git(folder, "ls-files", "--error-unmatch", ".") is None:
        return {"commit": None, "is_dirty": None}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": _git(folder, "rev-parse", "HEAD"), "is_dirty": bool(changes)}


def spec_hashes(data: Feed) -> dict[str, str]:
    """What names the specs of the corpora that a run reads, by the names of its sources."""
    sources = data.reading.plan.sources if data.reading else ()
    return {source.name: source.corpus.manifest.spec_hash for source in sources if isinstance(source, Source)}


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, None where it says no, or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        logger.info("the commit of the code is not known: there is no git")
        return None
    if done.returncode:
        logger.info("the commit of the code is not known: %s", " ".join(done.stderr.split()))
        return None
    return done.stdout.strip()
