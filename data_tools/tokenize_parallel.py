"""Makes of prepared pairs what a model trains on, and the tokenizer that keeps each of their tags as one id.

    python data_tools/tokenize_parallel.py runs/news --tokenizer EleutherAI/pythia-14m --output_dir runs/news-causal
    python data_tools/tokenize_parallel.py runs/news runs/tales --form seq2seq --tokenizer T --output_dir runs/seq2seq

FOLDER is what prepare_parallel.py wrote; several, with other tags, are read one after the other.
causal: the corpora OUTPUT/train and OUTPUT/val, of documents `text <sep> translation EOS`. Translation and EOS are
predicted, the rest is only read. A pair that spells the separator is left out and counted.
seq2seq: OUTPUT/rows/train.jsonl and val.jsonl, lines {"input_ids": [...], "labels": [...]}, each ended by EOS, not
padded; read them with datasets.load_dataset("json", ...), pad them with transformers' DataCollatorForSeq2Seq.
Both write OUTPUT/tokenizer: the given one with what it lacks of tags, separator and (seq2seq) a padding token.
Running it again does nothing when all is there.
"""

import argparse
from pathlib import Path

from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.parallel import ParallelCorpora, tokenize_parallel
from metalang.errors import reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="what prepare_parallel.py wrote")
    parser.add_argument("--tokenizer", required=True, help="folder, tokenizer.json, SentencePiece .model or hub name")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--form", choices=["causal", "seq2seq"], default="causal", help="of the model (default: %(default)s)"
    )
    parser.add_argument("--direction", help="ru-en, en-ru or both (default: from source to target)")
    parser.add_argument("--separator", default="<sep>", help="causal: the token between the texts (default: <sep>)")
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("tokenize_parallel"):
        corpora = ParallelCorpora(tuple(args.folders), args.tokenizer, args.form, args.direction, args.separator)
        print(tokenize_parallel(corpora, args.output_dir, executor_of(args)))


if __name__ == "__main__":
    main()
