"""What is done to the texts of a pair, and why a pair is left out."""

import unicodedata
from dataclasses import dataclass
from typing import Literal

from metalang.building.parallel.languages import KNOWN, Language
from metalang.building.parallel.tags import spells_tag
from metalang.errors import ConfigError

Normalization = Literal["nfc", "nfkc", "none"]

_BOM = 0xFEFF
_CONTROLS = dict.fromkeys(code for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc")
_DROPPED = {code: None for code in (*_CONTROLS, _BOM) if not chr(code).isspace()}


@dataclass(frozen=True)
class Cleaning:
    """Limits that a pair keeps. Lengths are in characters, `min_script_share` in letters; all are our defaults.

    NFC joins a letter and its accents and loses nothing. NFKC also writes ½ as 1⁄2, № as No and ﬁ as fi, for good:
    it has to be asked for.
    """

    source: Language
    target: Language
    normalization: Normalization = "nfc"
    min_characters: int = 1
    max_characters: int = 1000
    max_length_ratio: float = 3.0
    min_script_share: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.min_characters <= self.max_characters:
            raise ConfigError(
                f"--min_characters {self.min_characters} to --max_characters {self.max_characters} leaves no text; "
                "give 1 or more, and the smaller one first"
            )
        if not self.max_length_ratio >= 1:
            raise ConfigError(
                f"--max_length_ratio {self.max_length_ratio:g} leaves no pair, being the longer text by the shorter; "
                "give 1 or more, such as 3"
            )
        if not 0 <= self.min_script_share <= 1:
            raise ConfigError(f"--min_script_share {self.min_script_share:g} is no share; give 0 (off) to 1")
        for language in (self.source, self.target):
            if self.min_script_share and not language.scripts:
                raise ConfigError(
                    f"the script of language {language.code!r} is not known; known are {' '.join(sorted(KNOWN))}. Name "
                    "one of them, or leave the check out by --min_script_share 0"
                )

    def cleaned(self, text: str) -> str:
        """A text normalized, without control characters and BOMs, every run of white space one space, none at the ends.

        So no text holds a newline or a tab.
        """
        if self.normalization != "none":
            text = unicodedata.normalize(self.normalization.upper(), text)
        return " ".join(text.translate(_DROPPED).split())

    def fault(self, source: str, target: str) -> str | None:
        """Why a pair of cleaned texts is left out, the first reason of several; None where it stays."""
        short, long = sorted((len(source), len(target)))
        if not short:
            return "empty"
        if short < self.min_characters:
            return "too_short"
        if long > self.max_characters:
            return "too_long"
        if long > self.max_length_ratio * short:
            return "length_ratio"
        if spells_tag(source) or spells_tag(target):
            return "spells_tag"
        for language, text in ((self.source, source), (self.target, target)):
            if self.min_script_share and language.script_share(text) < self.min_script_share:
                return f"script_{language.code}"
        return None

    @property
    def reasons(self) -> tuple[str, ...]:
        """All that `fault` can say."""
        scripts = (f"script_{self.source.code}", f"script_{self.target.code}")
        return ("empty", "too_short", "too_long", "length_ratio", "spells_tag", *scripts)
