"""The first rows of every preset, as they must stay: `python tests/golden_rows.py` writes golden_rows.json.

A changed line is a change of format: say so in CHANGELOG.md, and why in the commit.
"""

import json
from pathlib import Path

import xxhash

from metalang.domains import Domain, read_domain

ROOT = Path(__file__).parents[1]
PRESETS = sorted((ROOT / "configs/domains").glob("*.json"))
FILE = Path(__file__).with_suffix(".json")

KEY, NUM_ROWS, NUM_SYMBOLS = 7, 64, 16


def golden(domain: Domain) -> list:
    """The first symbols of the first row, and a hash of the symbols, masks and ends of 64 rows."""
    rows = domain.sample(KEY, 0, NUM_ROWS)
    content = b"".join(part.tobytes() for part in (rows.symbols.astype("<i4"), rows.predicted, rows.ends.astype("<i8")))
    return [rows.symbols[:NUM_SYMBOLS].tolist(), xxhash.xxh3_64_hexdigest(content)]


if __name__ == "__main__":
    lines = (f'  "{path.stem}": {json.dumps(golden(read_domain(path)))}' for path in PRESETS)
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
