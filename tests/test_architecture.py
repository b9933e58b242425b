"""The floors hold: imports point down, and the lower floors need no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "metalang"
FLOORS = {
    "errors": 1, "digests": 1, "seeds": 1, "files": 1, "kernels": 1, "slot_ranges": 1, "tables": 1,
    "workers": 1, "colors": 1,
    "sizes": 2, "specs": 2, "ids": 2, "text": 2, "tracked": 2, "run_record": 2,
    "domains": 3, "corpus": 3, "mixing": 3,
    "building": 4, "training": 4, "comparison": 4,
}  # fmt: skip
SIDEWAYS = {
    ("mixing", "corpus"),
    ("training", "building"),
    ("specs", "sizes"),
    ("text", "ids"),
    ("text", "specs"),
    ("seeds", "digests"),
    ("seeds", "kernels"),
    ("files", "errors"),
    ("workers", "errors"),
}
HEAVY = {"torch", "transformers", "deepspeed", "accelerate", "datasets", "wandb"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def _module(path: Path) -> str:
    return ".".join(["metalang", *path.relative_to(PACKAGE).with_suffix("").parts])


def _room(module: str) -> str:
    return module.split(".")[1]


def _imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in _imported(path):
        if not name.startswith("metalang."):
            continue
        room = _room(name)
        assert room == own or FLOORS[room] < FLOORS[own] or (own, room) in SIDEWAYS, f"{own} imports {room}"


def test_floors_one_to_three_load_without_the_heavy_packages():
    rooms = [_module(path) for path in MODULES if FLOORS[path.relative_to(PACKAGE).parts[0].removesuffix(".py")] <= 3]
    code = (
        f"import importlib, sys\n[importlib.import_module(room) for room in {rooms}]\n"
        f"print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted((ROOT / "train").glob("*.py")) + sorted((ROOT / "data_tools").glob("*.py")))
def test_scripts_are_thin(path):
    functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    loops = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.While)]
    assert functions == ["main"]
    assert loops == []
    assert path.read_text().count("\n") <= 75
