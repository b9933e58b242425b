"""Real English that ships with Python: its language reference, and the docstrings of installed packages.

Packages are read as source and never imported, so nothing of them runs.
"""

import ast
import importlib.metadata
import importlib.util
import inspect
import platform
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalang.errors import ConfigError

_MIN_CHARACTERS = 200
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class PydocText:
    """Python's language reference, then the docstrings (of more than 200 characters) of installed packages."""

    packages: tuple[str, ...]

    def __post_init__(self) -> None:
        for package in self.packages:
            _folder_of(package)

    def documents(self) -> Iterator[str]:
        """The topics of the reference by name, then the docstrings in the order of their files; equal ones once."""
        from pydoc_data.topics import topics

        yield from (topics[name] for name in sorted(topics))
        seen = set()
        for package in self.packages:
            for text in _docstrings(_folder_of(package)):
                if text not in seen:
                    seen.add(text)
                    yield text

    def identity(self) -> dict[str, Any]:
        """The versions that decide the text."""
        return {"python": platform.python_version()} | {package: _version_of(package) for package in self.packages}


def _folder_of(package: str) -> Path:
    is_name = package.isidentifier() and package != "__main__"
    spec = importlib.util.find_spec(package) if is_name else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"{package!r} is no installed package; name installed ones as in pydoc:numpy,pandas, or give pydoc: alone"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        owners = importlib.metadata.packages_distributions().get(package, [])
        return importlib.metadata.version(owners[0]) if owners else None


def _docstrings(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        for node in ast.walk(_parsed(path)):
            text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "") if isinstance(node, _DOCUMENTED) else ""
            if len(text) > _MIN_CHARACTERS and not any("\ud800" <= character <= "\udfff" for character in text):
                yield text


def _parsed(path: Path) -> ast.AST:
    """The syntax tree of a file; an empty one for a file of another Python's syntax, as packages may hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return ast.Module(body=[], type_ignores=[])
