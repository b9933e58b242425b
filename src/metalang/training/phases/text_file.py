"""Sliding windows over one text file, memory-mapped: its bytes, or its ids under a tokenizer."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from metalang.building import TextBuild, build_corpus
from metalang.corpus import Corpus
from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.text.sources import TextSource

CACHE = "tokenized"


class TextDataset(Dataset):
    """`(x, y)` of each place of a text: `sequence_length` ids from there, and the same one id on; int64, (L,) each.

    Without a tokenizer an id is a byte, 0 to 255. With one (a folder, a tokenizer.json, a SentencePiece .model or a hub
    name) the text is tokenized once, into a corpus in `cache_dir` (default: `tokenized` beside the file), with an EOS
    at its end.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".txt") as file:
    ...     _ = file.write(b"abcd"), file.flush()
    ...     dataset = TextDataset(file.name, sequence_length=2)
    ...     len(dataset), [part.tolist() for part in dataset[1]]
    (2, [[98, 99], [99, 100]])
    """

    def __init__(
        self,
        path: str | Path,
        sequence_length: int,
        *,
        tokenizer: str | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if sequence_length < 1:
            raise ConfigError(f"sequence_length {sequence_length} holds no id; give 1 or more, such as 256")
        path = Path(path)
        if not path.is_file():
            raise ConfigError(f"{path} {'is a folder' if path.exists() else 'does not exist'}; give one text file")
        cache = path.parent / CACHE if cache_dir is None else Path(cache_dir)
        self._ids = _Bytes(path) if tokenizer is None else _Tokens(_tokenized(path, tokenizer, cache))
        self.sequence_length = sequence_length
        if self.num_ids <= sequence_length:
            raise ConfigError(
                f"{path} holds {self.num_ids:,} ids and a window takes {sequence_length + 1:,}; give a longer text, or "
                "a smaller sequence_length"
            )

    @property
    def num_ids(self) -> int:
        """Ids of the whole text."""
        return self._ids.num_ids

    def __len__(self) -> int:
        return self.num_ids - self.sequence_length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index:,} of {len(self):,}")
        start = index % len(self)
        ids = torch.from_numpy(self._ids.read(start, start + self.sequence_length + 1).astype(np.int64))
        return ids[:-1], ids[1:]


class _Bytes:
    """A file as it lies on disk. Pickled, for a loader's worker, it is mapped anew there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.num_ids = path.stat().st_size
        self._map = np.memmap(path, dtype=np.uint8, mode="r") if self.num_ids else np.empty(0, dtype=np.uint8)

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return _Bytes, (self._path,)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._map[start:stop]


class _Tokens:
    """The ids of a corpus. Pickled, it is mapped anew."""

    def __init__(self, folder: Path) -> None:
        self._corpus = Corpus(folder)
        self.num_ids = self._corpus.num_tokens

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return _Tokens, (self._corpus.folder,)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._corpus.read(start, stop)[0]


def _tokenized(path: Path, tokenizer: str, cache: Path) -> Path:
    """The corpus of a text, built where it is not there yet."""
    build = TextBuild(TextSource(str(path)), tokenizer)
    folder = cache / digest_of(build.spec)[:16]
    build_corpus(build, folder)
    return folder
