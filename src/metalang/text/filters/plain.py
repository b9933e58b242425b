"""Filters by length and by pattern."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from metalang.specs import Size
from metalang.text.filters.contract import Filter, Judge, Verdict


class Length(Filter):
    """Keeps texts of a length: in characters, in words (between spaces), or both; limits are inclusive, None is none.

    >>> judge = Length(min_chars=3, max_words=2).open()
    >>> judge("ab"), judge("a b c"), judge("abc")
    ((None, 'too_few_chars'), (None, 'too_many_words'), ('abc', ''))
    """

    type: Literal["length"] = "length"
    min_chars: Size | None = Field(default=None, ge=0)
    max_chars: Size | None = Field(default=None, ge=0)
    min_words: Size | None = Field(default=None, ge=0)
    max_words: Size | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _limits(self) -> "Length":
        limits = (self.min_chars, self.max_chars, self.min_words, self.max_words)
        if all(limit is None for limit in limits):
            raise ValueError("it sets no limit; give min_chars, max_chars, min_words or max_words")
        for unit, low, high in (("chars", *limits[:2]), ("words", *limits[2:])):
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} {low:,} is above max_{unit} {high:,}; no text is as long")
        return self

    def open(self) -> Judge:
        """Reasons: too_few_chars, too_many_chars, too_few_words, too_many_words."""
        counts_words = self.min_words is not None or self.max_words is not None

        def judge(text: str) -> Verdict:
            reason = _misses(len(text), self.min_chars, self.max_chars, "chars")
            if not reason and counts_words:
                reason = _misses(len(text.split()), self.min_words, self.max_words, "words")
            return (None, reason) if reason else (text, "")

        return judge


class Regex(Filter):
    """Drops the texts in which a pattern (of Python's `re`) is found anywhere, or keeps those alone.

    >>> Regex(pattern="[Cc]lick here").open()("Now click here.")
    (None, 'pattern_found')
    >>> Regex(pattern="[Cc]lick here", action="keep").open()("Now click here.")
    ('Now click here.', '')
    """

    type: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1)
    action: Literal["drop", "keep"] = "drop"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"{pattern!r} is no pattern of Python's re: {error}; write \\ before . ( [ * + ?"
            ) from None
        return pattern

    def open(self) -> Judge:
        """Reasons: pattern_found, or pattern_not_found where the action is to keep."""
        search = re.compile(self.pattern).search
        drops = self.action == "drop"

        def judge(text: str) -> Verdict:
            is_found = search(text) is not None
            if is_found == drops:
                return None, "pattern_found" if drops else "pattern_not_found"
            return text, ""

        return judge


def _misses(length: int, low: int | None, high: int | None, unit: str) -> str:
    if low is not None and length < low:
        return f"too_few_{unit}"
    if high is not None and length > high:
        return f"too_many_{unit}"
    return ""
