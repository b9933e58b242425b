"""Tokenizes text into a corpus.

    python data_tools/tokenize_text.py wiki.jsonl --tokenizer EleutherAI/pythia-14m --output_dir corpora/wiki

SOURCE is a file or folder of .txt, .jsonl(.gz/.zst), .csv or .parquet, a hub dataset (streamed), or pydoc: (the
English of Python's own language reference; pydoc:numpy,pandas adds the docstrings of installed packages).
A held-out part: once with --split train, once with --split validation, both with the same --validation_ratio.
Running it again does nothing when the corpus is there, and goes on where a killed build stopped.
"""

import argparse
from pathlib import Path

from metalang.building import TextBuild, build_corpus
from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.inspection import describe_corpus
from metalang.corpus import Corpus
from metalang.errors import reported
from metalang.text.sources import TextSource


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="file, folder, hub dataset or pydoc:")
    parser.add_argument("--tokenizer", required=True, help="folder, tokenizer.json, SentencePiece .model or hub name")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--text_field", default="text", help="field of .jsonl and .parquet (default: %(default)s)")
    parser.add_argument(
        "--sample_by",
        choices=["document", "paragraph", "line"],
        default="document",
        help="what a document of a .txt file is: the file, a blank-line separated part, a line (default: %(default)s)",
    )
    parser.add_argument(
        "--on_bad_line", choices=["error", "skip"], default="error", help="skip: count them (default: %(default)s)"
    )
    parser.add_argument(
        "--split",
        choices=["all", "train", "validation"],
        default="all",
        help="documents to take (default: %(default)s)",
    )
    parser.add_argument(
        "--validation_ratio", type=float, default=0.0, help="share of the validation documents (default: %(default)s)"
    )
    parser.add_argument(
        "--tokenizer_backend",
        choices=["auto", "reference"],
        default="auto",
        help="auto: gigatoken where a check finds the same ids; reference: always tokenizers (default: %(default)s)",
    )
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("tokenize_text"):
        build = TextBuild(
            TextSource(args.source, text_field=args.text_field, sample_by=args.sample_by),
            args.tokenizer,
            split=args.split,
            validation_ratio=args.validation_ratio,
            skip_bad_lines=args.on_bad_line == "skip",
            tokenizer_backend=args.tokenizer_backend,
        )
        build_corpus(build, args.output_dir, executor_of(args))
        print(describe_corpus(Corpus(args.output_dir)))


if __name__ == "__main__":
    main()
