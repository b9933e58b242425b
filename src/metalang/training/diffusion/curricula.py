"""The curriculum of a run of masked diffusion, from windows all over its plan."""

import logging
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import numpy as np

from metalang.errors import ConfigError
from metalang.files import make_folder
from metalang.mixing import Plan
from metalang.training.checkpoints import IMPORTANCE
from metalang.training.config import Settings
from metalang.training.diffusion.estimator import Estimator, read_estimator
from metalang.training.diffusion.importance import Curriculum, Importance, OfIds, importance_of
from metalang.training.diffusion.learning import learned
from metalang.training.feed import Feed
from metalang.training.ranks import agreed

logger = logging.getLogger(__name__)

_SAMPLED_TOKENS = 2**22


def curriculum_of(data: Feed, settings: Settings, *, is_resumed: bool) -> tuple[Curriculum | None, str]:
    """The curriculum of a run, None without one, and what decides which ids are masked, for the banner. All ranks call
    it."""
    objective = settings.objective
    if objective.curriculum == "none":
        return None, "every id alike"
    stages = " ".join(objective.importance_ranges)
    until = f"{stages} until {objective.stage_1_end:g} and {objective.stage_2_end:g}"
    importance: Importance
    if objective.importance == "learned":
        importance = agreed(lambda: _estimator(data, settings, is_resumed=is_resumed))
        said = f"importance learned ({importance.digest}) {until}"
    else:
        importance, said = OfIds(_unigram(data, settings)), f"importance {until}"
    return Curriculum(importance, (objective.stage_1_end, objective.stage_2_end), objective.ranges), said


def _unigram(data: Feed, settings: Settings) -> np.ndarray:
    """Importance of each id by how often it is predicted, (V,)."""
    num_ids = data.tokenizer.id_space.vocab_size
    counts = np.zeros(num_ids, dtype=np.int64)
    for ids, predicted in _sample(data, settings):
        counts += np.bincount(ids[predicted], minlength=num_ids)
    _require_predicted(counts.any())
    return importance_of(counts)


def _estimator(data: Feed, settings: Settings, *, is_resumed: bool) -> Estimator:
    """The estimator that a run began with, or else a new one, left in --output_dir. One rank calls it."""
    own = Path(settings.run.output_dir) / IMPORTANCE
    if is_resumed and own.exists():
        return read_estimator(own)
    estimator = _earlier(settings, own) if is_resumed else _learned(data, settings)
    make_folder(own.parent)
    estimator.write(own)
    return estimator


def _earlier(settings: Settings, own: Path) -> Estimator:
    """The estimator of the run that --branch_from continues. Raises ConfigError where no file of one is left."""
    branch = settings.schedule.branch_from
    path = Path(branch).expanduser().parent / IMPORTANCE if branch else own
    if not path.exists():
        raise ConfigError(
            f"--importance learned goes on with the estimator that the run began with, and {path} is not there; bring "
            "it back, or set --importance as it was"
        )
    return read_estimator(path)


def _learned(data: Feed, settings: Settings) -> Estimator:
    blocks = list(_sample(data, settings))
    ids, predicted = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    _require_predicted(predicted.any())
    logger.info("importance is learned from %s ids of the run", f"{int(predicted.sum()):,}")
    num_ids = data.tokenizer.id_space.vocab_size
    behind = np.logical_or.accumulate(predicted[:, ::-1], axis=1)[:, ::-1]
    return learned(np.where(behind, ids, num_ids), predicted, num_ids, seed=settings.run.order_seed)


def _sample(data: Feed, settings: Settings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of ids (n, L) and which are predicted, of windows at even distances, about 4 million ids in all."""
    assert data.reading is not None, "windows of a plan"
    plan: Plan = data.reading.plan
    num_windows = data.reading.reached(settings.run.max_steps)
    stride = max(1, ceil(num_windows * plan.length / _SAMPLED_TOKENS))
    for start in range(0, num_windows, 64 * stride):
        ids, predicted, _ = plan.read(range(start, min(start + 64 * stride, num_windows), stride))
        yield ids[:, 1:], predicted[:, 1:]


def _require_predicted(is_any: bool) -> None:
    if not is_any:
        raise ConfigError("--curriculum importance needs ids that are predicted, and the data has none; leave it out")
