"""What a run would cost, and two real steps of its model: `--dry_run True`."""

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import default_data_collator
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from metalang.errors import MetalangError
from metalang.sizes import counted, counted_shortly
from metalang.text.tokenizer import TextTokenizer
from metalang.training.config import Settings
from metalang.training.diffusion.noise import EvaluationNoise
from metalang.training.diffusion.windows import NoisyWindows
from metalang.training.elastic import tell_deepspeed
from metalang.training.estimate import Memory, flops_per_token, hours, memory, model_size
from metalang.training.flags import RunArguments
from metalang.training.model import build_model, mask_id_of
from metalang.training.objectives import objective_of
from metalang.training.objectives.output_layer import why_not_fused
from metalang.training.pair_costs import activation_bytes_of_pairs, flops_per_pair
from metalang.training.speed import bf16_peak
from metalang.training.trainer import MetalangTrainer

_STEPS, _LENGTH = 2, 128
_GPUS = ("A100", "H100 SXM", "H200", "B200", "L40S", "RTX 4090")


def dry_run(settings: Settings, tokenizer: TextTokenizer) -> None:
    """Prints what the run would cost, makes two steps of its model on random ids, and leaves nothing behind."""
    run = settings.run
    gpus = settings.dry.dry_run_gpus or run.world_size
    windows, number_bytes = run.per_device_train_batch_size, 2 if run.bf16 or run.fp16 else 4
    of_pairs = settings.model.architecture == "seq2seq"
    length = settings.data.max_length * (2 if of_pairs else 1)  # as much to say as to read
    tokens = windows * run.gradient_accumulation_steps * gpus * length * run.max_steps
    with tempfile.TemporaryDirectory(prefix="metalang-dry-run-") as folder:
        _shorten(run, folder)
        model = build_model(settings.model, tokenizer, seed=run.seed, max_length=settings.data.max_length)
        sizes = {"gpus": gpus, "windows": windows, "length": settings.data.max_length, "number_bytes": number_bytes}
        sizes["is_fused"] = why_not_fused(model) is None
        if run.process_index == 0:
            print("\n".join(estimates(model.config, tokens=tokens, mfu=settings.dry.dry_run_mfu, **sizes)), flush=True)
        lines = _two_steps(settings, model, tokenizer)
    if run.process_index == 0:
        print("\n".join([*lines, "dry run    done; no data were read, and nothing is left behind"]), flush=True)


def estimates(config: Any, *, tokens: int, mfu: float, gpus: int, length: int, **sizes: Any) -> list[str]:
    """Lines that tell the size of a model, the memory of a GPU at each stage of ZeRO, and the time of a run.

    `sizes` are those of `estimate.memory`: `windows`, `number_bytes`, `is_fused`.
    """
    size = model_size(config)
    if config.is_encoder_decoder:
        flops, formula = flops_per_pair(config, length, length) // (2 * length), "the mean of a pair's, head counted"
        pairs = {"pairs": sizes["windows"], "source": length, "target": length, "number_bytes": sizes["number_bytes"]}
        sizes["activations"] = activation_bytes_of_pairs(config, **pairs)
        unit, lengths, at_most = "pair", f"{length} ids to read and {length} to say", "at most "
    else:
        flops, formula = flops_per_token(config, length), "6 N + 12 L H Q T, head counted"
        unit, lengths, at_most = "window", f"{length}", ""
    what = f"{counted(sizes['windows'], unit)} of {lengths} at a time, {8 * sizes['number_bytes']} bits"
    rows = {
        stage: memory(config, stage=stage, gpus=gpus, length=length, **sizes) for stage in range(4)
    }  # fmt: skip
    return [
        f"model      {size.total:,} parameters: embedding {size.embedding:,}, head {size.head:,}, body {size.body:,}",
        f"memory     of {_each_of(gpus)}, {what}:",
        *(f"  ZeRO-{stage}   {_parts(row)}" for stage, row in rows.items()),
        f"work       {flops:,} FLOPs a token ({formula}), {flops * tokens:.3g} FLOPs in all",
        f"length     {at_most}{counted_shortly(tokens, 'token')}",
        f"time       at {mfu:.0%} of the peak of {counted(gpus, 'GPU')}: "
        + ", ".join(
            f"{name} {_duration(hours(flops * tokens, peak=bf16_peak(name), gpus=gpus, mfu=mfu))}" for name in _GPUS
        ),
    ]


def _parts(row: Memory) -> str:
    parts = ("parameters", "gradients", "optimizer", "buckets", "activations", "logits")
    told = ", ".join(f"{part} {getattr(row, part) / 2**30:.2f}" for part in parts)
    return f"{row.total / 2**30:.2f} GiB: {told}"


def _each_of(count: int, noun: str = "GPU") -> str:
    """The units of which each one is meant.

    >>> _each_of(1), _each_of(2, "rank")
    ('1 GPU', 'each of 2 ranks')
    """
    return f"each of {counted(count, noun)}" if count > 1 else counted(count, noun)


def _duration(number: float) -> str:
    return f"{number * 60:.1f} min" if number < 1 else f"{number:.1f} h" if number < 48 else f"{number / 24:.1f} days"


def _shorten(run: RunArguments, folder: str) -> None:
    """Two steps of a window a rank, in a folder that goes away, without saving, evaluating or reporting."""
    run.output_dir = folder
    run.max_steps, run.logging_steps = _STEPS, 1
    run.per_device_train_batch_size = run.gradient_accumulation_steps = 1
    run.eval_strategy, run.eval_on_start, run.load_best_model_at_end = IntervalStrategy.NO, False, False
    run.save_strategy, run.report_to, run.disable_tqdm = SaveStrategy.NO, [], True
    if run.deepspeed:
        tell_deepspeed(run, universal=False)


class _RandomWindows(Dataset):
    """Windows of ids that are drawn, and predict the next one."""

    def __init__(self, num_windows: int, length: int, num_ids: int) -> None:
        drawn = torch.Generator().manual_seed(0)
        self._ids = torch.randint(0, num_ids, (num_windows, length + 1), generator=drawn)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._ids[index, :-1], "labels": self._ids[index, 1:]}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        return [self[index] for index in indices]


class _RandomPairs(_RandomWindows):
    """As pairs: an encoder reads what a decoder reads, which predicts the next one."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        window = super().__getitem__(index)
        read = {"input_ids": window["input_ids"], "attention_mask": torch.ones_like(window["labels"])}
        return window | read | {f"decoder_{name}": values for name, values in read.items()}


def _two_steps(settings: Settings, model: Any, tokenizer: TextTokenizer) -> list[str]:
    run, length = settings.run, min(settings.data.max_length, _LENGTH)
    of_pairs = settings.model.architecture == "seq2seq"
    kind = _RandomPairs if of_pairs else _RandomWindows
    windows: Dataset = kind(run.windows_per_step * _STEPS, length, tokenizer.text_size)
    if settings.model.architecture == "masked_diffusion":
        windows = NoisyWindows(windows, EvaluationNoise(), mask_id_of(tokenizer))
    trainer = MetalangTrainer(
        objective=objective_of(settings),
        tokens_per_step=None if of_pairs else run.windows_per_step * length,
        model=model,
        args=run,
        train_dataset=windows,
        data_collator=default_data_collator,
    )
    begun = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begun
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(torch.tensor(losses).isfinite()):
        raise MetalangError(
            f"two steps on random ids gave the losses {losses}; lower --learning_rate, or mend the model"
        )
    peak = f", peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if run.device.type == "cuda" else ""
    told = ", ".join(f"{loss:.3f}" for loss in losses)
    where = f"{_each_of(run.world_size, 'rank')}, {run.device.type}"
    what = f"pair of {length} and {length}" if of_pairs else f"window of {length}"
    return [f"steps      {_STEPS}, a {what} on {where}, {seconds:.1f} s: loss {told}{peak}"]
