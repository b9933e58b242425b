"""Programs of bench_train.py: a bare loop, transformers' Trainer, ours; one call is one rank of one run.

    torchrun --nproc_per_node 2 benchmarks/train_programs.py {bare,stock,ours} {ddp,zero2} FOLDER SETTINGS_JSON

FOLDER holds `model.json` and a corpus `tokens`. All train the same model in bf16 on windows of the same ids. Rank 0
prints JSON: median seconds of a step, by the clock and of its CPU, the shares of it that wait for data and sum the
losses of sources (ours), and the growth of peak memory per logit.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from metalang.training.environment import leave, prepare_environment

_WARM_UP = 2
_Measured = tuple[list[tuple[float, float]], list[float], list[float], int]
"""When steps began and the last ended (by the clock, in CPU time of the process), waits for data, sums by source (two a
step), all in seconds; bytes at the peak."""
ROOT = Path(__file__).parents[1]


def main() -> None:
    program, sharding, folder, settings = sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
    prepare_environment(os.environ, () if settings["cuda"] else ("--use_cpu",))
    import torch

    measured = _bare(sharding, folder, settings) if program == "bare" else _trained(program, sharding, folder, settings)
    marks, waits, by_source, memory = measured
    steps = [(behind[0] - before[0], behind[1] - before[1]) for before, behind in pairwise(marks)][_WARM_UP:]
    seconds, cpu_seconds = zip(*steps, strict=True)
    if os.environ["RANK"] == "0":
        result = {
            "seconds": statistics.median(seconds),
            "cpu_seconds": statistics.median(cpu_seconds),
            "wait": sum(waits[-len(seconds) :]) / sum(seconds),
            "by_source": sum(by_source[-2 * len(seconds) :]) / sum(seconds),
            "bytes_per_logit": memory / (settings["batch"] * settings["length"] * settings["vocabulary"]),
        }
        print("RESULT " + json.dumps(result), flush=True)
    torch.distributed.barrier()
    leave()


def _dataset(folder: Path, settings: dict[str, Any], *, ranks: int) -> Any:
    """Windows of the corpus in the order of a plan, and what the counts of a run are made of."""
    from metalang.ids import IdSpace
    from metalang.mixing import Plan, Reading, Source, Stage
    from metalang.training.dataset import PlanDataset

    space = IdSpace(settings["vocabulary"], 0, 0, "random")
    source = Source("tokens", folder / "tokens", space, length=settings["length"])
    plan = Plan([source], [Stage((1,))], length=settings["length"], seed=0)
    per_step = settings["batch"] * ranks
    reading = Reading(plan, space, "random", windows_per_step=per_step, num_steps=settings["steps"])
    return PlanDataset(plan, per_step * settings["steps"]), reading


def _model(folder: Path, settings: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, set_seed

    from metalang.training.model import read_architecture

    config = read_architecture(str(folder / "model.json"))
    config.vocab_size = settings["vocabulary"]
    set_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _held(cuda: bool) -> int:
    """Bytes at the peak until now: of the allocator on a GPU, of the process on a CPU."""
    import torch

    return torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bare(sharding: str, folder: Path, settings: dict[str, Any]) -> _Measured:
    """The shortest loop with our fused loss: DistributedDataParallel under autocast, or DeepSpeed's engine."""
    import deepspeed
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from metalang.training.objectives.contract import Targets
    from metalang.training.objectives.token_loss import TokenLoss

    cuda, rank = settings["cuda"], int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if sharding == "zero2":
        deepspeed.init_distributed(dist_backend="nccl" if cuda else "gloo", auto_mpi_discovery=False, verbose=False)
    else:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    model = _model(folder, settings).to(device)
    token_loss = TokenLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    if sharding == "zero2":
        config = json.loads((ROOT / "configs/ds/zero2.json").read_text())
        ranks = int(os.environ["WORLD_SIZE"])
        config |= {
            "train_batch_size": settings["batch"] * ranks, "train_micro_batch_size_per_gpu": settings["batch"],
            "gradient_accumulation_steps": 1, "gradient_clipping": 1.0, "bf16": {"enabled": True},
            "fp16": {"enabled": False}, "zero_allow_untested_optimizer": True,
        }  # fmt: skip
        wrapped, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    else:
        wrapped = DistributedDataParallel(torch.compile(model) if settings["compile"] else model)
    dataset, _ = _dataset(folder, settings, ranks=int(os.environ["WORLD_SIZE"]))
    before, marks, waits = _held(cuda), [], []
    for step in range(settings["steps"]):
        marks.append(_mark(cuda))
        first = (step * int(os.environ["WORLD_SIZE"]) + int(os.environ["RANK"])) * settings["batch"]
        windows = dataset.__getitems__(range(first, first + settings["batch"]))
        ids, labels = (torch.stack([each[name] for each in windows]).to(device) for name in ("input_ids", "labels"))
        waits.append(_now(cuda) - marks[-1][0])
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=sharding == "ddp"):
            total = token_loss(wrapped, {"input_ids": ids}, Targets(labels)).total
        _update(wrapped, optimizer, total / labels.numel(), sharding)
    return [*marks, _mark(cuda)], waits, [], _held(cuda) - before


def _update(wrapped: Any, optimizer: Any, loss: Any, sharding: str) -> None:
    import torch

    if sharding == "zero2":
        wrapped.backward(loss)
        wrapped.step()
        return
    loss.backward()
    torch.nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _mark(cuda: bool) -> tuple[float, float]:
    return _now(cuda), time.process_time()


def _now(cuda: bool) -> float:
    """Now, once the device has done what it was asked to."""
    import torch

    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def _trained(program: str, sharding: str, folder: Path, settings: dict[str, Any]) -> _Measured:
    """transformers' Trainer as it is, or ours with all that it counts and logs."""
    from transformers import Trainer, TrainerCallback

    from metalang.training.callbacks.stop import StopTogether
    from metalang.training.counts import SourceCounts
    from metalang.training.flags import RunArguments
    from metalang.training.objectives.causal import Causal
    from metalang.training.trainer import MetalangTrainer

    cuda = settings["cuda"]
    marks, waits, by_source = [], [], []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(_mark(cuda))

    kind = MetalangTrainer if program == "ours" else Trainer

    class Timed(kind):  # type: ignore[misc, valid-type]
        def get_batch_samples(self, *arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            samples = super().get_batch_samples(*arguments, **named)
            waits.append(time.perf_counter() - start)
            return samples

    run = RunArguments(
        output_dir=str(folder / "run"), max_steps=settings["steps"], use_cpu=not cuda, bf16=True,
        per_device_train_batch_size=settings["batch"], save_strategy="no", report_to="none", logging_steps=10,
        learning_rate=1e-4, disable_tqdm=True, torch_compile=settings["compile"] and program == "ours",
        remove_unused_columns=program == "stock",  # the number of the source of a window
        deepspeed=str(ROOT / "configs/ds/zero2.json") if sharding == "zero2" else None,
    )  # fmt: skip
    dataset, reading = _dataset(folder, settings, ranks=run.world_size)
    ours = {"objective": Causal(), "tokens_per_step": 1, "counts": SourceCounts(reading, None)}
    trainer = Timed(model=_model(folder, settings), args=run, train_dataset=dataset, callbacks=[Clock()],
                    **(ours if program == "ours" else {}))  # fmt: skip
    if program == "ours":
        trainer.add_callback(StopTogether(trainer.leave_log_open))
        for summed in (trainer._counts, trainer._parts):
            summed.add = partial(_clocked, summed.add, by_source, cuda)
    before = _held(cuda)
    trainer.train()
    return [*marks, _mark(cuda)], waits[: len(marks)], by_source, _held(cuda) - before


def _clocked(call: Callable[..., None], seconds: list[float], cuda: bool, *arguments: Any) -> None:
    """Makes a call, and adds what it took."""
    start = _now(cuda)
    call(*arguments)
    seconds.append(_now(cuda) - start)


if __name__ == "__main__":
    main()
