"""How fast windows are read in random order, beside a plain memory map, Megatron-LM, datatrove and litdata.

    python benchmarks/bench_order.py

One corpus of random ids, half of them predicted, in documents of about a thousand; every program reads windows of the
same length of the same ids in a random order, from a warm cache, on one core (but where loader workers are named). The
programs run in turn, each in a process of its own; the median counts, and the ratio to the memory map. Peers run in
.venv-interop (make .venv-interop/.installed); what is not installed there is left out, and said.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from metalang.corpus import Documents, ShardWriter, write_manifest
from metalang.ids import IdSpace

ROOT = Path(__file__).parents[1]
INTEROP = ROOT / ".venv-interop" / "bin" / "python"
PROGRAMS = ROOT / "benchmarks" / "order_programs.py"
PEERS = {"megatron": "megatron.core", "datatrove": "datatrove", "litdata": "litdata"}
NAMES = {
    "memmap": "memory map, sliced and cast",
    "plan": "Plan.read: ids, mask, source",
    "dataset": "PlanDataset in a DataLoader",
    "dataset_2": "PlanDataset, 2 loader workers",
    "megatron": "megatron-core's GPTDataset",
    "datatrove": "datatrove's folder dataset",
    "litdata": "litdata's TokensLoader",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=2048, help="ids in a window (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="windows located together (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=16_384, help="windows of one run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program (default: %(default)s)")
    parser.add_argument("--million_tokens", type=int, default=64, help="size of the corpus (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _corpus(folder, args.million_tokens * 10**6)
        programs = _programs(folder)
        seconds: dict[str, list[float]] = {program: [] for program in programs}
        for number in range(args.rounds):
            for program, python in programs.items():
                seconds[program].append(_seconds(python, program, folder, args, seed=number))
        _report(seconds, args)


def _corpus(folder: Path, num_tokens: int) -> None:
    """One shard, so that Megatron reads it whole."""
    random = np.random.default_rng(0)
    space = IdSpace(50_304, 0, 0, "random")
    writer = ShardWriter(folder, 0, space.vocab_size)
    for start in range(0, num_tokens, 2**22):
        ids = random.integers(1, space.vocab_size, min(2**22, num_tokens - start))
        ends = np.unique(np.append(random.integers(1, len(ids), len(ids) // 1000), len(ids)))
        writer.append(Documents(ids, ends, np.arange(len(ends)), random.random(len(ids)) < 0.5))
    write_manifest(folder, [writer.finish()], ids=space, sources=["random"], spec={})


def _programs(folder: Path) -> dict[str, str]:
    """Which Python runs each program. Makes what peers cannot read of ours."""
    programs = dict.fromkeys(("memmap", "plan", "dataset", "dataset_2"), sys.executable)
    for peer, package in PEERS.items():
        found = (
            INTEROP.is_file()
            and not subprocess.run(
                [str(INTEROP), "-c", f"import {package}"], capture_output=True, check=False
            ).returncode
        )
        if not found:
            print(f"{NAMES[peer]} is not measured: {package} is not in .venv-interop", file=sys.stderr)
            continue
        programs[peer] = str(INTEROP)
    if "datatrove" in programs:
        (folder / "ds").mkdir()
        os.link(folder / "00000.bin", folder / "ds" / "00000.ds")
        ends = np.load(folder / "00000.docs.npy", mmap_mode="r")
        (folder / "ds" / "00000.ds.metadata").write_text(f"random|2\n{len(ends)}\n")
    if "litdata" in programs:
        subprocess.run([str(INTEROP), str(PROGRAMS), "write_litdata", str(folder)], check=True, capture_output=True)
    return programs


def _seconds(python: str, program: str, folder: Path, args: argparse.Namespace, *, seed: int) -> float:
    numbers = [str(number) for number in (args.length, args.batch, args.windows, seed)]
    command = [python, str(PROGRAMS), program, str(folder), *numbers]
    environment = os.environ | ({"PYTHONPATH": ""} if python == str(INTEROP) else {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    if done.returncode:
        raise SystemExit(f"{program} failed; run it by hand: {' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _report(seconds: dict[str, list[float]], args: argparse.Namespace) -> None:
    print(f"\nwindows of {args.length:,} ids in random order, batches of {args.batch}, median of {args.rounds}")
    limit = statistics.median(seconds["memmap"])
    for program, each in seconds.items():
        middle = statistics.median(each)
        speed = args.windows * args.length / middle / 1e6
        print(f"  {NAMES[program]:32} {speed:9,.1f} Mtok/s   ratio {limit / middle:6.3f}")


if __name__ == "__main__":
    main()
