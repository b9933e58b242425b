"""From prepared folders to what a model trains on: its tokenizer, and corpora or rows of both splits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metalang.building.corpora import build_corpus
from metalang.building.executors import Executor
from metalang.building.inspection import describe_corpus
from metalang.building.parallel.causal import ParallelBuild
from metalang.building.parallel.directions import DirectedPairs
from metalang.building.parallel.folder import SPLITS, ParallelFolder
from metalang.building.parallel.seq2seq import write_seq2seq
from metalang.building.parallel.tokens import parallel_tokenizer
from metalang.corpus import Corpus
from metalang.errors import ConfigError

Form = Literal["causal", "seq2seq"]


@dataclass(frozen=True)
class ParallelCorpora:
    """What is made of prepared folders. `direction` None: from the source language to the target language."""

    folders: tuple[str, ...]
    tokenizer: str
    form: Form = "causal"
    direction: str | None = None
    separator: str = "<sep>"

    def __post_init__(self) -> None:
        if not self.separator or self.separator.split() != [self.separator]:
            raise ConfigError(f"--separator {self.separator!r} is empty or holds a space; give such as <sep>")

        paths = [Path(path).resolve() for path in self.folders]
        twice = [name for name, path in zip(self.folders, paths, strict=True) if paths.count(path) > 1]
        if twice:
            raise ConfigError(f"{twice[0]} is named twice; name each folder once")

    @property
    def splits(self) -> list[DirectedPairs]:
        """The pairs of each split, directed."""
        direction = self.direction or "-".join(ParallelFolder(Path(self.folders[0])).languages)
        return [DirectedPairs(self.folders, split, direction) for split in SPLITS]

    @property
    def tags(self) -> list[str]:
        """All tags of the folders, each once."""
        return list(dict.fromkeys(tag for path in self.folders for tag in ParallelFolder(Path(path)).stats["tags"]))


def tokenize_parallel(corpora: ParallelCorpora, output_dir: Path, executor: Executor | None = None) -> str:
    """Writes OUTPUT/tokenizer, in which every tag is one id, and beside it what the form asks for; returns a report.

    "causal": the corpora OUTPUT/train and OUTPUT/val. "seq2seq": OUTPUT/rows/train.jsonl and val.jsonl. What is
    finished stays; raises ConfigError for a folder that holds anything else.
    """
    splits, tags = corpora.splits, corpora.tags
    separator = corpora.separator if corpora.form == "causal" else None
    folder = output_dir / "tokenizer"
    tokenizer = parallel_tokenizer(corpora.tokenizer, tags, separator=separator, folder=folder)
    lines = [
        f"{folder}: {tokenizer.text_size:,} ids, tokenizer {tokenizer.fingerprint}, {len(tags)} tags of one id each"
    ]
    if corpora.form == "seq2seq":
        rows = write_seq2seq(splits, tokenizer, output_dir / "rows")
        return "\n".join([*lines, *(_describe_rows(output_dir / "rows", pairs.split, rows) for pairs in splits)])
    for pairs in splits:
        build_corpus(ParallelBuild(pairs, str(folder), corpora.separator), output_dir / pairs.split, executor)
        lines.append(describe_corpus(Corpus(output_dir / pairs.split)))
    return "\n".join(lines)


def _describe_rows(folder: Path, split: str, stats: dict[str, Any]) -> str:
    counts = stats[split]
    return (
        f"{folder / split}.jsonl: {counts['rows']:,} rows, {counts['input_tokens']:,} ids to read, "
        f"{counts['label_tokens']:,} to predict"
    )
