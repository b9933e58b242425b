"""Trains a BPE tokenizer on text, in a folder that transformers' AutoTokenizer loads.

    python data_tools/train_tokenizer.py pydoc: --vocab_size 4096 --output_dir runs/tokenizer
    python data_tools/train_tokenizer.py ru.txt en.txt --kind byte_level --vocab_size 32K \\
        --output_dir runs/byte-level --user_defined_symbols "<author_Tolstoy>" "<sep>"

sentencepiece: SentencePiece BPE; an unknown character becomes its bytes, every digit is alone.
byte_level: Hugging Face byte-level BPE, cut by GPT-2's pattern.
Running it again does nothing when the tokenizer is there; a folder that holds anything else is refused.
"""

import argparse
from pathlib import Path

from metalang.errors import reported
from metalang.sizes import parse_size
from metalang.text.readers import BadLines
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import bytes_per_token, train_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="file or folder of text, hub dataset, pydoc: or pydoc:numpy,pandas")
    parser.add_argument("--vocab_size", required=True, help="ids in all, such as 4096 or 32K")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--kind",
        choices=["sentencepiece", "byte_level"],
        default="sentencepiece",
        help="what to train (default: %(default)s)",
    )
    parser.add_argument("--text_field", default="text", help="key or column of the text (default: %(default)s)")
    parser.add_argument(
        "--sample_by",
        choices=["document", "paragraph", "line"],
        default="document",
        help="what a document of a .txt file is (default: %(default)s)",
    )
    parser.add_argument(
        "--character_coverage",
        type=float,
        help="sentencepiece: share of the characters that get an id of their own; the rest are bytes (default: 0.9995)",
    )
    parser.add_argument("--user_defined_symbols", nargs="*", default=[], help="strings that are always one id")
    parser.add_argument("--max_bytes", default="1B", help="bytes of text to train on at most (default: %(default)s)")
    parser.add_argument(
        "--on_bad_line", choices=["error", "skip"], default="error", help="skip: count them (default: %(default)s)"
    )
    args = parser.parse_args()
    bad_lines = BadLines(skip=args.on_bad_line == "skip")
    with reported("train_tokenizer"):
        sources = [TextSource(name, text_field=args.text_field, sample_by=args.sample_by) for name in args.sources]
        vocab_size = parse_size(args.vocab_size)
        folder = train_tokenizer(
            sources,
            vocab_size=vocab_size,
            output_dir=args.output_dir,
            kind=args.kind,
            character_coverage=args.character_coverage,
            user_defined_symbols=args.user_defined_symbols,
            max_bytes=parse_size(args.max_bytes),
            bad_lines=bad_lines,
        )
        skipped = f", {bad_lines.num_bad:,} bad lines skipped" if bad_lines.num_bad else ""
        print(f"{folder}: {vocab_size:,} ids, {bytes_per_token(folder, sources):.3f} bytes per token{skipped}")


if __name__ == "__main__":
    main()
