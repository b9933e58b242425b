"""The data sets that `data_tools/download.py` knows: where they are to be had, their size and licence."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from metalang.building.fetching import RemoteFile
from metalang.building.hub_lines import HubSplit
from metalang.errors import ConfigError

_PYTORCH = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2"
_CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare"


class Part(Protocol):
    """A file of a data set: where it is to be had, and its name on disk."""

    name: str

    def fetch(self, folder: Path) -> None: ...

    def is_in(self, given: Path) -> bool: ...

    def take(self, given: Path, folder: Path) -> None: ...


@dataclass(frozen=True)
class KnownDataset:
    """A data set; `train_share` cuts its one text file into train.txt and val.txt."""

    name: str
    about: str
    size: str
    licence: str
    parts: tuple[Part, ...]
    train_share: float | None = None


DATASETS = (
    KnownDataset(
        "tinyshakespeare",
        "plays of Shakespeare, cut 90/10 into train.txt and val.txt",
        "1.1 MB",
        "public domain",
        (
            RemoteFile(
                "input.txt",
                f"{_CHAR_RNN}/input.txt",
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
        train_share=0.9,
    ),
    KnownDataset(
        "wikitext-2",
        "articles of Wikipedia as words with <unk>: train.txt, valid.txt, test.txt",
        "13 MB",
        "CC BY-SA 3.0",
        (
            RemoteFile("train.txt", f"{_PYTORCH}/train.txt"),
            RemoteFile(
                "valid.txt",
                f"{_PYTORCH}/valid.txt",
                "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            ),
            RemoteFile(
                "test.txt",
                f"{_PYTORCH}/test.txt",
                "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            ),
        ),
    ),
    KnownDataset(
        "tinystories",
        "stories in the words of small children: train.jsonl, validation.jsonl",
        "1.9 GB",
        "CDLA-Sharing-1.0",
        (
            HubSplit("train.jsonl", "roneneldan/TinyStories", "train"),
            HubSplit("validation.jsonl", "roneneldan/TinyStories", "validation"),
        ),
    ),
    KnownDataset(
        "lm1b",
        "single sentences of news, shuffled: train.jsonl, test.jsonl",
        "4.3 GB",
        "none stated",
        (HubSplit("train.jsonl", "dvruette/lm1b", "train"), HubSplit("test.jsonl", "dvruette/lm1b", "test")),
    ),
    KnownDataset(
        "openwebtext",
        "pages that Reddit linked to: train.jsonl",
        "about 40 GB",
        "CC0 1.0 for the collection; the pages are their authors'",
        (HubSplit("train.jsonl", "Skylion007/openwebtext", "train"),),
    ),
)


def dataset_named(name: str) -> KnownDataset:
    """The data set of a name. Raises ConfigError that names the nearest one."""
    known = {dataset.name: dataset for dataset in DATASETS}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"--dataset {name!r} is not known here; {hint}the names are {', '.join(known)}")
    return known[name]


def catalogue() -> str:
    """All data sets, two lines each: name, size, licence; what it is."""
    return "\n".join(
        f"  {each.name:<16} {each.size}; licence: {each.licence}\n{'':<19}{each.about}" for each in DATASETS
    )
