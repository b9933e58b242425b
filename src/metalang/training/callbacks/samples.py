"""Samples of the model on the way: to the console, to a file, to trackers."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback
from transformers.integrations import is_deepspeed_zero3_enabled

from metalang.files import written
from metalang.training.sampling import Sample, Sampler
from metalang.training.tensorboard_trackio import write_samples

SAMPLES_FILE = "samples.jsonl"


class Samples(TrainerCallback):
    """Every `every` steps, what the model says. The first rank asks it, under ZeRO-3 all do, as each holds a part.

    `tokens_seen` gives where the run stands; `leave_out` is called at the end: the time is none of the steps. `writer`:
    TensorBoard's, None for a run without one.
    """

    def __init__(
        self,
        sampler: Sampler,
        every: int,
        *,
        tokens_seen: Callable[[], int],
        leave_out: Callable[[], None],
        writer: Any = None,
    ) -> None:
        self._sampler = sampler
        self._every = every
        self._tokens_seen = tokens_seen
        self._leave_out = leave_out
        self._writer = writer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drops samples of steps behind the checkpoint that the run goes on from: they will be made again."""
        path = Path(args.output_dir) / SAMPLES_FILE
        if state.is_world_process_zero and path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            with written(path) as file:
                file.writelines(line for line in lines if _step_of(line) <= state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Samples where it is time to."""
        if state.global_step % self._every or not (state.is_world_process_zero or is_deepspeed_zero3_enabled()):
            return
        samples = self._sampler.samples(model, state.global_step)
        if state.is_world_process_zero:
            _show(samples, args, self._tokens_seen())
            if self._writer is not None:
                write_samples(self._writer, [sample.line() for sample in samples], state.global_step)
        self._leave_out()


def _show(samples: list[Sample], args: Any, tokens_seen: int) -> None:
    with open(Path(args.output_dir) / SAMPLES_FILE, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(sample.record(), ensure_ascii=False) + "\n" for sample in samples)
    for sample in samples:
        tqdm.write(sample.line())
    for name in {"wandb", "trackio"} & set(args.report_to):
        tracker = importlib.import_module(name)  # trackio has the functions of wandb
        rows = [list(sample.record().values()) for sample in samples]
        table = tracker.Table(columns=list(samples[0].record()), data=rows)
        tracker.log({"samples": table, "train/global_step": samples[0].step, "train/tokens_seen": tokens_seen})


def _step_of(line: bytes) -> float:
    """The step of a line; one that a crash cut short is of a step that is to come."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")
