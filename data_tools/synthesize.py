"""Writes rows of an artificial language as a corpus of symbols.

    python data_tools/synthesize.py --num_token 5M --data_config configs/domains/identity.json \\
        --output_dir corpora/identity

The corpus belongs to no tokenizer: its symbols become <meta_lang_0>, <meta_lang_1>, ... of the model that it trains.
Running it again does nothing when the corpus is there, and goes on where a killed build stopped.
"""

import argparse
from pathlib import Path

from metalang.building import SyntheticBuild, available_cores, build_corpus
from metalang.building.inspection import describe_corpus
from metalang.corpus import Corpus
from metalang.domains import read_domain
from metalang.errors import reported
from metalang.sizes import parse_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_token", required=True, help="tokens in all, within one row: 5M, 1.5B, 10_000")
    parser.add_argument("--data_config", type=Path, required=True, help="domain spec, .json or .yaml")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--seed", type=int, default=0, help="names the stream of rows (default: %(default)s)")
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        default="train",
        help="each its own stream of rows (default: %(default)s)",
    )
    parser.add_argument(
        "--control",
        choices=["none", "shuffled", "iid_unigram", "iid_uniform"],
        default="none",
        help="the same rows without their structure: tokens shuffled, or drawn anew (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=available_cores(),
        help="processes; the bytes do not depend on it (default: %(default)s)",
    )
    args = parser.parse_args()
    with reported("synthesize"):
        build = SyntheticBuild(
            read_domain(args.data_config),
            num_tokens=parse_size(args.num_token),
            seed=args.seed,
            split=args.split,
            control=args.control,
        )
        build_corpus(build, args.output_dir, workers=args.workers)
        print(describe_corpus(Corpus(args.output_dir)))


if __name__ == "__main__":
    main()
