"""Where the masks of a window stand: a pure function of a seed and of the window's place, whoever reads it, and when.

Training draws a time for each window: those of one step are spread evenly over (0, 1] behind one random shift
(low-discrepancy sampling, Sahoo et al. 2024, section 4). Masked ids weigh 1/t. As 1/t has no finite variance, t is at
least `LEAST_TIME`, as in the authors' code.

Evaluation draws how many of the n predicted ids are masked, k, evenly from 1 to n, then which; they weigh n/k. That
has the integral over t in closed form: where k given ids alone are masked, the weight is

    integral of t^k (1 - t)^(n - k) / t dt = (k - 1)! (n - k)! / n! = 1 / (k * binomial(n, k))

so its mean is the bound itself, with less variance. Its noise depends on the window's number alone: evaluations of
other steps, runs and seeds see the same masks. The k of windows one after the other are spread evenly, too.
"""

from dataclasses import dataclass

import numpy as np

from metalang.seeds import key_for
from metalang.training.diffusion.importance import Curriculum

LEAST_TIME = 1e-3
_GOLDEN_RATIO = (np.sqrt(5) - 1) / 2  # its multiples fill [0, 1) evenly from any one on
_EVALUATION_KEY = key_for("masked diffusion", "evaluation")


@dataclass(frozen=True)
class Drawn:
    """`masked` (k,): numbers of the masked ones among the predicted ids of a window; `weight`: of the loss of each."""

    masked: np.ndarray
    weight: float


@dataclass(frozen=True)
class TrainingNoise:
    """Masks of the windows of a run of `num_steps` steps of `windows_per_step`, both over all ranks."""

    seed: int
    windows_per_step: int
    num_steps: int
    curriculum: Curriculum | None = None

    def time(self, place: int) -> float:
        """The time of the window that a run reads at `place`, in [LEAST_TIME, 1].

        >>> noise = TrainingNoise(seed=0, windows_per_step=4, num_steps=10)
        >>> np.sort([noise.time(place) for place in range(8, 12)]).round(1).tolist()
        [0.1, 0.4, 0.6, 0.9]
        """
        step, at = divmod(place, self.windows_per_step)
        shift = _generator(key_for("masked diffusion", "times", self.seed), step).random()
        share = (shift + at / self.windows_per_step) % 1.0
        return 1.0 - (1.0 - LEAST_TIME) * share

    def draw(self, place: int, ids: np.ndarray, predicted: np.ndarray) -> Drawn:
        """What is masked of the ids (L,) of the window at `place`, whose `predicted` (n,) places may be."""
        time = self.time(place)
        rng = _generator(key_for("masked diffusion", "masks", self.seed), place)
        count = int(rng.binomial(len(predicted), time))
        arrivals = rng.exponential(size=len(predicted))
        if self.curriculum is not None:
            progress = place / (self.windows_per_step * self.num_steps)
            arrivals /= self.curriculum.weights(ids, predicted, progress)
        return Drawn(np.argsort(arrivals, kind="stable")[:count], 1.0 / time)


class EvaluationNoise:
    """Masks of the windows of an evaluation; a mean over all of them estimates the bound."""

    def draw(self, place: int, ids: np.ndarray, predicted: np.ndarray) -> Drawn:
        """What is masked of the ids (L,) of window `place`, whose `predicted` (n,) places may be."""
        if not len(predicted):
            return Drawn(np.empty(0, dtype=np.int64), 0.0)
        count = 1 + int(len(predicted) * ((0.5 + place * _GOLDEN_RATIO) % 1.0))
        masked = _generator(_EVALUATION_KEY, place).permutation(len(predicted))[:count]
        return Drawn(masked, len(predicted) / count)


def _generator(key: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([key, number], dtype=np.uint64)))
