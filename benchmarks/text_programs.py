"""The programs that `bench_text.py` runs beside ours: `text_programs.py NAME JSONL TOKENIZER_JSON OUTPUT_FOLDER`.

Each imports what it needs and no more: a whole process is measured, its start included.
"""

import json
import sys
from pathlib import Path


def bare(source: Path, tokenizer: str, output: Path) -> None:
    """What has to be done at the least: parse, encode by gigatoken on one core, write ids and ends."""
    import gigatoken
    import numpy as np

    encoder = gigatoken.Tokenizer(tokenizer)
    with open(source, "rb") as file:
        texts = [json.loads(line)["text"] for line in file]
    rows = encoder.encode_batch(texts, parallel=False).layout
    np.save(output / "ids", rows.content.data.astype(np.uint16))
    np.save(output / "ends", rows.offsets.data)


def encode_batch(source: Path, tokenizer: str, output: Path) -> None:
    """The same by the library that all others are measured against."""
    import numpy as np
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(tokenizer)
    with open(source, "rb") as file:
        texts = [json.loads(line)["text"] for line in file]
    rows = [encoding.ids for encoding in encoder.encode_batch(texts, add_special_tokens=False)]
    np.save(output / "ids", np.concatenate([np.array(row, dtype=np.uint16) for row in rows]))
    np.save(output / "ends", np.cumsum([len(row) for row in rows]))


def datatrove(source: Path, tokenizer: str, output: Path) -> None:
    """datatrove's tokens pipeline, one task, documents left in their order."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    steps = [
        JsonlReader(str(source.parent), glob_pattern=source.name),
        DocumentTokenizer(str(output), tokenizer, eos_token="<|endoftext|>", shuffle_documents=False),
    ]
    LocalPipelineExecutor(steps, logging_dir=str(output / "logs")).run()


if __name__ == "__main__":
    program = {"bare": bare, "encode_batch": encode_batch, "datatrove": datatrove}[sys.argv[1]]
    program(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
