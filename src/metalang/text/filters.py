"""Filters of text: which documents are kept, and why the others are not."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from metalang.specs import Spec

Verdict = tuple[str | None, str]


class Length(Spec):
    """Documents of `min_chars` to `max_chars` characters."""

    type: Literal["length"] = "length"
    min_chars: int = 0
    max_chars: int | None = None

    def open(self) -> Callable[[str], Verdict]:
        """A function of a text that gives what is kept of it, or None, and the reason."""

        def judge(text: str) -> Verdict:
            if len(text) < self.min_chars:
                return None, "too_short"
            return (None, "too_long") if self.max_chars is not None and len(text) > self.max_chars else (text, "")

        return judge


AnyFilter = Annotated[Length, Field()]
