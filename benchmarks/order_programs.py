"""What bench_order.py runs, each in a process of its own: `order_programs.py PROGRAM FOLDER LENGTH BATCH WINDOWS SEED`.

It opens a corpus, reads as many windows to warm up, then `WINDOWS` windows in a random order, and prints the seconds
that those took. A program imports what it needs and no more: peers live in .venv-interop.
"""

import json
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace


def memmap(folder, length, batch, seed):
    """The limit: slices of NumPy memory maps, cast to int64, in random places."""
    import numpy as np

    maps = [np.memmap(path, dtype=np.uint16, mode="r") for path in sorted(folder.glob("*.bin"))]
    random = np.random.default_rng(seed)

    def read(first, last):
        count = last - first
        which, places = random.integers(0, len(maps), count).tolist(), random.random(count)
        starts = (places * (len(maps[0]) - length - 1)).astype(int).tolist()
        for shard, start in zip(which, starts, strict=True):
            maps[shard][start : start + length].astype(np.int64)

    return read


def _plan(folder, length, seed):
    from metalang.corpus import Corpus
    from metalang.mixing import Plan, Source, Stage

    ids = Corpus(folder).manifest.ids
    return Plan([Source("text", folder, ids, length=length)], [Stage((1,))], length=length, seed=seed)


def plan(folder, length, batch, seed):
    """Plan.read: ids in int64, mask and source of each window, a batch at a time."""
    read_by = _plan(folder, length, seed).read

    def read(first, last):
        for start in range(first, last, batch):
            read_by(range(start, start + batch))

    return read


def dataset(folder, length, batch, seed, workers=0):
    """PlanDataset in torch's DataLoader: batches of inputs and labels."""
    from torch.utils.data import DataLoader, Subset

    from metalang.training.dataset import PlanDataset

    windows = PlanDataset(_plan(folder, length, seed), 10**9)

    def read(first, last):
        for _ in DataLoader(Subset(windows, range(first, last)), batch_size=batch, num_workers=workers):
            pass

    return read


def dataset_2(folder, length, batch, seed):
    """The same, with two loader workers."""
    return dataset(folder, length, batch, seed, workers=2)


def megatron(folder, length, batch, seed):
    """megatron-core's GPTDataset over our own .bin and .idx, one by one in its shuffled order."""
    import numpy as np
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split

    tokenizer = SimpleNamespace(unique_identifiers={"class": "none"}, eod=0, pad=1, vocab_size=50_304)
    config = GPTDatasetConfig(
        random_seed=seed, sequence_length=length, blend=([str(folder / "00000")], None), split="100,0,0",
        tokenizer=tokenizer, reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False,
        create_attention_mask=False, path_to_cache=str(folder / "cache"), mmap_bin_files=True,
    )  # fmt: skip
    indexed = IndexedDataset(str(folder / "00000"))
    documents = np.arange(len(indexed.sequence_lengths), dtype=np.int32)
    windows = GPTDataset(indexed, str(folder / "00000"), documents, None, Split.train, config)

    def read(first, last):
        for index in range(first, last):
            windows[index % len(windows)]

    return read


def datatrove(folder, length, batch, seed):
    """datatrove's DatatroveFolderDataset over the same ids, one by one in its shuffled order."""
    from datatrove.utils.dataset import DatatroveFolderDataset

    windows = DatatroveFolderDataset(str(folder / "ds"), seq_len=length, token_size=2, shuffle=True, seed=seed)

    def read(first, last):
        for index in range(first, last):
            windows[index % len(windows)]

    return read


def litdata(folder, length, batch, seed):
    """litdata's StreamingDataset with TokensLoader over chunks of its own, one by one in its shuffled order."""
    from litdata import StreamingDataset, TokensLoader

    windows = StreamingDataset(
        input_dir=str(folder / "litdata"), item_loader=TokensLoader(block_size=length + 1), shuffle=True, seed=seed
    )

    def read(first, last):
        count = 0
        while count < last - first:
            for _ in windows:
                count += 1
                if count == last - first:
                    return

    return read


def _parts(path, start):
    import numpy as np
    import torch

    yield torch.from_numpy(np.memmap(path, dtype=np.uint16, mode="r")[start : start + 2**20].astype(np.int32))


def write_litdata(folder):
    """The ids of a corpus as litdata's own chunks."""
    from litdata import TokensLoader, optimize

    path = folder / "00000.bin"
    optimize(
        partial(_parts, path), list(range(0, path.stat().st_size // 2, 2**20)), output_dir=str(folder / "litdata"),
        chunk_size=2**23, num_workers=1, item_loader=TokensLoader(),
    )  # fmt: skip


PROGRAMS = {each.__name__: each for each in (memmap, plan, dataset, dataset_2, megatron, datatrove, litdata)}


def main():
    warnings.simplefilter("ignore")
    if sys.argv[1] == "write_litdata":
        write_litdata(Path(sys.argv[2]))
        return
    name, folder, length, batch, windows, seed = sys.argv[1:]
    read = PROGRAMS[name](Path(folder), int(length), int(batch), int(seed))
    count = int(windows)
    read(0, count)
    begun = time.perf_counter()
    read(0, count)
    print(json.dumps(time.perf_counter() - begun))


if __name__ == "__main__":
    main()
