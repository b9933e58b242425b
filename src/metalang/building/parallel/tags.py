"""Provenance tags: `<author_NAME> <city_CITY> <year_YEAR>` before each text, each one id of the tokenizer."""

import re
import unicodedata
from dataclasses import dataclass

from metalang.errors import ConfigError

_FORM = re.compile(r"<(?:author|city|year)_[^<>\s]+>")
_YEAR = re.compile(r"-?[0-9]{1,4}")
_SIGNS = "_-.'’"


@dataclass(frozen=True)
class Provenance:
    """Who wrote a text, where and when; each may be missing.

    A tag has no space: white space in a name becomes `_`. Raises ConfigError for a name with other signs than letters,
    digits and `_ - . '`, and for a year that is no whole number.

    >>> Provenance(author="Л. Н. Толстой", city="Ясная Поляна", year="1869").tags
    ('<author_Л._Н._Толстой>', '<city_Ясная_Поляна>', '<year_1869>')
    """

    author: str | None = None
    city: str | None = None
    year: str | None = None

    def __post_init__(self) -> None:
        for field in ("author", "city"):
            _check(field, self._name(field))
        if self.year is not None and not _YEAR.fullmatch(self.year):
            raise ConfigError(f"--year {self.year!r} is no year; write one to four digits, such as 1869 (-44 is B.C.)")

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that stand before each text, in order."""
        named = {field: self._name(field) for field in ("author", "city", "year")}
        return tuple(f"<{field}_{name}>" for field, name in named.items() if name is not None)

    def _name(self, field: str) -> str | None:
        value = {"author": self.author, "city": self.city, "year": self.year}[field]
        return None if value is None else "_".join(unicodedata.normalize("NFC", value).split())


def spells_tag(text: str) -> bool:
    """Whether a text spells what a tokenizer would take for a tag.

    >>> spells_tag("by <author_Gogol>"), spells_tag("<author> a_b")
    (True, False)
    """
    return "_" in text and _FORM.search(text) is not None


def _check(field: str, name: str | None) -> None:
    if name is None:
        return
    odd = sorted({sign for sign in name if unicodedata.category(sign)[0] not in "LMN" and sign not in _SIGNS})
    if odd or not name:
        what = f"holds {' '.join(map(repr, odd))}" if odd else "is empty"
        raise ConfigError(
            f"--{field} {name!r} {what}; a name has letters, digits, spaces (which become _) and {' '.join(_SIGNS)}"
        )
