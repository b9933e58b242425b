"""Binary sources of varying memory, and the predictor that is best for them.

Grau-Moya et al. 2024, "Learning Universal Predictors", arXiv 2401.14953, with its code: a node of the tree of suffixes
splits with probability 1/2 down to depth 5, a leaf gives a 1 with probability Beta(1/2, 1/2), zeros stand before a row.
Rows of 256 are our default. The predictor is context tree weighting (Willems, Shtarkov & Tjalkens 1995).
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numba import njit, uint64
from pydantic import Field

from metalang.domains.contract import content_range
from metalang.domains.markov import walk
from metalang.domains.streams import Stream
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA, mix64, row_state, unit
from metalang.specs import Range


class Vom(Stream):
    """Bits of a chain of varying order: p(1) hangs on the leaf to which the last bits lead, in a tree of the row's own.

    >>> domain = Vom(sequence_length=8)
    >>> domain.sample(0, 1, 1).symbols.tolist()
    [33, 33, 32, 33, 32, 33, 33, 33]
    >>> [round(law[1], 3) for law in domain.predictive([33, 33, 33])]
    [0.5, 0.625, 0.75]
    """

    type: Literal["vom"] = "vom"
    paper: ClassVar[str] = "Grau-Moya et al. 2024"
    max_depth: int = Field(default=5, ge=0, le=12)
    split_prob: float = Field(default=0.5, ge=0.0, le=1.0)
    sequence_length: Range = Range(min=256, max=256)

    @property
    def content(self) -> range:
        """The symbols of the language."""
        return content_range(2)

    def fill(self, key: int, start: int, ends: np.ndarray, symbols: np.ndarray) -> None:
        """Writes the rows from `start` on that end at `ends`."""
        _fill_trees(key, start, ends, self.max_depth, self.split_prob, symbols)

    def predictive(self, row: Sequence[int]) -> list[list[float]]:
        """p(0) and p(1) at each position of a row, (n, 2), given the bits before: the Bayes mixture of all trees."""
        bits = [0] * self.max_depth + [symbol - NUM_CONTROL for symbol in row]
        counts: dict[tuple[int, ...], list[int]] = {}
        estimates: dict[tuple[int, ...], float] = {}  # log probability of the bits seen at a node, were it a leaf
        mixtures: dict[tuple[int, ...], float] = {}  # the same, over all trees below the node
        laws = []
        for place in range(self.max_depth, len(bits)):
            nodes = [tuple(bits[place - depth : place]) for depth in range(self.max_depth + 1)]
            before = mixtures.get((), 0.0)
            own = {node: counts.setdefault(node, [0, 0]) for node in nodes}
            ahead = [self._mixed(nodes, bit, own, estimates, mixtures) for bit in (0, 1)]
            laws.append([math.exp(update[()][1] - before) for update in ahead])
            bit = bits[place]
            for node, (estimate, mixture) in ahead[bit].items():
                own[node][bit] += 1
                estimates[node], mixtures[node] = estimate, mixture
        return laws

    def _mixed(self, nodes: list[tuple], bit: int, counts: dict, estimates: dict, mixtures: dict) -> dict:
        """Both log probabilities of each node on the path once `bit` is seen, from the deepest up."""
        update: dict[tuple, tuple[float, float]] = {}
        for depth in range(self.max_depth, -1, -1):
            node = nodes[depth]
            seen = counts[node]
            estimate = estimates.get(node, 0.0) + math.log((seen[bit] + 0.5) / (sum(seen) + 1))
            if depth == self.max_depth:
                update[node] = estimate, estimate
                continue
            on_path = nodes[depth + 1]
            beside = (1 - on_path[0], *node)
            below = update[on_path][1] + mixtures.get(beside, 0.0)
            leaf = (1 - self.split_prob) * math.exp(estimate - max(estimate, below))
            split = self.split_prob * math.exp(below - max(estimate, below))
            update[node] = estimate, max(estimate, below) + math.log(leaf + split)
        return update


@njit(cache=True)
def _fill_trees(key, start, ends, max_depth, split_prob, symbols):
    """A tree is unfolded to one law for each context of `max_depth` bits, the last bit read in the lowest place."""
    contexts = 1 << max_depth
    bounds = np.empty((contexts, 1), dtype=np.uint64)
    begin = 0
    for index in range(len(ends)):
        state = row_state(key, uint64(start + index)) + GOLDEN_GAMMA
        bounds[0, 0] = 0
        width = 1  # contexts of the depth at hand; 0 in `bounds` marks an inner node
        for depth in range(max_depth + 1):
            for node in range(width):
                if bounds[node, 0] == 0:
                    state += GOLDEN_GAMMA
                    if depth == max_depth or unit(mix64(state)) >= split_prob:
                        state += GOLDEN_GAMMA
                        root = math.sin(0.5 * math.pi * unit(mix64(state)))
                        bounds[node, 0] = 1 + uint64(min(root * root, 1.0 - 2.0**-52) * 2.0**64)
            if depth < max_depth:
                for node in range(width):
                    bounds[node + width, 0] = bounds[node, 0]
                width *= 2
        walk(state, bounds, 0, symbols[begin : ends[index]])
        begin = ends[index]
