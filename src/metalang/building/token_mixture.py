"""A mixture of a run, from one file: corpora, texts and domains, weighed in tokens, in stages.

    unit: tokens
    datasets:
      - {name: dyck, domain: configs/domains/k_shuffle_dyck.json, num_token: 20M, mix_ratio: 0.2, max_epochs: 1}
      - {name: news, source: data/news.jsonl, filters: [{type: gopher_quality}], mix_ratio: 0.5}
      - {name: books, corpus: corpora/books, mix_ratio: 0.3}
    stages:
      - {until: 100M, mix_ratio: {dyck: 1}}
      - {mix_ratio: {news: 0.6, books: 0.4}}

What is no corpus yet is built into a folder that its spec names, so that any mixture uses it again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from metalang.building.corpora import build_corpus
from metalang.building.dataset import read_dataset
from metalang.building.executors import Executor
from metalang.building.synthetic import SyntheticBuild, synthetic_builds
from metalang.building.text import TextBuild
from metalang.building.text_mixture import DatasetMixer, Deduplicate, Metadata, Validation
from metalang.corpus.manifest import FILE_NAME
from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.mixing import PlanSpec, Stage, parse_shares
from metalang.mixing.plan import MAX_EPOCHS, MOST_TOKENS
from metalang.sizes import parse_size
from metalang.specs import Size, Spec, as_spec, faults_of, read_config
from metalang.text.filters import AnyFilter
from metalang.text.sources import TextSource

Split = Literal["train", "validation"]

_ENDS = "write tokens, such as 100M, or a share of the run, such as 0.33"


def _as_end(value: Any) -> Any:
    """100M -> 100000000; a share of the run stays a fraction. Raises ValueError for what is no number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return parse_size(value)
    except ConfigError:
        raise ValueError(f"{value!r} is no end of a stage; {_ENDS}") from None


class MixturePart(Spec):
    """A source of a mixture: a `corpus` folder, a text `source` with its filters, or a `domain` file of `num_token`.

    `mix_ratio`: its share of the tokens where there are no stages; `max_epochs`: how often it may be read.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    corpus: str | None = None
    source: str | None = None
    domain: str | None = None
    num_token: Size | None = Field(default=None, ge=1)
    text_field: str = "text"
    sample_by: str = "document"
    filters: tuple[AnyFilter, ...] = ()
    max_samples: Size | None = Field(default=None, ge=1)
    mix_ratio: float | None = Field(default=None, gt=0.0)
    max_epochs: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _is_one_thing(self):
        kinds = [kind for kind in ("corpus", "source", "domain") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"{self.name} has {' and '.join(kinds) or 'none'} of corpus, source, domain; give one")
        if (self.num_token is not None) != (kinds == ["domain"]):
            raise ValueError(f"{self.name}: num_token goes with domain, and a domain needs it, such as 20M")
        of_text = [key for key in ("text_field", "sample_by", "filters", "max_samples") if key in self.model_fields_set]
        if of_text and kinds != ["source"]:
            raise ValueError(f"{self.name}: {of_text[0]} is of a text source, and {kinds[0]} is none; leave it out")
        return self


class StagePart(Spec):
    """A stage: `until` so many predicted tokens (100M) or such a share of the run (0.33), by these shares."""

    name: str = ""
    until: Annotated[int | float, BeforeValidator(_as_end)] | None = None
    mix_ratio: dict[str, float] = Field(min_length=1)

    @model_validator(mode="after")
    def _ends_somewhere(self):
        if self.until is None or 0 < self.until <= 1:
            return self
        if not 1 < self.until < MOST_TOKENS or self.until != int(self.until):
            raise ValueError(f"until is {self.until:g}; {_ENDS}")
        return self


class TokenMixture(Spec):
    """A mixture of a run. Without `stages` it is one, by the mix_ratio of its sources."""

    metadata: Metadata = Metadata()
    unit: Literal["tokens"]
    datasets: tuple[MixturePart, ...] = Field(min_length=1)
    stages: tuple[StagePart, ...] = ()
    validation: Validation = Validation()
    deduplicate: Deduplicate = Deduplicate()
    max_epochs: float = Field(default=MAX_EPOCHS, gt=0.0)

    @model_validator(mode="after")
    def _fits_together(self):
        names = [part.name for part in self.datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{names.count(name)} datasets are called {name!r}; give each a name of its own")
        for number, stage in enumerate(self.stages, start=1):
            if unknown := [name for name in stage.mix_ratio if name not in names]:
                raise ValueError(f"stage {number} weighs {unknown[0]!r}, no dataset; there are {', '.join(names)}")
            if stage.until is None and number < len(self.stages):
                raise ValueError(f"stage {number} has no until, and others follow it; say where it ends")
        self.shares  # noqa: B018 - raises where they do not sum to 1
        return self

    @property
    def shares(self) -> tuple[tuple[int, ...], ...]:
        """For each stage the whole-number share of each source."""
        if not self.stages:
            missing = [part.name for part in self.datasets if part.mix_ratio is None]
            if missing:
                raise ValueError(f"{missing[0]} has no mix_ratio, and there are no stages; give it its share")
            return (_parsed([part.mix_ratio for part in self.datasets], "mix_ratio"),)
        return tuple(self._shares_of(number, stage) for number, stage in enumerate(self.stages, start=1))

    def _shares_of(self, number: int, stage: StagePart) -> tuple[int, ...]:
        parsed = dict(
            zip(stage.mix_ratio, _parsed(stage.mix_ratio.values(), f"mix_ratio of stage {number}"), strict=True)
        )
        return tuple(parsed.get(part.name, 0) for part in self.datasets)

    def plan_spec(self, *, length: int, num_windows: int, seed: int) -> PlanSpec:
        """How a run of `num_windows` windows of `length` predicted ids reads it."""
        ends = [stage.until for stage in self.stages] or [None]
        names = [stage.name for stage in self.stages] or [""]
        stages = tuple(
            Stage(shares, None if end is None else _window(end, length, num_windows), name)
            for shares, end, name in zip(self.shares, ends, names, strict=True)
        )
        limits = tuple(part.max_epochs or self.max_epochs for part in self.datasets)
        return PlanSpec(stages, limits, length=length, num_windows=num_windows, seed=seed)


def _window(until: int | float, length: int, num_windows: int) -> int:
    """The window at which a stage ends: of so many tokens, or of such a share of the run."""
    return max(1, round(until * num_windows) if until <= 1 else round(until / length))


def _parsed(ratios: Any, name: str) -> tuple[int, ...]:
    try:
        return parse_shares(list(ratios), name)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def is_token_mixture(path: str | Path) -> bool:
    """Whether a .yaml or .json file describes a mixture of a run; one of texts has no `unit: tokens`."""
    if not str(path).endswith((".yaml", ".yml", ".json")):
        return False
    value = read_config(path)
    return isinstance(value, dict) and value.get("unit") == "tokens"


def read_token_mixture(path: str | Path) -> TokenMixture:
    """The mixture of a run that a file describes. Raises ConfigError with every fault of it."""
    value = read_config(path)
    if isinstance(value, dict) and "unit" not in value:
        raise ConfigError(
            f"{path} has no unit and is a mixture of texts; one of a run says unit: tokens (docs/order.md)"
        )
    if faults := faults_of(TokenMixture, value):
        raise ConfigError(f"{path}: {'; '.join(faults)}")
    return as_spec(TokenMixture, value, str(path))


@dataclass(frozen=True)
class MixtureCorpora:
    """The corpora of a mixture's sources, built where they are missing, in a folder that holds them by their specs."""

    mixture: TokenMixture
    tokenizer: str
    cache_dir: Path
    executor: Executor
    skip_bad_lines: bool = False

    def folders(self, split: Split = "train") -> list[tuple[str, str]]:
        """(name, folder) of each source; of the validation split those that have one."""
        found = [(part.name, self._folder(part, split)) for part in self.mixture.datasets]
        return [(name, str(folder)) for name, folder in found if folder is not None]

    def _folder(self, part: MixturePart, split: Split) -> Path | None:
        if part.corpus is not None:
            if not (Path(part.corpus) / FILE_NAME).is_file():
                raise ConfigError(f"{part.name}: {part.corpus!r} is no corpus; build it, or name a source or a domain")
            return Path(part.corpus) if split == "train" else None
        if split == "validation" and not self.mixture.validation.ratio:
            return None
        build = self._text_build(part, split) if part.source is not None else self._domain_build(part, split)
        if build is None:
            return None
        folder = self.cache_dir / f"{part.name}-{digest_of(build.spec)[:16]}"
        build_corpus(build, folder, self.executor)
        return folder

    def _text_build(self, part: MixturePart, split: Split) -> TextBuild:
        keys = ("name", "source", "text_field", "sample_by", "filters", "max_samples")
        described = part.model_dump(mode="json", include=set(keys))
        value = {
            "metadata": {"phase": "mixture", "seed": self.mixture.metadata.seed},
            "datasets": [described | {"mix_ratio": 1.0}],
            "validation": self.mixture.validation.model_dump(mode="json"),
            "deduplicate": self.mixture.deduplicate.model_dump(mode="json"),
        }
        mixer = DatasetMixer(Path(f"{part.name}.yaml"), value, skip_bad_lines=self.skip_bad_lines)
        name = f"{part.name}-{digest_of(value)[:16]}_{split}.jsonl"
        prepared = mixer.prepare_dataset(self.cache_dir / "prepared" / name, split, executor=self.executor)
        return TextBuild(TextSource(str(prepared)), self.tokenizer)

    def _domain_build(self, part: MixturePart, split: Split) -> SyntheticBuild | None:
        held_out = self.mixture.validation.ratio
        dataset = read_dataset(part.domain, num_token=part.num_token, split_ratio=[1 - held_out, held_out, 0.0])
        return next((build for build in synthetic_builds(dataset) if build.split == split), None)
