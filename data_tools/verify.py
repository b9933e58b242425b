"""Finds out whether a corpus is as it was written: its manifest, ids, mask, index and table of documents.

    python data_tools/verify.py corpora/identity --sample 1%

Reads every byte, or with --sample a random part. Exits 1 at the first fault and names the file and the bytes.
"""

import argparse
from pathlib import Path

from metalang.building.executors import available_cores
from metalang.building.verification import verify_corpus
from metalang.errors import reported
from metalang.sizes import parse_percent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.replace("%", "%%"), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="folder with a manifest.json")
    parser.add_argument(
        "--sample", default="100%", help="part of the blocks of 16 MiB that is read, one at least (default: 100%%)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the part (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), help="files at a time (default: the cores of this machine)"
    )
    args = parser.parse_args()
    with reported("verify"):
        print(verify_corpus(args.corpus, share=parse_percent(args.sample), seed=args.seed, workers=args.workers))


if __name__ == "__main__":
    main()
