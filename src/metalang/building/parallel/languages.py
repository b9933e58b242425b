"""Languages: the names by which files tell them, and the scripts that their letters belong to."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from metalang.errors import ConfigError

_LAST_LETTER = 0x323B0  # past it Unicode 15 has no letters

_ISO_639_3 = {
    "Latin": "az=aze cs=ces da=dan de=deu en=eng es=spa et=est fi=fin fr=fra hr=hrv hu=hun id=ind it=ita lt=lit lv=lav "
    "nl=nld no=nor pl=pol pt=por ro=ron sk=slk sl=slv sv=swe tr=tur uz=uzb vi=vie",
    "Cyrillic": "be=bel bg=bul kk=kaz ky=kir mk=mkd mn=mon ru=rus sr=srp tg=tgk tt=tat uk=ukr",
    "Arabic": "ar=ara fa=fas ur=urd",
    "Armenian": "hy=hye",
    "Bengali": "bn=ben",
    "Devanagari": "hi=hin mr=mar ne=nep",
    "Georgian": "ka=kat",
    "Greek": "el=ell",
    "Hangul": "ko=kor",
    "Hebrew": "he=heb",
    "Thai": "th=tha",
    "CJK": "zh=zho",
    "Hiragana Katakana CJK": "ja=jpn",
}


@dataclass(frozen=True)
class Language:
    """A language by its `code`, `names` (in the names of files) and `scripts` (first words of its letters' names)."""

    code: str
    names: tuple[str, ...]
    scripts: tuple[str, ...] = ()

    def script_share(self, text: str) -> float:
        """The share of the letters of a text that belong to the language's scripts; 0 for a text without letters.

        >>> language("ru").script_share("МИД, 5 mm")
        0.6
        """
        num_letters = sum(map(str.isalpha, text))
        return sum(map(_letters(self.scripts).__contains__, text)) / num_letters if num_letters else 0.0


KNOWN = {
    code: Language(code, (code, name), tuple(scripts.upper().split()))
    for scripts, languages in _ISO_639_3.items()
    for code, name in (pair.split("=") for pair in languages.split())
}


def language(code: str) -> Language:
    """The language of an ISO 639 code of two or three letters. One that we do not know has its code, and no script.

    >>> language("rus").names, language("tlh").scripts
    (('rus', 'ru'), ())
    """
    if not (code.isascii() and code.isalnum() and code == code.lower()):
        raise ConfigError(f"{code!r} is no code of a language; write it in small letters, such as ru or en")
    for known in KNOWN.values():
        if code in known.names:
            return Language(code, (code, *(name for name in known.names if name != code)), known.scripts)
    return Language(code, (code,))


@lru_cache(maxsize=8)
def _letters(scripts: tuple[str, ...]) -> frozenset[str]:
    letters = (character for character in map(chr, range(_LAST_LETTER)) if character.isalpha())
    return frozenset(letter for letter in letters if unicodedata.name(letter, "").startswith(scripts))
