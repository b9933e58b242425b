"""Cleans, splits and tags parallel text: pairs of a text and its translation.

    python data_tools/prepare_parallel.py rus.txt eng.txt --output_dir runs/news --author NTREX --year 2019
    python data_tools/prepare_parallel.py pairs.jsonl --fields translation.ru translation.en --output_dir runs/pairs
    python data_tools/prepare_parallel.py corpora/ --source_lang de --target_lang en --output_dir runs/de-en

INPUT is two text files (line n of the second translates line n of the first), or any number of .tsv files, .jsonl files
and folders of all these; in a folder, text files tell their language by their names (news.ru.txt, news.en.txt). Any may
be packed (.gz, .zst). Written are train_ru.txt, train_en.txt, val_ru.txt, val_en.txt, whose lines stay aligned, and
dataset_stats.json, which counts what was left out by its reason. White space within a text, newlines too, becomes one
space. A pair belongs to val by its hash: neither its place nor a duplicate decides. With --author, --city or --year
each line begins with <author_NAME> <city_CITY> <year_YEAR>; white space in a name becomes _.
Running it again does nothing when the folder is there. Next: data_tools/tokenize_parallel.py.
"""

import argparse
from pathlib import Path

from metalang.building.parallel import (
    Cleaning,
    PairSource,
    ParallelText,
    Provenance,
    describe_pairs,
    language,
    prepare_parallel,
)
from metalang.errors import reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="source and target text file, or .tsv, .jsonl and folders")
    add("--output_dir", type=Path, required=True, help="folder to make")
    add("--source_lang", default="ru", help="ISO 639 code of the first text's language (default: %(default)s)")
    add("--target_lang", default="en", help="ISO 639 code of the second text's language (default: %(default)s)")
    add("--fields", nargs=2, metavar=("SOURCE", "TARGET"), help="default: the codes in .jsonl, columns 1 2 in .tsv")
    add("--author", help="name in the tag <author_NAME> (default: no such tag)")
    add("--city", help="name in the tag <city_CITY> (default: no such tag)")
    add("--year", help="number in the tag <year_YEAR> (default: no such tag)")
    add("--normalization", choices=["nfc", "nfkc", "none"], default="nfc", help="of Unicode (default: %(default)s)")
    add("--min_characters", type=int, default=1, help="of the shorter text (default: %(default)s)")
    add("--max_characters", type=int, default=1000, help="of the longer text (default: %(default)s)")
    add("--max_length_ratio", type=float, default=3.0, help="longer by shorter, in characters (default: %(default)s)")
    add("--min_script_share", type=float, default=0.5, help="letters in the right script (default: %(default)s)")
    add(
        "--unique_by", choices=["pair", "source", "target", "none"], default="pair", help="no two alike (default: pair)"
    )
    add("--val_ratio", type=float, default=0.1, help="share of the pairs in val (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    add("--keep_rejected", action="store_true", help="write what is left out to rejected.jsonl, with reasons")
    add("--on_bad_line", choices=["error", "skip"], default="error", help="skip: count them (default: %(default)s)")
    args = parser.parse_args()
    with reported("prepare_parallel"):
        source, target = language(args.source_lang), language(args.target_lang)
        limits = (args.min_characters, args.max_characters, args.max_length_ratio, args.min_script_share)
        text = ParallelText(
            PairSource(tuple(args.inputs), source, target, args.fields and tuple(args.fields)),
            Cleaning(source, target, args.normalization, *limits),
            Provenance(args.author, args.city, args.year),
            unique_by=args.unique_by,
            val_ratio=args.val_ratio,
            seed=args.seed,
            skip_bad_lines=args.on_bad_line == "skip",
            keep_rejected=args.keep_rejected,
        )
        print(describe_pairs(prepare_parallel(text, args.output_dir), args.output_dir))


if __name__ == "__main__":
    main()
