"""Conversations as ids, and which of them the assistant has to say, by the tokenizer's own chat template.

The ids are those of `tokenizer.apply_chat_template`. Where the template marks what is generated ({% generation %}), the
marks hold. Elsewhere an assistant's turn begins where the conversation before it, with the prompt to generate, ends,
and ends with its end-of-turn token; both are looked up in the rendered text, and a template in which they are not
found there is refused. An id is predicted if one of its characters belongs to such a turn.
"""

import copy
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from metalang.errors import ConfigError
from metalang.text.names import first_line
from metalang.training.phases.forms import Turn

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'Assistant:' }}{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}{{ '\n' }}"
    "{% else %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] + '\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Ours, for a tokenizer without one. It needs no token but EOS, which ends the assistant's turns alone."""

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_NOT_FOUND = (
    "the chat template does not show a turn of the assistant as it is, behind what comes before it; mark in the "
    "template what is generated, by {% generation %} and {% endgeneration %}"
)
Span = tuple[int, int]


def with_chat_template(tokenizer: Any) -> Any:
    """A copy of a transformers tokenizer that has a chat template: its own, or ours where it has none.

    Raises ConfigError for a tokenizer that cannot say which characters an id stands for, or that has no EOS.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            f"the tokenizer {type(tokenizer).__name__} cannot say which characters an id stands for; give a fast one "
            "(transformers' AutoTokenizer makes it from a tokenizer.json)"
        )
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "the tokenizer names no EOS, which ends a text and a turn; set it: tokenizer.eos_token = '</s>', or what "
            "its model ends with"
        )
    tokenizer = copy.deepcopy(tokenizer)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = TEMPLATE
    return tokenizer


class Chat:
    """Encodes turns by the chat template of a tokenizer. What a template refuses is a ValueError."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._template = tokenizer.get_chat_template()
        self._ends_of_turn = tuple(token.content for token in tokenizer.added_tokens_decoder.values())
        self._behind = re.compile(rf"\s*(?:{'|'.join(map(re.escape, self._ends_of_turn)) or '(?!)'})")

    def encode(self, turns: Sequence[Turn]) -> tuple[list[int], np.ndarray]:
        """Ids of a conversation (n,) and which of them the assistant has to say, (n,) bool."""
        text, spans = self.locate(turns)
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        predicted = np.zeros(len(offsets), dtype=bool)
        answers = [turn for turn in turns if turn.role == "assistant"]
        for (start, stop), turn in zip(spans, answers, strict=True):
            if turn.learned:
                predicted |= np.maximum(offsets[:, 0], start) < np.minimum(offsets[:, 1], stop)
        return encoded["input_ids"], predicted

    def locate(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """A conversation as text, and where in it each turn of the assistant stands: first character, last + 1."""
        return self._marked(turns) if _MARK.search(self._template) else self._searched(turns)

    def render_prompt(self, turns: Sequence[Turn]) -> str:
        """A conversation as text that ends where the assistant begins to answer."""
        return self._render(turns, add_generation_prompt=True)

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation that the assistant is to answer."""
        return self._tokenizer(self.render_prompt(turns), add_special_tokens=False, verbose=False)["input_ids"]

    def _render(self, turns: Sequence[Turn], *, add_generation_prompt: bool = False) -> str:
        messages = [turn.as_message() for turn in turns]
        try:
            return self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except (TemplateError, LookupError, TypeError) as error:
            raise _refused(error) from None

    def _marked(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """The rendered text and where its {% generation %} marks stand, one pair for each turn of the assistant."""
        try:
            texts, spans = render_jinja_template(
                [[turn.as_message() for turn in turns]],
                chat_template=self._template,
                return_assistant_tokens_mask=True,
                **self._tokenizer.special_tokens_map,
            )
        except (TemplateError, LookupError, TypeError) as error:
            raise _refused(error) from None
        num_answers = sum(turn.role == "assistant" for turn in turns)
        if len(spans[0]) != num_answers:
            raise ValueError(
                f"the chat template marks {len(spans[0])} turns as generated, and the assistant has {num_answers}"
            )
        return texts[0], [(start, stop) for start, stop in spans[0]]

    def _searched(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """The rendered text and where the assistant's turns stand in it, found by rendering what comes before each."""
        text = self._render(turns)
        spans = [self._span(text, turns, place) for place, turn in enumerate(turns) if turn.role == "assistant"]
        if any(stop > start for (_, stop), (start, _) in pairwise(spans)):
            raise ValueError(_NOT_FOUND)
        return text, spans

    def _span(self, text: str, turns: Sequence[Turn], place: int) -> Span:
        before = self._render(turns[:place], add_generation_prompt=True)
        content = turns[place].content.strip()
        at = text.find(content, len(before))
        if not text.startswith(before) or at < 0:
            raise ValueError(_NOT_FOUND)
        return len(before), self._end_of_turn(text, turns[: place + 1], at + len(content))

    def _end_of_turn(self, text: str, turns: Sequence[Turn], content_stop: int) -> int:
        """Where a turn ends: behind its end-of-turn token, without the line break that may follow that."""
        through = self._render(turns)
        if text.startswith(through) and len(through) >= content_stop:
            bare = through.rstrip()
            return len(bare) if bare.endswith(self._ends_of_turn) and len(bare) > content_stop else len(through)
        # Some templates (Qwen3's) show the last turn with more than an earlier one: the token behind the words ends it.
        behind = self._behind.match(text, content_stop)
        return behind.end() if behind else content_stop


def _refused(error: Exception) -> ValueError:
    return ValueError(f"the chat template refuses it: {first_line(error)}")
