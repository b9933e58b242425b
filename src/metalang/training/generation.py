"""Text from a trained model."""

import math
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.utils.logging import disable_progress_bar

from metalang.errors import ConfigError
from metalang.training.diffusion.network import is_diffusion, see_both_ways
from metalang.training.diffusion.sampling import Sampling, fill
from metalang.training.model import explained, find_model, positions_of

_FORMS = "a model folder (--output_dir of a run with --gather_weights True), or a hub name"


def continue_text(
    model: str,
    prompt: str,
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    sampling: Sampling | None = None,
    num_steps: int | None = None,
) -> str:
    """The prompt and up to `max_new_tokens` more tokens, or an encoder-decoder's answer, from the GPU if there is one.

    `sampling` and `num_steps` (None: "ancestral", and a step for each token) are of models trained by masked diffusion.
    Raises ConfigError where there is no complete model, or where the rest asks for nothing.
    """
    _check(prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if num_steps is not None and num_steps < 1:
        raise ConfigError(f"--num_steps {num_steps} finds no mask; give 1 or more, such as 40")
    place = find_model(model, what="the model", forms=_FORMS)
    disable_progress_bar()
    with explained(f"the model {model} cannot be loaded", f"give {_FORMS}"):
        config = AutoConfig.from_pretrained(place)
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        tokenizer, network = AutoTokenizer.from_pretrained(place), auto.from_pretrained(place).eval()
    _require_room(config, len(tokenizer(prompt)["input_ids"]), max_new_tokens)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    if is_diffusion(config):
        ids = _filled(
            network,
            tokenizer,
            prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            sampling=sampling or "ancestral",
            num_steps=num_steps or max_new_tokens,
        )
        return tokenizer.decode(ids, skip_special_tokens=True)
    if sampling is not None or num_steps is not None:
        raise ConfigError(
            f"--sampling and --num_steps are of models trained by masked diffusion, and {model} is none; leave them out"
        )
    inputs = tokenizer(prompt, return_tensors="pt").to(network.device)
    if config.is_encoder_decoder:
        inputs = _ended(inputs["input_ids"], tokenizer.eos_token_id)
    kind = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    set_seed(seed)
    ids = network.generate(**inputs, max_new_tokens=max_new_tokens, **kind)
    return tokenizer.decode(ids[0], skip_special_tokens=True)


def _filled(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, *, max_new_tokens: int, **how: Any
) -> torch.Tensor:
    """Ids of the prompt and of `max_new_tokens` masks behind it, all found, up to the first EOS among these."""
    see_both_ways(network, network.config.mask_token_id)
    start = tokenizer(prompt)["input_ids"]
    masks = [network.config.mask_token_id] * max_new_tokens
    ids = fill(network, torch.tensor(start + masks, device=network.device), **how)
    ends = (ids[len(start) :] == tokenizer.eos_token_id).nonzero()
    return ids[: len(start) + int(ends[0])] if len(ends) else ids


def _ended(ids: torch.Tensor, eos_id: int) -> dict[str, torch.Tensor]:
    """What an encoder reads of ids (1, n): EOS stands behind them, as in training."""
    ids = torch.cat([ids, ids.new_full((1, 1), eos_id)], dim=1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _require_room(config: PretrainedConfig, num_read: int, num_new: int) -> None:
    """Raises ConfigError for more tokens than a model has positions: behind them it is not the one that was trained."""
    positions = positions_of(config)
    if positions is not None and num_read + num_new > positions:
        raise ConfigError(
            f"--max_new_tokens {num_new} behind a prompt of {num_read} tokens are more than the {positions} positions "
            f"of the model; give at most {positions - num_read}"
        )


def _check(prompt: str, *, max_new_tokens: int, temperature: float, seed: int) -> None:
    if not prompt:
        raise ConfigError("--prompt is empty; give the text to continue, such as 'The'")
    if max_new_tokens < 1:
        raise ConfigError(f"--max_new_tokens {max_new_tokens} adds nothing; give 1 or more, such as 40")
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"--temperature {temperature} is no temperature; give 0 (the likeliest token) or more")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed {seed} is no seed; give 0 to {2**32 - 1}, such as 0")
