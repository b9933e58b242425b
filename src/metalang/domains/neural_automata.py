"""Neural cellular automata: colours on a torus, renewed by a random network that reads a cell and its neighbours.

Lee, Han et al. 2026, "Training Language Models via Neural Cellular Automata", arXiv 2603.10055. Defaults are those of
the published launcher: 12 x 12 cells, 10 colours, patches of 2 x 2 cells, 10 steps that are not written, rules kept by
how well ten states compress, the first frame of a row not predicted. The published model reads the first 1,024 symbols
of 27 frames of 38, and so do ours; the published loss counts one symbol more, the one behind them.

The network reads colours one-hot: a 3 x 3 convolution to 4 channels, 1 x 1 to 16, ReLU, 1 x 1 to the colours; no
biases. The published code pads colours as it pads cells, so that the convolution reads 12 channels: behind the ten the
first again, before them the last. What it makes of these two is a sum of two weights. Weights are normal, cut off at
two deviations. The cells of a first state are drawn alike, their colour from a softmax of normal logits.

Ours: a cell takes the colour of the highest logit; at the launcher's temperature of 1e-4 another would be drawn in one
cell of 1,300 (measured). Weights and logits are whole twelfths of a deviation, so that all sums are exact and equal on
every machine. A row is kept by the states that it shows; theirs keeps a rule by its states from another first one.
Theirs measures gzip -9 of 32-bit patches, which gives other sizes with other builds of zlib: `complexity` counts
phrases instead. On 6,000 rows of any complexity that it was not fitted to, it differs from gzip by 0.008 (root mean
square; correlation 0.999), and agrees with it for 98.5 % on the band above 0.5, for 98.7 % on that of 0.3 to 0.4.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from metalang.domains.cellular import Evolution
from metalang.domains.contract import content_range
from metalang.domains.neural_automata_kernels import (
    COPY,
    HEADER,
    HIDDEN,
    INNER,
    NEW,
    RAW,
    Automaton,
    Rules,
    automaton_of,
    fill_rows,
    find_rule,
)
from metalang.domains.streams import Fault
from metalang.domains.vocabulary import Tables, tables_of
from metalang.errors import ConfigError
from metalang.ids import NUM_CONTROL
from metalang.specs import Range

_STEPS = 12  # of a weight or a logit to a deviation
_MAX_CANDIDATES = 10_000


class Nca(Evolution):
    """States of a torus of `width` x `width` cells, a random network and a random first state for each row.

    A frame is START, the patches of a state, END. A patch of cells s_0, s_1, ... (lines from the top) is the symbol
    NUM_CONTROL + sum of s_p num_colours**p; START and END come behind the patches. `burn_in` states are passed over.
    Then networks and first states are drawn until the first `complexity_frames` states are more complex than
    `min_complexity` and less than `max_complexity`: see `complexity`. The last frame is cut off where the row ends.

    >>> Nca(width=4, sequence_length=12, min_complexity=0, max_complexity=2).sample(0, 0, 1).symbols.tolist()
    [10032, 2317, 4891, 2460, 1621, 10033, 10032, 4586, 8287, 8860, 4280, 10033]
    >>> Nca(width=4, sequence_length=12, min_complexity=0, max_complexity=2).drawn(1)
    '10000 1991 1991 1991 1991 10001 ⟦10000 1991 1991 1991 1991 10001⟧'
    """

    type: Literal["nca"] = "nca"
    paper: ClassVar[str] = "Lee, Han et al. 2026"
    length_rule: ClassVar[str] = "a row is longer than a frame"
    width: int = Field(default=12, ge=3, le=64)
    num_colours: int = Field(default=10, ge=2, le=16)
    patch_width: int = Field(default=2, ge=1, le=4)
    burn_in: int = Field(default=10, ge=0, le=10_000)
    complexity_frames: int = Field(default=10, ge=1, le=100)
    min_complexity: float = Field(default=0.5, ge=0)
    max_complexity: float = Field(default=1.0, gt=0)
    sequence_length: Range = Range(min=1024, max=1024)

    @model_validator(mode="after")
    def _has_rows(self):
        if self.width % self.patch_width:
            raise ValueError(f"width {self.width} is no multiple of patch_width {self.patch_width}; change one of them")
        if self.num_patches > 2**20:
            raise ValueError(
                f"num_colours {self.num_colours} and patch_width {self.patch_width} make {self.num_patches:,} patches; "
                f"{2**20:,} are the most, so lower one of them"
            )
        if self.min_complexity >= self.max_complexity:
            raise ValueError(f"min_complexity {self.min_complexity} is not below max_complexity {self.max_complexity}")
        return super()._has_rows()

    @property
    def num_patches(self) -> int:
        """Different patches."""
        return self.num_colours**self.patch_width**2

    @property
    def state_length(self) -> int:
        """Symbols of a state: its frame, START and END included."""
        return (self.width // self.patch_width) ** 2 + 2

    @property
    def content(self) -> range:
        """The symbols of the language: patches, START, END."""
        return content_range(self.num_patches + 2)

    @property
    def row_lengths(self) -> Sequence[int]:
        """The lengths within `sequence_length` that leave something to predict."""
        return range(max(self.state_length + 1, self.sequence_length.min), self.sequence_length.max + 1)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`. Raises ConfigError where no rule is kept."""
        last = np.full(self.num_patches, -1, np.int32)
        without = fill_rows(key, start, ends, self._rules, self._automaton, self._patches, last, symbols)
        if without >= 0:
            raise self._none_kept(without)

    def weights(self, key: int, row: int) -> list[int]:
        """The network of a row, in twelfths of a deviation: 3 x 3 x (num_colours + 2) x 4, 4 x 16, 16 x num_colours."""
        automaton, last = self._automaton, np.full(self.num_patches, -1, np.int32)
        if not find_rule(np.uint64(key), row, self._rules, automaton, self._patches, last):
            raise self._none_kept(row)
        return automaton.drawn.tolist()

    def next_colour(self, weights: Sequence[int], neighbours: Sequence[int]) -> int:
        """What becomes of a cell by its nine neighbours, lines from the top and itself the fifth, in plain Python."""
        channels, colours, inner = self.num_colours + 2, range(self.num_colours), [0] * INNER
        for offset, colour in enumerate(neighbours):
            padded = [self.num_colours - 1, *colours, 0]
            for channel in range(channels):
                if padded[channel] == colour:
                    place = (offset * channels + channel) * INNER
                    inner = [a + b for a, b in zip(inner, weights[place : place + INNER], strict=True)]
        second, third = weights[9 * channels * INNER :], weights[9 * channels * INNER + INNER * HIDDEN :]
        hidden = [max(0, sum(inner[i] * second[i * HIDDEN + unit] for i in range(INNER))) for unit in range(HIDDEN)]
        logits = [sum(hidden[i] * third[i * self.num_colours + colour] for i in range(HIDDEN)) for colour in colours]
        return logits.index(max(logits))

    def complexity(self, patches: Sequence[int]) -> float:
        """Compressed size over raw size of (n,) patches, in slow and plain Python.

        A patch takes 32 bits raw. Compressed, the text takes 326 bits, each patch in it that did not stand before 20.4,
        and each longest phrase that did 12.4. Fitted to gzip -9 on 360 patches of 2 x 2 cells of 10 colours: elsewhere
        a number to compare rows by.

        >>> Nca().complexity([7] * 360), round(Nca().complexity(range(360)), 3)
        (0.031145833333333334, 0.666)
        """
        text = "".join(map(chr, patches))
        cost, place = HEADER, 0
        while place < len(text):
            length = 0
            while place + length < len(text) and text[place : place + length + 1] in text[: place + length]:
                length += 1
            cost += COPY if length else NEW
            place += max(1, length)
        return cost / (RAW * len(text))

    def language_fault(self, row: Sequence[int]) -> Fault | None:
        """The first delimiter out of place, or patch in which a cell fares otherwise than one of equal neighbours did.

        A row alone does not show its network: `weights` and `next_colour` compare the two.
        """
        return self._delimiter_fault(row) or self._rule_fault(row) or self._complexity_fault(row)

    def _delimiter_fault(self, row: Sequence[int]) -> Fault | None:
        start, end = NUM_CONTROL + self.num_patches, NUM_CONTROL + self.num_patches + 1
        for place, symbol in enumerate(row):
            inside = place % self.state_length
            wanted = start if inside == 0 else end if inside == self.state_length - 1 else None
            if symbol != wanted and (wanted is not None or symbol >= start):
                return place, f"symbol {symbol} should be {wanted or f'a patch, below {start}'}"
        return None

    def _rule_fault(self, row: Sequence[int]) -> Fault | None:
        law, before, across = {}, {}, self.width // self.patch_width
        for begin in range(0, len(row), self.state_length):
            after = self._cells(row[begin + 1 : begin + self.state_length - 1])
            for (line, column), colour in after.items() if before else ():
                near = [(line + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
                neighbours = tuple(before[y % self.width, x % self.width] for y, x in near)
                if law.setdefault(neighbours, colour) != colour:
                    place = begin + 1 + line // self.patch_width * across + column // self.patch_width
                    return place, f"symbol {row[place]} is another outcome than equal neighbours had before"
            before = after
        return None

    def _cells(self, frame: Sequence[int]) -> dict[tuple[int, int], int]:
        """The cells of a state, by line and column, from its symbols."""
        across, size = self.width // self.patch_width, self.patch_width
        return {
            (number // across * size + inside // size, number % across * size + inside % size): (symbol - NUM_CONTROL)
            // self.num_colours**inside
            % self.num_colours
            for number, symbol in enumerate(frame)
            for inside in range(size * size)
        }

    def _complexity_fault(self, row: Sequence[int]) -> Fault | None:
        end = self.complexity_frames * self.state_length
        if len(row) < end:
            return None
        frames = [row[begin + 1 : begin + self.state_length - 1] for begin in range(0, end, self.state_length)]
        found = self.complexity([symbol - NUM_CONTROL for frame in frames for symbol in frame])
        if self.min_complexity < found < self.max_complexity:
            return None
        return end - 1, f"complexity {found} does not lie between {self.min_complexity} and {self.max_complexity}"

    @property
    def _rules(self) -> Rules:
        weights, logits, odds = _draws()
        bounds = self.min_complexity, self.max_complexity
        return Rules(weights, logits, odds, self.burn_in, self.complexity_frames, *bounds, _MAX_CANDIDATES)

    @property
    def _automaton(self) -> Automaton:
        return automaton_of(self.width, self.num_colours, self.patch_width)

    @property
    def _patches(self) -> np.ndarray:
        frames = max(self.complexity_frames, -(-self.sequence_length.max // self.state_length))
        return np.zeros((frames, self.state_length - 2), np.int32)

    def _none_kept(self, row: int) -> ConfigError:
        return ConfigError(
            f"none of {_MAX_CANDIDATES:,} rules of row {row} has a complexity between min_complexity "
            f"{self.min_complexity} and max_complexity {self.max_complexity}; move them apart"
        )


@cache
def _draws() -> tuple[Tables, Tables, np.ndarray]:
    """How weights (cut off at 2 deviations) and logits (at 4) are drawn, and what each logit weighs: whole numbers."""
    with localcontext(Context(prec=40)):
        normal = [
            int(2**100 * (-((Decimal(rank) / _STEPS) ** 2) / 2).exp()) for rank in range(-4 * _STEPS, 4 * _STEPS + 1)
        ]
        odds = [int(2**20 * (Decimal(rank) / _STEPS).exp()) for rank in range(-4 * _STEPS, 4 * _STEPS + 1)]
    return tables_of([normal[2 * _STEPS : -2 * _STEPS]]), tables_of([normal]), np.array(odds, dtype=np.uint64)
