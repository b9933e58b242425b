"""Quality as datatrove judges it: Gopher's two sets of rules, C4's and FineWeb's.

Every default is datatrove 0.10.1's, and so is every verdict; a paper's own number may differ. The rules come from Rae
et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher" (arXiv 2112.11446, table A1);
Raffel et al. 2020, "Exploring the Limits of Transfer Learning" (JMLR 21, section 2.2); Penedo et al. 2024, "The FineWeb
Datasets" (arXiv 2406.17557). `language` is that of the text, for its words and sentences: datatrove splits with spaCy.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from metalang.text.filters.contract import Filter, Judge, judge_of, require_words

# datatrove takes a limit of 0 for none: a rule is turned off by None alone, so that 0 is never read the other way round
Fraction = Annotated[float, Field(gt=0.0, le=1.0)] | None
NgramLimit = tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(ge=0.0, le=1.0)]]
"""Words in an n-gram, and the fraction of characters that it may take."""


class _ByDatatrove(Filter):
    """A filter of datatrove whose arguments are the fields of this description."""

    packages = ("datatrove", "spacy")
    language: str = "en"

    def open(self) -> Judge:
        """Reasons are datatrove's own, and `empty`."""
        require_words(self.language)
        return judge_of(self._step(**{name: getattr(self, name) for name in type(self).model_fields if name != "type"}))

    def _step(self, **settings: Any) -> Any:
        raise NotImplementedError


class GopherQuality(_ByDatatrove):
    """Rae et al. 2021: number and length of words, symbols, bullets, ellipses, letters, stop words (the English ones).

    For another language give its `stop_words`, or set `min_stop_words` to 0. None turns a rule off.

    >>> GopherQuality().open()("Far too short.")
    (None, 'gopher_short_doc')
    """

    type: Literal["gopher_quality"] = "gopher_quality"
    min_doc_words: int = Field(default=50, ge=1)
    max_doc_words: int | None = Field(default=100_000, ge=1)
    min_avg_word_length: float = Field(default=3, ge=0)
    max_avg_word_length: float | None = Field(default=10, gt=0)
    max_symbol_word_ratio: Fraction = 0.1
    max_bullet_lines_ratio: Fraction = 0.9
    max_ellipsis_lines_ratio: Fraction = 0.3
    max_non_alpha_words_ratio: Fraction = 0.8
    """The least fraction of words with a letter; the name is datatrove's."""
    min_stop_words: int = Field(default=2, ge=0)
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")

    def _step(self, **settings: Any) -> Any:
        from datatrove.pipeline.filters import GopherQualityFilter

        return GopherQualityFilter(**settings)


class GopherRepetition(_ByDatatrove):
    """Rae et al. 2021, table A1: the parts of lines, paragraphs and n-grams that repeat. None turns a rule off.

    >>> GopherRepetition().open()("The same line again.\\n" * 3)
    (None, 'dup_line_frac')
    """

    type: Literal["gopher_repetition"] = "gopher_repetition"
    dup_line_frac: Fraction = 0.3
    dup_para_frac: Fraction = 0.3
    dup_line_char_frac: Fraction = 0.2
    dup_para_char_frac: Fraction = 0.2
    top_n_grams: tuple[NgramLimit, ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    dup_n_grams: tuple[NgramLimit, ...] = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))

    def _step(self, **settings: Any) -> Any:
        from datatrove.pipeline.filters import GopherRepetitionFilter

        return GopherRepetitionFilter(**settings)


class C4Quality(_ByDatatrove):
    """Raffel et al. 2020: leaves out lines that are no prose, then refuses what has too few sentences.

    A text that is kept has lost the lines that failed, and citations as `[1]`. The list of bad words is not applied.
    """

    type: Literal["c4_quality"] = "c4_quality"
    split_paragraph: bool = True
    """Whether the rules look at lines; else at sentences."""
    remove_citations: bool = True
    filter_no_terminal_punct: bool = True
    min_num_sentences: int = Field(default=5, ge=0)
    min_words_per_line: int = Field(default=3, ge=0)
    max_word_length: int | None = Field(default=1000, ge=1)
    filter_lorem_ipsum: bool = True
    filter_javascript: bool = True
    filter_curly_bracket: bool = True
    filter_policy: bool = True

    def _step(self, **settings: Any) -> Any:
        from datatrove.pipeline.filters import C4QualityFilter

        return C4QualityFilter(**settings | {"max_word_length": self.max_word_length or -1})


class FineWebQuality(_ByDatatrove):
    """Penedo et al. 2024: how many lines end as sentences do, are short or repeat, and how many words a line has."""

    type: Literal["fineweb_quality"] = "fineweb_quality"
    line_punct_thr: float = Field(default=0.12, ge=0.0, le=1.0)
    line_punct_exclude_zero: bool = False
    short_line_thr: float = Field(default=0.67, ge=0.0, le=1.0)
    short_line_length: int = Field(default=30, ge=0)
    char_duplicates_ratio: float = Field(default=0.01, ge=0.0, le=1.0)
    new_line_ratio: float = Field(default=0.3, ge=0.0)

    def _step(self, **settings: Any) -> Any:
        from datatrove.pipeline.filters import FineWebQualityFilter

        return FineWebQualityFilter(**settings)
