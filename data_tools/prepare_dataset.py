"""Prepares a mixture of texts: one JSONL file for each split, and with a tokenizer the corpora of them.

    python data_tools/prepare_dataset.py --mixture_config configs/mixtures/english.yaml --output_dir runs/prepared

writes runs/prepared/<phase>_<mixture>_train.jsonl and _val.jsonl, a line {"text": ..., "source": ...} a document, and
beside each what was read, refused and written. Running it again does nothing, or goes on where a killed one stopped.
"""

import argparse
import json
import sys
from pathlib import Path

from metalang.building.executors import add_executor_flags, executor_of
from metalang.building.prepared import prepare
from metalang.building.text_mixture import DatasetMixer
from metalang.errors import reported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixture_config", type=Path, required=True, help="mixture, .yaml or .json")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the prepared files")
    parser.add_argument("--cache_dir", type=Path, help="folder of filtered sources (default: OUTPUT_DIR/pools)")
    parser.add_argument("--tokenizer", help="folder, file or hub name; then corpora are made, too")
    parser.add_argument(
        "--on_bad_line",
        choices=["error", "skip"],
        default="error",
        help="what an unreadable line does; skip: count it (default: %(default)s)",
    )
    parser.add_argument("--keep_rejected", action="store_true", help="write refused documents with the reason")
    parser.add_argument(
        "--check", action="store_true", help="list all faults of the mixture, and read nothing; ends with 1 for any"
    )
    add_executor_flags(parser)
    args = parser.parse_args()
    with reported("prepare_dataset"):
        if args.check:
            found = DatasetMixer.from_yaml(args.mixture_config).validate_mixture()
            print(json.dumps(found, indent=2))
            sys.exit(not found["is_valid"])
        print(
            prepare(
                args.mixture_config,
                args.output_dir,
                cache_dir=args.cache_dir,
                tokenizer=args.tokenizer,
                skip_bad_lines=args.on_bad_line == "skip",
                keep_rejected=args.keep_rejected,
                executor=executor_of(args),
            )
        )


if __name__ == "__main__":
    main()
