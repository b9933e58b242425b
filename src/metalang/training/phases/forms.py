"""The forms in which people write conversations, preferences and prompts, read as turns.

    {"conversations": [{"role": "user", "content": "Hi"}, ...]}      or "messages"; content may be a list of text parts
    {"conversations": [{"from": "human", "value": "Hi"}, ...]}       ShareGPT
    {"instruction": "Add", "input": "1 2", "output": "3"}            Alpaca; also {"instances": [{"input", "output"}]}
    {"prompt": ..., "chosen": ..., "rejected": ...}                  strings, a turn, or lists of turns
    {"conversations": [...], "chosen": {...}, "rejected": {...}}     the prompt as a conversation

What is wrong with a row is a ValueError that names it and the fields that are there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "tool": "tool",
    "observation": "tool",
}
_CONVERSATIONS = ("conversations", "messages")


@dataclass(frozen=True)
class Turn:
    """What one side says. `learned`: whether a model is trained to say it, where it is the assistant's."""

    role: str
    content: str
    learned: bool = True

    def as_message(self) -> dict[str, str]:
        """The form that chat templates read."""
        return {"role": self.role, "content": self.content}


Words = str | tuple[Turn, ...]
"""Plain text, which no chat template touches, or turns."""


@dataclass(frozen=True)
class Preference:
    """A prompt and two answers, all three of one kind."""

    prompt: Words
    chosen: Words
    rejected: Words


def text_of(row: Mapping[str, Any], field: str) -> str:
    """The text of a row.

    >>> text_of({"text": "Hi", "source": "a"}, "text")
    'Hi'
    """
    text = _string(_field(row, field), field)
    if not text or text.isspace():
        raise ValueError(f"{field!r} is empty")
    return text


def conversation_of(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The turns of a row, of which one at least is the assistant's to be learned.

    >>> conversation_of({"instruction": "Add", "input": "1 2", "output": "3"})
    (Turn(role='user', content='Add\\n\\n1 2', learned=True), Turn(role='assistant', content='3', learned=True))
    """
    turns = _any_turns(row)
    if not any(turn.role == "assistant" and turn.learned for turn in turns):
        raise ValueError("no turn of the assistant that could be learned")
    return turns


def preference_of(row: Mapping[str, Any]) -> Preference:
    """The prompt and both answers of a row. Where one of them has turns, a string is a turn of its side.

    >>> preference_of({"prompt": "1+1=", "chosen": "2", "rejected": "3"})
    Preference(prompt='1+1=', chosen='2', rejected='3')
    """
    prompt = _prompt_words(row)
    chosen, rejected = (_words(_field(row, name), name) for name in ("chosen", "rejected"))
    if not all(isinstance(words, str) for words in (prompt, chosen, rejected)):
        prompt, chosen, rejected = (
            _as_turns(prompt, "user"),
            _as_turns(chosen, "assistant"),
            _as_turns(rejected, "assistant"),
        )
    for name, words in (("chosen", chosen), ("rejected", rejected)):
        if not words:
            raise ValueError(f"{name!r} is empty")
    return Preference(prompt, chosen, rejected)


def prompt_of(row: Mapping[str, Any]) -> Words:
    """What a model is asked to answer: the assistant's last turn, where there is one, is left out.

    >>> prompt_of({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
    (Turn(role='user', content='Hi', learned=True),)
    """
    words = _prompt_words(row)
    if not isinstance(words, str):
        words = words[:-1] if words[-1].role == "assistant" else words
    if not words:
        raise ValueError("the prompt is empty")
    return words


def _prompt_words(row: Mapping[str, Any]) -> Words:
    if "prompt" in row:
        return _words(row["prompt"], "prompt")
    if not any(name in row for name in (*_CONVERSATIONS, "instruction")):
        raise ValueError(_missing(row, "prompt", *_CONVERSATIONS, "instruction"))
    return _any_turns(row if "instruction" not in row else {**row, "output": row.get("output", "")})


def _words(value: Any, name: str) -> Words:
    if isinstance(value, str):
        return _string(value, name)
    return _turns([value] if isinstance(value, Mapping) else value, name)


def _as_turns(words: Words, role: str) -> tuple[Turn, ...]:
    return (Turn(role, words),) if isinstance(words, str) else words


def _any_turns(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    for name in _CONVERSATIONS:
        if name in row:
            return _turns(row[name], name)
    if "instruction" not in row:
        raise ValueError(_missing(row, *_CONVERSATIONS, "instruction"))
    return _alpaca_turns(row)


def _alpaca_turns(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    if "instances" in row:
        match row["instances"]:
            case [{**instance}]:
                row = {**row, **instance}
            case _:
                raise ValueError("'instances' is no list of one {input, output}; write a row for each")
    asked = [_string(row[name], name) for name in ("instruction", "input") if row.get(name)]
    before = (Turn("system", _string(row["system"], "system")),) if row.get("system") else ()
    answer = _string(_field(row, "output"), "output")
    return (*before, Turn("user", "\n\n".join(asked)), Turn("assistant", answer))


def _turns(value: Any, name: str) -> tuple[Turn, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{name!r} is no list of turns but {type(value).__name__}")
    if not value:
        raise ValueError(f"{name!r} is empty")
    return tuple(_turn(each, f"turn {number} of {name!r}") for number, each in enumerate(value, start=1))


def _turn(value: Any, name: str) -> Turn:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no object but {type(value).__name__}")
    role = _first(value, ("role", "from"), name)
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError(f"{name} has the role {role!r}; a role is one of {', '.join(ROLES)}")
    if value.get("tool_calls"):
        raise ValueError(f"{name} has 'tool_calls', which are not read; write the call into its content")
    weight = value.get("loss_weight", 1)
    if weight not in (0, 1):
        raise ValueError(f"{name} has loss_weight {weight!r}; a turn is learned (1) or not (0)")
    return Turn(ROLES[role], _content(_first(value, ("content", "value"), name), name), weight == 1)


def _content(value: Any, name: str) -> str:
    """A string, or the joined texts of parts such as {"type": "text", "text": "Hi"}."""
    if not isinstance(value, list):
        return _string(value, f"the content of {name}")
    if any(not isinstance(part, Mapping) or part.get("type") != "text" for part in value):
        raise ValueError(f"{name} has parts that are no text; only text is read")
    return "".join(_string(_first(part, ("text", "value"), name), f"a part of {name}") for part in value)


def _first(value: Mapping[str, Any], names: tuple[str, ...], what: str) -> Any:
    for name in names:
        if name in value:
            return value[name]
    raise ValueError(f"{what}: {_missing(value, *names)}")


def _field(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        raise ValueError(_missing(row, name))
    return row[name]


def _missing(row: Mapping[str, Any], *names: str) -> str:
    return f"no {' or '.join(map(repr, names))}; its fields are {', '.join(map(repr, row)) or 'none'}"


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name if ' ' in name else repr(name)} is no string but {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} holds half a surrogate pair at character {error.start:,}") from None
    return value
