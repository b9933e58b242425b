"""The formats that a corpus is written in, a class each. `labels` are not shifted: position i holds id i, or -100."""

import gzip
import json
from typing import Protocol

import numpy as np

from metalang.building.conversion.parts import Output, Part
from metalang.corpus.foreign import MASK, TOKENS
from metalang.corpus.layout import index_bytes


class Format(Protocol):
    """A format of another program."""

    keeps_mask: bool
    """Whether its reader is told which ids are predicted."""
    reader: str
    """How a program reads it; {folder}, {dtype} and {id_bytes} are filled in."""
    mask_reader: str
    """What is added where there is a mask."""

    def write(self, part: Part, output: Output) -> None:
        """Writes a shard."""

    def finish(self, count: int, output: Output, *, fingerprint: str) -> None:
        """Writes what belongs to all `count` shards; `fingerprint` names their content."""


class _Shards:
    """A format in which each shard stands alone."""

    mask_reader = ""

    def finish(self, count: int, output: Output, *, fingerprint: str) -> None:
        """Nothing is left to do."""


class Megatron(_Shards):
    """Megatron-LM's indexed dataset, `NNNNN.bin` and `NNNNN.idx`."""

    keeps_mask = False
    reader = 'megatron.core.datasets.indexed_dataset.IndexedDataset("{folder}/00000"), a prefix a shard'

    def write(self, part: Part, output: Output) -> None:
        """Two links."""
        part.put_ids(output, f"{part.stem}.bin")
        part.put_index(output, f"{part.stem}.idx")


class Neox(_Shards):
    """GPT-NeoX's: as Megatron-LM's; where there is a mask, int32 labels beside in `NNNNN_label.bin` and `.idx`."""

    keeps_mask = True
    reader = 'GPT-NeoX: "train_data_paths": ["{folder}/00000"]'
    mask_reader = ', "train_label_data_paths": ["{folder}/00000_label"]'

    def write(self, part: Part, output: Output) -> None:
        """Ids as links, labels written."""
        Megatron().write(part, output)
        if not part.masked:
            return
        with output.written(f"{part.stem}_label.bin") as file:
            for ids, predicted, _ in part.documents():
                file.write(part.labels(ids, predicted).astype("<i4"))
        with output.written(f"{part.stem}_label.idx") as file:
            file.write(index_bytes(np.diff(part.ends, prepend=0), np.dtype("<i4")))


class Datatrove(_Shards):
    """datatrove's tokenized file, `NNNNN.ds` with `.ds.index` and `.ds.metadata`; its readers read no mask."""

    keeps_mask = False
    reader = 'datatrove.utils.dataset.DatatroveFolderDataset("{folder}", seq_len=…, token_size={id_bytes})'

    def write(self, part: Part, output: Output) -> None:
        """Ids as a link, tables written."""
        part.put_ids(output, f"{part.stem}.ds")
        with output.written(f"{part.stem}.ds.index") as file:
            file.write(part.ends.astype("<u8"))
        with output.written(f"{part.stem}.ds.metadata") as file:
            count = part.num_tokens
            file.write(f"{part.ids.tokenizer}|{part.dtype.itemsize}\n{count}\n{count:,} tokens".encode())


class Olmo(_Shards):
    """OLMo-core's arrays: `token_ids_part_NNNNN.npy`, `.csv.gz` and, with a mask, `labels_mask_part_NNNNN.npy`."""

    keeps_mask = True
    reader = (
        'olmo_core.data.NumpyFSLDatasetConfig(…, dtype="{dtype}", expand_glob=True, '
        'paths=["{folder}/token_ids_part_*.npy"])'
    )
    mask_reader = ' and label_mask_paths=["{folder}/labels_mask_part_*.npy"]'

    def write(self, part: Part, output: Output) -> None:
        """Ids and mask as links, borders written."""
        part.put_ids(output, f"{TOKENS}part_{part.stem}.npy")
        if part.masked:
            part.put_mask(output, f"{MASK}part_{part.stem}.npy")
        with output.written(f"{TOKENS}part_{part.stem}.csv.gz") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
                start = 0
                for end in part.ends.tolist():
                    packed.write(f"{start},{end}\n".encode())
                    start = end


class Jsonl(_Shards):
    """A line a document: {"input_ids": […], "labels": […]}, in `NNNNN.jsonl`."""

    keeps_mask = True
    reader = 'datasets.load_dataset("json", data_files="{folder}/*.jsonl")'

    def write(self, part: Part, output: Output) -> None:
        """All of it is written."""
        import orjson

        with output.written(f"{part.stem}.jsonl") as file:
            for ids, predicted, ends in part.documents():
                labels = part.labels(ids, predicted)
                start = 0
                for end in ends.tolist():
                    row = {"input_ids": ids[start:end], "labels": labels[start:end]}
                    file.write(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
                    start = end


class Saved:
    """A folder of `datasets`, as `save_to_disk` writes it: a row a document, `input_ids` and `labels`."""

    keeps_mask = True
    reader = 'datasets.load_from_disk("{folder}")'
    mask_reader = ""

    def write(self, part: Part, output: Output) -> None:
        """An Arrow stream, some million ids a batch."""
        import pyarrow as pa

        rows = pa.list_(pa.int32())
        schema = pa.schema({"input_ids": rows, "labels": rows})
        with output.written(_arrow_name(part.number, part.count)) as file:
            with pa.ipc.new_stream(file, schema) as stream:
                for ids, predicted, ends in part.documents():
                    borders = np.append(0, ends).astype(np.int32)
                    columns = (ids.astype(np.int32), part.labels(ids, predicted))
                    arrays = [pa.ListArray.from_arrays(borders, column) for column in columns]
                    stream.write_batch(pa.record_batch(arrays, schema=schema))

    def finish(self, count: int, output: Output, *, fingerprint: str) -> None:
        """What `load_from_disk` looks for."""
        row = {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"}
        info = {"features": {"input_ids": row, "labels": row}}
        state = {
            "_data_files": [{"filename": _arrow_name(number, count)} for number in range(count)],
            "_fingerprint": fingerprint,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        for name, value in (("dataset_info.json", info), ("state.json", state)):
            with output.written(name) as file:
                file.write(json.dumps(value, indent=2).encode())


FORMATS: dict[str, Format] = {
    "megatron": Megatron(),
    "datatrove": Datatrove(),
    "olmo": Olmo(),
    "neox": Neox(),
    "jsonl": Jsonl(),
    "hf": Saved(),
}


def _arrow_name(number: int, count: int) -> str:
    return f"data-{number:05d}-of-{count:05d}.arrow"
