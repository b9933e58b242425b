"""Finds the domains of this folder, and reads the description of one from a file."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args

from pydantic import BeforeValidator, Field

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


def any_domain() -> Any:
    """The type of a field of a spec that holds a domain, told apart by `type`: an object, or the path of a file."""
    kinds = tuple(domain_types().values())
    domain = Annotated[Union[kinds], Field(discriminator="type")]  # noqa: UP007 - computed
    return Annotated[domain, BeforeValidator(_as_domain, json_schema_input_type=domain | str)]


def read_domain(path: str | Path) -> Domain:
    """The domain that a JSON or YAML file describes. Raises ConfigError with every fault, nearest names included."""
    value = read_config(path)
    try:
        value = _as_domain(value)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return as_spec(domain_types()[value["type"]], value, str(path))


def _as_domain(value: Any) -> Any:
    """An object whose `type` is a domain, of a path, a short form or such an object. Raises ValueError otherwise."""
    if isinstance(value, Domain):
        return value
    value = read_config(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise ValueError('it holds no object; a domain is written as {"type": "identity", ...}')
    value = from_short_form(dict(value))
    kinds = list(domain_types())
    if value.get("type") not in kinds:
        raise ValueError(f"type {value.get('type')!r} is no domain; {nearest(str(value.get('type')), kinds)}")
    return value


def from_short_form(value: dict[str, Any]) -> dict[str, Any]:
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
