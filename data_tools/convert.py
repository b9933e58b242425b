"""Gives a corpus to another program, or takes another program's tokens as a corpus. Ids are not copied but linked.

    python data_tools/convert.py corpora/wiki --to olmo --output_dir olmo/wiki
    python data_tools/convert.py megatron/wiki --from megatron --tokenizer EleutherAI/pythia-14m \\
        --output_dir corpora/wiki

--to jsonl and hf write a row a document, input_ids and labels (-100 where an id is only read). Symbols of an artificial
language become the ids of --tokenizer's <meta_lang_i>. Files that are hard links share their bytes with the original:
do not change them in place. Running it again does nothing when all is there.
"""

import argparse
from pathlib import Path

from metalang.building.conversion.exported import export_corpus, export_work
from metalang.building.conversion.formats import FORMATS
from metalang.building.conversion.imported import ImportBuild, import_corpus
from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.inspection import describe_corpus
from metalang.corpus import Corpus, foreign
from metalang.errors import reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="--to: a corpus; --from: a folder of .bin, .ds or .npy, or one file")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--to", choices=list(FORMATS), help="write the corpus in this format")
    way.add_argument("--from", choices=list(foreign.FORMATS), dest="program", help="make a corpus of these files")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder that is made")
    parser.add_argument(
        "--tokenizer",
        help="--from: whose ids they are; --to: the model's, for a corpus of symbols. Any form or hub name",
    )
    parser.add_argument(
        "--num_meta_lang_tokens", type=int, help="symbols of the model (default: as the tokenizer or the corpus has)"
    )
    parser.add_argument("--drop_mask", action="store_true", help="--to: all ids are predicted there (default: off)")
    parser.add_argument(
        "--id_bytes",
        type=int,
        choices=[2, 4],
        help="--from: width of an id, where no file tells it (default: as they say)",
    )
    add_executor_flags(parser)
    args = parser.parse_args()
    if args.program and (args.drop_mask or not args.tokenizer):
        parser.error("--from needs --tokenizer, whose ids they are, and knows no --drop_mask")
    if args.to and args.id_bytes:
        parser.error("--id_bytes belongs to --from: a corpus says how wide its ids are")
    if args.num_meta_lang_tokens is not None and not args.tokenizer:
        parser.error("--num_meta_lang_tokens needs --tokenizer: they stand behind its ids")
    with reported("convert"):
        if args.to:
            work = export_work(
                args.corpus,
                args.to,
                tokenizer=args.tokenizer,
                num_meta_lang_tokens=args.num_meta_lang_tokens,
                drop_mask=args.drop_mask,
            )
            print(export_corpus(work, args.output_dir, executor_of(args)))
        else:
            build = ImportBuild(args.corpus, args.program, args.tokenizer, args.num_meta_lang_tokens, args.id_bytes)
            print(import_corpus(build, args.output_dir, executor_of(args)))
            print(describe_corpus(Corpus(args.output_dir)))


if __name__ == "__main__":
    main()
