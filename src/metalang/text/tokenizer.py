"""Tokenizers by a name, whatever form they come in, as one thing that a model can be saved with.

A tokenizer's text ids are `0 .. text_size - 1`; behind them stand the `<meta_lang_i>` that a model adds.
"""

import copy
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from metalang.digests import digest_of
from metalang.errors import ConfigError
from metalang.ids import IdSpace, meta_token
from metalang.text.names import first_line, local_path

_FORMS = "a Hugging Face tokenizer folder, a tokenizer.json, a SentencePiece .model or a hub name"
_KNOWN_EOS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[EOS]", "[SEP]")
_HUB_FILES = ["tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json"]
_HUB_FILES += ["config.json"]
_MOST_META_TOKENS = 2**20  # a quarter of them take 4 s; without a bound a slip of the hand takes all memory
_UNKNOWN_CHARACTER = "\U000f0000"
_MEND_EOS = (
    'put {"eos_token": "ITS TOKEN"} into tokenizer_config.json beside its tokenizer.json, and give that folder '
    "(a SentencePiece .model has to be trained with one)"
)


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer and what a corpus has to know of it.

    `backend` is a `tokenizers.Tokenizer`; `fingerprint` (16 hexadecimal digits) names the ids that it gives to text and
    its EOS, in whatever form it was stored and however many `<meta_lang_i>` (`num_meta_lang_tokens`) it holds.
    """

    name: str
    backend: Any
    eos_token: str
    text_size: int
    num_meta_lang_tokens: int
    _hf: Any = field(default=None, repr=False)  # as transformers read it; None: it was not asked

    @property
    def eos_id(self) -> int:
        """The id that ends a document."""
        return self.backend.token_to_id(self.eos_token)

    @cached_property
    def tokenizer_json(self) -> str:
        """The text of its tokenizer.json."""
        return self.backend.to_str()

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, as `fingerprint_of` gives them."""
        return fingerprint_of(self.tokenizer_json, self.eos_token)

    @cached_property
    def hf(self) -> Any:
        """The tokenizer as transformers' fast one, which takes half a second to load where nobody has loaded it."""
        if self._hf is not None:
            return self._hf
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast(tokenizer_object=self.backend, eos_token=self.eos_token)

    @property
    def id_space(self) -> IdSpace:
        """The ids of a model with this tokenizer."""
        return IdSpace(self.text_size, self.num_meta_lang_tokens, self.eos_id, self.fingerprint)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of texts joined, (T,) int32, and where each text ends, (n,) int64. No special tokens, no truncation.

        A text that spells a special token ("<|endoftext|>") gets the ids of its characters: no document can end itself.
        """
        return encode_as_text(self.backend, texts)

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """The text of ids, special tokens shown."""
        return self.backend.decode(np.asarray(ids).tolist(), skip_special_tokens=False)

    def with_meta_tokens(self, count: int) -> "TextTokenizer":
        """A copy in which `<meta_lang_i>` is id `text_size + i`, for i below `count`; or raises ConfigError."""
        from tokenizers import AddedToken

        if count == self.num_meta_lang_tokens:
            return self
        if self.num_meta_lang_tokens or count < 0:
            raise ConfigError(
                f"tokenizer {self.name!r} holds {self.num_meta_lang_tokens:,} meta-language tokens and is asked for "
                f"{count:,}; set --num_meta_lang_tokens {self.num_meta_lang_tokens}, or take a tokenizer without them"
            )
        if count > _MOST_META_TOKENS:
            raise ConfigError(
                f"--num_meta_lang_tokens {count:,} is more than a tokenizer holds; give {_MOST_META_TOKENS:,} at most"
            )
        hf = copy.deepcopy(self.hf)
        tokens = [AddedToken(meta_token(symbol), normalized=False, special=True) for symbol in range(count)]
        hf.add_tokens(tokens, special_tokens=True)
        first = hf.convert_tokens_to_ids(meta_token(0))
        if first != self.text_size or len(hf) != self.text_size + count:
            raise ConfigError(
                f"tokenizer {self.name!r} puts its first added token on id {first:,} and not on {self.text_size:,}, "
                "behind its highest id: its ids have gaps. Fill them with named tokens, or take another tokenizer"
            )
        return replace(self, backend=hf.backend_tokenizer, num_meta_lang_tokens=count, _hf=hf)

    def save(self, folder: Path) -> None:
        """Writes the files from which `load_tokenizer` and transformers' `AutoTokenizer` make the same tokenizer."""
        try:
            self.hf.save_pretrained(folder)
        except Exception as error:  # tokenizers raises a bare Exception where the disk is full, OSError as text
            if type(error) is not Exception:
                raise
            raise OSError(f"{folder}: {first_line(error)}") from error


def load_tokenizer(name: str, *, eos_token: str | None = None) -> TextTokenizer:
    """The tokenizer that a name means: a Hugging Face folder, a tokenizer.json, a SentencePiece .model, or a hub name.

    `eos_token` ends a document; None: the tokenizer's own, or the first of the usual names in its vocabulary. Raises
    ConfigError for what cannot be had, for a vocabulary without EOS, and for a SentencePiece model without exact copy.
    """
    path = local_path(name, what="the tokenizer", suffixes=(".json", ".model"), forms=_FORMS)
    backend, hf = _read(path or _from_hub(name), name)
    vocabulary = backend.get_vocab()
    eos = _eos(backend, hf, name, eos_token, vocabulary)
    num_meta = sum(token.startswith("<meta_lang_") for token in vocabulary)
    text_size = max(vocabulary.values(), default=-1) + 1 - num_meta
    if any(vocabulary.get(meta_token(symbol)) != text_size + symbol for symbol in range(num_meta)):
        raise ConfigError(
            f"tokenizer {name!r} holds {num_meta:,} <meta_lang_i> that are not its last {num_meta:,} ids in order; "
            "take the tokenizer without them and set --num_meta_lang_tokens"
        )
    tokenizer = TextTokenizer(name, backend, eos, text_size, num_meta, hf)
    _refuse_spelled_eos(tokenizer)
    return tokenizer


def encode_as_text(backend: Any, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """`TextTokenizer.encode` of a bare `tokenizers.Tokenizer`."""
    _as_written(backend)
    rows = [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(ends[-1]) if rows else 0), ends


def fingerprint_of(serialized: str, eos_token: str) -> str:
    """16 hexadecimal digits that name the ids of text and the EOS of a tokenizer, from the text of its tokenizer.json.

    Ids depend on the model, the normalizer, the pre-tokenizer and the added tokens alone. Settings that are off (null
    or false) count as absent: one that a later `tokenizers` knows, and writes, changes nothing until it is on.
    """
    content = json.loads(serialized, object_hook=_what_is_on)
    parts = {part: content.get(part) for part in ("model", "normalizer", "pre_tokenizer")}
    tokens = [token for token in content.get("added_tokens", []) if not token["content"].startswith("<meta_lang_")]
    return digest_of([parts | {"added_tokens": tokens}, eos_token])[:16]


def _what_is_on(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None and value is not False}


def _read(path: Path, name: str) -> tuple[Any, Any]:
    """The `tokenizers.Tokenizer`, and transformers' one around it (None: not needed for a tokenizer.json)."""
    files = {file.name for file in path.iterdir()} if path.is_dir() else {path.name}
    try:
        if path.is_file() and path.suffix == ".json":
            return _from_json(path), None
        hf = _from_files(path, files)
        return hf.backend_tokenizer, hf
    except ConfigError:
        raise
    except Exception as error:  # transformers and tokenizers raise whatever their parsers do
        reason = first_line(error)
        raise ConfigError(f"{name!r} holds no tokenizer that can be read ({reason}); give {_FORMS}") from error


def _from_json(path: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def _from_files(path: Path, files: set[str]) -> Any:
    from transformers import PreTrainedTokenizerFast

    models = sorted(file for file in files if file.endswith(".model"))
    if "tokenizer.json" in files:
        return PreTrainedTokenizerFast.from_pretrained(str(path))
    if len(models) == 1:
        return _from_sentencepiece(path / models[0] if path.is_dir() else path)
    from transformers import AutoTokenizer  # loads torch, which takes seconds

    auto = AutoTokenizer.from_pretrained(str(path))
    return PreTrainedTokenizerFast(tokenizer_object=auto.backend_tokenizer, **auto.special_tokens_map)


def _from_sentencepiece(path: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    from metalang.text import spm

    backend, special_tokens = spm.convert(path)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special_tokens)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:  # no network, no such name, no leave: whatever the hub's client raises
        raise ConfigError(
            f"{name!r} is nothing on this disk, and the hub did not give it ({first_line(error)}); give {_FORMS}"
        ) from error


def _eos(backend: Any, hf: Any, name: str, eos_token: str | None, vocabulary: dict[str, int]) -> str:
    """The token that ends a document, made a special token of the tokenizer, so that it is saved with it."""
    from tokenizers import AddedToken

    own = hf.eos_token if hf is not None else None
    chosen = eos_token or own or next((token for token in _KNOWN_EOS if token in vocabulary), None)
    if chosen is None:
        raise ConfigError(
            f"tokenizer {name!r} names no end of a document and has none of {', '.join(_KNOWN_EOS)}; {_MEND_EOS}"
        )
    if chosen not in vocabulary:
        raise ConfigError(f"EOS token {chosen!r} is not in the vocabulary of {name!r}; name one that is")
    if hf is None:
        backend.add_special_tokens([AddedToken(chosen, normalized=False, special=True)])
    else:
        hf.add_special_tokens({"eos_token": str(chosen)})
    return str(chosen)


def _refuse_spelled_eos(tokenizer: TextTokenizer) -> None:
    name, eos = tokenizer.name, tokenizer.eos_token
    if tokenizer.eos_id in tokenizer.encode([f"{eos} {_UNKNOWN_CHARACTER}"])[0]:
        kind = type(tokenizer.backend.model).__name__
        raise ConfigError(
            f"tokenizer {name!r} reads {eos!r} or an unknown character in a text as the end of the document "
            f"(its {kind} model makes {eos!r} of it); take a BPE tokenizer, or choose a token that no text "
            f"gives: {_MEND_EOS}"
        )


def _as_written(backend: Any) -> None:
    """Settings that transformers may have left on the backend, and that pickling loses, as our encoding needs them."""
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
