"""Filters of documents, described in a spec by their `type`.

A filter is one class with a `type` and `open`, and one line in the table below.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from metalang.specs import nearest
from metalang.text.filters.contract import Filter, Judge, Verdict
from metalang.text.filters.decontamination import Decontaminate
from metalang.text.filters.language import Language
from metalang.text.filters.plain import Length, Regex
from metalang.text.filters.quality import C4Quality, FineWebQuality, GopherQuality, GopherRepetition

__all__ = ["AnyFilter", "Filter", "Judge", "Verdict"]

_Kinds = (
    Length
    | Regex
    | GopherQuality
    | GopherRepetition
    | C4Quality
    | FineWebQuality
    | Language
    | Decontaminate
)  # fmt: skip
_TYPES = [kind.model_fields["type"].default for kind in get_args(_Kinds)]


def _with_known_type(value: Any) -> Any:
    if isinstance(value, Filter):
        return value
    if not isinstance(value, Mapping) or "type" not in value:
        raise ValueError(f"a filter is written as {{type: length, min_chars: 50}}; types: {', '.join(_TYPES)}")
    if value["type"] not in _TYPES:
        raise ValueError(f"type {value['type']!r} is no filter; {nearest(str(value['type']), _TYPES)}")
    return value


AnyFilter = Annotated[_Kinds, Field(discriminator="type"), BeforeValidator(_with_known_type)]
"""The type of a field of a spec that holds a filter: an object, told apart by its `type`."""
