"""What nonsense documents call for, in plain Python that shares the table of symbols with the kernel and no code."""

from collections import Counter
from itertools import chain, permutations
from typing import NamedTuple

from metalang.domains.nonsense_symbols import FIRST_KEYWORD, FIRST_WORD, KEYWORDS, KINDS, NUMBERS, word_symbol
from metalang.ids import Control

STOP = word_symbol(".")
BEGIN_QUOTE = FIRST_KEYWORD[KINDS.index("copy_quoted")]
END_QUOTE, BULLET = BEGIN_QUOTE + 1, FIRST_KEYWORD[KINDS.index("copy_bulleted")]


class Find(NamedTuple):
    """A keyword: its number among those of its modifier, its sentence, which of all sentences, and its place in it."""

    code: int
    sentence: list[int]
    index: int
    place: int


def sentences(document: list[int]) -> list[list[int]]:
    """The sentences of a document: each ends with a full stop, or with the end of a quotation behind one."""
    lines: list[list[int]] = [[]]
    for symbol in document:
        if lines[-1] and STOP in lines[-1] and symbol != END_QUOTE:
            lines.append([])
        lines[-1].append(symbol)
    return lines


def keyword_of(symbol: int) -> tuple[str, int] | None:
    """The modifier that a symbol is a keyword of, and its number there; None where it is none."""
    for kind, first, count in zip(KINDS, FIRST_KEYWORD, KEYWORDS, strict=True):
        if first <= symbol < first + count:
            return kind, symbol - first
    return None


def is_well_placed(kind: str, found: list[Find]) -> bool:
    """Whether the keywords of a modifier stand as it puts them."""
    codes, lines = [each.code for each in found], Counter(each.index for each in found)
    if kind == "copy_quoted":
        return codes == [0, 1] and len(lines) == 1 and found[1].place > found[0].place + 1
    if kind == "copy_bulleted":
        return len(found) == 1 and found[0].place == 0
    if kind == "break_clauses":
        return len(found) == 2 and len(lines) == 1 and codes[0] != codes[1]
    least, most = NUMBERS[KINDS.index(kind)]
    if kind in ("copy_keywords_sorted", "largest_number", "join_clauses") and len(set(codes)) < len(codes):
        return False
    if kind == "majority_keyword" and len(found) % 2 == 0:
        return False
    return least <= len(found) <= most and len(lines) == len(found)


def outputs(kind: str, found: list[Find]) -> list[list[int]]:
    """What a modifier may add to the summary; more than one thing where it draws."""
    each = found[0]
    line, code = each.sentence, each.code
    copied = [find.sentence for find in found]
    stand_in = FIRST_KEYWORD[KINDS.index(kind)] + KEYWORDS[KINDS.index(kind)]
    before, after = line[: each.place], line[each.place + 1 :]
    if kind in ("copy_keyword", "copy_keywords"):
        return [[*chain(*copied)]]
    if kind == "copy_keywords_shuffled":
        return [[*chain(*order)] for order in permutations(copied)]
    if kind == "copy_keywords_sorted":
        return [[*chain(*(find.sentence for find in sorted(found, key=lambda find: find.code)))]]
    if kind == "copy_quoted":
        inner = line[each.place + 1 : line.index(END_QUOTE)]
        return [inner if inner[-1] == STOP else [*inner, STOP]]
    if kind == "copy_bulleted":
        return [after]
    if kind == "classify_keyword":
        return [_phrase(f"the keyword was {'negative' if code >= 5 else 'positive'} .")]
    if kind == "replace_class_keyword":
        return [[*before, stand_in + code // 3, *after]]
    if kind == "majority_keyword":
        most = Counter(find.code for find in found).most_common(1)[0][0]
        return [[*_phrase("The keyword"), *_digits(most + 1), *_phrase("occurred more number of times .")]]
    if kind == "topic_segregation":
        sections = [
            [[*_phrase("section"), stand_in + topic], *(find.sentence for find in found if find.code // 3 == topic)]
            for topic in range(3)
        ]
        return [[symbol for section in sections for part in section for symbol in part]]
    if kind == "threshold_number":
        return [_phrase(f"the number was {'above or equal to' if code >= 50 else 'below'} threshold .")]
    if kind == "largest_number":
        return [[*_phrase("The largest number is"), *_digits(max(find.code for find in found)), STOP]]
    if kind == "paraphrase_words":
        return [[*before, stand_in + 3 * code + variant, *after] for variant in range(3)]
    if kind == "join_clauses":
        clauses = [symbol for find in found for symbol in find.sentence[find.place : -1]]
        return [[*_phrase("The combined sentence is"), *clauses, STOP]]
    if kind == "break_clauses":
        return [[*line[: found[1].place], STOP, *before, *line[found[1].place : -1], STOP]]
    return [[*before, STOP]]  # truncate_sentence


def furthest_fit(summary: list[int], choices: list[list[list[int]]]) -> int | None:
    """None where the summary is one choice of each, in some order; else how far it can be read."""
    if not choices:
        return 0 if summary else None
    furthest = 0
    for index, choice in enumerate(choices):
        for output in choice:
            common = 0
            while common < min(len(output), len(summary)) and output[common] == summary[common]:
                common += 1
            if common == len(output):
                rest = furthest_fit(summary[common:], choices[:index] + choices[index + 1 :])
                if rest is None:
                    return None
                common += rest
            furthest = max(furthest, common)
    return furthest


def is_word(symbol: int, num_symbols: int) -> bool:
    """Whether a symbol is a word of documents, or the full stop."""
    return symbol == STOP or FIRST_WORD <= symbol < num_symbols


def _phrase(words: str) -> list[int]:
    return [word_symbol(word) for word in words.split()]


def _digits(number: int) -> list[int]:
    return [Control.DIGIT_0 + int(digit) for digit in str(number)]
