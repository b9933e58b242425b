"""What a name that a person gives for text or a tokenizer means: a place on this disk, or a name on the hub."""

from pathlib import Path

from metalang.errors import ConfigError


def local_path(name: str, *, suffixes: tuple[str, ...], forms: str) -> Path | None:
    """The path that `name` means, None for a hub name.

    A name is a path if it exists, begins like a path (`/`, `.`, `~`) or ends in one of `suffixes`. Raises ConfigError
    for a path where nothing is; `forms` says what would be right.

    >>> local_path("EleutherAI/pythia-14m", suffixes=(".json",), forms="a folder")
    >>> local_path(".", suffixes=(".json",), forms="a folder")
    PosixPath('.')
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if name.startswith(("/", ".", "~")) or name.endswith(suffixes) or not name:
        raise ConfigError(f"{name!r} does not exist; give {forms}")
    return None


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line of at most 200 characters.

    >>> first_line(ValueError("no such split\\nknown: train"))
    'no such split'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
