"""Copying: y = x, y = x backwards, y = x with every symbol repeated.

Definitions and lengths: Wu, Li & Liang 2022, "Insights into Pre-training via Simpler Synthetic Tasks", arXiv 2206.10139
(x of 10 to 220 symbols); Jiang, Shinnick et al. 2026, "Procedural Pretraining", arXiv 2601.21725 (64 symbols of 99);
the seqthetic generator (rows of 256 to 1,024 symbols of 10,000), whose preset is ours in configs/domains/.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.vocabulary import Vocabulary, discourse_of, draw_row
from metalang.ids import NUM_CONTROL, Control, id_dtype
from metalang.seeds import GOLDEN_GAMMA, below, mix64, row_state
from metalang.specs import Range

_SEP, _EOS = int(Control.SEP), int(Control.EOS)


class _Copying(Mapping):
    """`sequence_length`: symbols of a whole row, `x SEP y EOS`; |x| is uniform over the lengths that fit into it."""

    vocabulary: Vocabulary
    sequence_length: Range

    @property
    def num_copies(self) -> int:
        """How often a symbol of x stands in y."""
        return 1

    @property
    def source_length(self) -> range:
        """The lengths of x whose rows lie within `sequence_length`."""
        each, fixed = 1 + self.num_copies, 1 + self.eos
        low, high = self.sequence_length.min - fixed, self.sequence_length.max - fixed
        return range(max(1, -(-low // each)), high // each + 1)

    @model_validator(mode="after")
    def _has_rows(self):
        lengths, low, high = self.source_length, self.sequence_length.min, self.sequence_length.max
        if not lengths:
            raise ValueError(
                f"sequence_length {low} to {high} holds no row `x SEP y EOS` of {self.type}; "
                f"such a row has {1 + self.num_copies} symbols for each of x and {1 + self.eos} more"
            )
        if not self.vocabulary.replacement and lengths[-1] > self.vocabulary.size:
            raise ValueError(
                f"sequence_length up to {high} needs {lengths[-1]} different symbols and vocabulary.size is "
                f"{self.vocabulary.size}; raise it, or set vocabulary.replacement to true"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.vocabulary.size

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return content_range(self.vocabulary.size)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        sources = _source_lengths(np.uint64(key), start, count, self.source_length.start, self.source_length[-1])
        return 1 + self.eos + sources * (1 + self.num_copies)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        lengths = self.lengths(key, start, count)
        ends = np.cumsum(lengths)
        symbols = np.empty(int(lengths.sum()), dtype=id_dtype(self.num_symbols))
        predicted = np.empty(len(symbols), dtype=np.bool_)
        scratch = np.arange(self.vocabulary.size + self.source_length[-1])
        mask_input, mask_eos = self.mask == "all", self.mask != "output_no_eos"
        _copy_rows(
            np.uint64(key), start, ends, self.vocabulary.tables, scratch, self.num_copies, self.type == "reverse",
            mask_input, mask_eos, self.eos, symbols, predicted,
        )  # fmt: skip
        return Sequences(symbols, ends, predicted)


class Identity(_Copying):
    """y = x.

    >>> Identity(vocabulary={"size": 10}, sequence_length=8).solve([32, 40, 35])
    [32, 40, 35]
    >>> Identity(vocabulary={"size": 10}, sequence_length=8).drawn(1)
    '1 9 4 SEP ⟦1 9 4 EOS⟧'
    """

    type: Literal["identity"] = "identity"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def solve(self, source: Sequence[int]) -> list[int]:
        """x itself."""
        return list(source)


class Reverse(_Copying):
    """y = x, backwards.

    >>> Reverse(vocabulary={"size": 10}, sequence_length=8).solve([32, 40, 35])
    [35, 40, 32]
    >>> Reverse(vocabulary={"size": 10}, sequence_length=8).drawn(1)
    '3 0 2 SEP ⟦2 0 3 EOS⟧'
    """

    type: Literal["reverse"] = "reverse"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"

    def solve(self, source: Sequence[int]) -> list[int]:
        """x from its last symbol to its first."""
        return list(source)[::-1]


class Duplicate(_Copying):
    """y = x with each symbol `num_duplicate` times.

    >>> Duplicate(vocabulary={"size": 10}, sequence_length=11, num_duplicate=2).solve([32, 40, 35])
    [32, 32, 40, 40, 35, 35]
    >>> Duplicate(vocabulary={"size": 10}, sequence_length=11, num_duplicate=2).drawn(1)
    '3 8 5 SEP ⟦3 3 8 8 5 5 EOS⟧'
    """

    type: Literal["duplicate"] = "duplicate"
    paper: ClassVar[str] = "Wu, Li & Liang 2022"
    num_duplicate: int = Field(default=2, ge=1)

    @property
    def num_copies(self) -> int:
        """How often a symbol of x stands in y."""
        return self.num_duplicate

    def solve(self, source: Sequence[int]) -> list[int]:
        """Each symbol of x, `num_duplicate` times in a row."""
        return [symbol for symbol in source for _ in range(self.num_duplicate)]


@njit(cache=True)
def _source_lengths(key, start, count, low, high):
    """|x| of each row: the first draw of its stream, (count,) int64."""
    lengths = np.empty(count, dtype=np.int64)
    for index in range(count):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        lengths[index] = low + below(mix64(state), uint64(high - low + 1))
    return lengths


@njit(cache=True)
def _copy_rows(
    key, start, ends, tables, scratch, num_copies, backwards, mask_input, mask_eos, eos, symbols, predicted
):  # fmt: skip
    """Writes the rows whose ends are given, and their masks, into `symbols` and `predicted`, (ends[-1],) each."""
    begin = 0
    for index in range(len(ends)):
        end = ends[index]
        size = (end - begin - 1 - eos) // (1 + num_copies)
        source = symbols[begin : begin + size]
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        draw_row(state, tables, source, scratch, discourse_of(tables, state))
        symbols[begin + size] = _SEP
        place = begin + size + 1
        for position in range(size):
            symbol = source[size - 1 - position] if backwards else source[position]
            for _ in range(num_copies):
                symbols[place] = symbol
                place += 1
        predicted[begin : begin + size + 1] = mask_input
        predicted[begin + size + 1 : place] = True
        if eos:
            symbols[place] = _EOS
            predicted[place] = mask_eos
        begin = end
