"""Flags: which tokens, in which shares."""

from dataclasses import dataclass, field
from typing import Literal

from metalang.building.text_mixture import holds_out
from metalang.building.token_mixture import is_token_mixture, read_token_mixture
from metalang.errors import ConfigError
from metalang.mixing.plan import MAX_EPOCHS


@dataclass
class DataArguments:
    """Which tokens, in which shares."""

    _argument_group_name = "the data"

    data_paths: list[str] = field(
        default_factory=list,
        metadata={
            "help": "what is trained on: corpora, raw text (.txt, .jsonl, .csv, .parquet, hub dataset), mixtures of "
            "texts (.yaml), folders of generate_tiny_dataset.py; NAME=PATH allowed"
        },
    )
    data_ratios: list[str] = field(
        default_factory=list, metadata={"help": "share of the tokens of each of --data_paths; they sum to 1"}
    )
    data_config: str | None = field(
        default=None,
        metadata={
            "help": "a mixture (.yaml), made on the way where it is not; its validation part is evaluated on. With "
            "unit: tokens corpora, texts and domains, in stages (docs/order.md); else texts (docs/data.md)"
        },
    )
    prepared_data: str | None = field(
        default=None, metadata={"help": "a prepared .jsonl: short for --data_paths FILE --data_ratios 1"}
    )
    nl_eval_data_path: list[str] = field(
        default_factory=list,
        metadata={
            "help": "natural language to evaluate on (.yaml: the validation part; in --phase sft: conversations); "
            "NAME=PATH allowed"
        },
    )
    phase: Literal["pretrain", "sft"] = field(
        default="pretrain",
        metadata={
            "help": "pretrain: windows of a mixture; sft: one .jsonl of conversations as --data_paths, loss on what "
            "the assistant says"
        },
    )
    max_length: int = field(default=1024, metadata={"help": "predicted ids in a window"})
    document_boundaries: Literal["ignore", "reset_positions", "mask"] = field(
        default="ignore",
        metadata={
            "help": "ignore: a window is one text; reset_positions: positions begin anew at each document; mask: and "
            "no id sees another document"
        },
    )
    max_epochs: float = field(
        default=MAX_EPOCHS,
        metadata={
            "help": "a source may be read at most that often; up to 4 epochs are nearly as good as new data "
            "(Muennighoff et al. 2023, arXiv 2305.16264, abstract)"
        },
    )
    skip_steps: list[str] = field(
        default_factory=list,
        metadata={"help": "steps of the plan that are left out, such as 1200-1250 1300; the other ones follow in turn"},
    )
    skip_documents: str | None = field(
        default=None,
        metadata={
            "help": "file that names documents, SOURCE ROW a line, whose ids are read and not predicted; "
            "inspect_corpus.py --run shows what to write"
        },
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "encode raw text of --data_paths (files, http addresses, hub datasets) while the run reads it, in "
            "its order, without a copy on disk; every rank reads all of it. Left out, it is tokenized first: then its "
            "windows are permuted, and a resume costs nothing"
        },
    )
    verify_reads: bool = field(
        default=False,
        metadata={
            "help": "compare each 16 MiB of a corpus with its hash when they are first read; a run ends at a fault"
        },
    )
    text_field: str = field(default="text", metadata={"help": "field of raw .jsonl and .parquet that holds the text"})
    sample_by: Literal["document", "paragraph", "line"] = field(
        default="document",
        metadata={"help": "what a document of a raw .txt file is: the file, a blank-line separated part, a line"},
    )
    on_bad_line: Literal["error", "skip"] = field(
        default="error", metadata={"help": "what a damaged line of raw text does; skip: count them"}
    )
    tokenizer_backend: Literal["auto", "reference"] = field(
        default="auto",
        metadata={
            "help": "auto: raw text goes through gigatoken where a check finds the same ids; reference: tokenizers"
        },
    )

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"--max_length {self.max_length} holds no token; give 1 or more, such as 1024")
        if not self.max_epochs > 0:
            raise ConfigError(f"--max_epochs {self.max_epochs} reads nothing; give more than 0, such as 1")
        if self.phase != "pretrain" and (self.skip_steps or self.skip_documents):
            raise ConfigError(
                f"--phase {self.phase} reads rows, and --skip_steps and --skip_documents are of windows; leave them out"
            )
        given = [bool(self.data_paths), self.data_config is not None, self.prepared_data is not None]
        if sum(given) != 1:
            raise ConfigError(
                f"{sum(given)} of --data_paths, --data_config and --prepared_data are given; give one of them "
                "(--data_paths may name a mixture's .yaml among others)"
            )
        self._check_shares()
        if short := self.data_config or self.prepared_data:
            self.data_paths, self.data_ratios = [short], ["1"]
        if self.data_config and _holds_out(self.data_config):
            self.nl_eval_data_path = [*self.nl_eval_data_path, self.data_config]

    def _check_shares(self) -> None:
        if self.data_paths and not self.data_ratios:
            raise ConfigError("--data_paths needs --data_ratios: the share of the tokens of each path, such as 0.5 0.5")
        if self.data_ratios and not self.data_paths:
            raise ConfigError(
                f"--data_ratios {' '.join(self.data_ratios)} is of --data_paths; leave it out: a mixture names its own"
            )
        if self.data_config and self.max_epochs != MAX_EPOCHS and is_token_mixture(self.data_config):
            raise ConfigError(
                f"--max_epochs {self.max_epochs:g} is of --data_paths; write max_epochs into {self.data_config}"
            )


def _holds_out(path: str) -> bool:
    """Whether a mixture has a validation part."""
    if is_token_mixture(path):
        return read_token_mixture(path).validation.ratio > 0
    return holds_out(path)
