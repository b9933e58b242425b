"""What decides a trained tokenizer beside its text."""

from dataclasses import dataclass
from typing import Literal

from metalang.errors import ConfigError

Kind = Literal["sentencepiece", "byte_level"]

SPECIAL_TOKENS: dict[str, tuple[str, ...]] = {
    "sentencepiece": ("<unk>", "<s>", "</s>"),
    "byte_level": ("<|endoftext|>", "<|padding|>"),
}
"""The first ids of each kind, which no text gives."""

_COVERAGE = 0.9995


@dataclass(frozen=True)
class TokenizerSettings:
    """The kind of a tokenizer, its size, and what is always one id.

    `character_coverage` is the share of the characters that get an id of their own, the rest are bytes; None: 0.9995
    for "sentencepiece", while "byte_level" has none. At most `max_bytes` of text are read, an equal share from the
    beginning of each source: SentencePiece holds them in memory.

    >>> TokenizerSettings(1024).character_coverage
    0.9995
    """

    vocab_size: int
    character_coverage: float | None = None
    user_defined_symbols: tuple[str, ...] = ()
    max_bytes: int = 1_000_000_000
    kind: Kind = "sentencepiece"

    def __post_init__(self) -> None:
        if self.kind not in SPECIAL_TOKENS:
            raise ConfigError(f"kind is {self.kind!r}; it can be {', '.join(SPECIAL_TOKENS)}")
        self._check_coverage()
        special = SPECIAL_TOKENS[self.kind]
        smallest = len(special) + 256 + len(self.user_defined_symbols)
        if self.vocab_size <= smallest:
            raise ConfigError(
                f"vocab_size {self.vocab_size:,} leaves no room beside {smallest} reserved ids; give more"
            )
        if self.max_bytes < 1:
            raise ConfigError(f"max_bytes {self.max_bytes} leaves no text; give 1 or more")
        symbols = self.user_defined_symbols
        if clash := set(symbols) & {*special, ""}:
            raise ConfigError(f"user_defined_symbols {sorted(clash)} are reserved; leave them out")
        if twice := sorted(symbol for symbol in set(symbols) if symbols.count(symbol) > 1):
            raise ConfigError(f"user_defined_symbols names {twice} more than once; name each once")

    def _check_coverage(self) -> None:
        if self.kind == "byte_level":
            if self.character_coverage is not None:
                raise ConfigError(
                    f"character_coverage {self.character_coverage} has no meaning for byte_level, whose every "
                    "character is bytes; leave it out, or choose --kind sentencepiece"
                )
            return
        if self.character_coverage is None:
            object.__setattr__(self, "character_coverage", _COVERAGE)
        if not 0 < self.character_coverage <= 1:
            raise ConfigError(f"character_coverage {self.character_coverage} does not lie in (0, 1]; 0.9995 is usual")


def too_large(vocab_size: int, at_most: int) -> ConfigError:
    """The refusal of a vocabulary that the text cannot fill."""
    return ConfigError(
        f"vocab_size {vocab_size:,} is too much for this text; it gives at most {at_most:,} ids. "
        "Ask for that, or add text"
    )
