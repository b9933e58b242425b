"""The symbols of nonsense documents and summaries.

Behind the control block: the full stop and the words of fixed phrases; for each modifier its keywords and what may
stand for them in a summary; the words of documents.
"""

import numpy as np

from metalang.ids import NUM_CONTROL

_VOCABULARY = (
    ". the keyword was positive negative The occurred more number of times section above or equal to threshold below "
    "largest is combined sentence"
).split()
PHRASES = (
    "the keyword was positive .",
    "the keyword was negative .",
    "The keyword",
    "occurred more number of times .",
    "the number was above or equal to threshold .",
    "the number was below threshold .",
    "The largest number is",
    "The combined sentence is",
    "section",
)
KINDS = (
    "copy_keyword", "copy_keywords", "copy_keywords_shuffled", "copy_keywords_sorted", "copy_quoted", "copy_bulleted",
    "classify_keyword", "replace_class_keyword", "majority_keyword", "topic_segregation", "threshold_number",
    "largest_number", "paraphrase_words", "join_clauses", "break_clauses", "truncate_sentence",
)  # fmt: skip
# By kind: keywords in documents, symbols that stand for them in summaries, least and most sentences it modifies.
KEYWORDS = (10, 10, 10, 10, 2, 1, 10, 9, 2, 9, 100, 100, 20, 5, 5, 10)
_STAND_INS = (0, 0, 0, 0, 0, 0, 0, 3, 0, 3, 0, 0, 60, 0, 0, 0)
NUMBERS = ((1, 1), (3, 3), (3, 3), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), (3, 5), (2, 5), (1, 1), (1, 4), (1, 1),
           (3, 3), (1, 1), (1, 1))  # fmt: skip

_BLOCKS = np.cumsum([NUM_CONTROL + len(_VOCABULARY), *np.add(KEYWORDS, _STAND_INS)])
FIRST_KEYWORD = tuple(int(first) for first in _BLOCKS[:-1])
FIRST_WORD = int(_BLOCKS[-1])


def word_symbol(word: str) -> int:
    """The symbol of a word of the fixed phrases."""
    return NUM_CONTROL + _VOCABULARY.index(word)
