"""SentencePiece models as `tokenizers` tokenizers that give the same ids, or a refusal that says why.

SentencePiece's BPE joins the adjacent pair whose joint piece has the best score, the leftmost of equals. `tokenizers`
joins the pair of the best rank, so every pair that gives a piece becomes a merge, ranked by the score of the piece.
Pieces that text cannot make (control, unknown, byte) get no merge. No pre-tokenizer: a merge may cross any character.
"""

from pathlib import Path
from typing import Any

from metalang.errors import ConfigError

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_BPE = 2
_MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}
_SPACE = "▁"

_LINES = (
    'The quick brown fox, 3.14159 and 1,000,000; don\'t — "stop" (e-mail: a.b@c.org)!',
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка-2024: 15 °C, №7 «тест».",
    "def f(x: int) -> str:\n\tif x % 2 == 0:\n\t    return f'{x:>8}'  # даже так\n        pass\n",
    "😀 👩‍👩‍👧‍👦 🇷🇺 中文，日本語。 한국어 العربية ά é ö ﬁ ½ Ａ\u00a0\u200b\u3000\ufeff\u2028|",
    "<unk> <s> </s> <pad> <0x0A> <0x41> <|endoftext|> ▁ ▁a▁▁b <s></s>",
    "https://example.org/a_b?c=d&e=%20#f 12345678901234567890 aaaaaaaaaaaaa ======== -------- ........ ______",
    "\x00\x01\x7f\x80 end",
)
_WHITESPACE = ("", " ", "\n", "\t", "\r\n", "\n\n\n", " \n \n", "\t\t x\t", " a", "a ", "  a  b   c    d  ", "a\n\n  b")
PROBES = (
    _LINES
    + _WHITESPACE
    + tuple(f"{' ' * length}x{' ' * length}" for length in range(3, 40))
    + tuple("aeоа01=-."[length % 9] * length for length in range(2, 40))
)


def convert(path: Path) -> tuple[Any, dict[str, str]]:
    """A `tokenizers.Tokenizer` with the ids of a SentencePiece model, and its special tokens by transformers' names.

    Raises ConfigError for a file that is no model, and for a model whose ids `tokenizers` cannot reproduce.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    content = path.read_bytes()
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
        proto.ParseFromString(content)
    except Exception:
        raise ConfigError(f"{path} is no SentencePiece model; give the .model file that SentencePiece wrote") from None
    model_type = proto.trainer_spec.model_type
    if model_type != _BPE:
        raise ConfigError(
            f"{path} is a SentencePiece {_MODEL_TYPES[model_type]} model, which cannot be reproduced id by id (a text "
            "that spells a control piece such as </s> would become that piece); give a BPE model, or a tokenizer.json"
        )
    if proto.normalizer_spec.precompiled_charsmap:
        raise ConfigError(
            f"{path} normalizes text ({proto.normalizer_spec.name or 'its own rule'}), and tokenizers does "
            "that otherwise in rare characters; give a model that was trained with --normalization_rule_name identity, "
            "or a tokenizer.json"
        )
    backend = _backend(proto)
    _verify(processor, backend, path, [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED])
    roles = {
        "unk_token": processor.unk_id(),
        "bos_token": processor.bos_id(),
        "eos_token": processor.eos_id(),
        "pad_token": processor.pad_id(),
    }
    return backend, {role: processor.id_to_piece(index) for role, index in roles.items() if index >= 0}


def _backend(proto: Any) -> Any:
    from tokenizers import AddedToken, Tokenizer, models

    spec = proto.trainer_spec
    backend = Tokenizer(
        models.BPE(
            vocab={piece.piece: index for index, piece in enumerate(proto.pieces)},
            merges=_merges(proto),
            unk_token=spec.unk_piece,
            fuse_unk=True,
            byte_fallback=spec.byte_fallback,
        )
    )
    backend.normalizer = _normalizer(proto.normalizer_spec)
    backend.decoder = _decoder(proto.normalizer_spec.add_dummy_prefix)
    backend.add_tokens(
        [
            AddedToken(piece.piece, normalized=False, special=piece.type != _USER_DEFINED)
            for index, piece in enumerate(proto.pieces)
            if piece.type in (_CONTROL, _USER_DEFINED) or index == spec.unk_id
        ]
    )
    return backend


def _merges(proto: Any) -> list[tuple[str, str]]:
    """Every pair of pieces that gives a piece, in the order in which SentencePiece prefers them."""
    score_of = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    ranked = sorted(score_of, key=lambda piece: -score_of[piece])
    cuts = ((piece[:cut], piece[cut:]) for piece in ranked for cut in range(1, len(piece)))
    return [(left, right) for left, right in cuts if left in score_of and right in score_of]


def _normalizer(spec: Any) -> Any:
    from tokenizers import Regex, normalizers

    steps = []
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])


def _decoder(has_prefix: bool) -> Any:
    from tokenizers import decoders

    strip = [decoders.Strip(" ", 1, 0)] if has_prefix else []
    return decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip])


def _verify(processor: Any, backend: Any, path: Path, user_defined: list[str]) -> None:
    probes = [*PROBES, *(f"a {symbol}{symbol} b{symbol}" for symbol in user_defined), *user_defined]
    backend.encode_special_tokens = True
    for probe, encoding in zip(probes, backend.encode_batch_fast(probes, add_special_tokens=False), strict=True):
        if processor.encode(probe) != encoding.ids:
            theirs, ours = processor.encode(probe, out_type=str), backend.encode(probe, add_special_tokens=False).tokens
            raise ConfigError(
                f"{path} cannot be reproduced id by id: {probe!r} is {theirs} to SentencePiece and {ours} to "
                "tokenizers. Train a BPE model with --add_dummy_prefix false --normalization_rule_name identity, or "
                "give a tokenizer.json"
            )
