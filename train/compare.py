"""Puts runs beside a baseline: one HTML page, a PNG for each loss, and tables (CSV).

    python train/compare.py runs/baseline runs/dyck-first runs/shuffled --baseline runs/baseline --output_dir comparison

A run is its --output_dir; runs/baseline may also hold a run for each seed (runs/baseline/seed-0, ...). What wandb left
in <output_dir>/wandb, its .wandb files and wandb:ENTITY/PROJECT/RUN (RUN is the id) are runs as well. Runs that differ
in their seed alone are drawn as one, with the spread between seeds. Losses that were not measured on the same text in
the same tokens are not put beside each other; bits a byte are.
"""

import argparse

from metalang.errors import reported
from metalang.sizes import parse_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="what is compared")
    parser.add_argument("--baseline", required=True, metavar="RUN", help="what all others are compared with")
    parser.add_argument("--output_dir", required=True, help="where index.html, PNGs and CSVs are written")
    parser.add_argument(
        "--metric", help="a loss, or eval_NAME_bits_per_byte (default: the first evaluation of all runs)"
    )
    parser.add_argument("--half_life", help="of the smoothing, in tokens: 10M (default: a fiftieth of the baseline's)")
    parser.add_argument("--title", default="Runs compared", help="heading of the page (default: %(default)s)")
    args = parser.parse_args()
    with reported("compare"):
        from metalang.comparison import compare

        half_life = None if args.half_life is None else float(parse_size(args.half_life, what="--half_life"))
        more = {"metric": args.metric, "half_life": half_life, "title": args.title}
        print(compare(args.runs, baseline=args.baseline, output_dir=args.output_dir, **more))


if __name__ == "__main__":
    main()
