"""Bigrams with triggers: the task on which induction heads were taken apart.

Bietti et al. 2023, "Birth of a Transformer: A Memory Viewpoint", arXiv 2306.00802, with its code: rows of 256
characters, the bigrams of Shakespeare, triggers drawn from the single characters or the most frequent ones, outputs
uniform. The chain is ours (Zipf times exponential draws, as in `ngram`), and so is the default of 3 triggers; 65
characters are from memory.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import int64, njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences, content_range
from metalang.domains.streams import Fault, Stream
from metalang.domains.transitions import Transitions, chain_of, next_symbol, stationary_of
from metalang.domains.vocabulary import Distribution, Zipf
from metalang.errors import CorpusError
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range

_UNIT = 2**40


class BigramTrigger(Stream):
    """A chain common to all rows, but for `num_triggers` symbols, each with one output behind it throughout a row.

    Triggers are drawn from the stationary law, each at most once, or ("fixed") are its most frequent symbols. Outputs
    are uniform for each row; a trigger among them (`trigger_outputs`, as published) may lead back to itself, and such a
    row stands still. `mask` "outputs" predicts the output from the second occurrence of its trigger on: only there can
    it be known.

    >>> BigramTrigger(num_states=9, sequence_length=12).sample(0, 0, 1).symbols.tolist()
    [37, 35, 39, 33, 37, 36, 35, 35, 35, 35, 36, 35]
    >>> BigramTrigger(num_states=9, sequence_length=12).drawn(1)
    '⟦1 4 3 1 4 3 1 4 8 3 1 4⟧'
    """

    type: Literal["bigram_trigger"] = "bigram_trigger"
    paper: ClassVar[str] = "Bietti et al. 2023"
    num_states: int = Field(default=65, ge=3, le=512)
    distribution: Distribution = Zipf()
    num_triggers: int = Field(default=3, ge=1)
    triggers: Literal["drawn", "fixed"] = "drawn"
    trigger_outputs: bool = True
    sequence_length: Range = Range(min=256, max=256)
    mask: Literal["all", "outputs"] = "all"
    structure_seed: int = 0

    @model_validator(mode="after")
    def _has_triggers(self):
        if self.num_triggers > self.num_states // 2:
            raise ValueError(
                f"num_triggers {self.num_triggers} are more than half of {self.num_states} symbols; "
                f"at most {self.num_states // 2} leave a chain to speak of"
            )
        return self

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(self.num_states)

    @property
    def fixed_triggers(self) -> tuple[int, ...]:
        """The most frequent symbols of the chain, the most frequent one first."""
        law = stationary_of(self.num_states, 2, self.distribution, self.structure_seed)
        return tuple(NUM_CONTROL + int(rank) for rank in np.argsort(-law, kind="stable")[: self.num_triggers])

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        ends = np.cumsum(self.lengths(key, start, count))
        symbols = np.empty(int(ends[-1]) if count else 0, dtype=np.uint16)
        predicted = np.ones(len(symbols), dtype=np.bool_)
        self._fill(np.uint64(key), start, ends, symbols, predicted)
        return Sequences(symbols, ends, predicted)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        self._fill(key, start, ends, symbols, np.empty(len(symbols), dtype=np.bool_))

    def _fill(self, key, start: int, ends: np.ndarray, symbols: np.ndarray, predicted: np.ndarray) -> None:
        names = self.num_states, 2, self.distribution, self.structure_seed
        unigrams = Transitions.of_weights([[1 + int(_UNIT * share) for share in stationary_of(*names)]])
        fixed = np.array(self.fixed_triggers if self.triggers == "fixed" else (), dtype=np.int64) - NUM_CONTROL
        _fill_triggers(
            key, start, ends, chain_of(*names), unigrams, fixed, self.num_triggers, self.trigger_outputs,
            self.mask == "all", symbols, predicted,
        )  # fmt: skip

    def check(self, symbols: np.ndarray, predicted: np.ndarray) -> None:
        """Raises CorpusError with the first position at which a row, (n,) and (n,), breaks the definition."""
        super().check(symbols, predicted if self.mask == "all" else np.ones(len(symbols), dtype=np.bool_))
        if self.mask == "all":
            return
        row, flags = [int(symbol) for symbol in symbols], [bool(flag) for flag in predicted]
        chosen = {row[place - 1] for place in range(1, len(row)) if flags[place]}
        triggers = set(self.fixed_triggers) if self.triggers == "fixed" else chosen
        outputs: dict[int, int] = {}
        for place, flag in enumerate(flags):
            before = row[place - 1] if place else None
            expected = before in triggers and before in outputs
            if flag != expected:
                raise CorpusError(f"position {place}: mask is {flag} and should be {expected}")
            if before in triggers and outputs.setdefault(before, row[place]) != row[place]:
                raise CorpusError(
                    f"position {place}: trigger {before} is followed by {row[place]}, not by {outputs[before]}"
                )
        if len(triggers) > self.num_triggers:
            place = max(flags.index(True, place) for place in range(len(row)) if True in flags[place:])
            raise CorpusError(f"position {place}: the mask names {len(triggers)} triggers, not {self.num_triggers}")

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first symbol at which too few symbols are left that are always followed by one and the same."""
        followers: dict[int, int] = {}
        left = set(self.fixed_triggers) if self.triggers == "fixed" else set(self.content)
        for place in range(1, len(row)):
            before, symbol = row[place - 1], row[place]
            if followers.setdefault(before, symbol) != symbol:
                left.discard(before)
            if (
                self.triggers == "fixed"
                and not self.trigger_outputs
                and before in left
                and symbol in self.fixed_triggers
            ):
                return place, f"trigger {before} is followed by a trigger, {symbol}"
            if len(left) < self.num_triggers:
                return place, f"symbol {before} is followed by {symbol}, and only {len(left)} triggers are left"
        return None


@njit(cache=True)
def _fill_triggers(
    key, start, ends, transitions, unigrams, fixed, num_triggers, trigger_outputs, predict_all, symbols, predicted
):  # fmt: skip
    size = len(transitions.thresholds)
    output, seen = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.bool_)
    triggers, triggered = np.empty(num_triggers, dtype=np.int64), np.empty(num_triggers, dtype=np.int64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        number = 0
        while number < num_triggers:
            state += GOLDEN_GAMMA
            trigger = fixed[number] if len(fixed) > 0 else next_symbol(mix64(state), unigrams, 0)
            if output[trigger] < 0:
                output[trigger] = 0
                triggers[number] = trigger
                number += 1
        number = 0
        while number < num_triggers:
            state += GOLDEN_GAMMA
            symbol = int64(below(mix64(state), uint64(size)))
            if trigger_outputs or output[symbol] < 0:
                triggered[number] = symbol
                number += 1
        for number in range(num_triggers):
            output[triggers[number]] = triggered[number]
        state += GOLDEN_GAMMA
        symbol = next_symbol(mix64(state), unigrams, 0)
        for place in range(begin, ends[index]):
            symbols[place] = NUM_CONTROL + symbol
            if not predict_all:
                before = int64(symbols[place - 1]) - NUM_CONTROL if place > begin else 0
                known = place > begin and output[before] >= 0
                predicted[place] = known and seen[before]
                if known:
                    seen[before] = True
            state += GOLDEN_GAMMA
            following = output[symbol]
            symbol = following if following >= 0 else next_symbol(mix64(state), transitions, symbol)
        for number in range(num_triggers):
            output[triggers[number]] = -1
            seen[triggers[number]] = False
        begin = ends[index]
