"""A corpus in the format of another program. `conversion.json` says what it is, and is written last."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from metalang.building.conversion.formats import FORMATS
from metalang.building.conversion.parts import Output, Part, shards_of
from metalang.building.executors import Count, Executor
from metalang.building.units import Entry, Stats, make
from metalang.corpus import Corpus
from metalang.digests import digest_of
from metalang.errors import ConfigError, CorpusError
from metalang.files import is_as, read_json, write_json
from metalang.ids import IdSpace
from metalang.mixing import model_ids
from metalang.sizes import counted
from metalang.specs import Spec, as_spec
from metalang.text.tokenizer import load_tokenizer

RECORD = "conversion.json"


class Record(Spec):
    """What a converted folder holds: of which corpus, in whose ids; `linked` are the files that share their bytes."""

    format: Literal["metalang-conversion"] = "metalang-conversion"
    version: Literal[1] = 1
    to: str
    corpus: str
    ids: IdSpace
    vocab_size: int
    dtype: str
    num_tokens: int
    num_documents: int
    num_predicted: int
    spec: dict[str, Any]
    files: dict[str, dict[str, Any]]
    linked: tuple[str, ...]


@dataclass(frozen=True)
class ExportWork:
    """A corpus in a format of `FORMATS`, in the ids of a model, as work in units: a unit is a shard."""

    folder: Path
    to: str
    ids: IdSpace
    drop_mask: bool = False
    manifest_name: str = RECORD
    measure: str = "tokens"

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus, opened; what is read of it is verified."""
        return Corpus(self.folder, verify_reads=True)

    @property
    def masked(self) -> bool:
        """Whether some ids are only read, and that is kept."""
        manifest = self.corpus.manifest
        return not self.drop_mask and manifest.num_predicted < manifest.num_tokens

    @property
    def spec(self) -> dict[str, Any]:
        """JSON of all that the bytes depend on."""
        shards = shards_of(self.corpus)
        hashes = [
            [shard.files[part].hash for part in ("bin", "idx", "loss") if part in shard.files] for shard in shards
        ]
        return {
            "kind": "export",
            "to": self.to,
            "corpus": self.corpus.manifest.content_hash,
            "shards": hashes,
            "masked": self.masked,
            "tokenizer": self.ids.tokenizer,
            "text_size": self.ids.text_size,
            "dtype": self.part(0).dtype.name,
        }

    @property
    def num_units(self) -> int:
        """Shards that hold tokens."""
        return len(shards_of(self.corpus))

    @property
    def total(self) -> int:
        """Ids in all."""
        return self.corpus.num_tokens

    def write(self, unit: int, folder: Path, count: Count) -> tuple[Entry, Stats]:
        """Writes a shard."""
        part, output = self.part(unit), Output(folder)
        FORMATS[self.to].write(part, output)
        count(part.num_tokens)
        return {"num_tokens": part.num_tokens, "files": output.files, "linked": output.linked}, {}

    def verify(self, folder: Path, entry: Entry) -> None:
        """Raises CorpusError unless the files of a shard are as they were written."""
        for name, file in entry["files"].items():
            if not is_as(folder / name, file):
                raise CorpusError(f"{folder / name} is not the file that was written; convert again")

    def files(self, entry: Entry) -> list[str]:
        """The names of a shard's files."""
        return list(entry["files"])

    def size(self, entry: Entry) -> int:
        """Ids of a shard."""
        return entry["num_tokens"]

    def publish(self, folder: Path, entries: list[Entry], stats: Stats) -> Record:
        """Writes what belongs to all shards, and the record last."""
        manifest, output = self.corpus.manifest, Output(folder)
        FORMATS[self.to].finish(len(entries), output, fingerprint=digest_of(self.spec)[:16])
        record = Record(
            to=self.to,
            corpus=manifest.content_hash,
            ids=self.ids,
            vocab_size=self.ids.vocab_size,
            dtype=self.part(0).dtype.name,
            num_tokens=manifest.num_tokens,
            num_documents=manifest.num_documents,
            num_predicted=manifest.num_predicted if self.masked else manifest.num_tokens,
            spec=self.spec,
            files={
                name: file
                for files in (*(entry["files"] for entry in entries), output.files)
                for name, file in files.items()
            },
            linked=tuple(name for entry in entries for name in entry["linked"]),
        )
        write_json(folder / RECORD, record.model_dump(mode="json"))
        return record

    def read(self, folder: Path) -> tuple[dict[str, Any], Record]:
        """The spec of what is finished in a folder, and its record."""
        record = as_spec(Record, read_json(folder / RECORD), str(folder / RECORD))
        return record.spec, record

    def part(self, number: int) -> Part:
        """A shard as the writers of formats see it."""
        return Part(self.corpus, number, self.num_units, self.ids, self.masked)


def export_work(
    folder: str | Path, to: str, *, tokenizer: str | None, num_meta_lang_tokens: int | None, drop_mask: bool
) -> ExportWork:
    """The conversion of a corpus. Raises ConfigError where the format cannot hold what the corpus says."""
    corpus = Corpus(folder)
    work = ExportWork(Path(folder), to, _target_ids(corpus, tokenizer, num_meta_lang_tokens), drop_mask)
    if work.masked and not FORMATS[to].keeps_mask:
        keepers = ", ".join(name for name, format in FORMATS.items() if format.keeps_mask)
        raise ConfigError(
            f"{to} has no place for the mask of {folder}, which predicts {corpus.manifest.num_predicted:,} of "
            f"{corpus.num_tokens:,} ids; take {keepers}, or give --drop_mask to train on all ids there"
        )
    return work


def export_corpus(work: ExportWork, output_dir: str | Path, executor: Executor) -> str:
    """Writes the conversion, or finishes it, and says what was linked, what was written, and how it is read."""
    folder = Path(output_dir)
    record = make(work, folder, executor)
    width, target = work.part(0).dtype.itemsize, FORMATS[work.to]
    template = target.reader + (target.mask_reader if work.masked else "")
    reader = template.format(folder=folder, dtype=f"uint{8 * width}", id_bytes=width)
    dropped = " (the mask is dropped)" if record.num_predicted > work.corpus.manifest.num_predicted else ""
    return (
        f"{folder}: {counted(record.num_tokens, 'token')} in {counted(record.num_documents, 'document')} for "
        f"{work.to}, {counted(record.num_predicted, 'token')} predicted{dropped}\n"
        f"  {len(record.linked)} of {len(record.files)} files are hard links to the corpus, "
        f"{len(record.files) - len(record.linked)} were written\n"
        f"  ids of {record.dtype}, 0 to {record.vocab_size - 1:,}, EOS {record.ids.eos_id}\n"
        f"  read it by {reader}"
    )


def _target_ids(corpus: Corpus, tokenizer: str | None, num_meta_lang_tokens: int | None) -> IdSpace:
    """The ids that are written: those of a corpus of text; a model's for symbols, which have no number elsewhere."""
    own = corpus.manifest.ids
    if tokenizer is None and own.tokenizer is None:
        raise ConfigError(
            f"{corpus.folder} holds symbols, which are nobody's ids yet; give the model's --tokenizer (and "
            "--num_meta_lang_tokens), and symbol i becomes its <meta_lang_i>"
        )
    if tokenizer is None:
        return own
    loaded = load_tokenizer(tokenizer)
    if num_meta_lang_tokens is None:
        ids = model_ids(loaded.id_space, [corpus.folder])
    else:
        ids = loaded.with_meta_tokens(num_meta_lang_tokens).id_space
    ids.require(own, str(corpus.folder))
    return ids if own.tokenizer is None else own
