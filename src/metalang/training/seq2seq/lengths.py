"""How long pairs are, by a sample of them."""

import numpy as np

from metalang.training.seq2seq.pairs import Pairs

_SAMPLED = 1024


def mean_lengths(pairs: Pairs) -> tuple[int, int]:
    """Ids of a mean pair that are read, and that are said, rounded; of up to 1,024 pairs at even distances."""
    places = np.unique(np.linspace(0, len(pairs) - 1, _SAMPLED).astype(np.int64)).tolist()
    lengths = [(len(pairs[place].source), len(pairs[place].target)) for place in places]
    source, target = np.mean(lengths, axis=0)
    return max(1, round(source)), max(1, round(target))
