"""A fresh model that begins with weights of an earlier one, or with what these have in common with random ones.

`statistics` is the Per_Param_Mean_SD of Wu, Li & Liang 2022 ("Insights into pre-training via simpler synthetic tasks",
arXiv 2206.10139, section 5.1): each tensor is drawn from a normal distribution with the mean and the std of the earlier
tensor of that name, and nothing else of the earlier model is kept.
"""

from typing import Literal

import torch
from transformers import PretrainedConfig, PreTrainedModel

from metalang.errors import MismatchError
from metalang.ids import IdSpace
from metalang.training.diffusion.network import is_diffusion
from metalang.training.earlier import Earlier
from metalang.training.init import drawn
from metalang.training.roles import embedding_names, roles_of, whole

Parts = Literal["all", "body", "attention", "mlp", "statistics"]
Embeddings = Literal["keep", "mean", "fresh", "statistics"]

_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
_OF_DECODERS = ("num_decoder_layers", "decoder_layers")  # T5's and BART's, beside those of the encoder
_DEFAULTS: dict[Parts, Embeddings] = {"all": "keep", "statistics": "statistics"}


_Way = Literal["taken", "statistics", "embeddings keep", "embeddings mean", "fresh"]


def transfer(
    model: PreTrainedModel,
    ids: IdSpace,
    earlier: Earlier,
    *,
    parts: Parts = "all",
    embeddings: Literal["keep", "mean", "fresh"] | None = None,
    seed: int,
) -> tuple[str, ...]:
    """Puts weights of an earlier model into a fresh one, whose ids are `ids`; gives lines of the banner.

    All ranks call it. `embeddings` None: "keep" for all, by statistics for statistics, else "fresh". The row of a mask
    is taken for the mask with "keep" and "mean", and fresh where the earlier model had none. Raises MismatchError where
    the sizes differ.
    """
    _require_same_sizes(model, earlier)
    rows = embeddings or _DEFAULTS.get(parts, "fresh")
    before = earlier.ids() if rows in ("keep", "mean") else None
    masks = _mask_of(earlier.config), _mask_of(model.config)
    ways = _ways(model, parts, rows)
    counts: dict[_Way, list[int]] = {}
    for name, parameter in model.named_parameters():
        way = ways[name]
        with whole(parameter), torch.no_grad():
            counts.setdefault(way, []).append(parameter.numel())
            if way == "taken":
                parameter.copy_(_same(parameter, _of(earlier, name), name, earlier))
            elif way == "statistics":
                parameter.copy_(_alike(parameter, _of(earlier, name), ("statistics", seed, name)))
            elif before is not None and way != "fresh":
                table = _rows(parameter, _of(earlier, name), rows, ids, before)
                parameter.copy_(_with_mask(table, parameter, _of(earlier, name), masks))
    said = (*_lines(counts), *_row_lines(rows, ids, before), *_mask_lines(rows, masks))
    return (f"first      {parts} of {earlier.origin}", *said)


def _mask_of(config: PretrainedConfig) -> int | None:
    """The id of the mask, None for a model that is none of masked diffusion."""
    return config.mask_token_id if is_diffusion(config) else None


def _ways(model: PreTrainedModel, parts: Parts, rows: Embeddings) -> dict[str, _Way]:
    """How each parameter comes by its numbers."""
    embeddings: dict[Embeddings, _Way] = {
        "keep": "embeddings keep",
        "mean": "embeddings mean",
        "statistics": "statistics",
        "fresh": "fresh",
    }
    names, tables = [name for name, _ in model.named_parameters()], embedding_names(model)
    if parts in ("attention", "mlp"):
        roles = roles_of(model, f"--transfer {parts}")
        others: dict[str, _Way] = {name: "taken" if roles[name].startswith(parts) else "fresh" for name in names}
    else:
        others = dict.fromkeys(names, "statistics" if parts == "statistics" else "taken")
    return {name: embeddings[rows] if name in tables else others[name] for name in names}


def _of(earlier: Earlier, name: str) -> torch.Tensor:
    if name not in earlier.tensors:
        raise MismatchError(f"--init_from {earlier.place} has no {name}; give a model of the same architecture")
    return earlier.tensors[name]


def _same(parameter: torch.Tensor, tensor: torch.Tensor, name: str, earlier: Earlier) -> torch.Tensor:
    if tensor.shape != parameter.shape:
        raise MismatchError(
            f"{name} is {tuple(tensor.shape)} in --init_from {earlier.place} and {tuple(parameter.shape)} in this "
            "model; take the architecture of then"
        )
    return tensor


def _alike(parameter: torch.Tensor, tensor: torch.Tensor, names: tuple[str | int, ...]) -> torch.Tensor:
    mean, std = tensor.double().mean().item(), tensor.double().std(correction=0).item()
    return drawn(parameter.shape, mean=mean, std=std, names=names)


def _rows(
    parameter: torch.Tensor, tensor: torch.Tensor, rows: Embeddings, ids: IdSpace, before: IdSpace
) -> torch.Tensor:
    """An embedding, (rows, width), with rows of an earlier one; padding rows stay fresh where the ids differ."""
    if rows == "mean":
        return (
            tensor[: before.text_size + before.meta_size].double().mean(dim=0).to(parameter.dtype).expand_as(parameter)
        )
    if ids == before and tensor.shape == parameter.shape:
        return tensor
    table = parameter.detach().clone()
    num_text, num_symbols = _shared(ids, before)
    table[:num_text] = tensor[:num_text]
    table[ids.text_size :][:num_symbols] = tensor[before.text_size :][:num_symbols]
    table[ids.eos_id] = tensor[before.eos_id]
    return table


def _with_mask(
    table: torch.Tensor, fresh: torch.Tensor, earlier: torch.Tensor, masks: tuple[int | None, int | None]
) -> torch.Tensor:
    """An embedding (rows, width) with the earlier row of the mask, or a fresh one: there it was padding."""
    then, now = masks
    if now is None:
        return table
    table = table.clone()
    table[now] = fresh[now] if then is None else earlier[then]
    return table


def _shared(ids: IdSpace, before: IdSpace) -> tuple[int, int]:
    return min(ids.text_size, before.text_size), min(ids.meta_size, before.meta_size)


def _require_same_sizes(model: PreTrainedModel, earlier: Earlier) -> None:
    ours, theirs = model.config.to_dict(), earlier.config.to_dict()
    names = model.config.attribute_map  # hidden_size is d_model in T5, n_embd in GPT-2
    for size in ("model_type", *(names.get(size, size) for size in _SIZES), *_OF_DECODERS):
        if ours.get(size) != theirs.get(size):
            raise MismatchError(
                f"--init_from {earlier.place} has {size} {theirs.get(size)} and this model {ours.get(size)}; give "
                "--model_name_or_path the architecture of then"
            )


def _lines(counts: dict[_Way, list[int]]) -> tuple[str, ...]:
    """A line for each way that tensors came by their numbers."""
    return tuple(
        f"           {way}: {len(sizes):,} tensor{'s' if len(sizes) > 1 else ''}, {sum(sizes):,} parameters"
        for way, sizes in counts.items()
    )


def _row_lines(rows: Embeddings, ids: IdSpace, before: IdSpace | None) -> tuple[str, ...]:
    if rows != "keep" or before is None:
        return ()
    num_text, num_symbols = _shared(ids, before)
    kept = f"{num_text:,} of {ids.text_size:,} text ids, {num_symbols:,} of {ids.meta_size:,} symbols"
    line = f"           rows kept: {kept}"
    if ids.tokenizer != before.tokenizer:
        line += f"; text ids were those of another tokenizer ({before.tokenizer} then, {ids.tokenizer} now)"
    return (line,)


def _mask_lines(rows: Embeddings, masks: tuple[int | None, int | None]) -> tuple[str, ...]:
    """What became of the mask, and whether the earlier model saw what this one does."""
    then, now = masks
    if then is not None and now is not None:
        return ("           row of the mask kept",) if rows in ("keep", "mean") else ()
    if now is not None:
        return ("           the earlier model had no mask, and saw only what stands before",)
    return ("           the earlier model saw both ways, this one sees only what stands before",) if then else ()
