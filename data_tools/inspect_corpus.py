"""Shows what a corpus holds and checks every byte of it, or shows what a step of a run was trained on.

    python data_tools/inspect_corpus.py corpora/identity --num_samples 2
    python data_tools/inspect_corpus.py --run runs/half --step 1220

Predicted ids are green (in ⟦ ⟧ where the output is no terminal). Exits 1 at the first damaged block. Of a step it
shows each window: its place, source, epoch, documents (SOURCE ROW, as --skip_documents reads them, and which of their
ids) and text.
"""

import argparse
import json
import sys
from pathlib import Path

from metalang.building.inspection import describe_corpus, show_documents
from metalang.building.tracing import show_step, step_as_json
from metalang.corpus import Corpus
from metalang.errors import ConfigError, reported
from metalang.sizes import counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?", help="folder with a manifest.json")
    parser.add_argument("--run", help="output folder of a run, instead of a corpus; needs --step")
    parser.add_argument("--step", type=int, help="step of the run, as its logs count them: the first is 1")
    parser.add_argument("--json", action="store_true", help="of a step: one JSON value, with all ids, for programs")
    parser.add_argument(
        "--tokenizer", help="to show text: folder, tokenizer.json, .model or hub name (default: the run's)"
    )
    parser.add_argument("--num_samples", type=int, default=3, help="documents to show (default: %(default)s)")
    parser.add_argument("--max_tokens", type=int, default=200, help="tokens to show of each (default: %(default)s)")
    args = parser.parse_args()
    color = sys.stdout.isatty()
    with reported("inspect_corpus"):
        if args.max_tokens < 1:
            raise ConfigError(f"--max_tokens {args.max_tokens} shows nothing; give 1 or more")
        if (args.run is None) != (args.step is None) or (args.run is None) == (args.corpus is None):
            raise ConfigError("give the folder of a corpus, or --run RUN and --step S")
        if args.json and args.run is None:
            raise ConfigError("--json is of a step; give --run RUN and --step S")
        if args.json:
            print(json.dumps(step_as_json(args.run, args.step, args.tokenizer), ensure_ascii=False))
            return
        if args.run:
            print(*show_step(args.run, args.step, args.tokenizer, max_tokens=args.max_tokens, color=color), sep="\n")
            return
        corpus = Corpus(args.corpus)
        print(describe_corpus(corpus))
        for document in show_documents(
            corpus, args.tokenizer, num_samples=args.num_samples, max_tokens=args.max_tokens, color=color
        ):
            print(document)
        corpus.verify()
        print(f"checked: every byte of {counted(len(corpus.manifest.shards), 'shard')} is as it was written")


if __name__ == "__main__":
    main()
