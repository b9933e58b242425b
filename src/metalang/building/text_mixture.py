"""A mixture of texts, from one YAML file: which sources, filtered how, in which shares of documents."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from tqdm import tqdm

from metalang.building.executors import Executor, LocalExecutor, available_cores
from metalang.building.pools import Pool, PoolWork
from metalang.building.selection import Chosen, Selection
from metalang.building.units import make
from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.files import alone, entry_of, is_as, is_locked, make_folder, read_json, write_json, written
from metalang.mixing import parse_shares
from metalang.specs import Size, Spec, as_spec, faults_of, read_config
from metalang.text.filters import AnyFilter
from metalang.text.near_duplicates import MinHash, near_duplicate_lines
from metalang.text.readers import SAMPLE_BY
from metalang.text.sources import TextSource

SPLIT_SUFFIXES = {"train": "train", "validation": "val"}
"""How the names of prepared files end."""

POOLS = "pools"
"""Where pools are kept beside what is prepared from them, unless another `cache_dir` is named."""


class Metadata(Spec):
    """`phase` begins the names of prepared files; `seed` names the order of their lines."""

    phase: str = Field(default="mixture", pattern=r"^[A-Za-z0-9_-]+$")
    seed: int = 0


class TextPart(Spec):
    """A source of a mixture: at most its first `max_samples` documents, `mix_ratio` of all lines.

    `filters` are applied in their order, each to what the one before it has left.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    source: str
    text_field: str = "text"
    sample_by: str = "document"
    mix_ratio: float = Field(gt=0.0)
    max_samples: Size | None = Field(default=None, ge=1)
    filters: tuple[AnyFilter, ...] = ()


class Validation(Spec):
    """The share of documents that is held out."""

    ratio: float = Field(default=0.0, ge=0.0, lt=1.0)


class Deduplicate(Spec):
    """Equal texts are kept once, always; with `near` so are texts that MinHash finds alike, the first of them."""

    near: MinHash | None = None


class TextMixture(Spec):
    """A mixture of texts in shares of documents. A source that is short is read again, at most `max_epochs` times."""

    metadata: Metadata = Metadata()
    unit: Literal["samples"] = "samples"
    datasets: tuple[TextPart, ...]
    validation: Validation = Validation()
    deduplicate: Deduplicate = Deduplicate()
    max_epochs: float = Field(default=4.0, gt=0.0)

    @model_validator(mode="after")
    def _has_parts(self):
        if not self.datasets:
            raise ValueError("datasets is empty; give a source or more")
        return self


@dataclass(frozen=True)
class DatasetMixer:
    """Prepares the mixture that a YAML file describes, as one JSONL file for each split."""

    path: Path
    value: Any
    skip_bad_lines: bool = False
    keep_rejected: bool = False

    @staticmethod
    def from_yaml(path: str | Path, **settings: Any) -> "DatasetMixer":
        """The mixer of a YAML (or JSON) file. Raises ConfigError where it does not parse; see `validate_mixture`."""
        return DatasetMixer(Path(path), read_config(path), **settings)

    def validate_mixture(self) -> dict[str, Any]:
        """`is_valid`, `total_ratio`, `num_datasets` and all `errors` at once; reads no text of the sources."""
        errors = faults_of(TextMixture, self.value)
        parts = _parts(self.value)
        ratios = [ratio for part in parts if (ratio := _number(part.get("mix_ratio"))) is not None]
        for check in (
            *([lambda: parse_shares(ratios, "mix_ratio")] if 0 < len(parts) == len(ratios) else []),
            lambda: _require_names(parts),
            *(lambda part=part: _open_source(part) for part in parts),
            *(lambda part=part: _open_filters(part) for part in parts),
        ):
            errors += _faults_of(check)
        return {
            "is_valid": not errors,
            "total_ratio": round(sum(ratios), 6),
            "num_datasets": len(parts),
            "errors": errors,
        }

    @property
    def name(self) -> str:
        """How the prepared files begin: the phase and the name of the mixture's file."""
        return f"{self.mixture.metadata.phase}_{self.path.stem}"

    @cached_property
    def mixture(self) -> TextMixture:
        """What the file describes. Raises ConfigError with every fault at once."""
        found = self.validate_mixture()
        if not found["is_valid"]:
            raise ConfigError(f"{self.path}: {'; '.join(found['errors'])}")
        return as_spec(TextMixture, self.value, self.path.name)

    def prepare_dataset(
        self,
        output_file: str | Path,
        split: str = "train",
        cache_dir: str | Path | None = None,
        executor: Executor | None = None,
    ) -> Path:
        """Writes the lines of "train" or "validation" to `output_file`, and what was met to `<output_file>.stats.json`.

        A prepared file of the same mixture and the same sources is left as it is. Pools are kept in `cache_dir`
        (default: `pools` beside the file), and used again by whatever mixture has the same source and filters.
        """
        if split not in SPLIT_SUFFIXES:
            raise ConfigError(f"split is {split!r}; it can be {', '.join(SPLIT_SUFFIXES)}")
        output = Path(output_file)
        make_folder(output.parent)
        works = self._works()
        spec = {
            "mixture": self.mixture.model_dump(mode="json"),
            "pools": [work.spec for work in works],
            "split": split,
        }
        stats_file = output.with_suffix(".stats.json")
        if _is_finished(output, stats_file, spec) and not is_locked(output):
            return output
        with alone(output, stats_file):
            if not _is_finished(output, stats_file, spec):
                summary = self._write(works, output, split, Path(cache_dir or output.parent / POOLS), executor)
                write_json(stats_file, {"spec": digest_of(spec)} | summary)
        return output

    def _write(
        self, works: list[PoolWork], output: Path, split: str, cache: Path, executor: Executor | None
    ) -> dict[str, Any]:
        """Writes the lines of a split, and says what was met."""
        pools = self._pools(works, cache, executor or LocalExecutor())
        selection = self._selection(pools, cache)
        chosen = selection.train if split == "train" else selection.validation
        _write_lines(selection, split, output, sum(each.num_lines for each in chosen))
        return {"sources": _summary(pools, selection, chosen), "file": entry_of(output)}

    def _works(self) -> list[PoolWork]:
        return [
            PoolWork(
                part.name,
                TextSource(part.source, text_field=part.text_field, sample_by=part.sample_by),
                part.filters,
                part.max_samples,
                skip_bad_lines=self.skip_bad_lines,
                keep_rejected=self.keep_rejected,
            )
            for part in self.mixture.datasets
        ]

    def _pools(self, works: list[PoolWork], cache: Path, executor: Executor) -> dict[str, Pool]:
        return {work.name: make(work, cache / f"{work.name}-{digest_of(work.spec)[:16]}", executor) for work in works}

    def _selection(self, pools: dict[str, Pool], cache: Path) -> Selection:
        mixture = self.mixture
        selection = Selection(
            pools,
            parse_shares([part.mix_ratio for part in mixture.datasets], "mix_ratio"),
            max_samples=[part.max_samples for part in mixture.datasets],
            dropped=self._near_duplicates(pools, cache),
            validation_ratio=mixture.validation.ratio,
            seed=mixture.metadata.seed,
        )
        selection.require_splits()
        selection.require_epochs(mixture.max_epochs)
        return selection

    def _near_duplicates(self, pools: dict[str, Pool], cache: Path) -> dict[str, np.ndarray]:
        """For each pool the places of its lines that are like one before it, there or in a pool before."""
        config = self.mixture.deduplicate.near
        if config is None:
            return {}
        files = [path for pool in pools.values() for path, _ in pool.lines()]
        lines = near_duplicate_lines(files, config, scratch=cache, num_workers=available_cores())
        ends = np.cumsum([sum(pool.num_lines) for pool in pools.values()])
        cuts = np.searchsorted(lines, [0, *ends])
        starts = [0, *ends[:-1]]
        return {name: lines[cuts[n] : cuts[n + 1]] - starts[n] for n, name in enumerate(pools)}


def is_mixture(path: str) -> bool:
    """Whether a path names a mixture of texts, by its ending."""
    return path.endswith((".yaml", ".yml"))


def holds_out(path: str) -> bool:
    """Whether the mixture of a file has a validation split. Raises ConfigError where it is faulty."""
    return DatasetMixer.from_yaml(path).mixture.validation.ratio > 0


def _is_finished(output: Path, stats_file: Path, spec: dict[str, Any]) -> bool:
    if not stats_file.exists():
        return False
    stats = read_json(stats_file)
    return stats.get("spec") == digest_of(spec) and is_as(output, stats["file"])


def _write_lines(selection: Selection, split: str, output: Path, total: int) -> None:
    with written(output) as file, tqdm(total=total, desc=f"writing {output.name}", unit=" lines") as bar:
        for line in selection.lines(split):
            file.write(line)
            bar.update()


def _summary(pools: dict[str, Pool], selection: Selection, chosen: list[Chosen]) -> dict[str, Any]:
    """What happened to the documents of each source, and how many lines it gives."""
    return {
        each.name: {
            **pools[each.name].stats,
            "duplicates": pools[each.name].stats.get("duplicates", 0) + selection.num_duplicates[each.name],
            "different": len(each.places),
            "written": each.num_lines,
            "epochs": round(each.epochs, 4),
        }
        for each in chosen
    }


def _parts(value: Any) -> list[dict[str, Any]]:
    """The descriptions of sources in that of a mixture, however faulty they are."""
    parts = value.get("datasets") if isinstance(value, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _number(value: Any) -> float | None:
    """A ratio as it is written, "0.6" too; None for what is no number, whose fault the description of a part tells."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _require_names(parts: list[dict[str, Any]]) -> None:
    counts = Counter(str(part["name"]) for part in parts if "name" in part)
    for name, count in counts.items():
        if count > 1:
            raise ConfigError(f"{count} datasets are called {name!r}; give each a name of its own")


def _open_source(part: dict[str, Any]) -> None:
    """Raises ConfigError where there is no text behind the name of a source."""
    if isinstance(part.get("source"), str) and part.get("sample_by", "document") in SAMPLE_BY:
        TextSource(part["source"], sample_by=part.get("sample_by", "document"))


def _open_filters(part: dict[str, Any]) -> None:
    """Raises ConfigError for a filter that lacks a model, a package or a file."""
    if not faults_of(TextPart, part):
        for each in as_spec(TextPart, part, str(part["name"])).filters:
            each.open()


def _faults_of(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except ConfigError as error:
        return [str(error)]
    return []
