"""What an encoder-decoder is measured on beside its loss: the bytes of what it says, the rows that it answers."""

import logging

import numpy as np

from metalang.text.tokenizer import TextTokenizer
from metalang.training.evaluation.answers import Answer, answers_of, has_mappings
from metalang.training.seq2seq.pairs import Pairs

logger = logging.getLogger(__name__)

_CHUNK_PAIRS = 1024


def num_target_bytes(pairs: Pairs, tokenizer: TextTokenizer) -> int:
    """UTF-8 bytes of all targets where they are predicted, decoded one by one; an EOS counts none, and a target with
    symbols makes the sum 0. Reads all pairs."""
    total = 0
    for first in range(0, len(pairs), _CHUNK_PAIRS):
        chunk = [pairs[place] for place in range(first, min(first + _CHUNK_PAIRS, len(pairs)))]
        targets = [pair.target[pair.predicted] for pair in chunk]
        if np.concatenate(targets).max() >= tokenizer.text_size:
            return 0
        rows = [target[target != tokenizer.eos_id].tolist() for target in targets]
        texts = tokenizer.backend.decode_batch(rows, skip_special_tokens=False)
        total += sum(len(text.encode()) for text in texts)
    return total


def answers_of_pairs(name: str, pairs: Pairs, *, count: int, max_length: int) -> list[Answer]:
    """Up to `count` rows of the mapping domains of a source, whose question and answer are read whole.

    Where all rows that were looked at are too long, the log says so.
    """
    if pairs.corpus is None or not count or not has_mappings(pairs.corpus):
        return []
    found = answers_of(pairs.corpus, count=count, longest=2 * max_length - 1)  # EOS follows the question
    fitting = [each for each in found if max(each.begin + 1, len(each.symbols) - each.begin) <= max_length]
    if not fitting:
        logger.warning(
            "%s has no exact match: questions or answers of all rows that were looked at are longer than %d symbols",
            name, max_length - 1,
        )  # fmt: skip
    return fitting
