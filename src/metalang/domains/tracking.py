"""Variables that pass a value on: the variable tracking of RULER, in symbols.

Hsieh et al. 2024, "RULER", arXiv 2404.06654: one chain of 4 hops. The haystack of independent symbols, where RULER
repeats a few sentences, the form of an assignment and the other numbers are ours.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences
from metalang.domains.rows import draw_codes, fault, open_row, request_for, written
from metalang.domains.strings import between, close_row, shuffle
from metalang.domains.vocabulary import Tables, Vocabulary, draw_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA
from metalang.specs import Size

_ARG, _QUERY = int(Control.ARG), int(Control.QUERY)


class _Plan(NamedTuple):
    """What kernels know of the rows: `num_assigned` variables to each chain, and the three blocks of content."""

    num_chains: int
    num_assigned: int
    haystack_size: int
    variables: Tables
    values: Tables


class VarTracking(Mapping):
    """x = a haystack with chains ARG v1 value, ARG v2 v1, ... in it, QUERY value; y = the variables that have it.

    Each of `num_chains` chains has `num_hops` assignments behind its first. All variables of a row differ, and so do
    its values. Each assignment stands at a uniform place of the haystack, in the order of its chain; which chain comes
    where is uniform too. y has the order of the assignments. Codes: the haystack, the variables, the values.

    >>> domain = VarTracking(haystack_size=4, num_variables=4, num_values=2, num_chains=2, num_hops=1)
    >>> domain.solve([4, 36, 40, 33, 4, 39, 41, 4, 38, 36, 4, 37, 39, 32, 5, 40])
    [36, 38]
    """

    type: Literal["var_tracking"] = "var_tracking"
    paper: ClassVar[str] = "Hsieh et al. 2024"
    sequence_length: Size = Field(default=1024, ge=8)
    haystack_size: Size = Field(default=256, ge=1, le=2**24)
    num_variables: Size = Field(default=256, ge=1, le=2**24)
    num_values: Size = Field(default=256, ge=1, le=2**24)
    num_chains: int = Field(default=1, ge=1)
    num_hops: int = Field(default=4, ge=0)

    @property
    def haystack_length(self) -> int:
        """The symbols of a row that belong neither to an assignment nor to the question and its answer."""
        answer = self.num_hops + 1
        return self.sequence_length - 3 * self.num_chains * answer - 3 - answer - self.eos

    @model_validator(mode="after")
    def _has_room(self):
        if self.haystack_length < 0:
            least = self.sequence_length - self.haystack_length
            raise ValueError(f"sequence_length {self.sequence_length} is too short; the assignments need {least}")
        needed = self.num_chains * (self.num_hops + 1)
        if needed > self.num_variables:
            raise ValueError(
                f"num_variables {self.num_variables} is too few; {self.num_chains} chains of {self.num_hops} hops "
                f"need {needed}"
            )
        if self.num_chains > self.num_values:
            raise ValueError(f"num_chains {self.num_chains} needs as many num_values, which is {self.num_values}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the content behind it."""
        return NUM_CONTROL + self.haystack_size + self.num_variables + self.num_values

    @property
    def content(self) -> range:
        """The symbols that x is made of."""
        return range(NUM_CONTROL, self.num_symbols)

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.sequence_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        variables, values = (
            Vocabulary(size=size, replacement=False).tables for size in (self.num_variables, self.num_values)
        )
        return written(
            _write_chains, _Plan(self.num_chains, self.num_hops + 1, self.haystack_size, variables, values),
            request_for(self, key, start, self.haystack_length, self.haystack_length),
            count=count, longest_row=self.sequence_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        first = NUM_CONTROL + self.haystack_size
        variables, values = (
            range(first, first + self.num_variables),
            range(first + self.num_variables, self.num_symbols),
        )
        seen: set[int] = set()
        ends: dict[int, int] = {}  # the last variable of each chain -> its place in the chain, from 0
        position, hay = 0, 0
        while position < len(source) and source[position] != _QUERY:
            if NUM_CONTROL <= source[position] < first:
                position, hay = position + 1, hay + 1
                continue
            variable, given = [*source[position + 1 : position + 3], _QUERY, _QUERY][:2]
            if source[position] != _ARG:
                raise fault(position, f"symbol {source[position]} is neither haystack nor the ARG of an assignment")
            if variable not in variables or variable in seen:
                raise fault(position + 1, "no new variable is assigned here")
            if not (given in values and given not in seen) and ends.get(given, self.num_hops) == self.num_hops:
                raise fault(position + 2, "here should be a new value or the last variable of a chain with hops left")
            ends[variable] = ends.pop(given) + 1 if given in ends else 0
            seen |= {variable, given}
            position += 3
        if list(source[position : position + 1]) != [_QUERY] or source[-1] not in seen.intersection(values):
            raise fault(min(position + 1, len(source)), "QUERY and the value of a chain should end x")
        if len(source) != position + 2 or list(ends.values()) != [self.num_hops] * self.num_chains:
            raise fault(len(source), f"x has {len(ends)} chains of hops {list(ends.values())}")
        if hay != self.haystack_length:
            raise fault(len(source), f"x has {hay} symbols of haystack and should have {self.haystack_length}")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The variables that hold the value which is asked for."""
        holds: dict[int, int] = {}
        for position, symbol in enumerate(source):
            if symbol == _ARG:
                variable, given = source[position + 1 : position + 3]
                holds[variable] = holds.get(given, given)
        return [variable for variable, value in holds.items() if value == source[-1]]


@njit(cache=True)
def _write_chains(plan, request, symbols, predicted, ends):
    """Rows of VarTracking. Chains are exchangeable, so the one that is asked for is chain 0."""
    number = plan.num_chains * plan.num_assigned
    places, chains = np.empty(number, np.int64), np.empty(number, np.int64)
    variables, values = np.empty(number, np.int64), np.empty(plan.num_chains, np.int64)
    variable_scratch = np.arange(plan.variables.size + number)
    value_scratch = np.arange(plan.values.size + plan.num_chains)
    end = 0
    for index in range(len(ends)):
        begin, (state, size) = end, open_row(request, index)
        state = draw_row(state, plan.variables, variables, variable_scratch)
        state = draw_row(state, plan.values, values, value_scratch)
        for assigned in range(number):
            state += GOLDEN_GAMMA
            places[assigned], chains[assigned] = between(state, 0, size), assigned // plan.num_assigned
        places.sort()
        state = shuffle(state, chains)
        variables += plan.haystack_size
        values += plan.haystack_size + plan.variables.size
        asked, hay, place = values[0], 0, begin
        separator = begin + size + 3 * number + 2
        end = separator + 1
        for assigned in range(number + 1):
            behind = places[assigned] if assigned < number else size
            state = draw_codes(state, plan.haystack_size, NUM_CONTROL, symbols[place : place + behind - hay])
            place, hay = place + behind - hay, behind
            if assigned < number:
                chain = chains[assigned]
                symbols[place], symbols[place + 1], symbols[place + 2] = _ARG, variables[assigned], values[chain]
                values[chain] = variables[assigned]  # what the next of the chain is given
                place += 3
                if chain == 0:
                    symbols[end] = variables[assigned]
                    end += 1
        symbols[place], symbols[place + 1] = _QUERY, asked
        end = close_row(request, symbols, predicted, begin, separator, end)
        ends[index] = end
