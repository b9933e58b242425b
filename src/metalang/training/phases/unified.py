"""One dataset class for all phases of training, over a file of JSON lines."""

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.text.tokenizer import fingerprint_of
from metalang.training.phases.chat import with_chat_template
from metalang.training.phases.encoders import PHASES
from metalang.training.phases.jsonl import JsonRows

logger = logging.getLogger(__name__)


class UnifiedDataset(Dataset):
    """Rows of a JSON file as tensors, tokenized when they are asked for. A row has at most `max_length` ids.

    `pretrain` and `sft` give `(X, Y, loss_mask)`, each one shorter than the row, Y one id ahead of X; `dpo` gives a
    dict of `prompt_ids`, `chosen_ids`, `rejected_ids` and the `_mask` of each; `ppo` and `rlaif` give `input_ids` and
    `attention_mask` of a prompt. A plain `DataLoader` gets batches padded to their longest row: right, prompts left.

    `on_bad_line`: "error" raises ConfigError, with file and line, when a bad row is read; "skip" reads all rows at once
    and leaves out, and counts, those that are bad.

    >>> import json, tempfile
    >>> from transformers import PreTrainedTokenizerFast
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "</s>": 3}, unk_token="a"))
    >>> words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>")
    >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
    ...     print(json.dumps({"text": "a b c"}), file=file, flush=True)
    ...     X, Y, loss_mask = UnifiedDataset(file.name, tokenizer, max_length=16)[0]
    >>> X.tolist(), Y.tolist(), loss_mask.tolist()
    ([0, 1, 2], [1, 2, 3], [True, True, True])
    """

    def __init__(
        self,
        data_path: str | Path,
        tokenizer: Any,
        max_length: int = 512,
        phase: str = "pretrain",
        *,
        text_field: str = "text",
        on_bad_line: str = "error",
    ) -> None:
        if phase not in PHASES:
            raise ConfigError(f"phase is {phase!r}; it can be {', '.join(PHASES)}")
        if max_length < 2:
            raise ConfigError(f"max_length {max_length} leaves nothing to predict; give 2 or more, such as 512")
        if on_bad_line not in ("error", "skip"):
            raise ConfigError(f"on_bad_line is {on_bad_line!r}; it can be error, skip")
        self.tokenizer = with_chat_template(tokenizer)
        """A copy of the tokenizer, with the chat template that is used."""
        self._names = (phase, max_length, text_field)
        self._encoder = PHASES[phase](self.tokenizer, max_length, text_field)
        self._rows = JsonRows(data_path)
        self._kept = np.array(list(self._good_rows()), dtype=np.int64) if on_bad_line == "skip" else None
        if self.num_bad:
            logger.warning(
                "%s: %s of %s rows are bad and left out", data_path, f"{self.num_bad:,}", f"{len(self._rows):,}"
            )
        if not len(self):
            raise ConfigError(f'{data_path} has no row that the phase {phase} can read; on_bad_line="error" says why')

    @property
    def num_bad(self) -> int:
        """Rows that were left out."""
        return 0 if self._kept is None else len(self._rows) - len(self._kept)

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of each row, (n,) int64: a measure of its length that needs no tokenizer."""
        return self._rows.sizes if self._kept is None else self._rows.sizes[self._kept]

    @property
    def content_hash(self) -> str:
        """Names the bytes of the file."""
        return self._rows.content_hash

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the rows: file, tokenizer, chat template, phase and length."""
        ids = fingerprint_of(self.tokenizer.backend_tokenizer.to_str(), self.tokenizer.eos_token)
        template = self.tokenizer.get_chat_template()
        return digest_of([self.content_hash, ids, template, *self._names, self.num_bad])[:16]

    def __len__(self) -> int:
        return len(self._rows) if self._kept is None else len(self._kept)

    def __getitem__(self, index: int) -> Any:
        return self._read(index, self._encoder.encode)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The rows of a batch, padded to the longest of them."""
        return self._encoder.pad([self[int(index)] for index in indices])

    def check(self) -> None:
        """Reads all rows, without tokenizing them. Raises ConfigError at the first that is bad."""
        for index in range(len(self)):
            self._read(index, self._encoder.check)

    def for_trl(self, cache_dir: str | Path | None = None) -> Any:
        """The same rows as a `datasets.Dataset`, the only class that TRL's trainers take; kept on disk, mapped.

        `pretrain` and `sft`: `input_ids` and `labels`; `dpo`: `prompt`, `chosen`, `rejected`; `ppo`, `rlaif`: `prompt`,
        as turns or strings, which TRL tokenizes with `processing_class=dataset.tokenizer` to the same ids.
        """
        from datasets import Dataset as Table

        cache = None if cache_dir is None else str(cache_dir)
        return Table.from_generator(self._columns, cache_dir=cache, fingerprint=self.fingerprint)

    def _columns(self) -> Iterator[dict[str, Any]]:
        for index in range(len(self)):
            yield self._read(index, self._encoder.columns)

    def _read(self, index: int, use: Any) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index:,} of {len(self):,}")
        place = index % len(self)
        row = place if self._kept is None else int(self._kept[place])
        try:
            return use(self._rows.read(row))
        except ValueError as error:
            raise ConfigError(
                f'{self._rows.place(row)}: {error}. Mend it, or leave such rows out (on_bad_line "skip")'
            ) from None

    def _good_rows(self) -> Iterator[int]:
        for row in range(len(self._rows)):
            try:
                self._encoder.check(self._rows.read(row))
            except ValueError:
                continue
            yield row
