"""Batches of `(X, Y, loss_mask)`, padded on the right to their longest row, in the two forms that trainers read.

Padding stands behind the row, where a causal model's predictions cannot see it, and is not predicted.
"""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.phases.encoders import Predicted

_PAD = 0


def trainer_batch(rows: Sequence[Predicted]) -> dict[str, torch.Tensor]:
    """A batch for transformers' `Trainer` (its `data_collator`), whose models shift the labels themselves.

    >>> row = torch.tensor([5, 6]), torch.tensor([6, 7]), torch.tensor([False, True])
    >>> batch = trainer_batch([row])
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[5, 6, 7]], [[-100, -100, 7]])
    """
    ids = [torch.cat([x[:1], y]) for x, y, _ in rows]
    labels = [torch.cat([torch.full_like(x[:1], IGNORED), torch.where(mask, y, IGNORED)]) for x, y, mask in rows]
    return {"input_ids": _padded(ids, _PAD), "labels": _padded(labels, IGNORED)}


def shifted_rows(rows: Sequence[Predicted]) -> list[dict[str, torch.Tensor]]:
    """The rows of a batch for our objectives: labels stand where they are predicted. The mask counts ids that are read.

    >>> one = torch.tensor([5, 6]), torch.tensor([6, 7]), torch.tensor([False, True])
    >>> other = torch.tensor([8]), torch.tensor([9]), torch.tensor([True])
    >>> {name: values.tolist() for name, values in shifted_rows([one, other])[1].items()}
    {'input_ids': [8, 0], 'labels': [9, -100], 'attention_mask': [1, 0]}
    """
    columns = {
        "input_ids": _padded([x for x, _, _ in rows], _PAD),
        "labels": _padded([torch.where(mask, y, IGNORED) for _, y, mask in rows], IGNORED),
        "attention_mask": _padded([torch.ones_like(x) for x, _, _ in rows], 0),
    }
    return [{name: values[number] for name, values in columns.items()} for number in range(len(rows))]


def _padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)
