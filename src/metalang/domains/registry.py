"""Finds the domains of this folder, and reads the description of one from a file."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any, get_args

import metalang.domains
from metalang.domains.contract import Domain
from metalang.errors import ConfigError
from metalang.specs import as_spec, nearest, read_config


@cache
def domain_types() -> dict[str, type[Domain]]:
    """All domains, by their `type`, in alphabetical order.

    >>> "identity" in domain_types()
    True
    """
    for module in pkgutil.iter_modules(metalang.domains.__path__):
        importlib.import_module(f"metalang.domains.{module.name}")
    found = {get_args(field.annotation)[0]: kind for kind in _descendants(Domain) if (field := _literal(kind))}
    return dict(sorted(found.items()))


def read_domain(path: str | Path) -> Domain:
    """The domain that a JSON or YAML file describes. Raises ConfigError with every fault, nearest names included."""
    value = read_config(path)
    if not isinstance(value, dict):
        raise ConfigError(f'{path} holds no object; a domain is written as {{"type": "identity", ...}}')
    value = _from_short_form(dict(value))
    kinds = domain_types()
    kind = value.get("type")
    if kind not in kinds:
        raise ConfigError(f"{path}: type {kind!r} is no domain; {nearest(str(kind), list(kinds))}")
    return as_spec(kinds[kind], value, str(path))


def _from_short_form(value: dict[str, Any]) -> dict[str, Any]:
    """The form of the seqthetic generator, `name`, `vocab_size`, `sequence_length_min` and `_max`, in our keys."""
    if "type" in value or "name" not in value:
        return value
    value["type"] = value.pop("name")
    if "vocab_size" in value:
        value["vocabulary"] = {"size": value.pop("vocab_size")}
    if {"sequence_length_min", "sequence_length_max"} <= value.keys():
        value["sequence_length"] = {
            "min": value.pop("sequence_length_min"),
            "max": value.pop("sequence_length_max"),
        }
    return value


def _descendants(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *_descendants(child))]


def _literal(kind: type[Domain]) -> Any:
    field = kind.model_fields["type"]
    return field if field.annotation is not str else None
