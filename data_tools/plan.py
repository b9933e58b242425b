"""Shows what a run would read: each stage and source, tokens, predicted tokens, epochs; refuses what is impossible.

    python data_tools/plan.py configs/mixtures/dyck_then_english.yaml --tokenizer runs/tokenizer --max_length 1024 \\
        --num_token 1B

Sources that are no corpora yet are built into --cache_dir, where training and mix.py with the same folder find them.
"""

import argparse
import json
from pathlib import Path

from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.plan_report import describe_plan, plan_value
from metalang.building.token_mixture import MixtureCorpora, read_token_mixture
from metalang.errors import reported
from metalang.mixing import model_ids
from metalang.sizes import parse_size
from metalang.text.tokenizer import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixture", help="file with unit: tokens, see docs/order.md")
    parser.add_argument("--tokenizer", required=True, help="the model's: folder, tokenizer.json, .model or hub name")
    parser.add_argument("--max_length", type=int, required=True, help="predicted ids in a window")
    parser.add_argument("--num_token", required=True, help="predicted ids of the run, rounded up to windows: 5M, 1.5B")
    parser.add_argument("--cache_dir", type=Path, default=Path("runs/corpora"), help="corpora (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="of the order, --seed of a run (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("plan"):
        mixture = read_token_mixture(args.mixture)
        folders = MixtureCorpora(mixture, args.tokenizer, args.cache_dir, executor_of(args)).folders()
        ids = model_ids(load_tokenizer(args.tokenizer).id_space, [folder for _, folder in folders])
        num_windows = -(-parse_size(args.num_token) // max(1, args.max_length))
        plan = mixture.plan_spec(length=args.max_length, num_windows=num_windows, seed=args.seed).plan(folders, ids)
        print(json.dumps(plan_value(plan, num_windows), indent=2) if args.json else describe_plan(plan, num_windows))


if __name__ == "__main__":
    main()
