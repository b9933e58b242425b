"""LIME, rewriting: rules `pattern -> replacement` and a string are given, the rewritten string is to be found.

Paper and layout of a row: see `lime`; both tasks are modes of its published generator, in one step and in several
("rewrite_multistep_hard", 1 to 5 steps). A pattern is a part of the string whose LOWER symbols are abstracted to
variables; the replacement is MATH symbols and each of these variables once, in random order:

    source  A + B -> B = A <space> z x + y z    target  z y = x z

A target is right where some place of the pattern gives it: the published generator does not say which place is meant
where the pattern fits twice. It stops with an error where a step has made the string shorter than the next pattern;
ours then takes a pattern as long as the string.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator

from metalang.domains.contract import Sequences
from metalang.domains.lime import LimeTask, Mark, Names, Piece, RowError
from metalang.domains.lime_rewrite_kernels import Sizes, write_rewriting
from metalang.domains.rows import written
from metalang.specs import Range


class _Rewriting(LimeTask):
    """`pattern_length` and `num_constants`: symbols of a pattern, MATH symbols of a replacement.

    A string has `string_size` s symbols of one group and 1.5 s, rounded half to even, of the other.
    """

    string_size: Range
    pattern_length: Range
    num_constants: Range

    @property
    @abstractmethod
    def num_steps(self) -> Range:
        """How many rules are applied, one behind the other."""

    @property
    def more_math(self) -> bool:
        """Whether MATH symbols are the larger group of a string; LOWER are, where not."""
        return self.type == "lime_rewrite"

    @model_validator(mode="after")
    def _has_rewritings(self):
        for name in ("string_size", "pattern_length", "num_constants", "num_steps"):
            if getattr(self, name).min < 1:
                raise ValueError(f"{name} begins at 0 and a row has at least one of them; begin it at 1 or above")
        if self.num_upper < self.most_variables:
            raise ValueError(
                f"num_upper {self.num_upper} is less than the {self.most_variables} variables that a pattern of "
                f"{self.pattern_length.max} symbols may hold; raise it, or lower pattern_length"
            )
        return self

    @property
    def most_variables(self) -> int:
        """How many variables a pattern may hold."""
        return min(self.num_lower, self.pattern_length.max)

    def sample(self, key: int, start: int, count: int) -> Sequences:
        """The rows [start, start + count) of the stream of a key."""
        string, pattern, constants, steps = self.string_size, self.pattern_length, self.num_constants, self.num_steps
        sizes = Sizes(
            self.num_upper, self.num_lower, self.num_math, self.more_math, string.min, string.max,
            pattern.min, pattern.max, constants.min, constants.max, steps.min, steps.max,
        )  # fmt: skip
        replacement = constants.max + self.most_variables
        longest_string = string.max + _one_and_a_half(string.max) + steps.max * replacement
        longest = 5 + self.num_names + steps.max * (pattern.max + replacement + 2) + 2 * longest_string + self.eos
        flags = (self.mask == "all", self.mask != "output_no_eos", self.eos)
        return written(
            write_rewriting, np.uint64(key), start, self.vocabulary.tables, sizes, longest_string, replacement, flags,
            count=count, longest_row=longest, num_symbols=self.num_symbols,
        )  # fmt: skip

    def check_target(self, names: Names, source: list[Piece], target: list[Piece]) -> None:
        """Raises CorpusError with the first position at which a target does not answer its source."""
        *rules, string = source
        if not self.num_steps.min <= len(rules) <= self.num_steps.max:
            raise RowError(string.start, f"{len(rules)} rules stand before the string, outside of their bounds")
        if len(target) != 1:
            raise RowError(target[1].start - 1, "the target goes on behind its string")
        string.require(names.constants, "LOWER or MATH")
        self._check_string(names, string)
        reached = {tuple(string.symbols)}
        for rule in rules:
            pattern, replacement = self._read_rule(names, rule, {len(each) for each in reached})
            reached = {new for old in reached for new in _rewritings(names, pattern, replacement, old)}
            if not reached:
                raise RowError(rule.start, "the pattern of this rule fits nowhere")
        if tuple(target[0].symbols) not in reached:
            common = max(_common(list(each), target[0].symbols) for each in reached)
            raise RowError(target[0].start + common, "the rules do not give this string")
        if self.more_math and len(names.upper) != len(set(rules[0].symbols) & set(names.upper)):
            raise RowError(1, "a declared variable is not in the rule")
        if not self.more_math and len(names.upper) != self.num_upper:
            raise RowError(1, f"{len(names.upper)} variables are declared and should be {self.num_upper}")

    def _check_string(self, names: Names, string: Piece) -> None:
        math = sum(symbol in names.math for symbol in string.symbols)
        groups = (len(string.symbols) - math, math) if self.more_math else (math, len(string.symbols) - math)
        size = groups[0]
        if not self.string_size.min <= size <= self.string_size.max or groups[1] != _one_and_a_half(size):
            raise RowError(
                string.end, f"{math} MATH of {len(string.symbols)} symbols is no string of a size in string_size"
            )

    def _read_rule(self, names: Names, rule: Piece, lengths: set[int]) -> tuple[list[int], list[int]]:
        """Pattern and replacement; `lengths`: of the strings that the rule may meet."""
        if rule.symbols.count(Mark.ARROW) != 1:
            raise RowError(rule.start, "this part is no rule with one ARROW")
        arrow = rule.symbols.index(Mark.ARROW)
        pattern, replacement = rule.symbols[:arrow], rule.symbols[arrow + 1 :]
        Piece(rule.start, pattern).require([*names.upper, *names.math], "a variable or MATH")
        Piece(rule.start + arrow + 1, replacement).require([*names.upper, *names.math], "a variable or MATH")
        low, high = self.pattern_length.min, self.pattern_length.max
        if not any(min(low, length) <= len(pattern) <= min(high, length) for length in lengths):
            raise RowError(rule.start + arrow, f"a pattern of {len(pattern)} symbols is outside of pattern_length")
        variables = sorted(symbol for symbol in replacement if symbol in names.upper)
        if variables != sorted(set(pattern) & set(names.upper)):
            raise RowError(rule.end, "the replacement does not hold each variable of the pattern once")
        constants = len(replacement) - len(variables)
        if not self.num_constants.min <= constants <= self.num_constants.max:
            raise RowError(rule.end, f"the replacement has {constants} MATH symbols, outside of num_constants")
        return pattern, replacement


class LimeRewrite(_Rewriting):
    """One rule is applied once; the source declares the variables of the rule alone.

    >>> tiny = dict(num_upper=2, num_lower=2, num_math=1, string_size=2, pattern_length=2, num_constants=1)
    >>> LimeRewrite(**tiny).sample(7, 0, 1).symbols[8:].tolist()
    [388, 343, 40, 388, 343, 35, 705, 388, 388, 388, 924, 3, 705, 388, 388, 388, 924, 2]
    """

    type: Literal["lime_rewrite"] = "lime_rewrite"
    paper: ClassVar[str] = "Wu et al. 2021"
    string_size: Range = Range(min=10, max=20)
    pattern_length: Range = Range(min=5, max=20)
    num_constants: Range = Range(min=5, max=20)

    @property
    def num_steps(self) -> Range:
        """How many rules are applied, one behind the other."""
        return Range(min=1, max=1)


class LimeRewriteMulti(_Rewriting):
    """`steps` rules are applied, each to what the last has left; only the final string is asked for.

    >>> tiny = dict(num_upper=2, num_lower=2, num_math=1, string_size=2, pattern_length=2, num_constants=1, steps=2)
    >>> LimeRewriteMulti(**tiny).sample(7, 0, 1).symbols[9:].tolist()
    [343, 343, 40, 388, 343, 35, 388, 343, 40, 388, 343, 35, 705, 388, 388, 924, 924, 3, 705, 388, 388, 388, 924, 2]
    """

    type: Literal["lime_rewrite_multi"] = "lime_rewrite_multi"
    paper: ClassVar[str] = "Wu et al. 2021"
    string_size: Range = Range(min=5, max=10)
    pattern_length: Range = Range(min=3, max=7)
    num_constants: Range = Range(min=3, max=7)
    steps: Range = Range(min=1, max=5)

    @property
    def num_steps(self) -> Range:
        """How many rules are applied, one behind the other."""
        return self.steps


def _one_and_a_half(size: int) -> int:
    """1.5 times a size, rounded half to even."""
    return round(size * 1.5)


def _common(left: list[int], right: list[int]) -> int:
    """How many symbols two strings begin with in common."""
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return length


def _rewritings(
    names: Names, pattern: list[int], replacement: list[int], string: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """What one step may make of a string: the pattern is replaced at one of the places where it fits."""
    results = []
    for begin in range(len(string) - len(pattern) + 1):
        part = string[begin : begin + len(pattern)]
        value = {theirs: symbol for theirs, symbol in zip(pattern, part, strict=True) if theirs in names.upper}
        letters = list(value.values())
        fits = all(value.get(theirs, theirs) == symbol for theirs, symbol in zip(pattern, part, strict=True))
        if fits and len(set(letters)) == len(letters) and set(letters) <= set(names.lower):
            new = tuple(value.get(symbol, symbol) for symbol in replacement)
            results.append((*string[:begin], *new, *string[begin + len(pattern) :]))
    return results
