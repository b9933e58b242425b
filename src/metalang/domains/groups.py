"""Word problems of finite groups: what is the product so far?

Merrill, Petty & Sabharwal 2024, "The Illusion of State in State-Space Models", arXiv 2404.08819, and its generator:
groups S_n, A_n, Z_n and their direct products, independent elements, the running product as the label of every element.
The labels stand behind their elements, as symbols of their own; that layout and the order of the elements are ours.
"""

import re
from functools import lru_cache
from itertools import permutations, product
from math import factorial, prod
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import model_validator

from metalang.domains.contract import Sequences
from metalang.domains.rows import Replayed, fault, open_row, written
from metalang.domains.strings import Request, between
from metalang.ids import NUM_CONTROL
from metalang.seeds import GOLDEN_GAMMA
from metalang.specs import Range

_MOST_ELEMENTS = 5040
Element = tuple[tuple[int, ...], ...]
"""An element of a direct product: of each factor a permutation, or (k,) for the rotation by k of Z_n."""


class GroupWord(Replayed):
    """g_1 p_1 g_2 p_2 ... with p_t = p_(t-1) g_t and p_0 the identity; the p_t are predicted, or all.

    Elements are numbered in lexicographic order, the identity is 0: code i is the element, code |G| + i the product. In
    a product of permutations the left one is applied first. Products of groups are written as "A4_x_Z5".

    >>> GroupWord(group="Z5", num_elements=4).sample(3, 0, 1).symbols.tolist()
    [34, 39, 34, 41, 36, 40, 35, 38]
    >>> GroupWord(group="Z5", num_elements=4).drawn(1)
    '0 ⟦5⟧ 1 ⟦6⟧ 0 ⟦6⟧ 4 ⟦5⟧'
    """

    type: Literal["group_word"] = "group_word"
    paper: ClassVar[str] = "Merrill, Petty & Sabharwal 2024"
    group: str = "S5"
    num_elements: Range = Range(min=2, max=20)
    mask: Literal["all", "output"] = "output"

    @model_validator(mode="after")
    def _is_a_group(self):
        if not re.fullmatch(r"[SAZ][1-9]\d{0,4}(_x_[SAZ][1-9]\d{0,4})*", self.group):
            raise ValueError(f"group {self.group!r} is none; S5, A5, Z60 and A4_x_Z5 are")
        if self.order > _MOST_ELEMENTS:
            raise ValueError(f"group {self.group!r} has more than {_MOST_ELEMENTS} elements; S5 has 120")
        if self.num_elements.min < 1:
            raise ValueError("num_elements 0 gives an empty row; 1 is the least")
        return self

    @property
    def factors(self) -> list[tuple[str, int]]:
        """The groups that the product is made of."""
        return [(name[0], int(name[1:])) for name in self.group.split("_x_")]

    @property
    def order(self) -> int:
        """The number of elements."""
        sizes = {"S": lambda n: factorial(min(n, 10)), "A": lambda n: max(1, factorial(min(n, 10)) // 2), "Z": int}
        return prod(sizes[kind](degree) for kind, degree in self.factors)

    @property
    def num_symbols(self) -> int:
        """Symbols that a model needs: the control block, the elements and the products."""
        return NUM_CONTROL + 2 * self.order

    def lengths(self, key: int, start: int, count: int) -> np.ndarray:
        """Symbols in each of the rows [start, start + count), (count,) int64."""
        return _lengths(self._request(key, start), count)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        return written(
            _write_words, _multiplication_table(self), self._request(key, start),
            count=count, longest_row=2 * self.num_elements.max, num_symbols=self.num_symbols,
        )  # fmt: skip

    def replay(self, row: list[int], predicted: list[bool]) -> list[bool]:
        """The mask that a row should have."""
        elements, running = _elements(self), _elements(self)[0]
        for position, symbol in enumerate(row):
            block = NUM_CONTROL + position % 2 * self.order
            if not block <= symbol < block + self.order:
                what = "product" if position % 2 else "element"
                raise fault(position, f"symbol {symbol} is no {what} of {self.group}")
            if position % 2 == 0:
                running = _multiply(self.factors, running, elements[symbol - block])
            elif elements[symbol - block] != running:
                raise fault(position, f"symbol {symbol} should be {block + elements.index(running)}")
        if len(row) % 2 or not self.num_elements.min <= len(row) // 2 <= self.num_elements.max:
            raise fault(len(row), f"the row has {len(row)} symbols, which num_elements does not allow")
        return [self.mask == "all" or position % 2 == 1 for position in range(len(row))]

    def _request(self, key: int, start: int) -> Request:
        low, high = self.num_elements.min, self.num_elements.max
        return Request(np.uint64(key), start, low, high, self.mask == "all", False, False)


def _multiply(factors: list[tuple[str, int]], left: Element, right: Element) -> Element:
    made = []
    for (kind, degree), first, second in zip(factors, left, right, strict=True):
        rotation = kind == "Z"
        made.append(((first[0] + second[0]) % degree,) if rotation else tuple(second[image] for image in first))
    return tuple(made)


@lru_cache(maxsize=16)
def _elements(domain: GroupWord) -> list[Element]:
    return [tuple(element) for element in product(*(_of_factor(kind, degree) for kind, degree in domain.factors))]


def _of_factor(kind: str, degree: int) -> list[tuple[int, ...]]:
    if kind == "Z":
        return [(rotation,) for rotation in range(degree)]
    everything = list(permutations(range(degree)))
    return everything if kind == "S" else [each for each in everything if _is_even(each)]


def _is_even(permutation: tuple[int, ...]) -> bool:
    pairs = ((left, right) for right in range(len(permutation)) for left in range(right))
    return sum(permutation[left] > permutation[right] for left, right in pairs) % 2 == 0


@lru_cache(maxsize=4)
def _multiplication_table(domain: GroupWord) -> np.ndarray:
    """Numbers of the products, (order, order) int32."""
    table = np.zeros((1, 1), dtype=np.int32)
    for kind, degree in domain.factors:
        factor = _table_of_factor(kind, degree)
        wide, old = len(factor), len(table)
        table = (table[:, None, :, None] * wide + factor[None, :, None, :]).reshape(old * wide, old * wide)
    return np.ascontiguousarray(table, dtype=np.int32)


def _table_of_factor(kind: str, degree: int) -> np.ndarray:
    elements = np.array(_of_factor(kind, degree), dtype=np.int64)
    if kind == "Z":
        return (elements + elements.T) % degree
    places = np.int64(degree) ** np.arange(degree - 1, -1, -1)
    ranks = elements @ places  # ascending, as the elements are in lexicographic order
    return np.stack([np.searchsorted(ranks, elements[:, left] @ places) for left in elements])


@njit(cache=True)
def _lengths(request, count):
    lengths = np.empty(count, dtype=np.int64)
    for index in range(count):
        lengths[index] = 2 * open_row(request, index)[1]
    return lengths


@njit(cache=True)
def _write_words(table, request, symbols, predicted, ends):
    place, order = 0, len(table)
    for index in range(len(ends)):
        (state, size), running = open_row(request, index), 0
        for _ in range(size):
            state += GOLDEN_GAMMA
            element = between(state, 0, order - 1)
            running = table[running, element]
            symbols[place], symbols[place + 1] = NUM_CONTROL + element, NUM_CONTROL + order + running
            predicted[place], predicted[place + 1] = request.mask_input, True
            place += 2
        ends[index] = place
