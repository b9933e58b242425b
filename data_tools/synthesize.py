"""Writes rows of artificial languages as corpora of symbols: OUTPUT_DIR/train, /validation and /test.

    python data_tools/synthesize.py --num_token 5M --data_config configs/domains/identity.json \\
        --output_dir corpora/identity

The file describes a domain (configs/domains/) or a dataset of several (configs/datasets/). A corpus belongs to no
tokenizer: its symbols become <meta_lang_0>, <meta_lang_1>, ... of the model that it trains. Running it again does
nothing when the corpora are there, and goes on where a killed build stopped.
"""

import argparse
from pathlib import Path

from metalang.building import build_corpus, read_dataset, synthetic_builds
from metalang.building.corpora import require_room
from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.inspection import describe_corpus
from metalang.corpus import Corpus
from metalang.errors import reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_token", help="tokens in all, within one row: 5M, 1.5B, 10_000 (default: the file's)")
    parser.add_argument("--data_config", type=Path, required=True, help="domain or dataset, .json or .yaml")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--seed", type=int, help="names the stream of rows (default: the file's, or 0)")
    parser.add_argument(
        "--split_ratio",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the tokens; 1 0 0 writes train alone (default: the file's, or 0.8 0.1 0.1)",
    )
    parser.add_argument(
        "--control",
        choices=["none", "shuffled", "iid_unigram", "iid_uniform"],
        help="the same rows without their structure: tokens shuffled, or drawn anew (default: the file's, or none)",
    )
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("synthesize"):
        dataset = read_dataset(
            args.data_config,
            num_token=args.num_token,
            seed=args.seed,
            control=args.control,
            split_ratio=args.split_ratio,
        )
        builds = synthetic_builds(dataset)
        for build in builds:
            require_room(build, args.output_dir / build.split)
        for build in builds:
            build_corpus(build, args.output_dir / build.split, executor_of(args))
            print(describe_corpus(Corpus(args.output_dir / build.split)))


if __name__ == "__main__":
    main()
