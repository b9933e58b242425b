"""Teaches DeepSpeed's launcher ranges of slots: `deepspeed --include localhost:0-7` means `localhost:0,1,2,3,4,5,6,7`.

DeepSpeed 0.19 reads commas only and fails before any code of ours runs. So `metalang-slot-ranges.pth`, which lies in
site-packages, calls `teach_launcher` whenever Python starts: hence no import here but `sys`, and nothing happens unless
the launcher is imported. Once DeepSpeed reads ranges itself, its own parser stays.
"""

import sys

RUNNER = "deepspeed.launcher.runner"


def expand(nodes: str) -> str:
    """Nodes with every range of slots written out. Raises ValueError for a range that is none, with a form that works.

    >>> expand("localhost:0-3,6"), expand("node-1:0-1@node-2:4"), expand("localhost")
    ('localhost:0,1,2,3,6', 'node-1:0,1@node-2:4', 'localhost')
    """
    return "@".join(_expand_node(node) for node in nodes.split("@"))


def teach_launcher() -> None:
    """From now on the launcher reads ranges, if it is imported in this process."""
    if _RunnerFinder not in sys.meta_path:  # site reads the .pth files of a virtual environment twice
        sys.meta_path.insert(0, _RunnerFinder)


def teach(runner) -> None:
    """Puts `expand` before the slot parser of `runner`, DeepSpeed's launcher module, unless it reads ranges itself."""
    parse = runner.parse_node_config
    if not _reads_ranges(parse):
        runner.parse_node_config = lambda node: parse(expand(node))


class _RunnerFinder:
    """Finds the launcher as the other finders do, and has it taught once it is loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != RUNNER:
            return None
        others = sys.meta_path[sys.meta_path.index(cls) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None:
            spec.loader.exec_module = _then_teach(spec.loader.exec_module)
        return spec


def _then_teach(exec_module):
    def load_and_teach(module):
        exec_module(module)
        teach(module)

    return load_and_teach


def _reads_ranges(parse) -> bool:
    try:
        return parse("localhost:0-1") == ("localhost", [0, 1])
    except ValueError:
        return False


def _expand_node(node: str) -> str:
    host, colon, slots = node.partition(":")
    return host + colon + ",".join(_expand_slots(part, node) for part in slots.split(","))


def _expand_slots(part: str, node: str) -> str:
    first, dash, last = part.partition("-")
    if not dash:
        return part
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(f"{part!r} in {node!r} is no range of slots; write localhost:0-7, or localhost:0-3,6")
    return ",".join(str(slot) for slot in range(int(first), int(last) + 1))
