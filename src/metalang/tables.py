"""Tables for people, in plain text."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines, the first of them the heads: words on the left of their column, numbers on the right.

    >>> print(table([["source", "read", "why"], ["a", "1,000", "too short"], ["novels", "7", ""]]))
    source   read  why
    a       1,000  too short
    novels      7
    """
    columns = []
    for cells in zip(*rows, strict=True):
        width = max(map(len, cells))
        is_numeric = any(cells[1:]) and all(not cell or cell.strip("0123456789,.") == "" for cell in cells[1:])
        columns.append([cell.rjust(width) if is_numeric else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))
