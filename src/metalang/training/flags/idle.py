"""Flags that say how something is done, where nothing does it."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from metalang.errors import ConfigError

if TYPE_CHECKING:
    from metalang.training.config import Settings


def _goes_on(settings: "Settings") -> bool:
    return settings.run.resume_training or settings.schedule.branch_from is not None


_NEEDS: tuple[tuple[str, tuple[str, ...], Callable[["Settings"], bool], str], ...] = (
    (
        "samples",
        ("sample_prompts", "sample_tokens", "sample_temperature"),
        lambda settings: settings.samples.sample_steps is not None,
        "--sample_steps, such as 1000",
    ),
    (
        "objective",
        ("importance",),
        lambda settings: settings.objective.curriculum == "importance",
        "--curriculum importance",
    ),
    ("health", ("max_nan_steps",), lambda settings: settings.health.on_nan == "skip", "--on_nan skip"),
    ("dry", ("dry_run_mfu", "dry_run_gpus"), lambda settings: settings.dry.dry_run, "--dry_run True"),
    ("elastic", ("allow_batch_change",), _goes_on, "--resume_training True or --branch_from"),
    ("run", ("rebase_data",), _goes_on, "--resume_training True or --branch_from"),
)
"""Group, flags of it, whether the settings have what these flags are of, and its flag."""


def require_effect(settings: "Settings") -> None:
    """Raises ConfigError for a flag that is given, as another value than its default, and would change nothing."""
    for group, flags, is_there, needed in _NEEDS:
        if is_there(settings):
            continue
        given = getattr(settings, group)
        defaults = {each.name: _default(each) for each in fields(given)}
        for flag in flags:
            value = getattr(given, flag)
            if value != defaults[flag]:
                said = " ".join(map(repr, value)) if isinstance(value, list) else value
                raise ConfigError(f"--{flag} {said} has no effect without {needed}; add that, or leave it out")


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
