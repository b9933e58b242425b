"""What became of the steps of a run: which were NaN, which leapt out of those before, and what these had read.

`spikes.jsonl` of a run's folder, a line for each such step, behind a resume those until there:

    {"step": 7, "kind": "nan", "loss": "nan", "grad_norm": "inf", "planned_step": 7, "sources": {"english": 4},
     "documents": ["english/pydoc 12", "english/pydoc 13"]}
    {"step": 310, "kind": "loss", "loss": 6.1, "grad_norm": 0.8, "usual": 4.2, "sigmas": 9.3, ...}

`kind`: nan, loss or grad_norm; `usual`: the mean of the steps before (of the norm: geometric); `planned_step`: as
--skip_steps counts; `sources`: windows of each; `documents`: as --skip_documents names them, null where unknown.
"""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import TrainerCallback, TrainerState, TrainingArguments

from metalang.building.tracing import trace_step
from metalang.errors import ConfigError
from metalang.files import written
from metalang.mixing import Reading
from metalang.training.flags import HealthArguments
from metalang.training.spikes import SpikeMonitor

logger = logging.getLogger(__name__)

SPIKES_FILE = "spikes.jsonl"
_STATE = "Health"
_SHOWN = 5


@dataclass(frozen=True)
class Step:
    """A step that was made: mean loss over all ranks, norm of the gradient before clipping (None: not known).

    `outcome`: nan where loss or gradient are NaN or Inf, overflow where fp16's loss scale made the gradient so; the
    update of either was left out.
    """

    number: int
    loss: float
    grad_norm: float | None
    outcome: Literal["good", "nan", "overflow"] = "good"


class Health(TrainerCallback):
    """Counts NaN steps and spikes of a run, says what they read, and ends the run as --on_nan tells.

    `reading`: None where rows of a file are read. What it knows is kept in `trainer_state.json` of each checkpoint.
    """

    def __init__(self, arguments: HealthArguments, reading: Reading | None = None) -> None:
        self._arguments = arguments
        self._reading = reading
        self._monitors = {kind: SpikeMonitor(arguments.spike_sigma) for kind in ("loss", "grad_norm")}
        self._counts = {"nan_steps": 0, "overflow_steps": 0, "spikes": 0}
        self._file: Path | None = None  # of rank 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Goes on where the checkpoint was left, if the run goes on."""
        kept = state.stateful_callbacks.get(_STATE)
        if kept:
            self._counts.update(kept["counts"])
            for kind, monitor in self._monitors.items():
                monitor.restore(kept[kind])
        if state.is_world_process_zero:
            self._file = Path(args.output_dir) / SPIKES_FILE
            _forget_behind(self._file, state.global_step)

    @property
    def counts(self) -> dict[str, int]:
        """`nan_steps` and `spikes` of the run so far; with fp16 `overflow_steps`, once there are any."""
        return {name: count for name, count in self._counts.items() if name != "overflow_steps" or count}

    def keep(self, state: TrainerState) -> None:
        """Leaves what it knows where a checkpoint takes it along."""
        monitors = {kind: monitor.state() for kind, monitor in self._monitors.items()}
        state.stateful_callbacks[_STATE] = {"counts": dict(self._counts), **monitors}

    def judge(self, step: Step) -> None:
        """Looks at the next step. All ranks call it, with equal values. Raises ConfigError where the run is to end."""
        if step.outcome == "good":
            self._look_for_spikes(step)
        elif step.outcome == "nan":
            self._report_nan(step)
        else:
            self._counts["overflow_steps"] += 1

    def _look_for_spikes(self, step: Step) -> None:
        values = {"loss": step.loss}
        if step.grad_norm:
            values["grad_norm"] = math.log(step.grad_norm)  # norms spread by factors: linear ones give false alarms
        for kind, value in values.items():
            spike = self._monitors[kind].judge(value)
            if spike:
                self._counts["spikes"] += 1
                usual = spike.mean if kind == "loss" else math.exp(spike.mean)
                found = self._record(step, kind, usual=usual, sigmas=spike.sigmas)
                if self._file:
                    logger.warning(
                        "step %s: %s %.4g is %.1f sigma above the %.4g of the steps before; %s",
                        f"{step.number:,}", kind, getattr(step, kind), spike.sigmas, usual, found,
                    )  # fmt: skip

    def _report_nan(self, step: Step) -> None:
        self._counts["nan_steps"] += 1
        count, limit = self._counts["nan_steps"], self._arguments.max_nan_steps
        found = self._record(step, "nan")
        said = f"step {step.number:,}: the loss is {step.loss:.4g}, {_norm(step)}, and its update was not made; {found}"
        advice = "leave what it read out (--skip_steps, --skip_documents)"  # a resume keeps its --learning_rate
        if self._arguments.on_nan == "stop":
            raise ConfigError(
                f"{said}. Continue from the last checkpoint by --resume_training True, and {advice}, or let the run go "
                "on by --on_nan skip; a lower --learning_rate is for a run of its own"
            )
        if count > limit:
            raise ConfigError(
                f"{said}. It is NaN step {count:,} of the run, and --max_nan_steps {limit:,} are allowed; {advice}, "
                "and continue by --resume_training True, or begin a run of its own with a lower --learning_rate"
            )
        if self._file:
            logger.warning("%s (NaN step %s of at most %s)", said, f"{count:,}", f"{limit:,}")

    def _record(self, step: Step, kind: str, **more: float) -> str:
        """Writes a line of the file, and gives what the step read, for people."""
        read = what_it_read(self._reading, step.number)
        if self._file:
            values = {"loss": _json(step.loss), "grad_norm": None if step.grad_norm is None else _json(step.grad_norm)}
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step.number, "kind": kind, **values, **more, **read}) + "\n")
        return _for_people(read)


def what_it_read(reading: Reading | None, step: int) -> dict[str, Any]:
    """`planned_step`, `sources` and `documents` of a step of a run, as `spikes.jsonl` holds them."""
    if reading is None:
        return {"planned_step": step, "sources": {}, "documents": None}
    last, first = reading.reached(step), reading.reached(step) - reading.windows_per_step
    sources = reading.plan.locate(range(first, last)).source.tolist()
    names = [source.name for source in reading.plan.sources]
    documents = None
    if all(source.num_tokens is not None for source in reading.plan.sources):  # a stream has no table of documents
        documents = list(
            dict.fromkeys(
                f"{window.source}/{part.source} {part.row}"
                for window in trace_step(reading, step)
                for part in window.documents
            )
        )
    return {
        "planned_step": last // reading.windows_per_step,
        "sources": {name: sources.count(number) for number, name in enumerate(names) if number in sources},
        "documents": documents,
    }


def _for_people(read: dict[str, Any]) -> str:
    windows = ", ".join(f"{count:,} windows of {name}" for name, count in read["sources"].items())
    if not windows:
        return "it read rows of a file"
    documents = read["documents"]
    if documents is None:
        return f"it read {windows}"
    rest = f" and {len(documents) - _SHOWN:,} more, in {SPIKES_FILE}" if len(documents) > _SHOWN else ""
    return f"it read {windows}: documents {', '.join(documents[:_SHOWN])}{rest}"


def _norm(step: Step) -> str:
    return "its gradient is not finite" if step.grad_norm is None else f"the gradient norm {step.grad_norm:.4g}"


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _forget_behind(path: Path, step: int) -> None:
    """Drops the lines of steps that are made again."""
    if path.is_file():
        lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        with written(path) as file:
            file.writelines(line for line in lines if json.loads(line)["step"] <= step)
