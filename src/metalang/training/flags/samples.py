"""Flags: what the model says on the way."""

import math
from dataclasses import dataclass, field

from metalang.errors import ConfigError


@dataclass
class SampleArguments:
    """What the model says on the way."""

    _argument_group_name = "samples"

    sample_steps: int | None = field(
        default=None,
        metadata={
            "help": "every so many steps the model continues --sample_prompts and answers a few rows of the evaluated "
            "functions: to the console, to samples.jsonl in --output_dir and to the trackers; default: never"
        },
    )
    sample_prompts: list[str] = field(
        default_factory=lambda: ["The"], metadata={"help": "texts to continue; several, each in quotes"}
    )
    sample_tokens: int = field(default=40, metadata={"help": "tokens that continue a prompt, at most"})
    sample_temperature: float = field(
        default=0.0,
        metadata={
            "help": "0: the likeliest token each time; above, drawn from the softmax of logits / temperature, by a "
            "stream of its own: the training does not change. Functions are always answered by the likeliest"
        },
    )

    def __post_init__(self) -> None:
        if self.sample_steps is not None and self.sample_steps < 1:
            raise ConfigError(f"--sample_steps {self.sample_steps} is no interval; give 1 or more, such as 1000")
        if self.sample_tokens < 1:
            raise ConfigError(f"--sample_tokens {self.sample_tokens} adds nothing; give 1 or more, such as 40")
        if not 0 <= self.sample_temperature < math.inf:
            raise ConfigError(
                f"--sample_temperature {self.sample_temperature} is no temperature; give 0 (the likeliest token) or "
                "more"
            )
        if "" in self.sample_prompts:
            raise ConfigError("--sample_prompts has an empty text; give texts to continue, such as 'The'")
