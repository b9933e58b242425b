"""Graphs in the row, and questions about them.

PathStar: Bachmann & Nagarajan 2024, "The Pitfalls of Next-Token Prediction", arXiv 2403.06963: degree 2, paths of 5
nodes, 50 node numbers; with the edges shuffled and, as a variant, the path written backwards.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field, model_validator

from metalang.domains.contract import Mapping, Sequences, content_range
from metalang.domains.rows import fault, open_row, request_for, written
from metalang.domains.strings import between, close_row, split_at
from metalang.domains.vocabulary import Vocabulary, draw_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA
from metalang.specs import Size

_ARG, _QUERY = int(Control.ARG), int(Control.QUERY)


class PathStar(Mapping):
    """x = the edges `u v` of a star, shuffled, ARG between them, then QUERY start goal; y = the path to the goal.

    The star has `degree` paths of `path_length` nodes each, the common start included; the goal is the last node of one
    of them. `reversed_path` writes y from the goal to the start.

    >>> PathStar(degree=2, path_length=3).solve([40, 41, 4, 50, 51, 4, 50, 40, 4, 51, 52, 5, 50, 52])
    [50, 51, 52]
    >>> PathStar(degree=2, path_length=3).drawn(1)
    '29 23 ARG 29 6 ARG 6 10 ARG 23 36 QUERY 29 10 SEP ⟦29 6 10 EOS⟧'
    """

    type: Literal["path_star"] = "path_star"
    paper: ClassVar[str] = "Bachmann & Nagarajan 2024"
    num_nodes: Size = Field(default=50, ge=2, le=2**24)
    degree: int = Field(default=2, ge=1)
    path_length: int = Field(default=5, ge=2)
    reversed_path: bool = False

    @property
    def num_edges(self) -> int:
        """The edges of the star; it has one node more."""
        return self.degree * (self.path_length - 1)

    @model_validator(mode="after")
    def _has_nodes(self):
        if self.num_edges + 1 > self.num_nodes:
            raise ValueError(
                f"num_nodes {self.num_nodes} is too few for {self.degree} paths of {self.path_length} nodes; "
                f"they need {self.num_edges + 1}"
            )
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the nodes."""
        return NUM_CONTROL + self.num_nodes

    @property
    def content(self) -> range:
        """The symbols of nodes."""
        return content_range(self.num_nodes)

    @property
    def row_length(self) -> int:
        """Symbols of every row."""
        return 3 * self.num_edges + 3 + self.path_length + self.eos

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return np.full(count, self.row_length, dtype=np.int64)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        request = request_for(self, key, start, 0, self.degree - 1)
        nodes = Vocabulary(size=self.num_nodes, replacement=False).tables
        return written(
            _write_stars, self.degree, self.path_length, self.reversed_path, nodes, request,
            count=count, longest_row=self.row_length, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_source(self, source: Sequence[int]) -> None:
        """Raises CorpusError with the first position at which x, (n,), is none."""
        query = 3 * self.num_edges - 1
        parents: dict[int, int] = {}
        for position, symbol in enumerate(source):
            expected = {query: _QUERY}.get(position, _ARG if position % 3 == 2 else None)
            if (symbol != expected) if expected else (symbol not in self.content):
                raise fault(position, f"symbol {symbol} cannot stand here")
            if position < query and position % 3 == 1:
                if symbol in parents:
                    raise fault(position, f"a second edge leads to node {symbol}")
                parents[symbol] = source[position - 1]
        if len(source) != query + 3:
            raise fault(min(len(source), query + 3), f"x has {len(source)} symbols and should have {query + 3}")
        start, goal = source[-2:]
        if start in parents or list(parents.values()).count(start) != self.degree:
            raise fault(query + 1, f"node {start} is not the centre of the star")
        ends = set(parents) - set(parents.values())
        for end in ends:
            walked = [end]
            while walked[-1] in parents and len(walked) <= self.path_length:
                walked.append(parents[walked[-1]])
            if len(walked) != self.path_length or walked[-1] != start:
                raise fault(query, f"the path to node {end} has not {self.path_length} nodes from node {start} on")
        if goal not in ends:
            raise fault(query + 2, f"node {goal} ends no path")

    def solve(self, source: Sequence[int]) -> list[int]:
        """The path that is asked for."""
        *edges, question = split_at([_ARG if symbol == _QUERY else symbol for symbol in source], _ARG)
        parents = {child: parent for parent, child in edges}
        path = [question[1]]
        while path[-1] != question[0]:
            path.append(parents[path[-1]])
        return path if self.reversed_path else path[::-1]


@njit(cache=True)
def _write_stars(degree, path_length, backwards, nodes, request, symbols, predicted, ends):
    """Node 0 is the start; path p holds nodes p (l - 1) + 1 to (p + 1) (l - 1); edge e leads to node e + 1."""
    num_edges, end = degree * (path_length - 1), 0
    names, order = np.empty(num_edges + 1, np.int64), np.empty(num_edges, np.int64)
    scratch = np.arange(nodes.size + num_edges + 1)
    for index in range(len(ends)):
        begin, (state, asked) = end, open_row(request, index)
        state = draw_row(state, nodes, names, scratch)
        for edge in range(num_edges):
            state += GOLDEN_GAMMA
            other = between(state, 0, edge)
            order[edge] = order[other]
            order[other] = edge
        place = begin
        for edge in order:
            parent = 0 if edge % (path_length - 1) == 0 else edge
            symbols[place], symbols[place + 1], symbols[place + 2] = names[parent], names[edge + 1], _ARG
            place += 3
        last = (asked + 1) * (path_length - 1)
        symbols[place - 1], symbols[place], symbols[place + 1] = _QUERY, names[0], names[last]
        for step in range(path_length):
            node = 0 if step == 0 else last - path_length + 1 + step
            symbols[place + 3 + (path_length - 1 - step if backwards else step)] = names[node]
        end = close_row(request, symbols, predicted, begin, place + 2, place + 3 + path_length)
        ends[index] = end
