"""Writes a tiny data set for quick work: ten template sentences with numbers, tokenized and padded.

    python data_tools/generate_tiny_dataset.py --cache-dir runs/tiny --train-samples 1000 --val-samples 100 \\
        --test-samples 50 --max-length 1024

makes runs/tiny/synthetic_tiny_train_bs1024_wrapped.dat, ..._validation_... and ..._test_..., which datasets'
load_from_disk reads (input_ids and attention_mask, torch tensors) and which train/pretrain.py takes as --data_paths. A
sample has 50 to 200 ids, EOS included. Running it again does nothing when the folders are there.
Without a network give --tokenizer a folder; one of vocab.json and merges.txt needs a tokenizer_config.json beside
them that says {"tokenizer_class": "GPT2Tokenizer"}.
"""

import argparse
from pathlib import Path

from metalang.building.tiny import TinyDataset, write_tiny_dataset
from metalang.errors import reported
from metalang.text.tokenizer import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache-dir", type=Path, required=True, help="folder in which the three folders are made")
    parser.add_argument("--train-samples", type=int, default=1000, help="samples of train (default: %(default)s)")
    parser.add_argument("--val-samples", type=int, default=100, help="samples of validation (default: %(default)s)")
    parser.add_argument("--test-samples", type=int, default=50, help="samples of test (default: %(default)s)")
    parser.add_argument(
        "--max-length", type=int, default=1024, help="ids of a row, padding included (default: %(default)s)"
    )
    parser.add_argument(
        "--tokenizer",
        default="gpt2",
        help="folder, tokenizer.json, SentencePiece .model or hub name (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="names the samples (default: %(default)s)")
    args = parser.parse_args()
    with reported("generate_tiny_dataset"):
        tiny = TinyDataset(load_tokenizer(args.tokenizer), max_length=args.max_length, seed=args.seed)
        records = write_tiny_dataset(tiny, args.cache_dir, (args.train_samples, args.val_samples, args.test_samples))
        for folder, record in records.items():
            print(
                f"{folder}: {record.num_documents:,} samples of {record.shortest} to {record.longest} ids, "
                f"{record.num_tokens:,} in all, padded to {args.max_length:,}, tokenizer {record.ids.tokenizer}"
            )


if __name__ == "__main__":
    main()
