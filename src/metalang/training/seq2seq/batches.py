"""Pairs as our Trainer reads them: in the order of a run, or each once to evaluate on; padded within a batch.

A row is `input_ids` and `attention_mask` (n,) for the encoder, `decoder_input_ids` and `decoder_attention_mask` (m,),
the target one place on behind the id that starts it, and `labels` (m,), the target where it is predicted. Both masks
together are the ids that are read, `tokens_seen`: all of the source, and as many as the target has.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.phases.order import RowOrder
from metalang.training.seq2seq.pairs import Pair, Pairs

Row = dict[str, torch.Tensor]


class RunPairs(Dataset):
    """The pairs that the first `num_places` places of a run read."""

    def __init__(self, pairs: Pairs, order: RowOrder, num_places: int, *, start_id: int) -> None:
        self._pairs = pairs
        self._order = order
        self._num_places = num_places
        self._start_id = start_id

    def __len__(self) -> int:
        return self._num_places

    def __getitem__(self, index: int) -> Row:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        """The rows of a batch."""
        return padded([self._pairs[row] for row in self._order.rows(indices)], self._start_id)


class EvaluationPairs(Dataset):
    """Every pair once, the longest first: batches pad little, and one too large for the memory fails at once."""

    def __init__(self, pairs: Pairs, *, start_id: int) -> None:
        self._pairs = pairs
        self._places = np.argsort(-pairs.sizes, kind="stable")
        self._start_id = start_id

    @property
    def content_hash(self) -> str:
        """Names the pairs that are evaluated on."""
        return self._pairs.content_hash

    @property
    def pairs(self) -> Pairs:
        """The pairs that are evaluated on."""
        return self._pairs

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Row:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        """The rows of a batch."""
        return padded([self._pairs[int(self._places[index])] for index in indices], self._start_id)


def padded(pairs: Sequence[Pair], start_id: int) -> list[Row]:
    """The rows of a batch. Padding is the start id, which no mask lets be seen and no label predicts.

    >>> answer = np.array([7, 8]), np.array([True, True])
    >>> rows = padded([Pair(np.array([5]), *answer), Pair(np.array([5, 6]), *answer)], start_id=0)
    >>> {name: values.tolist() for name, values in rows[0].items() if name != "decoder_attention_mask"}
    {'input_ids': [5, 0], 'attention_mask': [1, 0], 'decoder_input_ids': [0, 7], 'labels': [7, 8]}
    """
    started = [np.concatenate([[start_id], pair.target[:-1]]) for pair in pairs]
    labels = [np.where(pair.predicted, pair.target, IGNORED) for pair in pairs]
    columns = {
        "input_ids": _stacked([pair.source for pair in pairs], start_id),
        "attention_mask": _stacked([np.ones_like(pair.source) for pair in pairs], 0),
        "decoder_input_ids": _stacked(started, start_id),
        "decoder_attention_mask": _stacked([np.ones_like(pair.target) for pair in pairs], 0),
        "labels": _stacked(labels, IGNORED),
    }
    return [{name: values[number] for name, values in columns.items()} for number in range(len(pairs))]


def _stacked(rows: list[np.ndarray], value: int) -> torch.Tensor:
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=value)
