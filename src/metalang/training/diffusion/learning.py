"""An `Estimator` from windows of a run: noise-contrastive estimation, some seconds on a CPU.

Each predicted id of a batch is told apart from `_NOISE` ids that are drawn from the batch, and so as frequent as in the
run (Mnih and Kavukcuoglu 2013, section 3.1). What tells them apart is then log p(id | neighbours) -
log p(id), and no sum over the vocabulary is ever made.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.functional import embedding, softplus

from metalang.training.diffusion.estimator import OFFSETS, REACH, SCALE, Estimator

_WIDTH, _NOISE, _BATCH, _STEPS, _RATE = 16, 64, 2048, 1000, 0.02
_RANKED = 2**16


def learned(ids: np.ndarray, predicted: np.ndarray, vocab_size: int, *, seed: int) -> Estimator:
    """The estimator of windows, ids (n, L) and which are `predicted`, at least one; `vocab_size`: no neighbour.

    It depends on these and the seed alone, and leaves torch's own generator as it is.
    """
    with _one_thread():
        network = _trained(ids, predicted, vocab_size, torch.Generator().manual_seed(seed))
    counts = np.bincount(ids[predicted], minlength=vocab_size)
    return _ranked(network.whole(-np.log(_shares(counts))), ids, predicted)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One order of sums wherever it runs, and tens of times as fast on cores that others use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trained(ids: np.ndarray, predicted: np.ndarray, vocab_size: int, rng: torch.Generator) -> "_Network":
    rows, columns = np.nonzero(predicted)
    around = np.pad(ids, ((0, 0), (REACH, REACH)), constant_values=vocab_size)
    network = _Network(vocab_size, rng)
    optimizer = torch.optim.Adam(network.parameters, lr=_RATE)
    for _ in range(_STEPS):
        drawn = torch.randint(0, len(rows), (_BATCH,), generator=rng).numpy()
        row, column = rows[drawn], columns[drawn]
        neighbours = torch.from_numpy(around[row[:, None], column[:, None] + REACH + OFFSETS])
        optimizer.zero_grad()
        network.loss(torch.from_numpy(ids[row, column]), neighbours, rng).backward()
        optimizer.step()
    return network


class _Network:
    """Tables in float32, with which true ids are told from drawn ones."""

    def __init__(self, vocab_size: int, rng: torch.Generator) -> None:
        self.bias = torch.zeros(vocab_size)
        self.said = torch.zeros(vocab_size, _WIDTH)
        self.seen = torch.randn(vocab_size + 1, _WIDTH, generator=rng) / _WIDTH**0.5
        self.places = torch.ones(len(OFFSETS), _WIDTH)
        self.seen[-1] = 0
        self.parameters = [self.bias, self.said, self.seen, self.places]
        for table in self.parameters:
            table.requires_grad_()

    def loss(self, ids: torch.Tensor, neighbours: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Of ids (B,) and their neighbours (B, 2 * REACH)."""
        read = (embedding(neighbours, self.seen, padding_idx=len(self.bias)) * self.places).sum(dim=1)
        noise = ids[torch.randint(0, len(ids), (_NOISE,), generator=rng)]
        (bias, said), (noise_bias, noise_said) = self._of(ids), self._of(noise)
        own, others = bias + (read * said).sum(dim=1), noise_bias + read @ noise_said.T
        shift = float(np.log(_NOISE))
        return (softplus(shift - own).sum() + softplus(others - shift).sum()) / len(ids)

    def _of(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Biases (n,) and rows of `said` (n, D) of ids (n,)."""
        return embedding(ids, self.bias.unsqueeze(1)).squeeze(1), embedding(ids, self.said)

    def whole(self, surprisal: np.ndarray) -> Estimator:
        """In whole numbers, with nothing ranked; `surprisal` (V,): of each id alone, in nats."""
        bias, said, seen, places = (table.detach().numpy() for table in self.parameters)
        said, seen, places = (np.round(table * SCALE).astype(np.int32) for table in (said, seen, places))
        alone = np.round((surprisal - bias) * SCALE**3).astype(np.int64)
        return Estimator(alone, said, seen, places, np.zeros(0, dtype=np.int64))


def _shares(counts: np.ndarray) -> np.ndarray:
    """How frequent ids are, half a token added to each count, so that none is impossible.

    >>> _shares(np.array([2, 0])).round(3).tolist()
    [0.833, 0.167]
    """
    return (counts + 0.5) / (counts.sum() + 0.5 * len(counts))


def _ranked(estimator: Estimator, ids: np.ndarray, predicted: np.ndarray) -> Estimator:
    """With the surprisals of windows at even distances, about `_RANKED` ids."""
    chosen = range(0, len(ids), max(1, ids.size // _RANKED))
    found = [estimator.surprisals(ids[each], np.flatnonzero(predicted[each])) for each in chosen]
    return Estimator(
        estimator.surprisal, estimator.said, estimator.seen, estimator.places, np.sort(np.concatenate(found))
    )
