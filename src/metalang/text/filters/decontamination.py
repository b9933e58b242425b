"""Refuses texts that share a run of words with an evaluation set.

A word is a run of letters, marks and digits, after NFKC and case folding: punctuation, case, line ends and the width of
letters do not matter. Scripts without spaces are not cut into words: there all that stands between two marks of
punctuation is one word, and little is found. 13 words are our default, and one common run refuses the whole text.
"""

import unicodedata
from typing import Literal

import numpy as np
import regex
import xxhash
from pydantic import Field

from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.text.filters.contract import Filter, Judge, Verdict
from metalang.text.sources import TextSource

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that a word counts in each place of a run


class Decontaminate(Filter):
    """Refuses a text that has `ngram` words in a row in common with a document of `paths`.

    A path is whatever a `TextSource` can be; a document there of fewer than `ngram` words is not looked for. Its
    fingerprint names what is looked for, not where that was read, so it reads the evaluation sets.
    """

    type: Literal["decontaminate"] = "decontaminate"
    paths: tuple[str, ...] = Field(min_length=1)
    text_field: str = "text"
    ngram: int = Field(default=13, ge=1)

    def open(self) -> Judge:
        """Reason: contaminated."""
        wanted = self._wanted()

        def judge(text: str) -> Verdict:
            found = ngram_hashes(text, self.ngram)
            places = np.searchsorted(wanted, found)
            places[places == len(wanted)] = 0
            return (None, "contaminated") if (wanted[places] == found).any() else (text, "")

        return judge

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the runs of words that are looked for."""
        return digest_of([self.type, self.ngram, xxhash.xxh3_128_hexdigest(self._wanted().tobytes())])[:16]

    def _wanted(self) -> np.ndarray:
        """Hashes of all runs of the evaluation sets, sorted, each once, (n,) uint64."""
        return np.unique(np.concatenate([hashes for path in self.paths for hashes in self._hashes_of(path)]))

    def _hashes_of(self, path: str) -> list[np.ndarray]:
        source = TextSource(path, text_field=self.text_field)
        texts = (document.text for unit in source.units(2**62) for document in source.read(unit))
        hashes = [found for text in texts if len(found := ngram_hashes(text, self.ngram))]
        if not hashes:
            raise ConfigError(
                f"decontaminate: no document of {path!r} has {self.ngram} words, so nothing can be looked for; lower "
                "ngram, or name another text_field"
            )
        return hashes


def ngram_hashes(text: str, ngram: int) -> np.ndarray:
    """One hash for each run of `ngram` words, (max(words - ngram + 1, 0),) uint64, equal on every machine.

    >>> one, other = ngram_hashes("The cat sat.", 3), ngram_hashes("the CAT,\\nsat", 3)
    >>> len(one), bool(one == other), len(ngram_hashes("The cat", 3))
    (1, True, 0)
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    hashes = (xxhash.xxh3_64_intdigest(word.encode()) for word in words)
    by_word = np.fromiter(hashes, dtype=np.uint64, count=len(words))
    count = max(len(words) - ngram + 1, 0)
    runs = np.zeros(count, np.uint64)
    for place in range(ngram):
        runs = runs * _MULTIPLIER + by_word[place : place + count]
    return runs
