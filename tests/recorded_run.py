"""A run as `train/pretrain.py` makes it, that leaves beside its output what the model got; `test_steps.py` starts it.

Into the folder RECORDED each rank writes `<rank>.npy`: (batches, windows of a batch, 2, length) int64, ids and labels,
in the order in which they were trained on.
"""

import os
import sys
from pathlib import Path

import numpy as np

from metalang.errors import reported
from metalang.training.environment import leave, prepare_environment


def main() -> None:
    """The run, with a Trainer that remembers its batches."""
    with reported("recorded_run", rank=int(os.environ["RANK"])):
        prepare_environment(os.environ, sys.argv[1:])
        _record()
        leave()


def _record() -> None:
    from metalang.training import run
    from metalang.training.config import parse_arguments

    batches = []

    class Recorder(run.MetalangTrainer):
        def compute_loss(self, model, inputs, *arguments, **named):
            assert set(inputs) == {"input_ids", "labels", "source"}
            batches.append(np.stack([inputs["input_ids"].numpy(), inputs["labels"].numpy()], axis=1))
            return super().compute_loss(model, inputs, *arguments, **named)

    run.MetalangTrainer = Recorder
    run.pretrain(parse_arguments(sys.argv[1:]))
    np.save(Path(os.environ["RECORDED"]) / f"{os.environ['RANK']}.npy", np.stack(batches))


if __name__ == "__main__":
    main()
