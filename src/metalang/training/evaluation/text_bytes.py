"""How many bytes of text the ids of a corpus stand for."""

from collections.abc import Iterator

import numpy as np

from metalang.corpus import Corpus
from metalang.text.tokenizer import TextTokenizer

_CHUNK_TOKENS = 2**20


def is_text(corpus: Corpus) -> bool:
    """Whether a corpus holds documents of text, whole and all predicted, and nothing else."""
    manifest = corpus.manifest
    of_text = manifest.ids.tokenizer is not None and manifest.ids.meta_size == 0 and manifest.window_length is None
    return of_text and manifest.num_predicted == manifest.num_tokens


def num_text_bytes(corpus: Corpus, tokenizer: TextTokenizer) -> int:
    """UTF-8 bytes of all documents, decoded one by one; an EOS counts none. Reads all ids.

    What a tokenizer's normalizer drops, or changes, is counted as it came out: as the ids are.
    """
    texts = (tokenizer.backend.decode_batch(rows, skip_special_tokens=False) for rows in _chunks(corpus))
    return sum(len(text.encode()) for chunk in texts for text in chunk)


def _chunks(corpus: Corpus) -> Iterator[list[list[int]]]:
    """The documents without their EOS, those that begin in each million of ids together."""
    eos = corpus.manifest.ids.eos_id
    for first in range(0, corpus.num_tokens, _CHUNK_TOKENS):
        starts, lengths = corpus.documents_from(first, min(first + _CHUNK_TOKENS, corpus.num_tokens))
        if not len(starts):
            continue
        begin = int(starts[0])
        ids, _ = corpus.read(begin, int(starts[-1] + lengths[-1]))
        documents = np.split(ids, starts[1:] - begin)
        yield [document[document != eos].tolist() for document in documents]
