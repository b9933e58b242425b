"""How fast the kernel of each preset makes rows and masks on one core, beside a memory copy: `make bench-domains`.

A preset and the copy run in turn, five times; medians are shown. The first call is shown by itself: it compiles the
kernel, or reads it from the cache on disk. `--clear_cache` compiles all of them again.
"""

import argparse
import shutil
import statistics
import time
from pathlib import Path

import numba
import numpy as np

from metalang.domains import read_domain

ROUNDS = 5
TOKENS = 2_000_000
PRESETS = Path(__file__).parents[1] / "configs/domains"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", help="names of presets (default: all)")
    parser.add_argument("--clear_cache", action="store_true", help="compile every kernel again")
    args = parser.parse_args()
    if args.clear_cache:
        shutil.rmtree(numba.config.CACHE_DIR, ignore_errors=True)
    print(f"{'preset':36} {'Mtok/s':>8}  ratio to a copy   first call")
    for path in sorted(PRESETS.glob("*.json")):
        if not args.presets or path.stem in args.presets:
            speed, ratio, first = _speed(path)
            print(f"{path.stem:36} {speed:8.{speed < 10:d}f}  {ratio:15.3f}  {first:8.2f} s", flush=True)


def _speed(path: Path) -> tuple[float, float, float]:
    """Millions of tokens a second, the ratio to copying their bytes, and the seconds of the first call."""
    domain = read_domain(path)
    key = domain.key(0, "train")
    begun = time.perf_counter()
    per_row = domain.sample(key, 0, 64).ends[-1] / 64
    first = time.perf_counter() - begun
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
    return len(sample.symbols) / seconds / 1e6, statistics.median(copied) / seconds, first


if __name__ == "__main__":
    main()
