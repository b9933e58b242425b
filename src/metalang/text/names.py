"""What a name that a person gives for text or a tokenizer means: a place on this disk, or a name on the hub."""

from pathlib import Path

from metalang.errors import ConfigError


def local_path(name: str, *, what: str, suffixes: tuple[str, ...], forms: str) -> Path | None:
    """The path that `name` means, None for a hub name.

    A name is a path if it exists, begins like a path (`/`, `.`, `~`) or ends in one of `suffixes`. Raises ConfigError
    for a path where nothing is, and for an empty name; `what` is named by it, `forms` says what would be right.

    >>> local_path("EleutherAI/pythia-14m", what="the tokenizer", suffixes=(".json",), forms="a folder")
    >>> local_path(".", what="the tokenizer", suffixes=(".json",), forms="a folder")
    PosixPath('.')
    """
    if not name.strip():  # to Path an empty name is the current folder
        raise ConfigError(f"an empty name is given for {what} (is a shell variable unset?); give {forms}")
    path = Path(name).expanduser()
    if path.exists():
        return path
    if name.startswith(("/", ".", "~")) or name.endswith(suffixes):
        raise ConfigError(f"{name!r} does not exist; give {forms}")
    return None


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line of at most 200 characters.

    >>> first_line(ValueError("no such split\\nknown: train"))
    'no such split'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
