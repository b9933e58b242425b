"""Strict descriptions in JSON or YAML: unknown keys are refused, the nearest known one is named."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails

from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.sizes import PATTERN, parse_size

SpecT = TypeVar("SpecT")


def _as_size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_size(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


_SizeText = Annotated[str, Field(pattern=f"^{PATTERN}$")]
Size = Annotated[int, BeforeValidator(_as_size, json_schema_input_type=int | _SizeText)]
"""A whole number in a spec, written as 5000000 or "5M"."""


class Spec(BaseModel):
    """A frozen description. Equal descriptions have equal fingerprints, in every process and on every machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
    outside_fingerprint: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that the fingerprint leaves out."""

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_nearest_key(cls, value: Any, handler: ModelWrapValidatorHandler) -> Any:
        known = list(cls.model_fields)
        unknown = [key for key in value if key not in known] if isinstance(value, Mapping) else []
        if not unknown:
            return handler(value)
        faults = [_unknown_key(key, known) for key in unknown]
        try:
            handler({key: each for key, each in value.items() if key in known})
        except ValidationError as error:  # what is wrong beside the unknown keys is said in one go
            faults += [
                InitErrorDetails(type=each["type"], loc=each["loc"], input=each["input"], ctx=each.get("ctx", {}))
                for each in error.errors()
            ]
        raise ValidationError.from_exception_data(cls.__name__, faults)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name this description. A new field with a default changes none of them."""
        return digest_of(_essence(self))[:16]


def _essence(value: Any) -> Any:
    """What a description says beyond its defaults, with the kinds of its parts."""
    if isinstance(value, Spec):
        said = {
            name: getattr(value, name) for name in type(value).model_fields if name not in value.outside_fingerprint
        }
        return {
            "kind": type(value).__name__,
            **{name: _essence(each) for name, each in said.items() if each != type(value).model_fields[name].default},
        }
    if isinstance(value, Mapping):
        return {str(key): _essence(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_essence(each) for each in value]
    return value


class Range(Spec):
    """Whole numbers from `min` to `max`, both inclusive; written as one number where they are equal.

    >>> as_spec(Range, {"min": 3, "max": "1K"}, "example"), as_spec(Range, 7, "example")
    (Range(min=3, max=1000), Range(min=7, max=7))
    """

    min: Size
    max: Size

    @model_validator(mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping | Range) else {"min": value, "max": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "anyOf": [
                *TypeAdapter(int | _SizeText).json_schema()["anyOf"],
                handler.resolve_ref_schema(handler(core_schema)),
            ]
        }

    @model_validator(mode="after")
    def _upright(self) -> "Range":
        if not 0 <= self.min <= self.max:
            raise ValueError(f"min {self.min} and max {self.max} are no range; 0 <= min <= max is one")
        return self


def _unknown_key(key: Any, known: list[str]) -> InitErrorDetails:
    message = f"unknown key {key!r}; {nearest(str(key), known)}"
    return InitErrorDetails(type="value_error", loc=(), input=key, ctx={"error": ValueError(message)})


def faults_of(kind: type[SpecT], value: Any) -> list[str]:
    """All that is wrong with `value` (as read from JSON) as a spec of `kind`, a line each; none where it is one."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return _faults(error)
    return []


def as_spec(kind: type[SpecT], value: Any, name: str) -> SpecT:
    """`value` (as read from JSON) as a spec of `kind`. Raises ConfigError with every fault, under the user's `name`."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{name}: {'; '.join(_faults(error))}") from None


def read_config(path: str | Path) -> Any:
    """What a JSON (comments and trailing commas allowed) or YAML file holds. Raises ConfigError where it is neither."""
    import hjson
    import yaml

    path = Path(path)
    parsers = {".json": hjson.loads, ".hjson": hjson.loads, ".yaml": _parsed_yaml, ".yml": _parsed_yaml}
    if path.suffix not in parsers:
        raise ConfigError(f"{path}: a spec is a file that ends in {', '.join(parsers)}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a spec file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    if not text.strip():
        raise ConfigError(f"{path} is empty; a spec is a JSON or YAML object")
    try:
        value = parsers[path.suffix](text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} does not parse: {error}") from None
    return value


def _parsed_yaml(text: str) -> Any:
    """What YAML says. Raises ValueError for a key that stands twice in one mapping: yaml itself keeps the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: str | None) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise ValueError(f"{key.value!r} stands twice in line {key.start_mark.line + 1}; keep one")
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
            return node

    return yaml.load(text, Loader)


def nearest(name: str, known: list[str]) -> str:
    """A hint to the known name that is most like `name`, or to all of them.

    >>> nearest("lenght", ["length", "size"]), nearest("zzz", ["length", "size"])
    ("did you mean 'length'?", 'known: length, size')
    """
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else f"known: {', '.join(known)}"


def _faults(error: ValidationError) -> list[str]:
    """A line each. A list whose parts are faulty is not too short besides, as pydantic 2.14 finds: it drops them."""
    details = error.errors()
    return [
        _fault(detail)
        for detail in details
        if detail["type"] != "too_short" or not any(_is_within(each["loc"], detail["loc"]) for each in details)
    ]


def _is_within(place: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


_KINDS = {"model_type": "write keys with values, as name: value", "tuple_type": "write a list"}


def _fault(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    message = _KINDS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    shown = detail["input"]
    value = f" (got {shown!r})" if isinstance(shown, str | int | float | bool) and repr(shown) not in message else ""
    return f"{place}: {message}{value}" if place else f"{message}{value}"
