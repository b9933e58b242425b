"""Summaries of documents without sense, by rules that keywords in the document call for.

Krishna, Bigham & Lipton 2021, "Does Pretraining for Summarization Require Knowledge Transfer?", arXiv 2109.04953; the
16 modifiers that its published generator uses, with its sizes: 7 to 13 sentences of 5 to 15 words of 5,000.

A document is sentences of random words, each ended by a full stop. Three different modifiers put their own keywords
into it, one after the other; then each adds its sentences to the summary, in the same order, which the document does
not show. Two of them, copy_keywords_shuffled and paraphrase_words, have several right outputs. A keyword takes the
place of a word that is no keyword, as published; unlike there, never that of a full stop, which quotes can move into a
sentence. Numbers in a summary are written in digits; the words of fixed phrases are symbols of their own.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from metalang.domains.contract import Domain, Mask, Sequences
from metalang.domains.nonsense_kernels import Sizes, write_summaries
from metalang.domains.nonsense_oracle import (
    BEGIN_QUOTE,
    BULLET,
    END_QUOTE,
    STOP,
    Find,
    furthest_fit,
    is_well_placed,
    is_word,
    keyword_of,
    outputs,
    sentences,
)
from metalang.domains.nonsense_symbols import FIRST_WORD, KINDS
from metalang.domains.rows import fault, written
from metalang.domains.vocabulary import Vocabulary
from metalang.ids import Control
from metalang.specs import Range

Kind = Literal[
    "copy_keyword", "copy_keywords", "copy_keywords_shuffled", "copy_keywords_sorted", "copy_quoted", "copy_bulleted",
    "classify_keyword", "replace_class_keyword", "majority_keyword", "topic_segregation", "threshold_number",
    "largest_number", "paraphrase_words", "join_clauses", "break_clauses", "truncate_sentence",
]  # fmt: skip


class NonsenseSummary(Domain):
    """A document, SEP, and the summary that its keywords call for.

    `sentences`: sentences of a document; `words`: words of a sentence; `modifiers`: of which `num_modifiers` are drawn.

    >>> tiny = {"sentences": 5, "words": 3, "modifiers": ["truncate_sentence"], "num_modifiers": 1}
    >>> NonsenseSummary(**tiny, vocabulary={"size": 9}).sample(7, 0, 1).symbols.tolist()
    [442, 441, 439, 32, 437, 439, 441, 32, 442, 435, 442, 32, 436, 433, 440, 32, 436, 434, 438, 32, 3, 436, 32, 2]
    """

    type: Literal["nonsense_summary"] = "nonsense_summary"
    paper: ClassVar[str] = "Krishna, Bigham & Lipton 2021"
    vocabulary: Vocabulary = Vocabulary(size=5000)
    sentences: Range = Range(min=7, max=13)
    words: Range = Range(min=5, max=15)
    modifiers: tuple[Kind, ...] = KINDS
    num_modifiers: int = Field(default=3, ge=1)
    mask: Mask = "output"
    eos: bool = True

    @model_validator(mode="after")
    def _has_room(self):
        if len(set(self.modifiers)) < len(self.modifiers):
            raise ValueError(f"modifiers {', '.join(self.modifiers)} names one twice; name each once")
        if self.num_modifiers > len(self.modifiers):
            raise ValueError(
                f"num_modifiers {self.num_modifiers} is more than the {len(self.modifiers)} modifiers; lower it"
            )
        if not self.vocabulary.replacement:
            raise ValueError("vocabulary.replacement is false and words are drawn independently; set it to true")
        if self.sentences.min < 5:
            raise ValueError(f"sentences begins at {self.sentences.min} and modifiers take up to 5; begin it at 5")
        if self.words.min < self.num_modifiers + 2:
            raise ValueError(
                f"words begins at {self.words.min} and {self.num_modifiers} modifiers may take "
                f"{self.num_modifiers + 2} of one sentence; begin it there or above"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block, phrases and keywords, the vocabulary."""
        return FIRST_WORD + self.vocabulary.size

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        sizes = Sizes(self.num_modifiers, self.sentences.min, self.sentences.max, self.words.min, self.words.max)
        kinds = np.array([KINDS.index(kind) for kind in self.modifiers])
        flags = (self.mask == "all", self.mask != "output_no_eos", self.eos)
        line = self.words.max + 4
        return written(
            write_summaries, np.uint64(key), start, self.vocabulary.tables, sizes, kinds, flags,
            count=count, longest_row=(self.sentences.max + 5 * self.num_modifiers) * line + 9 * self.num_modifiers + 2,
            num_symbols=self.num_symbols,
        )  # fmt: skip

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        row = [int(symbol) for symbol in symbols]
        if Control.SEP not in row:
            raise fault(len(row), "the row has no SEP")
        separator, end = row.index(Control.SEP), len(row) - self.eos
        found = self._read_document(row[:separator])
        furthest = furthest_fit(row[separator + 1 : end], [outputs(kind, each) for kind, each in found.items()])
        if furthest is not None:
            raise fault(separator + 1 + furthest, "no order of the modifiers gives this summary")
        if self.eos and row[-1] != Control.EOS:
            raise fault(len(row), "the row should end with EOS")
        last = end if self.mask == "output_no_eos" else len(row)
        for position, flag in enumerate(predicted.tolist()):
            expected = self.mask == "all" or separator < position < last
            if flag != expected:
                raise fault(position, f"mask is {flag} and should be {expected}")

    def _read_document(self, document: list[int]) -> dict[str, list[Find]]:
        """The keywords of each modifier, in order."""
        found: dict[str, list[Find]] = {}
        begin, lines = 0, sentences(document)
        for index, line in enumerate(lines):
            num_words = sum(symbol not in (STOP, BULLET, BEGIN_QUOTE, END_QUOTE) for symbol in line)
            for place, symbol in enumerate(line):
                if (keyword := keyword_of(symbol)) is not None:
                    found.setdefault(keyword[0], []).append(Find(keyword[1], line, index, place))
                elif not is_word(symbol, self.num_symbols):
                    raise fault(begin + place, f"symbol {symbol} is no word and no keyword")
            begin += len(line)
            if STOP not in line or not self.words.min <= num_words <= self.words.max:
                raise fault(begin, f"a sentence of {num_words} words ends here, outside of its bounds")
        if not self.sentences.min <= len(lines) <= self.sentences.max:
            raise fault(begin, f"the document has {len(lines)} sentences, outside of its bounds")
        if len(found) != self.num_modifiers or not set(found) <= set(self.modifiers):
            raise fault(begin, f"the document holds the keywords of {', '.join(found) or 'no modifier'}")
        for kind, each in found.items():
            if not is_well_placed(kind, each):
                raise fault(begin, f"the keywords of {kind} do not stand as they should")
        return found
