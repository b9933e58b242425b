"""A dataset on the Hugging Face hub, streamed: nothing is stored before it is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from metalang.errors import ConfigError
from metalang.text.names import first_line

Place = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class HubDataset:
    """One split of a dataset, by `name`, `name:split` or `name:config:split`; the split is `train` if none is named.

    `commit` of the dataset; None: the newest, which the hub is asked for.
    """

    name: str
    text_field: str
    commit: str | None = None

    def texts(self) -> Iterator[str | None]:
        """The text of each row, in the order of the dataset."""
        return (text for texts, _ in self.batches(1) for text in texts)

    def batches(self, num_rows: int, place: dict[str, Any] | None = None) -> Iterator[tuple[list[str | None], Place]]:
        """Texts of so many rows at a time from a place on (None: the first row), and a call for the place behind them.

        A place is JSON, of this dataset at this `identity`.
        """
        import datasets

        path, config, split = self._parts
        revision = self._revision
        first, state = (place["row"], place["state"]) if place else (0, None)
        try:
            rows = datasets.load_dataset(path, config, split=split, streaming=True, revision=revision)
            if state:
                rows.load_state_dict(state)
            numbered = enumerate(rows, first)
            while batch := [(number, self._text(row, number)) for number, row in islice(numbered, num_rows)]:
                last = batch[-1][0]
                yield [text for _, text in batch], lambda last=last: {"row": last + 1, "state": rows.state_dict()}
        except ConfigError:
            raise
        except Exception as error:  # network, names, formats: datasets raises what its many parts raise
            raise self._not_given(error) from error

    def identity(self) -> dict[str, Any]:
        """The dataset and its commit, None for a folder."""
        return {"dataset": self.name, "revision": self._revision}

    @property
    def _parts(self) -> tuple[str, str | None, str]:
        parts = self.name.split(":")
        if len(parts) > 3 or not all(parts):
            raise ConfigError(f"{self.name!r} is no dataset's name; write NAME, NAME:SPLIT or NAME:CONFIG:SPLIT")
        return parts[0], parts[1] if len(parts) == 3 else None, parts[-1] if len(parts) > 1 else "train"

    @cached_property
    def _revision(self) -> str | None:
        from huggingface_hub import HfApi

        if self.commit is not None or Path(self._parts[0]).is_dir():
            return self.commit
        try:
            return HfApi().dataset_info(self._parts[0]).sha
        except (
            Exception
        ) as error:  # no network, no such name, no leave: asked once here, datasets would ask for a minute
            raise self._not_given(error) from error

    def _not_given(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self.name!r} is nothing on this disk, and the hub did not give it ({first_line(error)}); give a "
            "file, a folder, or a dataset as NAME, NAME:SPLIT or NAME:CONFIG:SPLIT"
        )

    def _text(self, row: dict[str, Any], number: int) -> str | None:
        if self.text_field not in row:
            columns = ", ".join(row)
            raise ConfigError(
                f"{self.name!r} has no column {self.text_field!r}; its columns: {columns} (see --text_field)"
            )
        text = row[self.text_field]
        if not (text is None or isinstance(text, str)):
            kind = type(text).__name__
            raise ConfigError(
                f"{self.name!r} row {number:,}: {self.text_field!r} is no string but {kind} (see --text_field)"
            )
        return text
