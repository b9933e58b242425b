"""What a synthetic dataset is: domains with their shares of the tokens, marks, splits, and the order of rows."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from metalang.corpus import Corpus
from metalang.domains import Domain
from metalang.domains.controls import ControlName
from metalang.domains.marks import Marks
from metalang.domains.registry import any_domain, from_short_form
from metalang.errors import ConfigError
from metalang.ids import NUM_CONTROL, Control
from metalang.mixing import parse_shares
from metalang.mixing.permutation import permuted
from metalang.seeds import key_for, mix64
from metalang.specs import Range, Size, Spec, as_spec, read_config

SPLITS = ("train", "validation", "test")
SplitName = Literal["train", "validation", "test"]

_MAX_TOKENS = 10**15
_NONE = Range(min=0, max=0)


def _shares(ratios: Any, name: str) -> tuple[int, ...]:
    """Whole-number shares, 0 for a ratio of 0. Raises ValueError unless they sum to 1."""
    try:
        parsed = iter(parse_shares([ratio for ratio in ratios if ratio], name))
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return tuple(next(parsed) if ratio else 0 for ratio in ratios)


def _has_separator(domain: Domain) -> bool:
    return bool((domain.sample(0, 0, 16).symbols == Control.SEP).any())


class Part(Spec):
    """A domain of a dataset, its share of the tokens, and the lengths of what marks its rows (0: no such mark).

    A length is drawn once from its range; it and the pattern of the symbols depend on the domain alone, the numbers of
    the symbols also on the parts before it and on the largest vocabulary. No split and no seed changes them.
    """

    domain: any_domain()
    share: float = Field(default=1.0, gt=0.0, le=1.0)
    promoter_length: Range = _NONE
    delimiter_length: Range = _NONE


class Split(Spec):
    """How the tokens are divided among train, validation and test, and in which order their rows come.

    `shuffle_dataset`: the rows of all domains mixed at random; otherwise one domain after the other, in the order of
    the description or (`shuffle_domain_order`) in a random one. `shuffle_domain_sequence`: the rows of a domain come in
    a random order of their numbers instead of 0, 1, 2, ...
    """

    shuffle_dataset: bool = True
    shuffle_domain_order: bool = False
    shuffle_domain_sequence: bool = False
    split_ratio: tuple[float, float, float] = (0.8, 0.1, 0.1)

    @model_validator(mode="after")
    def _divides_all(self):
        if min(self.split_ratio) < 0:
            raise ValueError(f"split_ratio {list(self.split_ratio)} has a share below 0; write shares that sum to 1")
        self.shares  # noqa: B018 - raises where they do not sum to 1
        return self

    @property
    def shares(self) -> tuple[int, ...]:
        """Whole-number shares of train, validation and test."""
        return _shares(self.split_ratio, "split_ratio")


class Dataset(Spec):
    """A synthetic dataset, whole: its bytes depend on nothing else.

    `num_token`: tokens of all splits together. `control`: the same rows without their structure.
    """

    name: str = "dataset"
    seed: int = 0
    num_token: Size | None = Field(default=None, ge=1, le=_MAX_TOKENS)
    domains: tuple[Part, ...]
    split: Split = Split()
    control: ControlName = "none"

    @model_validator(mode="after")
    def _is_consistent(self):
        if not 1 <= len(self.domains) <= 2**16:
            raise ValueError(f"domains has {len(self.domains):,} parts; give 1 to 65,536")
        self.shares  # noqa: B018 - raises where they do not sum to 1
        if self.num_symbols > 2**31:
            raise ValueError(f"the domains and their marks need {self.num_symbols:,} symbols; 2**31 is the most")
        for part in self.domains:
            if part.delimiter_length.max and not _has_separator(part.domain):
                raise ValueError(f"delimiter_length: rows of {part.domain.type} have no SEP to replace; leave it out")
        return self

    @property
    def shares(self) -> tuple[int, ...]:
        """Whole-number shares of the domains."""
        return _shares([part.share for part in self.domains], "share")

    @property
    def sources(self) -> tuple[str, ...]:
        """A name for each domain: its type and its control, numbered where there are several of it."""
        suffix = "" if self.control == "none" else f"-{self.control}"
        types = [part.domain.type for part in self.domains]
        return tuple(
            f"{kind}{f'-{types[:index].count(kind) + 1}' if types.count(kind) > 1 else ''}{suffix}"
            for index, kind in enumerate(types)
        )

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: those of the domains, which share them, and behind them those of the marks."""
        return self._marks_end

    @cached_property
    def marks(self) -> tuple[Marks, ...]:
        """The marks of each domain, made of symbols that nothing else in the dataset has."""
        start, found = self._content_end, []
        for number, part in enumerate(self.domains):
            promoter = self._drawn(number, "promoter", part.promoter_length, start)
            delimiter = self._drawn(number, "delimiter", part.delimiter_length, start + len(promoter))
            start += len(promoter) + len(delimiter)
            found.append(Marks(promoter, delimiter))
        return tuple(found)

    @property
    def _content_end(self) -> int:
        return max(part.domain.num_symbols for part in self.domains)

    @property
    def _marks_end(self) -> int:
        return self._content_end + sum(len(marks.promoter) + len(marks.delimiter) for marks in self.marks)

    def _drawn(self, number: int, what: str, lengths: Range, start: int) -> tuple[int, ...]:
        """The symbols from `start` on in the order of a mark, as many as the domain's fingerprint says."""
        key = np.uint64(key_for(what, self.domains[number].domain.fingerprint, self._twins_before(number)))
        length = lengths.min + int(mix64(key)) % (lengths.max - lengths.min + 1)
        return tuple((start + permuted(np.arange(length), max(length, 1), key)).tolist())

    def key(self, number: int, split: SplitName) -> np.uint64:
        """Key of the rows of a domain in a split: equal domains have different rows."""
        key, twins = self.domains[number].domain.key(self.seed, split), self._twins_before(number)
        return np.uint64(key_for("twin", twins, key) if twins else key)

    def _twins_before(self, number: int) -> int:
        names = [(part.domain.type, part.domain.fingerprint) for part in self.domains[: number + 1]]
        return names.count(names[-1]) - 1


def read_dataset(path: str | Path, **changes: Any) -> Dataset:
    """The dataset that a JSON or YAML file describes, with `changes` (None: as in the file).

    The description of a domain, in our form or in that of the seqthetic generator, is a dataset of that domain:
    `split`, `seed`, `num_token`, `promoter_length` and the like may stand in it. Raises ConfigError with every fault.
    """
    value = read_config(path)
    if not isinstance(value, dict):
        raise ConfigError(f'{path} holds no object; a dataset is written as {{"domains": [...]}}')
    value = _from_domain(dict(value)) if "domains" not in value else dict(value)
    value = _with_counts(value)
    given = {key: change for key, change in changes.items() if change is not None}
    if "split_ratio" in given:
        split = value.get("split") or {}
        if not isinstance(split, dict):
            raise ConfigError(f"{path}: split is {split!r}; write it as an object, such as {{split_ratio: [1, 0, 0]}}")
        given["split"] = {**split, "split_ratio": given.pop("split_ratio")}
    return as_spec(Dataset, {**value, **given}, str(path))


def _with_counts(value: Any) -> Any:
    """The same JSON value, each {"type": "corpus", "path": ...} of it with the counts of the ids of that corpus.

    The end of a document and the control symbols are not counted: they lay rows out.
    """
    if isinstance(value, list):
        return [_with_counts(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "corpus" and isinstance(value.get("path"), str) and not value.get("counts"):
        corpus = Corpus(value["path"])
        ids = corpus.manifest.ids
        counts = corpus.frequencies()
        counts[[ids.eos_id, *range(ids.text_size, min(ids.text_size + NUM_CONTROL, ids.vocab_size))]] = 0
        return {**value, "counts": sorted(counts[counts > 0].tolist(), reverse=True)}
    read = {
        key: read_config(each) if key == "domain" and isinstance(each, str) else each for key, each in value.items()
    }
    return {key: _with_counts(each) for key, each in read.items()}


def dataset_schema() -> dict[str, Any]:
    """JSON schema of the files that `read_dataset` reads, the short form of the seqthetic generator aside."""
    schema = Dataset.model_json_schema()
    definitions = schema.pop("$defs")
    domains = definitions["Part"]["properties"]["domain"]["anyOf"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A synthetic dataset, or a domain of one",
        "anyOf": [{"$ref": "#/$defs/Dataset"}, domains[0]],
        "$defs": {"Dataset": schema, **definitions},
    }


def _from_domain(value: dict[str, Any]) -> dict[str, Any]:
    """A dataset of one domain, whose own keys are those that neither a dataset nor a part of one has."""
    value = from_short_form(value)
    if "promoter_length_range" in value:
        lengths = value.pop("promoter_length_range")
        is_pair = isinstance(lengths, list) and len(lengths) == 2
        value["promoter_length"] = dict(zip(("min", "max"), lengths, strict=True)) if is_pair else lengths
    of_dataset = {key: value.pop(key) for key in list(value) if key in Dataset.model_fields}
    of_part = {key: value.pop(key) for key in list(value) if key in Part.model_fields}
    return {"name": value.get("type", "dataset"), **of_dataset, "domains": [{**of_part, "domain": value}]}
