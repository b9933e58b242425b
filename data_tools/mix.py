"""Writes a mixture to disk, window by window in the very order in which a run with the same flags reads it.

    python data_tools/mix.py --data_paths corpora/wiki corpora/identity --data_ratios 0.5 0.5 --max_length 1024 \\
        --tokenizer EleutherAI/pythia-14m --num_token 1B --output_dir corpora/half-identity
    python data_tools/mix.py configs/mixtures/dyck_then_english.yaml --max_length 1024 --tokenizer runs/tokenizer \\
        --num_token 1B --output_dir corpora/dyck-then-english

Training on the result (--data_paths corpora/half-identity --data_ratios 1) sees the same tokens in the same order.
"""

import argparse
from pathlib import Path

from metalang.building import MixedBuild, build_corpus
from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.inspection import describe_corpus
from metalang.building.token_mixture import MixtureCorpora, read_token_mixture
from metalang.corpus import Corpus
from metalang.errors import ConfigError, reported
from metalang.mixing import PlanSpec, Stage, model_ids, named_paths, parse_shares
from metalang.mixing.plan import MAX_EPOCHS
from metalang.sizes import parse_size
from metalang.text.tokenizer import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixture", nargs="?", help="file with unit: tokens, in place of paths and ratios")
    parser.add_argument("--data_paths", nargs="+", default=[], help="corpora: FOLDER or NAME=FOLDER")
    parser.add_argument("--data_ratios", nargs="+", default=[], help="share of the tokens of each; they sum to 1")
    parser.add_argument("--tokenizer", required=True, help="the model's: folder, tokenizer.json, .model or hub name")
    parser.add_argument("--max_length", type=int, required=True, help="predicted ids in a window")
    parser.add_argument(
        "--num_token", required=True, help="predicted ids in all, rounded up to windows: 5M, 1.5B, 10_000"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the mixed corpus")
    parser.add_argument(
        "--max_epochs", type=float, help=f"of --data_paths: read at most that often (default: {MAX_EPOCHS:g})"
    )
    parser.add_argument(
        "--cache_dir", type=Path, default=Path("runs/corpora"), help="what MIXTURE is built into (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=42, help="of the order, --seed of a run (default: %(default)s)")
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("mix"):
        num_windows = -(-parse_size(args.num_token) // max(1, args.max_length))
        run = {"length": args.max_length, "num_windows": num_windows, "seed": args.seed}
        if (args.mixture is None) == (not args.data_paths) or bool(args.data_paths) != bool(args.data_ratios):
            raise ConfigError("give a mixture file, or --data_paths with --data_ratios")
        if args.mixture and args.max_epochs is not None:
            raise ConfigError(
                f"--max_epochs {args.max_epochs:g} is of --data_paths; write max_epochs into {args.mixture}"
            )
        if args.mixture is None:
            paths = named_paths(args.data_paths)
            limits = (MAX_EPOCHS if args.max_epochs is None else args.max_epochs,) * len(paths)
            spec = PlanSpec((Stage(parse_shares(args.data_ratios)),), limits, **run)
        else:
            mixture = read_token_mixture(args.mixture)
            corpora = MixtureCorpora(mixture, args.tokenizer, args.cache_dir, executor_of(args))
            paths, spec = tuple(corpora.folders()), mixture.plan_spec(**run)
        ids = model_ids(load_tokenizer(args.tokenizer).id_space, [folder for _, folder in paths])
        build_corpus(MixedBuild(paths, spec, ids), args.output_dir, executor_of(args))
        print(describe_corpus(Corpus(args.output_dir)))


if __name__ == "__main__":
    main()
