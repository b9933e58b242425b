"""The language of a text, by one of two models.

`langid`: py3langid, a naive Bayes classifier over byte n-grams (Lui & Baldwin 2012, "langid.py: An Off-the-shelf
Language Identification Tool"); its model of 140 languages is in the package. `ft176`: fastText's lid.176 (Joulin et al.
2016, "Bag of Tricks for Efficient Text Classification"), the one that datatrove uses; its model (CC BY-SA 3.0) has to
be downloaded.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import xxhash
from pydantic import Field, model_validator

from metalang.errors import ConfigError
from metalang.specs import nearest
from metalang.text.filters.contract import Filter, Judge, Verdict, versions_of
from metalang.text.names import first_line

_FT176_URL = "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin"
_PACKAGES = {"langid": "py3langid", "ft176": "fasttext-numpy2-wheel"}

Scores = Callable[[str], dict[str, float]]
"""The probability of each language, by its code."""


class Language(Filter):
    """Keeps texts of which one of `languages` (ISO 639 codes) is more probable than `threshold`.

    The default threshold is datatrove's, for ft176. langid is less sure of a text of a few words: for lines and titles
    take a lower one. `model` is the path of lid.176.bin, or of another fastText model of languages, for ft176.

    >>> judge = Language(languages=["en", "de"]).open()
    >>> judge("The weather was fine on that day, and we walked along the river.")[1]
    ''
    >>> judge("Погода в тот день была хорошая, и мы пошли гулять вдоль реки.")
    (None, 'language_ru')
    """

    type: Literal["language"] = "language"
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    threshold: float = Field(default=0.65, ge=0.0, lt=1.0)
    backend: Literal["langid", "ft176"] = "langid"
    model: str | None = None

    @model_validator(mode="after")
    def _one_model(self) -> "Language":
        if self.backend == "langid" and self.model is not None:
            raise ValueError(f"model {self.model!r} is not for backend langid; add backend: ft176, or take it away")
        if self.backend == "ft176" and self.model is None:
            raise ValueError(f"backend ft176 has no model; download {_FT176_URL} (126 MB), and give its path as model")
        return self

    def open(self) -> Judge:
        """Reasons: `language_` and the most probable one; language_unsure where that is wanted but not certain."""
        known, scores = _langid() if self.model is None else _fasttext(_model_file(self.model))
        unknown = [language for language in self.languages if language not in known]
        if unknown:
            raise ConfigError(f"language: {self.backend} does not know {unknown[0]!r}; {nearest(unknown[0], known)}")

        def judge(text: str) -> Verdict:
            probabilities = scores(text)
            if any(probabilities.get(language, 0.0) > self.threshold for language in self.languages):
                return text, ""
            best = max(probabilities, key=probabilities.__getitem__, default="none")
            return None, "language_unsure" if best in self.languages else f"language_{best}"

        return judge

    def identity(self) -> dict[str, Any]:
        """As of any filter, with the content of a model in place of its path."""
        identity = Filter.identity(self.model_copy(update={"model": None})) | versions_of(_PACKAGES[self.backend])
        if self.model is None:
            return identity
        return identity | {"model": xxhash.xxh3_128_hexdigest(_model_file(self.model).read_bytes())}


def _model_file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"language: no model at {name!r}; download {_FT176_URL} (126 MB), and give its path as model")
    return path


@cache
def _langid() -> tuple[list[str], Scores]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return sorted(identifier.labels), lambda text: dict(identifier.rank(text))


@cache
def _fasttext(path: Path) -> tuple[list[str], Scores]:
    try:
        from fasttext.FastText import _FastText  # its load_model prints a warning of its own
    except ImportError:
        raise ConfigError("language: backend ft176 needs a package; pip install fasttext-numpy2-wheel") from None
    try:
        model = _FastText(str(path))
    except ValueError as error:
        raise ConfigError(f"language: {path} is no fastText model: {first_line(error)}") from None

    def scores(text: str) -> dict[str, float]:
        labels, probabilities = model.predict(text.replace("\n", " "), k=-1)
        return {_code(label): float(probability) for label, probability in zip(labels, probabilities, strict=True)}

    return sorted(map(_code, model.get_labels())), scores


def _code(label: str) -> str:
    return label.removeprefix("__label__")
