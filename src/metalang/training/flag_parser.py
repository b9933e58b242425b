"""The parser of the flags, which says what is wrong with one in a line of ours."""

import re
from difflib import get_close_matches
from typing import NoReturn

from transformers import HfArgumentParser

from metalang.errors import ConfigError
from metalang.specs import nearest

_ARGUMENT = re.compile(r"argument (?P<flag>--\w+)\S*: (?P<fault>.*)", re.DOTALL)
_REQUIRED = re.compile(r"the following arguments are required: (?P<flags>.*)")
_KINDS = {"int": "whole number; write one in digits, such as 1000", "float": "number; write one, such as 0.5 or 1e-3"}


class FlagParser(HfArgumentParser):
    """transformers' parser; it raises ConfigError where argparse would print its usage and end the process."""

    def error(self, message: str) -> NoReturn:
        """Raises ConfigError."""
        raise ConfigError(in_our_words(message))

    @property
    def takes_several(self) -> set[str]:
        """Names of the flags that take several values."""
        return {action.dest for action in self._actions if action.nargs == "+"}

    def require_known(self, argv: list[str]) -> None:
        """Raises ConfigError for a word that is no flag, with the nearest, and belongs to none."""
        unknown = self.parse_known_args(argv)[1]
        if not unknown:
            return
        flag = unknown[0].partition("=")[0]
        if not flag.startswith("--"):
            raise ConfigError(
                f"{unknown[0]!r} belongs to no flag; give flags as --max_steps 10000, a value with spaces in quotes"
            )
        matches = get_close_matches(flag, [f"--{action.dest}" for action in self._actions], n=1)
        hint = f"did you mean {matches[0]}?" if matches else "--help names them all"
        raise ConfigError(f"{flag} is no flag; {hint}")


def in_our_words(message: str) -> str:
    """What argparse says of a flag, with the value and what would be right.

    >>> in_our_words("argument --max_steps/--max-steps: invalid int value: 'lots'")
    "--max_steps 'lots' is no whole number; write one in digits, such as 1000"
    >>> in_our_words("argument --seed: expected one argument")
    '--seed has no value; write one behind it'
    """
    if required := _REQUIRED.fullmatch(message):
        flags = [names.partition("/")[0] for names in required["flags"].split(", ")]
        return f"{', '.join(flags)} {'is' if len(flags) == 1 else 'are'} needed; --help says what for"
    found = _ARGUMENT.fullmatch(message)
    if not found:
        return message
    flag, fault = found["flag"], found["fault"]
    if fault.startswith("expected"):
        return f"{flag} has no value; write one behind it"
    if said := re.fullmatch(r"invalid (\w+) value: (.*)", fault, re.DOTALL):
        return f"{flag} {said[2]} is no {_KINDS.get(said[1], 'value of it; --help names those that are')}"
    if said := re.match(r"Truthy value expected: got (.*) but expected", fault, re.DOTALL):
        return f"{flag} {said[1]!r} is neither True nor False; write one of them"
    if said := re.match(r"invalid choice: (.*) \(choose from (.*)\)$", fault, re.DOTALL):
        return f"{flag} {said[1]} is none of its values; {nearest(said[1].strip(chr(39)), _choices(said[2]))}"
    return f"{flag}: {fault}; --help says what it takes"


def _choices(listed: str) -> list[str]:
    return [choice.strip("'") for choice in listed.split(", ")]
