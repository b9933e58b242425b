"""Checks a corpus against its manifest, in parallel, with a bar in bytes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from metalang.corpus import Corpus
from metalang.corpus.integrity import pieces_of, verify_piece
from metalang.errors import ConfigError


def verify_corpus(folder: Path, *, share: float = 1.0, seed: int = 0, workers: int = 1) -> str:
    """Reads a corpus, or a random `share` of its blocks, and says what was found to be as it was written.

    Raises CorpusError at the first fault: the file, the bytes, what to do. Threads suffice: reading lets others run.
    """
    if workers < 1:
        raise ConfigError(f"--workers {workers} do nothing; give 1 or more")
    files = Corpus(folder).manifest.files
    held = sum(file.bytes for file in files)
    pieces = pieces_of(files, share=share, seed=seed)
    total = sum(piece.num_bytes for piece in pieces)
    with (
        tqdm(total=total, desc=f"checking {folder.name}", unit="B", unit_scale=True) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        for num_bytes in pool.map(lambda piece: verify_piece(folder, piece), pieces):
            bar.update(num_bytes)
    num_blocks, num_read = sum(len(file.blocks) for file in files), sum(len(piece.blocks) for piece in pieces)
    return (
        f"{folder} is as it was written: its manifest, the sizes of its {len(files):,} files, and {num_read:,} of "
        f"{num_blocks:,} blocks, {total:,} of {held:,} bytes ({total / held:.2%})"
    )
