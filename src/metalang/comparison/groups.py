"""Runs that differ in their seed alone are one group; how groups differ from the baseline's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metalang.comparison.curves import Curve, curve, mean_curve
from metalang.comparison.runs import Run, without_seed
from metalang.errors import ConfigError

_NAMES = {
    "output_dir", "run_name", "seed", "data_seed", "resume_training", "config", "log_dir", "project",
    "nl_eval_data_path", "num_train_epochs",
}  # fmt: skip
"""Flags that tell runs of a group apart, what only names places, and epochs, which max_steps counts."""

_HABITS = {
    "report_to", "disable_tqdm", "save_strategy", "save_steps", "save_at_steps", "save_total_limit", "gather_weights",
    "logging_steps", "logging_strategy", "logging_first_step", "log_level", "eval_strategy", "eval_steps",
    "eval_on_start", "eval_delay", "per_device_eval_batch_size", "exact_match_rows", "peak_flops", "hard_stop",
    "dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_pin_memory", "dataloader_persistent_workers",
    "verify_reads", "tokenizer_backend", "sample_steps", "sample_prompts", "sample_tokens", "sample_temperature",
    "skip_memory_metrics", "include_num_input_tokens_seen",
}  # fmt: skip
"""Flags that change neither a token nor a weight."""

_BEGINNINGS = ("init_from", "branch_from")
"""Flags that name an earlier run, which each seed may have of its own."""

_PARTS = {"transfer": "init_from", "embeddings": "init_from", "importance": "curriculum"}
"""Flags that say more of another one: nothing where that is not given."""

_DATA = {
    "data_paths", "data_ratios", "data_config", "prepared_data", "num_meta_lang_tokens", "corpora", "streaming",
    "text_field", "sample_by", "on_bad_line",
}  # fmt: skip
"""Flags that say together what is read: they count as one difference."""

AS_FAR = 0.99
"""Of the tokens of another run: who has read so many has come as far. Where steps differ no two runs end alike."""


@dataclass(frozen=True)
class Difference:
    """A flag, what the baseline has and what the other group has; `aspect`: what it is a part of, "" for habits."""

    flag: str
    baseline: Any
    other: Any

    @property
    def aspect(self) -> str:
        """What differs with this flag: the data as a whole, the flag itself, or ("") nothing that the model sees."""
        if self.flag in _HABITS:
            return ""
        if self.flag in _PARTS and None in (self.baseline, self.other):
            return _PARTS[self.flag]
        return "the data" if self.flag in _DATA else self.flag.partition(":")[0]


@dataclass(frozen=True)
class Group:
    """Runs of one configuration, in the order of their seeds. `behind`: those of them that have not come as far."""

    name: str
    runs: tuple[Run, ...]
    behind: tuple[Run, ...] = ()

    @property
    def tokens(self) -> int:
        """Those of its longest run."""
        return max(run.tokens for run in self.runs)

    def curves(self, metric: str, half_life: float = 0) -> list[Curve]:
        """A smoothed curve for each run that logged the metric."""
        found = [curve(run, metric) for run in self.runs]
        return [each.smoothed(half_life) for each in found if each is not None]

    def mean(self, metric: str, half_life: float = 0) -> Curve | None:
        """The mean over seeds of the smoothed curves."""
        curves = self.curves(metric, half_life)
        return mean_curve(curves) if curves else None


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Groups in the order of their first runs. Raises ConfigError where two runs of a group have one seed."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(repr(sorted(_config(run).items(), key=lambda item: item[0])), []).append(run)
    names = [group[0].stem for group in members.values()]
    groups = []
    for name, group in zip(names, members.values(), strict=True):
        seeds = [run.seeds for run in group]
        for run in group:
            if seeds.count(run.seeds) > 1:
                raise ConfigError(
                    f"{run.name} and another run have the same flags and the seed {run.seed}: they are one run twice; "
                    "give one of them"
                )
        label = name if names.count(name) == 1 else group[0].name
        ended, behind = _by_end(sorted(group, key=lambda run: run.seeds))
        groups.append(Group(label, ended, behind))
    return groups


def _by_end(group: list[Run]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """The runs of a configuration that came to its end, and those that did not: killed, or not done yet.

    A run that may stop early is at its end wherever it is.
    """
    end = max(run.tokens for run in group)
    is_behind = [run.tokens < AS_FAR * end and not run.flags.get("early_stopping_patience") for run in group]
    pairs = list(zip(group, is_behind, strict=True))
    return tuple(run for run, late in pairs if not late), tuple(run for run, late in pairs if late)


def differences(baseline: Group, other: Group) -> list[Difference]:
    """What the runs of two groups were asked for differently, seeds and names of places left out."""
    then, now = _config(baseline.runs[0]), _config(other.runs[0])
    return [
        Difference(flag, then.get(flag), now.get(flag))
        for flag in dict.fromkeys((*then, *now))
        if then.get(flag) != now.get(flag)
    ]


def _config(run: Run) -> dict[str, Any]:
    """The flags of a run; corpora and tokenizer by their content, wherever they lay; the runs it began with without
    their seed."""
    flags = {flag: value for flag, value in run.flags.items() if flag not in _NAMES}
    flags |= {flag: without_seed(flags[flag]) for flag in _BEGINNINGS if flags.get(flag)}
    given = {flag for flag in _PARTS.values() if flags.get(flag) not in (None, "none")}
    flags = {flag: value for flag, value in flags.items() if _PARTS.get(flag, "") in ("", *given)}
    if run.tokenizer:
        flags["tokenizer_name"] = run.tokenizer
    if run.corpora:
        flags.pop("data_paths", None)
        flags = {"corpora": dict(run.corpora), **flags}
    return flags | {f"version:{name}": version for name, version in run.versions.items()}
