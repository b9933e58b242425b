"""Writes a mixture to disk, window by window in the very order in which a run with the same flags reads it.

    python data_tools/mix.py --data_paths corpora/wiki corpora/identity --data_ratios 0.5 0.5 --max_length 1024 \\
        --tokenizer EleutherAI/pythia-14m --num_token 1B --output_dir corpora/half-identity

Training on the result (--data_paths corpora/half-identity --data_ratios 1) sees the same tokens in the same order.
"""

import argparse
from pathlib import Path

from metalang.building import MixedBuild, build_corpus
from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.inspection import describe_corpus
from metalang.corpus import Corpus
from metalang.errors import reported
from metalang.mixing import model_ids, named_paths, parse_shares
from metalang.sizes import parse_size
from metalang.text.tokenizer import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_paths", nargs="+", required=True, help="corpora: FOLDER or NAME=FOLDER")
    parser.add_argument("--data_ratios", nargs="+", required=True, help="share of the tokens of each; they sum to 1")
    parser.add_argument("--tokenizer", required=True, help="the model's: folder, tokenizer.json, .model or hub name")
    parser.add_argument("--max_length", type=int, required=True, help="predicted ids in a window")
    parser.add_argument(
        "--num_token", required=True, help="predicted ids in all, rounded up to windows: 5M, 1.5B, 10_000"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the mixed corpus")
    parser.add_argument(
        "--max_epochs", type=float, default=4.0, help="a source is read at most that often (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=42, help="of the order, --seed of a run (default: %(default)s)")
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("mix"):
        paths = named_paths(args.data_paths)
        build = MixedBuild(
            paths=paths,
            shares=parse_shares(args.data_ratios),
            ids=model_ids(load_tokenizer(args.tokenizer).id_space, [folder for _, folder in paths]),
            window_length=args.max_length,
            num_windows=-(-parse_size(args.num_token) // max(1, args.max_length)),
            max_epochs=args.max_epochs,
            seed=args.seed,
        )
        build_corpus(build, args.output_dir, executor_of(args))
        print(describe_corpus(Corpus(args.output_dir)))


if __name__ == "__main__":
    main()
