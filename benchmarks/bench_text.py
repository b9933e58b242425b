"""How fast one JSONL file becomes token ids, beside bare gigatoken and two peers: `make bench-text`.

Whole processes, one core each but for the last case, in turn; medians. CPU seconds are those of all its processes, the
memory is that of the largest. The text is Python's and numpy's documentation repeated, or a --file of one's own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

from metalang.text.sources import TextSource

ROOT = Path(__file__).parents[1]
VOCAB_SIZE = 16_384
Commands = dict[str, list[str]]


@dataclass(frozen=True)
class Measured:
    """One run of a program: seconds on the clock, seconds of CPU, bytes of its largest process."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="a .jsonl with texts (default: documentation of Python and numpy)")
    parser.add_argument("--tokenizer", help="a tokenizer.json with <|endoftext|> (default: one trained on that text)")
    parser.add_argument("--megabytes", type=int, default=20, help="size of the default text (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program (default: %(default)s)")
    parser.add_argument("--programs", nargs="+", help="those to run, by the beginnings of their names (default: all)")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = args.file or _repeated(folder / "text.jsonl", args.megabytes * 10**6)
        commands = _commands(source, args.tokenizer or _trained(folder / "tokenizer.json"))
        wanted = tuple(args.programs or [""])
        if find_spec("datatrove") is None:
            wanted = tuple(name for name in commands if name.startswith(wanted) and "datatrove" not in name)
            print("datatrove is not installed and is left out", file=sys.stderr)
        chosen = {name: command for name, command in commands.items() if name.startswith(wanted)}
        _report(source, _measured(chosen, folder, args.rounds))


def _texts() -> list[str]:
    source = TextSource("pydoc:numpy")
    return [document.text for unit in source.units(2**26) for document in source.read(unit)]


def _repeated(path: Path, num_bytes: int) -> Path:
    texts, written = cycle(_texts()), 0
    with open(path, "w") as file:
        while written < num_bytes:
            written += file.write(json.dumps({"text": next(texts)}) + "\n")
    return path


def _trained(path: Path) -> str:
    """A byte-level BPE tokenizer, as GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.save(str(path))
    return str(path)


def _commands(source: Path, tokenizer: str) -> Commands:
    """What is run, but for the folder to write into, which comes last."""
    peer = [sys.executable, str(ROOT / "benchmarks/text_programs.py")]
    ours = [sys.executable, str(ROOT / "data_tools/tokenize_text.py"), str(source), "--tokenizer", tokenizer]
    return {
        "bare gigatoken + NumPy": [*peer, "bare", str(source), tokenizer],
        "tokenize_text.py": [*ours, "--workers", "1", "--output_dir"],
        "tokenize_text.py, 2 workers": [*ours, "--workers", "2", "--output_dir"],
        "reference backend": [*ours, "--tokenizer_backend", "reference", "--workers", "1", "--output_dir"],
        "reference backend, 2 workers": [*ours, "--tokenizer_backend", "reference", "--workers", "2", "--output_dir"],
        "encode_batch of tokenizers": [*peer, "encode_batch", str(source), tokenizer],
        "datatrove's tokens pipeline": [*peer, "datatrove", str(source), tokenizer],
    }


def _measured(commands: Commands, folder: Path, rounds: int) -> dict[str, list[Measured]]:
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(dir=folder) as output:
                runs[name].append(_run([*command, output]))
    return runs


def _run(command: list[str]) -> Measured:
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"it failed, exit {process.returncode}; run it by hand: {' '.join(command)}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _report(source: Path, runs: dict[str, list[Measured]]) -> None:
    size = source.stat().st_size
    print(f"\n{source.name}, {size / 1e6:,.0f} MB, median of {len(next(iter(runs.values())))}")
    limit = None
    for name, each in runs.items():
        seconds = statistics.median(run.seconds for run in each)
        cpu = statistics.median(run.cpu_seconds for run in each)
        limit = limit or (seconds, cpu)
        print(
            f"  {name:30} {seconds:7.2f} s  {seconds / limit[0]:6.2f} x  {cpu:7.2f} s CPU  {cpu / limit[1]:6.2f} x  "
            f"{max(run.peak_bytes for run in each) / 1e6:7,.0f} MB"
        )


if __name__ == "__main__":
    main()
