"""Random automata, one for each row: in-context language learning.

Akyürek et al. 2024, "In-Context Language Learning: Architectures and Algorithms", arXiv 2401.12973 (RegBench), with its
code: 5,000 automata of 4 to 12 states over 4 to 18 of 18 symbols, 1 to 3 arcs from each state (the paper says up to 4,
its code draws 3 at most), 10 to 19 words of 1 to 49 symbols to a row. Its automata are trimmed and made minimal, which
changes no word and no probability, so ours are not; its test automata are other 500: take another `structure_seed`.
"""

from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Domain, Sequences, content_range
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, below, key_for, mix64, row_state
from metalang.specs import Range

_SEP = int(Control.SEP)


class Automata(NamedTuple):
    """Arcs of all automata, int16: `num_arcs` (automata, states); `symbols` and `targets` (automata, states, arcs)."""

    num_arcs: np.ndarray
    symbols: np.ndarray
    targets: np.ndarray


class RegbenchPfa(Domain):
    """Words of one of `num_automata` automata, `w SEP w ... SEP w`; each word a random walk from state 0 on.

    The arcs of a state bear different symbols and lead to different other states; all are as likely.
    SEP is not predicted: no automaton says where a word ends.

    >>> RegbenchPfa(num_words=2, word_length=4).sample(0, 0, 1).symbols.tolist()
    [32, 41, 42, 35, 3, 32, 40, 34, 48]
    >>> RegbenchPfa(num_words=2, word_length=4).drawn(1)
    '⟦7 17 4 10⟧ SEP ⟦10 7 7 10⟧'
    """

    type: Literal["regbench_pfa"] = "regbench_pfa"
    paper: ClassVar[str] = "Akyürek et al. 2024"
    alphabet_size: int = Field(default=18, ge=1, le=4096)
    num_automata: int = Field(default=5000, ge=1, le=2**20)
    num_states: Range = Range(min=4, max=12)
    num_used: Range = Range(min=4, max=18)
    num_arcs: Range = Range(min=1, max=3)
    num_words: Range = Range(min=10, max=19)
    word_length: Range = Range(min=1, max=49)
    structure_seed: int = 0

    @model_validator(mode="after")
    def _has_automata(self):
        if self.num_arcs.min < 1 or self.num_arcs.max >= self.num_states.min or self.num_states.max > 1024:
            raise ValueError(
                f"num_arcs {self.num_arcs.min} to {self.num_arcs.max} do not fit num_states {self.num_states.min} to "
                f"{self.num_states.max}; each arc (at least 1) leads to another of at most 1024 states"
            )
        if self.num_used.max > self.alphabet_size or self.num_used.min < self.num_arcs.max:
            raise ValueError(
                f"num_used {self.num_used.min} to {self.num_used.max} do not fit; an automaton uses at least "
                f"{self.num_arcs.max} symbols (num_arcs) and at most {self.alphabet_size} (alphabet_size)"
            )
        if self.num_words.min < 1 or self.word_length.min < 1:
            raise ValueError("num_words and word_length begin below 1; a row has a word, and a word a symbol")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return self.content.stop

    @property
    def content(self) -> range:
        """The symbols of the alphabet."""
        return content_range(self.alphabet_size)

    @property
    def automata(self) -> Automata:
        """All automata of this description."""
        sizes = (self.num_states, self.num_used, self.num_arcs)
        return _automata(self.alphabet_size, self.num_automata, sizes, self.structure_seed)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        lengths = np.empty(count, dtype=np.int64)
        _write_lengths(np.uint64(key), start, _bounds(self.num_words), _bounds(self.word_length), lengths)
        return lengths

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        ends = np.cumsum(self.lengths(key, start, count))
        symbols = np.empty(int(ends[-1]) if count else 0, dtype=np.uint16)
        predicted = np.ones(len(symbols), dtype=np.bool_)
        bounds = _bounds(self.num_words), _bounds(self.word_length)
        _fill_words(np.uint64(key), start, *bounds, self.automata, ends, symbols, predicted)
        return Sequences(symbols, ends, predicted)

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        target = _targets(self)
        every = np.arange(self.num_automata)
        state, words, length = np.zeros(self.num_automata, dtype=np.int64), 1, 0
        for place, symbol in enumerate(int(each) for each in symbols):
            if bool(predicted[place]) != (symbol != Control.SEP):
                raise CorpusError(f"position {place}: mask is {predicted[place]} and should be {symbol != Control.SEP}")
            if symbol == Control.SEP:
                if length < self.word_length.min or words == self.num_words.max:
                    raise CorpusError(
                        f"position {place}: SEP ends word {words} of {length} symbols, too early or too late"
                    )
                state, words, length = np.where(state < 0, -1, 0), words + 1, 0
                continue
            if symbol not in self.content:
                raise CorpusError(f"position {place}: symbol {symbol} is not content of {self.type}")
            length += 1
            if length > self.word_length.max:
                raise CorpusError(f"position {place}: the word goes beyond {self.word_length.max} symbols")
            state = np.where(state < 0, -1, target[every, state, symbol - NUM_CONTROL])
            if (state < 0).all():
                raise CorpusError(f"position {place}: symbol {symbol} follows by no automaton that gives all before it")
        if words < self.num_words.min or length < self.word_length.min:
            raise CorpusError(
                f"position {len(symbols)}: the row ends in word {words} after {length} symbols, too early"
            )


@lru_cache(maxsize=4)
def _targets(domain: RegbenchPfa) -> np.ndarray:
    """Where a symbol leads from a state, or -1, (automata, states, alphabet) int16."""
    automata = domain.automata
    target = np.full((*automata.num_arcs.shape, domain.alphabet_size), -1, dtype=np.int16)
    for arc in range(domain.num_arcs.max):
        which, state = np.nonzero(automata.num_arcs > arc)
        target[which, state, automata.symbols[which, state, arc]] = automata.targets[which, state, arc]
    return target


@lru_cache(maxsize=4)
def _automata(alphabet_size: int, count: int, sizes: tuple[Range, ...], structure_seed: int) -> Automata:
    shape = (count, sizes[0].max, sizes[2].max)
    automata = Automata(np.zeros(shape[:2], np.int16), np.zeros(shape, np.int16), np.zeros(shape, np.int16))
    key = key_for("automata", alphabet_size, [size.model_dump() for size in sizes], structure_seed)
    _draw_automata(np.uint64(key), alphabet_size, *(_bounds(size) for size in sizes), automata)
    return automata


def _bounds(size: Range) -> tuple[int, int]:
    return size.min, size.max


@njit(cache=True, inline="always")
def _within(draw, bounds):
    return bounds[0] + int64(below(draw, uint64(bounds[1] - bounds[0] + 1)))


@njit(cache=True)
def _choose(state, pool, count):
    """Brings `count` of the entries of `pool`, each as likely, to its head; the state behind the last draw."""
    for place in range(count):
        state += GOLDEN_GAMMA
        other = place + int64(below(mix64(state), uint64(len(pool) - place)))
        pool[place], pool[other] = pool[other], pool[place]
    return state


@njit(cache=True)
def _draw_automata(key, alphabet_size, num_states, num_used, num_arcs, automata):
    for index in range(len(automata.num_arcs)):
        state = row_state(key, uint64(index)) + GOLDEN_GAMMA
        states = _within(mix64(state), num_states)
        state += GOLDEN_GAMMA
        used = _within(mix64(state), num_used)
        alphabet = np.arange(alphabet_size)
        state = _choose(state, alphabet, used)
        alphabet = alphabet[:used]
        for node in range(states):
            state += GOLDEN_GAMMA
            arcs = _within(mix64(state), num_arcs)
            automata.num_arcs[index, node] = arcs
            state = _choose(state, alphabet, arcs)
            others = np.arange(states - 1)
            others[node:] += 1
            state = _choose(state, others, arcs)
            automata.symbols[index, node, :arcs] = alphabet[:arcs]
            automata.targets[index, node, :arcs] = others[:arcs]


@njit(cache=True)
def _write_lengths(key, start, num_words, word_length, lengths):
    """The first draws of a row are its number of words and their lengths."""
    for index in range(len(lengths)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        words = _within(mix64(state), num_words)
        total = words - 1
        for _ in range(words):
            state += GOLDEN_GAMMA
            total += _within(mix64(state), word_length)
        lengths[index] = total


@njit(cache=True)
def _fill_words(key, start, num_words, word_length, automata, ends, symbols, predicted):
    place = 0
    for index in range(len(ends)):
        sizes = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        words = _within(mix64(sizes), num_words)
        state = sizes + uint64(words + 1) * GOLDEN_GAMMA
        which = int64(below(mix64(state), uint64(len(automata.num_arcs))))
        num_arcs, labels, targets = automata.num_arcs[which], automata.symbols[which], automata.targets[which]
        for word in range(words):
            if word > 0:
                symbols[place] = _SEP
                predicted[place] = False
                place += 1
            sizes += GOLDEN_GAMMA
            node = 0
            for _ in range(_within(mix64(sizes), word_length)):
                state += GOLDEN_GAMMA
                arc = int64(below(mix64(state), uint64(num_arcs[node])))
                symbols[place] = NUM_CONTROL + labels[node, arc]
                node = targets[node, arc]
                place += 1
