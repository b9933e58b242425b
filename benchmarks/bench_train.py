"""How fast a step is, beside a bare loop with the same loss and transformers' own Trainer, with and without ZeRO-2.

    python benchmarks/bench_train.py
    python benchmarks/bench_train.py --model configs/models/pythia-160m.json --length 2048 --batch 16 --compile

The programs train the same model in bf16 on windows of the same random ids. They run in turn, each in processes of its
own; the median of the rounds counts. Without a GPU: two ranks on gloo, a small batch. With GPUs: a rank each on nccl.
`stock` is Trainer with all that it does by default; `bare` has our fused loss, so ours / bare is what the rest of us
costs. Peak memory is what training adds to a built model, optimizer and activations too, by logits of a micro-batch.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from metalang.corpus import Documents, ShardWriter, write_manifest
from metalang.ids import IdSpace

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "benchmarks" / "train_programs.py"
VOCABULARY = 50_304
RUNS = [(program, sharding) for sharding in ("ddp", "zero2") for program in ("bare", "stock", "ours")]


def main() -> None:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="configs/models/pythia-14m.json", help="architecture (default: %(default)s)")
    parser.add_argument("--length", type=int, default=1024 if cuda else 256, help="ids in a window")
    parser.add_argument("--batch", type=int, default=32 if cuda else 2, help="windows a rank")
    parser.add_argument("--steps", type=int, default=40 if cuda else 10, help="of each run, two of them not counted")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="torch.compile in the bare loop without ZeRO and ours")
    args = parser.parse_args()
    ranks = torch.cuda.device_count() if cuda else 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / args.model, folder / "model.json")
        _corpus(folder / "tokens", (args.steps * ranks * args.batch + 2) * args.length)
        settings = {
            "length": args.length, "batch": args.batch, "steps": args.steps, "vocabulary": VOCABULARY,
            "compile": args.compile, "cuda": cuda,
        }  # fmt: skip
        results: dict[tuple[str, str], list[dict[str, float]]] = {run: [] for run in RUNS}
        for number in range(args.rounds):
            for run in RUNS:
                results[run].append(_measured(run, folder, settings, ranks))
                print(f"round {number + 1}: {' '.join(run)} {results[run][-1]['seconds']:.3f} s", file=sys.stderr)
    tokens = ranks * args.batch * args.length
    device = torch.cuda.get_device_name() if cuda else "cpu"
    print(
        f"\n{args.model}, {ranks} ranks on {device}, {args.batch} x {args.length} ids a rank, median of {args.rounds}"
    )
    _report(results, tokens)


def _corpus(folder: Path, num_tokens: int) -> None:
    """Random ids in documents of a thousand."""
    ids = np.random.default_rng(0).integers(1, VOCABULARY, num_tokens)
    ends = np.append(np.arange(1000, num_tokens, 1000), num_tokens)
    folder.mkdir()
    writer = ShardWriter(folder, 0, VOCABULARY)
    writer.append(Documents(ids, ends, np.arange(len(ends)), np.ones(num_tokens, dtype=bool)))
    write_manifest(folder, [writer.finish()], ids=IdSpace(VOCABULARY, 0, 0, "random"), sources=["random"], spec={})


def _measured(run: tuple[str, str], folder: Path, settings: dict[str, object], ranks: int) -> dict[str, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(ranks), "--master_port", str(port)]
    command = [sys.executable, *launch, str(PROGRAMS), *run, str(folder), json.dumps(settings)]
    cores = max(1, len(os.sched_getaffinity(0)) // ranks)
    environment = {"OMP_NUM_THREADS": str(cores), **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not results:
        said = done.stderr[max(0, done.stderr.find("Traceback")) :]
        raise SystemExit(f"{' '.join(run)} failed:\n{said[:3000]}")
    return json.loads(results[0])


def _report(results: dict[tuple[str, str], list[dict[str, float]]], tokens: int) -> None:
    middle = {
        run: {key: statistics.median(each[key] for each in measured) for key in measured[0]}
        for run, measured in results.items()
    }
    for run, values in middle.items():
        seconds, cpu = values["seconds"], values["cpu_seconds"]
        print(
            f"  {' '.join(run):12} {seconds:8.3f} s a step, {cpu:6.3f} s of CPU {tokens / seconds:12,.0f} tokens/s   "
            f"waits for data {values['wait']:6.2%}   peak {values['bytes_per_logit']:6.2f} bytes a logit"
        )
    for sharding in ("ddp", "zero2"):
        bare, stock, ours = (middle[program, sharding] for program in ("bare", "stock", "ours"))
        over, over_cpu = (ours[key] / bare[key] - 1 for key in ("seconds", "cpu_seconds"))
        print(
            f"  {sharding}: {stock['seconds'] / ours['seconds']:.2f} x as fast as stock, {over:+.1%} over the bare "
            f"loop ({over_cpu:+.1%} of CPU), {ours['by_source']:.2%} for the losses of sources"
        )


if __name__ == "__main__":
    main()
