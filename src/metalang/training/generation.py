"""Text from a trained model."""

from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from transformers.utils.logging import disable_progress_bar

from metalang.errors import ConfigError


def continue_text(model: str, prompt: str, *, max_new_tokens: int, temperature: float, seed: int) -> str:
    """The prompt and up to `max_new_tokens` more tokens. Raises ConfigError where there is no complete model."""
    if Path(model).is_dir() and not (Path(model) / "config.json").is_file():
        raise ConfigError(f"{model} is no model folder (no config.json); train with --gather_weights True")
    disable_progress_bar()
    try:
        tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{model} is no model: {str(error).strip().splitlines()[0]}") from None
    set_seed(seed)
    inputs = tokenizer(prompt, return_tensors="pt")
    sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    ids = network.generate(**inputs, max_new_tokens=max_new_tokens, **sampling)
    return tokenizer.decode(ids[0], skip_special_tokens=True)
