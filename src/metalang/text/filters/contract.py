"""What a filter is: a frozen description that opens into a function from a text to a verdict."""

import importlib.metadata
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from metalang.errors import ConfigError
from metalang.specs import Spec
from metalang.text.names import first_line

Verdict = tuple[str | None, str]
"""The text that is kept, which a filter may have changed, and ""; or None and the reason of the refusal."""

Judge = Callable[[str], Verdict]


class Filter(Spec):
    """Keeps a text or refuses it: the same text gets the same verdict in every process and order."""

    type: str
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose code decides verdicts."""

    @abstractmethod
    def open(self) -> Judge:
        """The function that judges. Raises ConfigError where a package, a model or a file that it needs is missing.

        It is made anew in each process: it may hold what cannot be sent to another.
        """

    def identity(self) -> dict[str, Any]:
        """JSON of all that verdicts depend on: the description, and the versions of the packages behind it."""
        return {"type": self.type, "fingerprint": self.fingerprint} | versions_of(*self.packages)


def versions_of(*packages: str) -> dict[str, str | None]:
    """The version of each of these distributions, None where one is not installed.

    >>> versions_of("no-such-package")
    {'no-such-package': None}
    """
    return {package: _version_of(package) for package in packages}


def judge_of(step: Any) -> Judge:
    """What a filter of datatrove decides, as a function. A text without any text is refused before it is asked."""
    from datatrove.data import Document
    from datatrove.pipeline.filters.base_filter import get_filter_result

    def judge(text: str) -> Verdict:
        if not text or text.isspace():  # datatrove 0.10.1 divides by the number of words, and of lines
            return None, "empty"
        document = Document(text=text, id="")
        is_kept, reason = get_filter_result(step.filter(document))
        if not is_kept:
            return None, reason
        return (document.text, "") if document.text else (None, "empty")

    return judge


def require_words(language: str) -> None:
    """Raises ConfigError where datatrove cannot split this language into words, here and now."""
    from datatrove.utils.word_tokenizers import load_tokenizer_assignments, load_word_tokenizer

    if language not in load_tokenizer_assignments():
        raise ConfigError(
            f"language {language!r} has no word tokenizer in datatrove; give an ISO 639 code, as en or ru"
        )
    try:
        load_word_tokenizer(language).word_tokenize("a")
    except (ImportError, OSError) as error:
        raise ConfigError(f"language {language!r}: {first_line(error)}") from None


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
