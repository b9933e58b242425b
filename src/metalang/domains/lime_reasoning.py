"""LIME, reasoning: of a rule, a case and a result, some are given and the rest is to be found.

Paper and layout of a row: see `lime`. A rule is a string of variables and MATH symbols; a case gives each variable a
string of LOWER and MATH symbols; the result is the rule with the case put in:

    rule A + A B    case A : [ x y ] , B : [ = z ]    result x y + x y = z

Deduct, induct and abduct are the paper's three tasks; the others are modes of its published generator, and the mixture
of the three, all equally likely, is that of the script beside it.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from metalang.domains.contract import Sequences
from metalang.domains.lime import LimeTask, Mark, Names, Piece, RowError
from metalang.domains.lime_kernels import Sizes, write_reasoning
from metalang.domains.rows import written
from metalang.ids import Control
from metalang.specs import Range

_SEP, _SPACE = int(Control.SEP), int(Mark.SPACE)
_COLON, _OPEN, _CLOSE, _COMMA = int(Mark.COLON), int(Mark.OPEN), int(Mark.CLOSE), int(Mark.COMMA)
_PIECES = ("rule", "case", "result", "second_result")

Mode = Literal["deduct", "induct", "abduct", "induct_v2", "induct_v3", "induct_hard"]
Layout = tuple[tuple[str, ...], tuple[str, ...]]
_LAYOUTS: dict[Mode, Layout] = {  # source, target
    "deduct": (("rule", "case"), ("result",)),
    "induct": (("result", "case"), ("rule",)),
    "abduct": (("rule", "result"), ("case",)),
    "induct_v2": (("result",), ("case", "rule")),
    "induct_v3": (("result", "second_result"), ("rule",)),
    "induct_hard": (("result",), ("rule",)),
}


class _Reasoning(LimeTask):
    """`num_variables`: the c variables of which a rule holds 2 c draws; `num_constants`: its MATH symbols."""

    num_variables: Range = Range(min=3, max=5)
    num_constants: Range = Range(min=5, max=19)
    substitution_length: Range = Range(min=2, max=8)

    @model_validator(mode="after")
    def _has_rules(self):
        if not 1 <= self.num_variables.min <= self.num_variables.max <= self.num_upper:
            raise ValueError(
                f"num_variables {self.num_variables.min} to {self.num_variables.max} does not lie within 1 and "
                f"num_upper {self.num_upper}; a rule has at least one variable, and each is an UPPER symbol"
            )
        if self.substitution_length.min < 1:
            raise ValueError("substitution_length begins at 0, which would delete a variable; begin it at 1 or above")
        return self

    @property
    def layouts(self) -> list[Layout]:
        """What source and target of a row are made of; a row takes one of them."""
        return [_LAYOUTS[self.type.removeprefix("lime_")]]

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        variables, constants, lengths = self.num_variables, self.num_constants, self.substitution_length
        sizes = Sizes(
            self.num_upper, self.num_lower, self.num_math, variables.min, variables.max,
            constants.min, constants.max, lengths.min, lengths.max,
        )  # fmt: skip
        rule = 2 * variables.max + constants.max
        case, result = variables.max * (lengths.max + 5), 2 * variables.max * lengths.max + constants.max
        bound = {"rule": rule, "case": case, "result": result, "second_result": result}
        longest = max(sum(1 + bound[piece] for part in layout for piece in part) for layout in self.layouts)
        longest += 4 + variables.max + self.num_lower + self.num_math + self.eos
        flags = (self.mask == "all", self.mask != "output_no_eos", self.eos)
        return written(
            write_reasoning, np.uint64(key), start, self.vocabulary.tables, sizes, _codes(self.layouts), flags,
            count=count, longest_row=longest, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_target(self, names: Names, source: list[Piece], target: list[Piece]) -> None:
        """Raises CorpusError with the first position at which a target does not answer its source."""
        faults = []
        for layout in self.layouts:
            try:
                return self._check_layout(layout, names, source, target)
            except RowError as fault:
                faults.append(fault)
        raise max(faults, key=lambda fault: fault.position)

    def _check_layout(self, layout: Layout, names: Names, source: list[Piece], target: list[Piece]) -> None:
        for pieces, parts in zip((source, target), layout, strict=True):
            if len(pieces) != len(parts):
                count = f"{len(pieces)} part{'s stand' if len(pieces) > 1 else ' stands'} here"
                raise RowError(pieces[-1].start, f"{count} and should be {', '.join(parts)}")
        found = dict(zip((*layout[0], *layout[1]), (*source, *target), strict=True))
        self._check_rule(names, found["rule"])
        case = self._read_case(names, found["case"]) if "case" in found else None
        for part in ("result", "second_result"):
            if part in found:
                found[part].require(names.constants, "LOWER or MATH")
                self._check_result(names, found["rule"], found[part], case)

    def _check_rule(self, names: Names, rule: Piece) -> None:
        rule.require([*names.upper, *names.math], "a declared variable or MATH")
        variables = [symbol for symbol in rule.symbols if symbol in names.upper]
        if set(variables) != set(names.upper):
            raise RowError(rule.end, "the rule does not hold every declared variable")
        least = max(self.num_variables.min, len(names.upper))
        if len(variables) not in range(2 * least, 2 * self.num_variables.max + 1, 2):
            raise RowError(rule.end, f"the rule holds {len(variables)} variables, which is twice no allowed number")
        constants = len(rule.symbols) - len(variables)
        if not self.num_constants.min <= constants <= self.num_constants.max:
            raise RowError(rule.end, f"the rule holds {constants} MATH symbols, outside of num_constants")

    def _read_case(self, names: Names, case: Piece) -> dict[int, list[int]]:
        values, place = {}, 0
        for variable in names.upper:
            before = [variable, _COLON, _OPEN] if not values else [_COMMA, variable, _COLON, _OPEN]
            for symbol in before:
                if case.symbols[place : place + 1] != [symbol]:
                    raise RowError(case.start + place, f"the case should go on with {symbol}")
                place += 1
            rest = case.symbols[place:]
            value = rest[: rest.index(_CLOSE)] if _CLOSE in rest else rest
            Piece(case.start + place, value).require(names.constants, "LOWER or MATH")
            place += len(value)
            if not self.substitution_length.min <= len(value) <= self.substitution_length.max or value == rest:
                raise RowError(case.start + place, f"a string of {len(value)} symbols is outside of its bounds")
            values[variable] = value
            place += 1
        if place != len(case.symbols):
            raise RowError(case.start + place, "the case goes on behind its last variable")
        return values

    def _check_result(self, names: Names, rule: Piece, result: Piece, case: dict[int, list[int]] | None) -> None:
        lengths, furthest = range(self.substitution_length.min, self.substitution_length.max + 1), 0

        def fits(at: int, place: int, case: dict[int, list[int]]) -> bool:
            nonlocal furthest
            furthest = max(furthest, place)
            if at == len(rule.symbols):
                return place == len(result.symbols)
            symbol = rule.symbols[at]
            if symbol in names.upper and symbol not in case:
                choices = (result.symbols[place : place + length] for length in lengths)
                return any(fits(at, place, {**case, symbol: choice}) for choice in choices)
            for expected in case.get(symbol, [symbol]):
                if result.symbols[place : place + 1] != [expected]:
                    return False
                place += 1
                furthest = max(furthest, place)
            return fits(at + 1, place, case)

        if not fits(0, 0, case or {}):
            raise RowError(
                result.start + furthest,
                "the case does not turn the rule into this result"
                if case
                else "no case turns the rule into this result",
            )


class LimeDeduct(_Reasoning):
    """Rule and case are given, the result is to be found.

    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeDeduct(**tiny).sample(7, 1, 1).symbols[7:].tolist()
    [646, 690, 690, 35, 690, 36, 37, 590, 590, 38, 3, 646, 590, 590, 590, 590, 2]
    """

    type: Literal["lime_deduct"] = "lime_deduct"
    paper: ClassVar[str] = "Wu et al. 2021"


class LimeInduct(_Reasoning):
    """Result and case are given, the rule is to be found.

    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeInduct(**tiny).sample(7, 1, 1).symbols[7:].tolist()
    [646, 590, 590, 590, 590, 35, 690, 36, 37, 590, 590, 38, 3, 646, 690, 690, 2]
    """

    type: Literal["lime_induct"] = "lime_induct"
    paper: ClassVar[str] = "Wu et al. 2021"


class LimeAbduct(_Reasoning):
    """Rule and result are given, a case is to be found.

    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeAbduct(**tiny).sample(7, 1, 1).symbols[7:].tolist()
    [646, 690, 690, 35, 646, 590, 590, 590, 590, 3, 690, 36, 37, 590, 590, 38, 2]
    """

    type: Literal["lime_abduct"] = "lime_abduct"
    paper: ClassVar[str] = "Wu et al. 2021"


class LimeInductV2(_Reasoning):
    """The result is given, a case and its rule are to be found.

    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeInductV2(**tiny).sample(7, 1, 1).symbols[7:].tolist()
    [646, 590, 590, 590, 590, 3, 690, 36, 37, 590, 590, 38, 35, 646, 690, 690, 2]
    """

    type: Literal["lime_induct_v2"] = "lime_induct_v2"
    paper: ClassVar[str] = "Wu et al. 2021"


class LimeInductV3(_Reasoning):
    """Two results are given, the rule behind both is to be found.

    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeInductV3(**tiny).sample(7, 1, 1).symbols[7:].tolist()
    [646, 590, 590, 590, 590, 35, 646, 646, 646, 646, 646, 3, 646, 690, 690, 2]
    """

    type: Literal["lime_induct_v3"] = "lime_induct_v3"
    paper: ClassVar[str] = "Wu et al. 2021"


class LimeInductHard(_Reasoning):
    """The result is given, a rule of it is to be found.

    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeInductHard(**tiny).sample(7, 1, 1).symbols[7:].tolist()
    [646, 590, 590, 590, 590, 3, 646, 690, 690, 2]
    """

    type: Literal["lime_induct_hard"] = "lime_induct_hard"
    paper: ClassVar[str] = "Wu et al. 2021"


class LimeMix(_Reasoning):
    """Each row is one of `modes`, all equally likely; the row does not say which.

    >>> [layout[1] for layout in LimeMix().layouts]
    [('rule',), ('result',), ('case',)]
    >>> tiny = dict(num_upper=1, num_lower=1, num_math=1, num_variables=1, num_constants=1, substitution_length=2)
    >>> LimeMix(**tiny).drawn(1)
    '0 230 1 267 2 74 3 74 230 230 3 74 74 74 74 74 SEP ⟦230 4 5 74 74 6 EOS⟧'
    """

    type: Literal["lime_mix"] = "lime_mix"
    paper: ClassVar[str] = "Wu et al. 2021"
    modes: tuple[Mode, ...] = Field(default=("induct", "deduct", "abduct"), min_length=1)

    @property
    def layouts(self) -> list[Layout]:
        """What source and target of a row are made of; a row takes one of them."""
        return [_LAYOUTS[mode] for mode in self.modes]


def _codes(layouts: list[Layout]) -> np.ndarray:
    """Layouts as the kernel reads them, (n, 8) int64: pieces below 0, marks and SEP as they are, 0 behind the end."""
    codes = np.zeros((len(layouts), 8), dtype=np.int64)
    for row, layout in zip(codes, layouts, strict=True):
        source, target = ([code for piece in part for code in (-1 - _PIECES.index(piece), _SPACE)] for part in layout)
        line = [*source[:-1], _SEP, *target[:-1]]
        row[: len(line)] = line
    return codes
