"""Shows what a corpus holds and checks every byte of it.

    python data_tools/inspect_corpus.py corpora/identity --num_samples 2

Predicted ids are green (in ⟦ ⟧ where the output is no terminal). Exits 1 at the first damaged block.
"""

import argparse
import sys
from pathlib import Path

from metalang.building.inspection import describe_corpus, show_documents
from metalang.corpus import Corpus
from metalang.errors import ConfigError, reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with a manifest.json")
    parser.add_argument("--tokenizer", help="to show text: folder, tokenizer.json, .model or hub name")
    parser.add_argument("--num_samples", type=int, default=3, help="documents to show (default: %(default)s)")
    parser.add_argument("--max_tokens", type=int, default=200, help="tokens to show of each (default: %(default)s)")
    args = parser.parse_args()
    with reported("inspect_corpus"):
        if args.max_tokens < 1:
            raise ConfigError(f"--max_tokens {args.max_tokens} shows nothing; give 1 or more")
        corpus = Corpus(args.corpus)
        print(describe_corpus(corpus))
        for document in show_documents(
            corpus,
            args.tokenizer,
            num_samples=args.num_samples,
            max_tokens=args.max_tokens,
            color=sys.stdout.isatty(),
        ):
            print(document)
        corpus.verify()
        print(f"checked: all {len(corpus.manifest.shards)} shards are as they were written")


if __name__ == "__main__":
    main()
