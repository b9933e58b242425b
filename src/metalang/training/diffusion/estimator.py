"""The learned measure of importance: how much an id surprises beside its neighbours, as a rank among the run's ids.

A model of reference scores each id of a window, as in Rho-1 (Lin et al. 2024, arXiv 2404.07965, section 2.2), where it
is a language model; here it is a log-bilinear one that reads `REACH` ids on either side (vLBL of Mnih and Kavukcuoglu
2013, "Learning word embeddings efficiently with noise-contrastive estimation", section 3):

    surprisal(id | neighbours) = -log p(id) - bias(id) - said(id) . (sum over neighbours of place * seen(neighbour))

A neighbour outside of the window, or behind its last prediction, counts nothing. All numbers are whole, so a score is
the same on every machine, in every worker, and however a batch is cut. `learning` makes an estimator; its file is a
.npz of the arrays below.
"""

import zipfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import xxhash

from metalang.errors import CorpusError
from metalang.files import written

REACH = 2
OFFSETS = np.array([*range(-REACH, 0), *range(1, REACH + 1)])
SCALE = 2**12
"""What 1 is in `said`, `seen` and `places`; in `surprisal` it is the third power of that."""


@dataclass(frozen=True)
class Estimator:
    """How important ids are where they stand, of V ids in D dimensions.

    `surprisal` (V,) int64, without neighbours; `said` (V, D) and `seen` (V + 1, D) int32, the last row of zeros: no
    neighbour; `places` (2 * REACH, D) int32; `ranked` (R,) int64: the surprisals of a sample of the run's ids, sorted.
    """

    surprisal: np.ndarray
    said: np.ndarray
    seen: np.ndarray
    places: np.ndarray
    ranked: np.ndarray

    def of(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The share of the sample that surprises less, and half of what surprises equally, (n,) float64 in [0, 1]."""
        found = self.surprisals(ids, places)
        below, upto = (np.searchsorted(self.ranked, found, side) for side in ("left", "right"))
        return (below + upto) / (2 * len(self.ranked))

    def surprisals(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Of those at `places` (n,) among ids (L,), (n,) int64 in nats times SCALE cubed."""
        around = np.pad(ids, REACH, constant_values=len(self.said))
        seen = self.seen[around].astype(np.int64)
        shifted = (seen[start : start + len(ids)] for start in REACH + OFFSETS)
        summed = sum(row * place for row, place in zip(shifted, self.places, strict=True))
        return self.surprisal[ids[places]] - (self.said[ids[places]] * summed[places]).sum(axis=1)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name it."""
        digest = xxhash.xxh3_64()
        for array in astuple(self):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Leaves it in a file, whole or not at all."""
        with written(path) as file:
            np.savez(file, **{each.name: getattr(self, each.name) for each in fields(self)})


def read_estimator(path: Path) -> Estimator:
    """What `write` left. Raises CorpusError for a file that is damaged."""
    try:
        with np.load(path) as arrays:
            return Estimator(*(arrays[each.name] for each in fields(Estimator)))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorpusError(
            f"{path} is no estimator of importance ({error}); bring back the file of the run, or begin anew in another "
            "--output_dir"
        ) from None
