"""What a row becomes in each phase of training: tensors of ids, and of what is predicted."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.phases.chat import Chat
from metalang.training.phases.forms import Words, conversation_of, preference_of, prompt_of, text_of

Row = Mapping[str, Any]
Predicted = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""X and Y, int64, Y one id ahead, and which of Y are predicted, bool; (n,) each."""


class Encoder(Protocol):
    """A phase. What is wrong with a row is a ValueError."""

    def check(self, row: Row) -> None:
        """Raises where a row cannot be read in this phase."""

    def encode(self, row: Row) -> Any:
        """The tensors of a row."""

    def pad(self, items: Sequence[Any]) -> list[Any]:
        """The same rows, padded to equal lengths."""

    def columns(self, row: Row) -> dict[str, Any]:
        """The row as TRL's trainers read it."""


class _Predicting:
    """What phases have in common that predict each next id."""

    def __init__(self, tokenizer: Any, max_length: int, text_field: str) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._text_field = text_field
        self._pad_id = _pad_id(tokenizer)

    def ids_of(self, row: Row) -> tuple[list[int], np.ndarray]:
        """Ids (n,) of a row, whole, and which of them are predicted, (n,) bool."""
        raise NotImplementedError

    def encode(self, row: Row) -> Predicted:
        ids, predicted = self.ids_of(row)
        kept = torch.tensor(ids[: self._max_length], dtype=torch.int64)
        return kept[:-1], kept[1:], torch.from_numpy(predicted[1 : self._max_length])

    def pad(self, items: Sequence[Predicted]) -> list[Predicted]:
        x, y, mask = zip(*items, strict=True)
        return list(zip(_right(x, self._pad_id), _right(y, self._pad_id), _right(mask, False), strict=True))

    def columns(self, row: Row) -> dict[str, Any]:
        ids, predicted = self.ids_of(row)
        labels = np.where(predicted, ids, IGNORED)[: self._max_length]
        labels[:1] = IGNORED
        return {"input_ids": ids[: self._max_length], "labels": labels.tolist()}


class Pretrain(_Predicting):
    """A text and EOS: every id but the first is predicted. A text that is cut has no EOS."""

    def check(self, row: Row) -> None:
        text_of(row, self._text_field)

    def ids_of(self, row: Row) -> tuple[list[int], np.ndarray]:
        text = text_of(row, self._text_field)
        ids = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        ids = [*ids, self._tokenizer.eos_token_id]
        return ids, np.ones(len(ids), dtype=bool)


class Conversations(_Predicting):
    """A conversation by the chat template: what the assistant has to say is predicted."""

    def __init__(self, tokenizer: Any, max_length: int, text_field: str) -> None:
        super().__init__(tokenizer, max_length, text_field)
        self._chat = Chat(tokenizer)

    def check(self, row: Row) -> None:
        self._chat.locate(conversation_of(row))

    def ids_of(self, row: Row) -> tuple[list[int], np.ndarray]:
        return self._chat.encode(conversation_of(row))


class Preferences:
    """A prompt and two answers to it, as TRL's DPOTrainer cuts them: answers begin where their ids leave the prompt's.

    Each answer is cut at its end so that prompt and answer have `max_length` ids at most. Masks are 1 for the ids that
    the assistant has to say, and for those of a prompt that are no padding.
    """

    def __init__(self, tokenizer: Any, max_length: int, text_field: str) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._chat = Chat(tokenizer)
        self._pad_id = _pad_id(tokenizer)

    def check(self, row: Row) -> None:
        preference = preference_of(row)
        if not isinstance(preference.prompt, str):
            self._chat.render_prompt(preference.prompt)
            for answer in (preference.chosen, preference.rejected):
                self._chat.locate((*preference.prompt, *answer))

    def encode(self, row: Row) -> dict[str, torch.Tensor]:
        preference = preference_of(row)
        prompt = _prompt_ids(self._tokenizer, self._chat, preference.prompt)
        answers = {
            name: self._whole(preference.prompt, words)
            for name, words in (("chosen", preference.chosen), ("rejected", preference.rejected))
        }
        cut = min(_common_length(prompt, ids) for ids, _ in answers.values())
        item = {"prompt_ids": prompt[:cut][: self._max_length]}
        item["prompt_mask"] = [1] * len(item["prompt_ids"])
        for name, (ids, predicted) in answers.items():
            item[f"{name}_ids"] = ids[cut : self._max_length]
            item[f"{name}_mask"] = predicted[cut : self._max_length].tolist()
        return {name: torch.tensor(values, dtype=torch.int64) for name, values in item.items()}

    def pad(self, items: Sequence[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        padded = {
            name: (_left if name.startswith("prompt") else _right)(
                [item[name] for item in items], self._pad_id if name.endswith("_ids") else 0
            )
            for name in items[0]
        }
        return [{name: tensors[number] for name, tensors in padded.items()} for number in range(len(items))]

    def columns(self, row: Row) -> dict[str, Any]:
        preference = preference_of(row)
        parts = {"prompt": preference.prompt, "chosen": preference.chosen, "rejected": preference.rejected}
        return {name: _as_column(words) for name, words in parts.items()}

    def _whole(self, prompt: Words, answer: Words) -> tuple[list[int], np.ndarray]:
        if not isinstance(prompt, str):
            ids, predicted = self._chat.encode((*prompt, *answer))
            return ids, predicted
        end = "" if answer.endswith(self._tokenizer.eos_token) else self._tokenizer.eos_token
        ids = self._tokenizer(prompt + answer + end, verbose=False)["input_ids"]
        return ids, np.ones(len(ids), dtype=bool)


class Prompts:
    """A prompt to answer, with the chat template's prompt to generate. A longer one keeps its last `max_length` ids."""

    def __init__(self, tokenizer: Any, max_length: int, text_field: str) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._chat = Chat(tokenizer)
        self._pad_id = _pad_id(tokenizer)

    def check(self, row: Row) -> None:
        words = prompt_of(row)
        if not isinstance(words, str):
            self._chat.render_prompt(words)

    def encode(self, row: Row) -> dict[str, torch.Tensor]:
        ids = _prompt_ids(self._tokenizer, self._chat, prompt_of(row))[-self._max_length :]
        kept = torch.tensor(ids, dtype=torch.int64)
        return {"input_ids": kept, "attention_mask": torch.ones_like(kept)}

    def pad(self, items: Sequence[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        ids = _left([item["input_ids"] for item in items], self._pad_id)
        masks = _left([item["attention_mask"] for item in items], 0)
        return [{"input_ids": row, "attention_mask": mask} for row, mask in zip(ids, masks, strict=True)]

    def columns(self, row: Row) -> dict[str, Any]:
        return {"prompt": _as_column(prompt_of(row))}


PHASES = {"pretrain": Pretrain, "sft": Conversations, "dpo": Preferences, "ppo": Prompts, "rlaif": Prompts}


def _prompt_ids(tokenizer: Any, chat: Chat, words: Words) -> list[int]:
    return tokenizer(words, verbose=False)["input_ids"] if isinstance(words, str) else chat.prompt(words)


def _as_column(words: Words) -> str | list[dict[str, str]]:
    return words if isinstance(words, str) else [turn.as_message() for turn in words]


def _common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two rows have in common from their beginning.

    >>> _common_length([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _pad_id(tokenizer: Any) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _right(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value)


def _left(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value, padding_side="left")
