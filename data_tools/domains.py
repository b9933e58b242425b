"""Shows which artificial languages there are, and checks corpora of them.

python data_tools/domains.py list
python data_tools/domains.py show identity
python data_tools/domains.py check corpora/identity/train
python data_tools/domains.py plot corpora/identity/train corpora/english --output both.png
"""

import argparse
import json
from pathlib import Path

from metalang.building.catalogue import check_rows, domain_document, domain_page, domain_table
from metalang.building.dataset import dataset_schema
from metalang.building.plots import plot_corpora
from metalang.corpus import Corpus
from metalang.errors import reported
from metalang.mixing import named_paths
from metalang.sizes import parse_size

PRESETS = Path(__file__).parents[1] / "configs/domains"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", type=Path, default=PRESETS, help="folder of specs (default: configs/domains)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="a line a preset")
    show = commands.add_parser("show", help="the definition of a type, its parameters, its first rows")
    show.add_argument("type", help="such as identity")
    show.add_argument("--num_rows", type=int, default=3, help="rows to draw (default: %(default)s)")
    commands.add_parser("document", help="docs/domains.md, from the docstrings")
    commands.add_parser("schema", help="docs/dataset.schema.json, the JSON schema of all specs")
    check = commands.add_parser("check", help="runs every row of a corpus through its domain's check")
    check.add_argument("corpus", type=Path, help="folder with a manifest.json")
    plot = commands.add_parser("plot", help="a picture of one corpus or of several, side by side")
    plot.add_argument("corpora", nargs="+", metavar="[NAME=]CORPUS", help="folders with a manifest.json")
    plot.add_argument("--output", type=Path, default=Path("corpora.png"), help="PNG file (default: %(default)s)")
    plot.add_argument("--max_tokens", default="5M", help="ids to read of each corpus (default: %(default)s)")
    args = parser.parse_args()
    with reported("domains"):
        if args.command == "list":
            print(domain_table(args.presets))
        elif args.command == "show":
            print(domain_page(args.type, args.presets, num_rows=args.num_rows))
        elif args.command == "document":
            print(domain_document(args.presets))
        elif args.command == "schema":
            print(json.dumps(dataset_schema(), indent=1))
        elif args.command == "plot":
            plot_corpora(named_paths(args.corpora, "plot"), args.output, max_tokens=parse_size(args.max_tokens))
            print(args.output)
        else:
            print(f"checked: all {check_rows(Corpus(args.corpus)):,} rows are as their domain defines them")


if __name__ == "__main__":
    main()
