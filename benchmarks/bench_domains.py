"""How fast the kernel of each preset makes rows and masks on one core, beside a memory copy: `make bench-domains`.

A preset and the copy run in turn, five times; medians are shown. The first call, which compiles, is not counted.
"""

import statistics
import time
from pathlib import Path

import numpy as np

from metalang.domains import read_domain

ROUNDS = 5
TOKENS = 2_000_000
PRESETS = Path(__file__).parents[1] / "configs/domains"


def main() -> None:
    print(f"{'preset':32} {'Mtok/s':>8}  ratio to a copy")
    for path in sorted(PRESETS.glob("*.json")):
        speed, ratio = _speed(path)
        print(f"{path.stem:32} {speed:8.0f}  {ratio:.3f}", flush=True)


def _speed(path: Path) -> tuple[float, float]:
    """Millions of tokens a second, and the ratio to copying their bytes."""
    domain = read_domain(path)
    key = domain.key(0, "train")
    per_row = domain.sample(key, 0, 64).ends[-1] / 64
    rows = max(64, int(TOKENS / per_row))
    sample = domain.sample(key, 0, rows)
    symbols, predicted = np.empty_like(sample.symbols), np.empty_like(sample.predicted)
    sampled, copied = [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        domain.sample(key, 0, rows)
        between = time.perf_counter()
        np.copyto(symbols, sample.symbols)
        np.copyto(predicted, sample.predicted)
        sampled.append(between - begun)
        copied.append(time.perf_counter() - between)
    seconds = statistics.median(sampled)
    return len(sample.symbols) / seconds / 1e6, statistics.median(copied) / seconds


if __name__ == "__main__":
    main()
