"""All that a node of an acyclic graph depends on, in an order that could be worked through: Brevo.

Allen-Zhu 2025, "Physics of Language Models 4.1", and its generator: up to N = 110 nodes, at most 4 parents, a question
about one of the last nodes. The law of the parents below, names of one symbol, and the end with the node that was
asked for are ours; the law of n is that of Depo.
"""

from math import sqrt
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences
from metalang.domains.rows import Replayed, fault, written
from metalang.domains.strings import between, shuffle
from metalang.domains.vocabulary import Vocabulary, Zipf, draw_one, draw_row
from metalang.ids import NUM_CONTROL, Control
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state
from metalang.specs import Size

_QUERY, _SEP, _EOS = int(Control.QUERY), int(Control.SEP), int(Control.EOS)


class Brevo(Replayed):
    """Edges `u v`, shuffled, then QUERY q SEP and the ancestors of q in a topological order, q last, EOS.

    Node i of n, in an order that the row does not show, has U{1 .. min(`most_parents`, i - 1)} different parents before
    it; q is the last. Every topological order passes the check. The order and EOS are predicted.

    >>> Brevo(num_nodes=3).sample(0, 0, 1).symbols.tolist()
    [32, 34, 33, 32, 5, 34, 3, 33, 32, 34, 2]
    >>> Brevo(num_nodes=3).drawn(1)
    '0 1 2 1 2 0 QUERY 1 SEP ⟦2 0 1 EOS⟧'
    """

    type: Literal["brevo"] = "brevo"
    paper: ClassVar[str] = "Allen-Zhu 2025"
    num_nodes: Size = Field(default=110, ge=2, le=100_000)
    least_nodes: int = Field(default=3, ge=2)
    most_parents: int = Field(default=4, ge=1, le=64)
    mask: Literal["all", "output"] = "output"

    @model_validator(mode="after")
    def _has_nodes(self):
        if self.least_nodes > self.num_nodes:
            raise ValueError(f"least_nodes {self.least_nodes} is more than num_nodes {self.num_nodes}")
        return self

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block and the nodes."""
        return NUM_CONTROL + self.num_nodes

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        sizes = Vocabulary(size=self.num_nodes, distribution=Zipf(alpha=1.0, beta=sqrt(self.num_nodes))).tables
        names = Vocabulary(size=self.num_nodes, replacement=False).tables
        return written(
            _write_graphs, np.uint64(key), start, sizes, names, self.least_nodes, self.most_parents, self.mask == "all",
            count=count, longest_row=(2 * self.most_parents + 1) * self.num_nodes + 4, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        nodes = range(NUM_CONTROL, self.num_symbols)
        query = row.index(_QUERY) if _QUERY in row else len(row)
        parents: dict[int, set[int]] = {}
        for position, symbol in enumerate(row[:query]):
            if symbol not in nodes:
                raise fault(position, f"symbol {symbol} is no node")
            if position % 2:
                mine = parents.setdefault(symbol, set())
                if row[position - 1] in mine or len(mine) == self.most_parents:
                    raise fault(position, f"node {symbol} has this parent already, or {self.most_parents} others")
                mine.add(row[position - 1])
        if query % 2 or row[query + 2 : query + 3] != [_SEP] or row[query + 1] not in parents:
            raise fault(query, "an edge is cut off, or no QUERY q SEP about a node with parents stands here")
        if len(set(row[:query])) < self.least_nodes:
            raise fault(query, f"the graph has fewer than {self.least_nodes} nodes")
        done: list[int] = []
        for position, symbol in enumerate(row[query + 3 : -1], start=query + 3):
            if symbol in done or not parents.get(symbol, set()) <= set(done) or symbol not in set(row[:query]):
                raise fault(position, f"node {symbol} stands here again or before a parent")
            done.append(symbol)
        wanted, waiting = set(), [row[query + 1]]
        while waiting:
            node = waiting.pop()
            wanted.add(node)
            waiting += parents.get(node, set()) - wanted
        if set(done) != wanted or done[-1] != row[query + 1] or row[-1] != _EOS:
            raise fault(
                len(row) - 1, "the ancestors of the node that was asked for, that node and EOS should end the row"
            )
        return [self.mask == "all" or position > query + 2 for position in range(len(row))]


@njit(cache=True)
def _write_graphs(key, start, sizes, names, least, most_parents, mask_input, symbols, predicted, ends):
    name, needed = np.empty(sizes.size, np.int64), np.empty(sizes.size, np.bool_)
    edges, order = np.empty((2, sizes.size * most_parents), np.int64), np.empty(sizes.size * most_parents, np.int64)
    scratch, place = np.arange(2 * sizes.size), 0
    for index in range(len(ends)):
        begin, state, size, num_edges = place, row_state(key, uint64(start + index)), 0, 0
        while size < least:
            state += GOLDEN_GAMMA
            size = 1 + draw_one(mix64(state), sizes)
        state = draw_row(state, names, name[:size], scratch)
        for node in range(1, size):
            state += GOLDEN_GAMMA
            first, degree = num_edges, between(state, 1, min(most_parents, node))
            while num_edges < first + degree:
                state += GOLDEN_GAMMA
                parent, fresh = between(state, 0, node - 1), True
                for other in range(first, num_edges):
                    fresh &= edges[0, other] != parent
                if fresh:
                    edges[0, num_edges], edges[1, num_edges], order[num_edges] = parent, node, num_edges
                    num_edges += 1
        state = shuffle(state, order[:num_edges])
        for edge in order[:num_edges]:
            symbols[place], symbols[place + 1] = name[edges[0, edge]], name[edges[1, edge]]
            place += 2
        symbols[place], symbols[place + 1], symbols[place + 2] = _QUERY, name[size - 1], _SEP
        place += 3
        predicted[begin:place] = mask_input
        needed[:size] = False
        needed[size - 1] = True
        for edge in range(num_edges - 1, -1, -1):  # edges stand in the order of their children
            if needed[edges[1, edge]]:
                needed[edges[0, edge]] = True
        begin = place
        for node in range(size):
            if needed[node]:
                symbols[place] = name[node]
                place += 1
        symbols[place] = _EOS
        place += 1
        predicted[begin:place] = True
        ends[index] = place
