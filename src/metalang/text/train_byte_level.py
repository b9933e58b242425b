"""A byte-level BPE tokenizer, as GPT-2 has it: text is bytes, cut by GPT-2's pattern, and no character is unknown.

Ids: <|endoftext|> (begin and end of a document), <|padding|>, the user-defined symbols, the 256 bytes, the merges.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from metalang.text.tokenizer_settings import SPECIAL_TOKENS, TokenizerSettings, too_large

_EOS, _PAD = SPECIAL_TOKENS["byte_level"]


def write_byte_level(folder: Path, texts: Iterator[str], settings: TokenizerSettings) -> bool:
    """Writes what transformers reads. False, and nothing written, where no text is.

    Raises ConfigError for a `vocab_size` that does not fit the text.
    """
    from transformers import PreTrainedTokenizerFast

    first = next(texts, None)
    if first is None:
        return False
    backend = _trained(_between(chain([first], texts), settings.user_defined_symbols), settings)
    if backend.get_vocab_size() < settings.vocab_size:
        raise too_large(settings.vocab_size, backend.get_vocab_size())
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=_EOS, eos_token=_EOS, pad_token=_PAD)
    hf.save_pretrained(folder)
    return True


def _trained(texts: Iterator[str], settings: TokenizerSettings) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        special_tokens=[_EOS, _PAD, *settings.user_defined_symbols],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return _with_plain_symbols(backend)


def _with_plain_symbols(backend: Any) -> Any:
    """The same tokenizer, in which user-defined symbols are no special tokens: a text that spells one gets its id."""
    content = json.loads(backend.to_str())
    for token in content["added_tokens"]:
        token["special"] = token["content"] in (_EOS, _PAD)
    return type(backend).from_str(json.dumps(content))


def _between(texts: Iterator[str], symbols: tuple[str, ...]) -> Iterator[str]:
    """What stands between user-defined symbols: nothing is learned from them.

    >>> list(_between(iter(["a <x> b", "c"]), ("<x>",)))
    ['a ', ' b', 'c']
    """
    if not symbols:
        return texts
    pattern = re.compile("|".join(map(re.escape, sorted(symbols, key=len, reverse=True))))
    return (part for text in texts for part in pattern.split(text))
