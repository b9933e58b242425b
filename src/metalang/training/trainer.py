"""Hugging Face's Trainer, with exact evaluation and tokens as the axis: what no flag and no callback gives."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import DataLoaderShard
from torch import nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, TrainerState
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction

from metalang.training.batches import RankBatches
from metalang.training.callbacks.progress import Progress
from metalang.training.callbacks.throughput import Throughput
from metalang.training.counts import SourceCounts, log_keys, seen_by_kind
from metalang.training.evaluation.measures import Measures, of_loss, overall
from metalang.training.guard import GuardedTrainer, guarded
from metalang.training.loss_parts import LossParts
from metalang.training.objectives.contract import Objective
from metalang.training.objectives.cross_entropy import IGNORED
from metalang.training.objectives.token_loss import TokenLoss
from metalang.training.open_log import OpenLog
from metalang.training.saving import CheckedSaves
from metalang.training.speed import Yardstick
from metalang.training.stopping import reads_on


class MetalangTrainer(GuardedTrainer, CheckedSaves):
    """Trains on windows, or rows, by an objective (`objectives/`).

    `evaluate` gives `eval_<name>_loss`, the mean over all predicted ids, whatever the batch size and the number of
    ranks, `eval_<name>_perplexity` and `eval_<name>_tokens`, what `measures` add (`_bits_per_byte`, `_exact_match`),
    and `eval_loss`, `eval_perplexity`, `eval_tokens` of all sources together. Every log bears `tokens_seen`: the steps
    done, times `tokens_per_step` (and `tokens_ahead`, of steps that were of another size), or (None: steps differ) the
    ids that were read, an encoder's and its decoder's, padding left out; and (`counts`) what was read of each source:
    `source_<name>_windows`, `_tokens`, `_predicted_tokens`, `_epochs`, of all together `tokens_seen_text`, `_meta` and
    `_predicted`, and (`LossParts`) `loss_<name>`. The logged `loss` is cross-entropy; what `z_loss` adds to it is
    logged beside it.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        tokens_per_step: int | None,
        tokens_ahead: int = 0,
        counts: SourceCounts | None = None,
        z_loss: float = 0.0,
        measures: Measures | None = None,
        yardstick: Yardstick | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(compute_metrics=_token_mean, **arguments)
        self._objective = objective
        self.token_loss = TokenLoss(self.model, z_loss=z_loss)
        self._parts = LossParts(counts.names if counts else [], has_z_loss=z_loss > 0)
        self._open_log = OpenLog(self, self._parts)
        self.add_callback(self._open_log)
        self._tokens_per_step = tokens_per_step
        self._tokens_ahead = tokens_ahead
        self._counts = counts
        self._measures = measures
        if tokens_per_step is None:
            self.args.include_num_input_tokens_seen = "non_padding"  # counted over all ranks, and kept in checkpoints
        self._throughput = Throughput(self._tokens_seen, yardstick)
        self.add_callback(self._throughput)
        self.remove_callback(PrinterCallback if self.args.disable_tqdm else ProgressCallback)
        self.add_callback(Progress(self._tokens_seen, tokens_per_step))
        # Labels arrive shifted, so all of them are predictions; transformers 5.23 would leave the first of each window
        # out of the number that the loss is divided by.
        self._loss_shifts_labels = False
        self.model_accepts_loss_kwargs = True  # has the Trainer count those of the global batch, for `compute_loss`

    @property
    def tokens_per_second(self) -> float:
        """Of all optimizer steps but the first, all ranks together."""
        return self._throughput.tokens_per_second

    @property
    def tokens_seen(self) -> int:
        """Of all ranks, up to the step that is done."""
        return self._tokens_seen(self.state)

    @property
    def throughput(self) -> Throughput:
        """The clock of the steps."""
        return self._throughput

    def get_train_dataloader(self) -> DataLoaderShard:
        """The Trainer's, but for the batches: accelerate 1.15 numbers every window that a resume leaves behind."""
        loader = super().get_train_dataloader()
        kept = ("collate_fn", "num_workers", "pin_memory", "prefetch_factor")
        more = ("multiprocessing_context", "persistent_workers", "in_order")
        args = self.args
        return DataLoaderShard(
            loader.dataset,
            device=loader.device,
            batch_sampler=RankBatches(
                len(loader.dataset), self._train_batch_size, rank=args.process_index, num_ranks=args.world_size
            ),
            worker_init_fn=partial(reads_on, begin=loader.worker_init_fn),
            **{name: getattr(loader, name) for name in (*kept, *more)},
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """The Trainer's, whose workers leave signals to their rank."""
        loader = super().get_eval_dataloader(eval_dataset)
        loader.worker_init_fn = reads_on
        return loader

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **named: Any) -> torch.Tensor:
        """A step of the Trainer; the loss that it gives, which is logged, is cross-entropy alone."""
        return super().training_step(model, inputs, *arguments, **named) - self._z_loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Sum of the losses of a micro-batch, over the predicted ids of the global batch, times the ranks to come."""
        assert not return_outputs, "the output layer gives losses, no logits"
        inputs = dict(inputs)
        sources, labels = inputs.pop("source", None), inputs["labels"]
        losses = self.token_loss(model, *self._objective.prepare(inputs, step=self.state.global_step))
        if sources is not None and self._counts is not None:
            self._counts.add(sources, labels)
        self._parts.add(losses, labels, sources)
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        averaged = num_items_in_batch is not None and self.args.average_tokens_across_devices
        share = (self.accelerator.num_processes if averaged else 1) / torch.clamp(count, min=1)
        self._z_loss = losses.z_loss * share
        return guarded(losses.total * share)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """The metrics of all sources and, behind those of the last, of all together."""
        metrics = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        sources = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(sources, dict):
            together = overall(metrics, list(sources))
            metrics |= together
            self.log(together)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @torch.compiler.set_stance("force_eager")  # what is measured is the same, compiled or not
    def evaluation_loop(self, *arguments: Any, metric_key_prefix: str = "eval", **named: Any) -> EvalLoopOutput:
        """The loop over a source, and what else is measured on it."""
        output = super().evaluation_loop(*arguments, metric_key_prefix=metric_key_prefix, **named)
        if self._measures is not None:
            self._measures.add_to(output.metrics, self, metric_key_prefix)
        return output

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Summed loss and number of predicted ids of each window, which the evaluation loop gathers from all ranks."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            losses = self.token_loss(model, *self._objective.prepare(inputs, step=None))
        return None, losses.each.sum(dim=1), (inputs["labels"] != IGNORED).sum(dim=1)

    def logits_of(self, model: nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """Logits of windows, (n, L, V), as they are read in an evaluation."""
        batch, _ = self._objective.prepare(self._prepare_inputs(inputs), step=None)
        with torch.no_grad(), self.compute_loss_context_manager():
            return model(**batch).logits

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs, with `tokens_seen` and the counts of sources; beside a training loss those of sources and the speed."""
        logs["tokens_seen"] = self._tokens_seen(self.state)
        if self._counts is not None:
            counts = self._counts.at(self.state.global_step, self._sum)
            logs.update(log_keys(counts) | seen_by_kind(counts, self._counts.kinds))
        if "loss" in logs:
            logs.update(self._parts.take(self._sum))
            logs.update(self._throughput.take(self._worst))
        super().log(logs, start_time)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], *arguments: Any) -> tuple[list[Any], Any]:
        """The batches of a step, and the time that they are waited for is counted."""
        return super().get_batch_samples(self._throughput.timed(epoch_iterator), *arguments)

    def leave_counts(self, folder: Path, step: int) -> None:
        """Writes `data.json` of a checkpoint. All ranks call it."""
        if self._counts is not None:
            counts = self._counts.at(step, self._sum)
            if self.is_world_process_zero():
                self._counts.write(folder, step, counts)

    def _save_checkpoint(self, *arguments: Any, **named: Any) -> None:
        self._open_log.keep(self.state)
        super()._save_checkpoint(*arguments, **named)

    def _sum(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(numbers, reduction="sum")

    def _worst(self, numbers: list[float]) -> list[float]:
        mine = torch.tensor([numbers], dtype=torch.float64, device=self.args.device)
        return self.accelerator.gather(mine).amax(dim=0).tolist()

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        """The Trainer's count (5.23), which knows nothing of what a decoder reads."""
        if "decoder_attention_mask" in inputs:
            both = torch.cat((inputs["attention_mask"], inputs["decoder_attention_mask"]), dim=1)
            inputs = inputs | {"attention_mask": both}
        super()._track_num_input_tokens(inputs)

    def _tokens_seen(self, state: TrainerState) -> int:
        if self._tokens_per_step is None:
            return state.num_input_tokens_seen
        return state.global_step * self._tokens_per_step + self._tokens_ahead


def _token_mean(prediction: EvalPrediction) -> dict[str, float]:
    """The loss of a token, from the sums (n,) and counts (n,) of all windows; named so that it is the `eval_loss`."""
    total = float(np.sum(prediction.predictions, dtype=np.float64))
    count = int(np.sum(prediction.label_ids))
    return of_loss(total, count)
