"""Fetches a well-known data set: resumed where it was cut, checked against a hash where one is known.

    python data_tools/download.py --dataset tinyshakespeare --output_dir data/tinyshakespeare

OUTPUT_DIR appears when all of it is there; until then the work lies in OUTPUT_DIR.part. Running it again does nothing
when the folder is there, and goes on where it stopped. On a machine without a network, --from takes files that were
fetched elsewhere, with the same checks: one of the files, or a folder of all (for the .jsonl: a clone of the hub's
dataset, or any file of text, such as a .parquet).

The data sets:
"""

import argparse
from pathlib import Path

from metalang.building.download import download
from metalang.building.known import catalogue, dataset_named
from metalang.errors import reported


def main() -> None:
    description = f"{__doc__}{catalogue()}"
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="a name from above")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--from", dest="given", type=Path, metavar="FILE", help="file or folder to take it from (default: the network)"
    )
    args = parser.parse_args()
    with reported("download"):
        record = download(dataset_named(args.dataset), args.output_dir, given=args.given)
        print(f"{args.output_dir}: {record.dataset}, licence: {record.licence}")
        for name, file in record.files.items():
            print(f"  {name}: {file.bytes:,} bytes, sha256 {file.sha256}")


if __name__ == "__main__":
    main()
