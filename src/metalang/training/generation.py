"""Text from a trained model."""

import math

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from transformers.utils.logging import disable_progress_bar

from metalang.errors import ConfigError
from metalang.training.model import explained, find_model

_FORMS = "a model folder (--output_dir of a run with --gather_weights True), or a hub name"


def continue_text(model: str, prompt: str, *, max_new_tokens: int, temperature: float, seed: int) -> str:
    """The prompt and up to `max_new_tokens` more tokens, from the GPU if there is one.

    Raises ConfigError where there is no complete model, or where the rest asks for nothing.
    """
    _check(prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    place = find_model(model, what="the model", forms=_FORMS)
    disable_progress_bar()
    with explained(f"the model {model} cannot be loaded", f"give {_FORMS}"):
        tokenizer, network = AutoTokenizer.from_pretrained(place), AutoModelForCausalLM.from_pretrained(place)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    inputs = tokenizer(prompt, return_tensors="pt").to(network.device)
    sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    set_seed(seed)
    ids = network.generate(**inputs, max_new_tokens=max_new_tokens, **sampling)
    return tokenizer.decode(ids[0], skip_special_tokens=True)


def _check(prompt: str, *, max_new_tokens: int, temperature: float, seed: int) -> None:
    if not prompt:
        raise ConfigError("--prompt is empty; give the text to continue, such as 'The'")
    if max_new_tokens < 1:
        raise ConfigError(f"--max_new_tokens {max_new_tokens} adds nothing; give 1 or more, such as 40")
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"--temperature {temperature} is no temperature; give 0 (the likeliest token) or more")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed {seed} is no seed; give 0 to {2**32 - 1}, such as 0")
