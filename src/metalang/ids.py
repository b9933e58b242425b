"""Where a domain's symbols and a tokenizer's ids lie among the ids of a model.

    0 ........ text_size - 1 | text_size ........ text_size + meta_size - 1
    the tokenizer's own ids  | <meta_lang_0> .... <meta_lang_{meta_size - 1}>

Symbol s is the id of <meta_lang_s>. One symbol is shared with text: EOS, the end of a document, is the tokenizer's own.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from metalang.errors import ConfigError, MismatchError


class Control(IntEnum):
    """The reserved symbols, the same in every domain; content symbols begin at `NUM_CONTROL`."""

    PAD = 0
    BOS = 1
    EOS = 2
    SEP = 3
    ARG = 4
    QUERY = 5
    WORD = 6
    EMPTY = 7
    EQ = 8
    ARROW = 9
    DIGIT_0 = 10  # to 19: the ten digits; 20 to 31 are spare


NUM_CONTROL = 32


def id_dtype(vocab_size: int) -> np.dtype:
    """The type that the ids of a vocabulary are stored in, on disk and in kernels: 16 bits wherever they suffice.

    >>> id_dtype(65_536).name, id_dtype(65_537).name
    ('uint16', 'int32')
    """
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<i4")


def meta_token(symbol: int) -> str:
    """The token that a tokenizer shows for a symbol.

    >>> meta_token(3)
    '<meta_lang_3>'
    """
    return f"<meta_lang_{symbol}>"


@dataclass(frozen=True)
class IdSpace:
    """The ids of a model, or of a corpus.

    `text_size` ids of a tokenizer (0: a corpus of symbols), then `meta_size` symbols (0: a corpus of text); `eos_id`
    ends a document; `tokenizer` is the fingerprint of the tokenizer, None for a corpus of symbols.
    """

    text_size: int
    meta_size: int
    eos_id: int
    tokenizer: str | None

    @staticmethod
    def of_domain(num_symbols: int) -> "IdSpace":
        """The id space of a corpus of symbols, which belongs to no tokenizer yet."""
        return IdSpace(text_size=0, meta_size=num_symbols, eos_id=int(Control.EOS), tokenizer=None)

    @property
    def vocab_size(self) -> int:
        """Ids in all: every id is below it."""
        return self.text_size + self.meta_size

    def of_symbols(self, symbols: np.ndarray) -> np.ndarray:
        """Token ids of domain symbols, (n,) -> (n,) int64. Raises ConfigError for a symbol past `meta_size`.

        >>> IdSpace(text_size=100, meta_size=16, eos_id=0, tokenizer="toy").of_symbols([0, 3, 2]).tolist()
        [100, 103, 0]
        """
        ids = np.asarray(symbols, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.meta_size:
            raise ConfigError(f"symbols {ids.min()} to {ids.max()} do not lie in [0, {self.meta_size})")
        return np.where(ids == Control.EOS, self.eos_id, ids + self.text_size)

    def require(self, corpus: "IdSpace", name: str) -> None:
        """Raises MismatchError unless every id of a corpus, called `name` by the user, has its place in this space."""
        if corpus.meta_size > self.meta_size:
            raise MismatchError(
                f"{name} needs {corpus.meta_size:,} meta-language tokens and the model has {self.meta_size:,}; "
                f"set --num_meta_lang_tokens {corpus.meta_size}"
            )
        if corpus.tokenizer is None:
            return
        theirs, ours = (
            (corpus.tokenizer, corpus.text_size, corpus.eos_id),
            (self.tokenizer, self.text_size, self.eos_id),
        )
        if theirs != ours:
            raise MismatchError(
                f"{name} was tokenized with tokenizer {theirs[0]} ({theirs[1]:,} ids, EOS {theirs[2]}), not with "
                f"{ours[0]} ({ours[1]:,} ids, EOS {ours[2]}); tokenize it again with the model's tokenizer"
            )
