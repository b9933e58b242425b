"""The kernel of nonsense summaries: documents of random words, modifiers, and what each adds to the summary."""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from metalang.domains.nonsense_symbols import FIRST_KEYWORD, FIRST_WORD, KEYWORDS, KINDS, NUMBERS, PHRASES, word_symbol
from metalang.domains.strings import between, shuffle
from metalang.domains.vocabulary import discourse_of, draw_one
from metalang.ids import Control
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state

_POSITIVE, _NEGATIVE, _KEYWORD, _OFTEN, _ABOVE, _BELOW, _LARGEST, _COMBINED, _SECTION = range(len(PHRASES))

(
    _COPY, _COPY_MANY, _SHUFFLED, _SORTED, _QUOTED, _BULLETED, _CLASSIFY, _REPLACE_CLASS, _MAJORITY, _TOPICS,
    _THRESHOLD, _LARGEST_NUMBER, _PARAPHRASE, _JOIN, _BREAK, _TRUNCATE,
) = range(len(KINDS))  # fmt: skip
_STOP = word_symbol(".")
_DIGIT_0 = int(Control.DIGIT_0)
_SEP, _EOS = int(Control.SEP), int(Control.EOS)
_FIRST, _COUNT = np.array(FIRST_KEYWORD), np.array(KEYWORDS)
_LEAST, _MOST = np.array([least for least, _ in NUMBERS]), np.array([most for _, most in NUMBERS])
_WORDS = np.array([word_symbol(word) for line in PHRASES for word in line.split()])
_BORDERS = np.cumsum([0, *(len(line.split()) for line in PHRASES)])


class Sizes(NamedTuple):
    """The numbers of a description, as the kernel reads them."""

    num_modifiers: int
    min_sentences: int
    max_sentences: int
    min_words: int
    max_words: int


@njit(cache=True)
def write_summaries(key, start, tables, sizes, kinds, flags, symbols, predicted, ends):
    """Writes rows `document SEP summary`; `flags`: source predicted, EOS predicted, EOS there."""
    mask_source, mask_eos, eos = flags
    lines = np.empty((sizes.max_sentences, sizes.max_words + 4), np.int64)
    lengths = np.empty(sizes.max_sentences, np.int64)
    order, found, places = kinds.copy(), np.empty(8, np.int64), np.empty(8, np.int64)
    room = np.empty(sizes.max_words + 4, np.int64)
    place = 0
    for index in range(len(ends)):
        begin = place
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        discourse, num_lines = discourse_of(tables, state), between(state, sizes.min_sentences, sizes.max_sentences)
        for line in range(num_lines):
            state += GOLDEN_GAMMA
            lengths[line] = between(state, sizes.min_words, sizes.max_words) + 1
            for word in range(lengths[line] - 1):
                state += GOLDEN_GAMMA
                lines[line, word] = FIRST_WORD + draw_one(mix64(state), tables, discourse)
            lines[line, lengths[line] - 1] = _STOP
        order[:] = kinds
        for step in range(sizes.num_modifiers):
            state += GOLDEN_GAMMA
            other = between(state, step, len(order) - 1)
            order[step], order[other] = order[other], order[step]
            state = _modify(state, order[step], lines, lengths, num_lines, found, room)
        for line in range(num_lines):
            place = _copy(lines[line, : lengths[line]], symbols, place)
        predicted[begin : place + 1] = mask_source
        symbols[place] = _SEP
        place += 1
        begin = place
        for kind in order[: sizes.num_modifiers]:
            num_found = _find(kind, lines, lengths, num_lines, found, places)
            state, place = _summarize(state, kind, lines, lengths, found[:num_found], places, symbols, place)
        predicted[begin:place] = True
        if eos:
            symbols[place] = _EOS
            predicted[place] = mask_eos
            place += 1
        ends[index] = place


@njit(cache=True)
def _modify(state, kind, lines, lengths, num_lines, keywords, room):
    """Puts the keywords of a modifier into sentences that are drawn; the state behind its draws."""
    state += GOLDEN_GAMMA
    needed = between(state, _LEAST[kind], _MOST[kind])
    if kind == _MAJORITY and needed == 4:  # an odd number, 3 or 5
        state += GOLDEN_GAMMA
        needed = 3 + 2 * between(state, 0, 1)
    num_keywords = 2 if kind == _BREAK else needed
    distinct = kind == _SORTED or kind == _LARGEST_NUMBER or kind == _JOIN or kind == _BREAK
    drawn = 0
    while drawn < num_keywords:
        state += GOLDEN_GAMMA
        keywords[drawn] = _FIRST[kind] + between(state, 0, _COUNT[kind] - 1)
        is_new = True
        for other in keywords[:drawn]:
            is_new = is_new and (other != keywords[drawn] or not distinct)
        drawn += is_new
    used = 0
    for line in range(num_lines):
        state += GOLDEN_GAMMA
        if between(state, 0, num_lines - line - 1) >= needed - used:
            continue
        if kind == _QUOTED or kind == _BULLETED:
            state, lengths[line] = _frame(state, kind, lines[line], lengths[line])
        else:
            for keyword in keywords[used : used + (2 if kind == _BREAK else 1)]:
                state = _replace_word(state, lines[line, : lengths[line] - (2 if kind == _JOIN else 1)], keyword, room)
        used += 1
    return state


@njit(cache=True)
def _frame(state, kind, line, length):
    """Puts a bullet before a sentence, or a part of it into quotes: the state, and the new length."""
    if kind == _BULLETED:
        for position in range(length, 0, -1):
            line[position] = line[position - 1]
        line[0] = _FIRST[_BULLETED]
        return state, length + 1
    state += GOLDEN_GAMMA
    begin = between(state, 0 if line[0] >= FIRST_WORD else 1, length - 1)
    state += GOLDEN_GAMMA
    end = between(state, begin + 1, length)
    for position in range(length - 1, end - 1, -1):
        line[position + 2] = line[position]
    line[end + 1] = _FIRST[_QUOTED] + 1
    for position in range(end - 1, begin - 1, -1):
        line[position + 1] = line[position]
    line[begin] = _FIRST[_QUOTED]
    return state, length + 2


@njit(cache=True)
def _replace_word(state, line, keyword, room):
    """Replaces one of the words of `line` that are no keywords; the state."""
    size = 0
    for position in range(len(line)):
        if line[position] >= FIRST_WORD:
            room[size] = position
            size += 1
    state += GOLDEN_GAMMA
    line[room[between(state, 0, size - 1)]] = keyword
    return state


@njit(cache=True)
def _find(kind, lines, lengths, num_lines, found, places):
    """Sentences and places of the keywords of a modifier, in order; how many there are."""
    size = 0
    for line in range(num_lines):
        for position in range(lengths[line]):
            if _FIRST[kind] <= lines[line, position] < _FIRST[kind] + _COUNT[kind]:
                found[size], places[size] = line, position
                size += 1
    return size


@njit(cache=True)
def _summarize(state, kind, lines, lengths, found, places, symbols, place):
    """Writes what a modifier adds to the summary: the state, and the place behind."""
    line = lines[found[0], : lengths[found[0]]]
    first = places[0]
    keyword = line[first]
    code = keyword - _FIRST[kind]
    if kind <= _SORTED:
        if kind == _SHUFFLED:
            state = shuffle(state, found)
        elif kind == _SORTED:
            _sort(lines, found, places)
        for index in found:
            place = _copy(lines[index, : lengths[index]], symbols, place)
    elif kind == _QUOTED:
        place = _copy(line[first + 1 : places[1]], symbols, place)
        if line[places[1] - 1] != _STOP:
            place = _stop(symbols, place)
    elif kind == _BULLETED:
        place = _copy(line[1:], symbols, place)
    elif kind == _CLASSIFY:
        place = _phrase(_POSITIVE if code < 5 else _NEGATIVE, symbols, place)
    elif kind == _REPLACE_CLASS or kind == _PARAPHRASE:
        stand_in = code // 3
        if kind == _PARAPHRASE:
            state += GOLDEN_GAMMA
            stand_in = 3 * code + between(state, 0, 2)
        begin = place
        place = _copy(line, symbols, place)
        symbols[begin + first] = _FIRST[kind] + _COUNT[kind] + stand_in
    elif kind == _MAJORITY:
        seconds = 0
        for index in range(len(found)):
            seconds += lines[found[index], places[index]] - _FIRST[kind]
        place = _phrase(_KEYWORD, symbols, place)
        symbols[place] = _DIGIT_0 + (2 if 2 * seconds > len(found) else 1)
        place = _phrase(_OFTEN, symbols, place + 1)
    elif kind == _TOPICS:
        for topic in range(3):
            place = _phrase(_SECTION, symbols, place)
            symbols[place] = _FIRST[kind] + _COUNT[kind] + topic
            place += 1
            for index in range(len(found)):
                if (lines[found[index], places[index]] - _FIRST[kind]) // 3 == topic:
                    place = _copy(lines[found[index], : lengths[found[index]]], symbols, place)
    elif kind == _THRESHOLD:
        place = _phrase(_ABOVE if code >= 50 else _BELOW, symbols, place)
    elif kind == _LARGEST_NUMBER:
        for index in range(len(found)):
            code = max(code, lines[found[index], places[index]] - _FIRST[kind])
        place = _phrase(_LARGEST, symbols, place)
        if code >= 10:
            symbols[place] = _DIGIT_0 + code // 10
            place += 1
        symbols[place] = _DIGIT_0 + code % 10
        place = _stop(symbols, place + 1)
    elif kind == _JOIN:
        place = _phrase(_COMBINED, symbols, place)
        for index in range(len(found)):
            place = _copy(lines[found[index], places[index] : lengths[found[index]] - 1], symbols, place)
        place = _stop(symbols, place)
    elif kind == _BREAK:
        place = _stop(symbols, _copy(line[: places[1]], symbols, place))
        place = _copy(line[:first], symbols, place)
        place = _stop(symbols, _copy(line[places[1] : len(line) - 1], symbols, place))
    else:
        place = _stop(symbols, _copy(line[:first], symbols, place))
    return state, place


@njit(cache=True)
def _sort(lines, found, places):
    """Orders sentences, at most 8, by their keywords."""
    for end in range(1, len(found)):
        for index in range(end, 0, -1):
            if lines[found[index], places[index]] < lines[found[index - 1], places[index - 1]]:
                found[index], found[index - 1] = found[index - 1], found[index]
                places[index], places[index - 1] = places[index - 1], places[index]


@njit(cache=True)
def _copy(values, symbols, place):
    for value in values:
        symbols[place] = value
        place += 1
    return place


@njit(cache=True)
def _phrase(number, symbols, place):
    return _copy(_WORDS[_BORDERS[number] : _BORDERS[number + 1]], symbols, place)


@njit(cache=True)
def _stop(symbols, place):
    symbols[place] = _STOP
    return place + 1
