"""Reads and writes token files by their own programs: `python readers.py read|write FORMAT FOLDER`, in .venv-interop.

`read` prints JSON: the ids of the folder joined, and what else its reader tells. `write` makes a folder by the
program's own writer, of the documents that come as JSON on stdin.
"""

import json
import sys
from itertools import chain
from pathlib import Path


def read_megatron(folder):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    found = {}
    for index in sorted(folder.glob("*.idx")):
        dataset = IndexedDataset(str(index.with_suffix("")))
        kind = "labels" if index.stem.endswith("_label") else "documents"
        found.setdefault(kind, []).extend(dataset[number].tolist() for number in range(len(dataset)))
        found.setdefault(f"num_{kind}", []).append(len(dataset.document_indices) - 1)
    return found


def read_datatrove(folder):
    from datatrove.utils.dataset import DatatroveFolderDataset

    width = int(next(folder.glob("*.metadata")).read_text().splitlines()[0].rsplit("|", 1)[1])
    dataset = DatatroveFolderDataset(str(folder), seq_len=0, token_size=width)
    window = min(128, *(path.stat().st_size // width for path in folder.glob("*.ds")))
    whole = DatatroveFolderDataset(str(folder), seq_len=window - 1, token_size=width, return_positions=True)
    return {
        "ids": [int(dataset[number]["input_ids"]) for number in range(len(dataset))],
        "positions": whole[0]["positions"].tolist(),
    }


def read_olmo(folder):
    from olmo_core.data import NumpyFSLDatasetConfig, TokenizerConfig
    from olmo_core.data.utils import get_document_indices, get_labels

    record = json.loads((folder / "conversion.json").read_text())
    tokenizer = TokenizerConfig(vocab_size=record["vocab_size"], eos_token_id=record["ids"]["eos_id"], pad_token_id=1)
    masks = [str(folder / "labels_mask_part_*.npy")] if any(folder.glob("labels_mask_*")) else None
    dataset = NumpyFSLDatasetConfig(
        tokenizer=tokenizer,
        sequence_length=1,
        paths=[str(folder / "token_ids_part_*.npy")],
        label_mask_paths=masks,
        expand_glob=True,
        dtype=record["dtype"].replace("int32", "uint32"),
        work_dir=str(folder.parent / "work"),
    ).build()
    dataset.prepare()
    rows = [dataset[number] for number in range(len(dataset))]
    import torch

    batch = {key: torch.cat([row[key] for row in rows])[None] for key in rows[0] if key in ("input_ids", "label_mask")}
    return {
        "ids": batch["input_ids"][0].tolist(),
        "mask": batch["label_mask"][0].tolist() if masks else None,
        "next_labels": get_labels(batch)[0].tolist(),
        "documents": [get_document_indices(path) for path in sorted(folder.glob("token_ids_part_*.npy"))],
    }


def read_hf(folder):
    import datasets

    rows = datasets.load_from_disk(str(folder))
    return {"documents": rows["input_ids"][:], "labels": rows["labels"][:]}


def read_jsonl(folder):
    import datasets

    rows = datasets.load_dataset(
        "json", data_files=str(folder / "*.jsonl"), split="train", cache_dir=str(folder.parent / "cache")
    )
    return {"documents": rows["input_ids"][:], "labels": rows["labels"][:]}


def write_megatron(folder, shards):
    import numpy as np
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    for number, shard in enumerate(shards):
        builder = IndexedDatasetBuilder(str(folder / f"part{number}.bin"), dtype=np.uint16)
        for ids in shard["documents"]:
            builder.add_item(torch.tensor(ids[:1]))
            builder.add_item(torch.tensor(ids[1:]))
            builder.end_document()
        builder.finalize(str(folder / f"part{number}.idx"))


def write_datatrove(folder, shards):
    import numpy as np
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    for number, shard in enumerate(shards):
        file = TokenizedFile(
            str(folder), f"{number:05d}_shuffled.ds", save_loss_metadata=True, save_final_metadata=True
        )
        for ids, mask in zip(shard["documents"], shard["masks"], strict=True):
            file.write(ids, np.array(mask, dtype=bool))
        file.close()


def write_olmo(folder, shards):
    import numpy as np
    from olmo_core.data.utils import write_array_to_disk, write_document_indices

    for number, shard in enumerate(shards):
        path = folder / f"token_ids_part_{number:04d}.npy"
        write_array_to_disk(np.array(list(chain(*shard["documents"])), dtype=np.uint16), path)
        write_array_to_disk(
            np.array(list(chain(*shard["masks"])), dtype=bool), folder / path.name.replace("token_ids", "labels_mask")
        )
        write_document_indices(path, dtype=np.uint16, eos_token_id=0)


def main():
    action, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if action == "write":
        folder.mkdir(parents=True)
        globals()[f"write_{name}"](folder, json.load(sys.stdin))
        return
    print(json.dumps(globals()[f"read_{name}"](folder)))


if __name__ == "__main__":
    main()
