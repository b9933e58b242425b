"""How fast data is made, each beside a limit measured in the same run: `make bench-data`.

Cases of a group run in turn, five times over; the median of each is shown, and its ratio to the group's limit.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metalang.building import TextBuild, build_corpus, domain_build
from metalang.domains import read_domain
from metalang.text.sources import TextSource
from metalang.text.tokenizer import load_tokenizer
from metalang.text.train_tokenizer import train_tokenizer

ROUNDS = 5
ROOT = Path(__file__).parents[1]
ON_DISK = ("identity", "set", "k_shuffle_dyck", "mqar", "chomsky_parity")
Case = Callable[[], None]


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        _domains(Path(folder))
        _text(Path(folder))


def _domains(folder: Path) -> None:
    identity = read_domain(ROOT / "configs/domains/identity.json")
    key, rows = identity.key(0, "train"), 20_000
    sample = identity.sample(key, 0, rows)
    copy = np.empty_like(sample.symbols), np.empty_like(sample.predicted)
    content = sample.symbols.tobytes() + sample.predicted.tobytes()

    def copied() -> None:
        np.copyto(copy[0], sample.symbols)
        np.copyto(copy[1], sample.predicted)

    def written() -> None:
        with open(folder / "plain", "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    num_tokens = len(sample.symbols)
    _report("identity rows and masks, one core", num_tokens, {
        "memory copy of the same bytes": copied,
        "identity.sample": lambda: identity.sample(key, 0, rows),
    })  # fmt: skip
    _report("corpora on disk, one core", num_tokens, {
        "write and fsync of the bytes of identity": written,
        **{f"build_corpus, {name}": _built(name, num_tokens, folder) for name in ON_DISK},
    })  # fmt: skip


def _built(name: str, num_tokens: int, folder: Path) -> Case:
    """Builds the corpus of a preset, each time in another folder."""
    build = domain_build(read_domain(ROOT / f"configs/domains/{name}.json"), num_token=num_tokens)
    counter = iter(range(1000))
    return lambda: build_corpus(build, folder / f"{name}{next(counter)}") and None


def _text(folder: Path) -> None:
    pydoc = TextSource("pydoc:numpy")
    name = str(train_tokenizer([pydoc], vocab_size=8192, output_dir=folder / "tokenizer"))
    texts = [document.text for unit in pydoc.units(2**26) for document in pydoc.read(unit)]
    (folder / "english.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = TextSource(str(folder / "english.jsonl"))
    backend = load_tokenizer(name).backend
    counter = iter(range(1000))
    build = TextBuild(source, name)
    num_tokens = build_corpus(build, folder / "english").num_tokens
    _report("text corpus on disk, one core", num_tokens, {
        "tokenizers.encode_batch alone": lambda: backend.encode_batch(texts, add_special_tokens=False) and None,
        "build_corpus, reading included": lambda: build_corpus(build, folder / f"text{next(counter)}") and None,
    })  # fmt: skip


def _report(title: str, num_tokens: int, cases: dict[str, Case]) -> None:
    """Prints the speed of each case and its ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(ROUNDS + 1):  # the first round warms up
        for name, case in cases.items():
            begun = time.perf_counter()
            case()
            if number:
                seconds[name].append(time.perf_counter() - begun)
    limit = statistics.median(next(iter(seconds.values())))
    print(f"\n{title}, {num_tokens:,} tokens")
    for name, each in seconds.items():
        median = statistics.median(each)
        print(f"  {name:45} {num_tokens / median / 1e6:10.1f} Mtok/s   ratio {limit / median:6.3f}")


if __name__ == "__main__":
    main()
