"""Tokens added to a tokenizer that exists: strings that are one id from then on."""

import copy
from collections.abc import Sequence
from dataclasses import replace

from metalang.errors import ConfigError
from metalang.text.tokenizer import TextTokenizer


def with_added_tokens(tokenizer: TextTokenizer, tokens: Sequence[str], *, special: bool = False) -> TextTokenizer:
    """A copy in which each token is one id; new ones stand behind the text ids, in order, and count as text ids.

    A text that spells a token gets its id, unless the token is `special`: then no text gives it. Raises ConfigError for
    a tokenizer with `<meta_lang_i>`, behind which no text id may stand, and for one whose ids have gaps.
    """
    from tokenizers import AddedToken

    new = [token for token in dict.fromkeys(tokens) if not _is_one_id(tokenizer, token, special=special)]
    if not new:
        return tokenizer
    if tokenizer.num_meta_lang_tokens:
        raise ConfigError(
            f"tokenizer {tokenizer.name!r} holds {tokenizer.num_meta_lang_tokens:,} meta-language tokens, behind which "
            f"{new[0]} cannot stand; take the tokenizer without them"
        )
    hf = copy.deepcopy(tokenizer.hf)
    hf.add_tokens([AddedToken(token, normalized=False, special=special) for token in new], special_tokens=special)
    text_size = max(hf.get_vocab().values()) + 1
    larger = replace(tokenizer, backend=hf.backend_tokenizer, text_size=text_size, _hf=hf)
    if larger.text_size > tokenizer.text_size + len(new):
        raise ConfigError(
            f"tokenizer {tokenizer.name!r} puts added tokens past id {tokenizer.text_size:,}, behind its highest: its "
            "ids have gaps. Fill them with named tokens, or take another tokenizer"
        )
    if split := [token for token in new if not _is_one_id(larger, token, special=special)]:
        raise ConfigError(f"tokenizer {tokenizer.name!r} does not keep {split[0]!r} as one id; take another tokenizer")
    return larger


def _is_one_id(tokenizer: TextTokenizer, token: str, *, special: bool) -> bool:
    index = tokenizer.hf.get_vocab().get(token)
    if index is None or special:
        return index is not None
    return tokenizer.encode([f"{token}{token} {token}a"])[0].tolist().count(index) == 3
