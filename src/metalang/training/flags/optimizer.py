"""Flags of the optimizer, before anything is made: torch finds fault with them in a traceback, or not at all."""

import math

import torch
from transformers import Trainer, TrainingArguments

from metalang.errors import ConfigError
from metalang.text.names import first_line


def require_optimizer(run: TrainingArguments) -> None:
    """Raises ConfigError for numbers that no optimizer takes, and for an --optim whose package is missing."""
    if not 0 <= run.learning_rate < math.inf:
        raise ConfigError(f"--learning_rate {run.learning_rate:g} is no learning rate; give 0 or more, such as 1e-3")
    if not 0 <= run.weight_decay < math.inf:
        raise ConfigError(f"--weight_decay {run.weight_decay:g} is no weight decay; give 0 or more, such as 0.1")
    if not 0 <= run.max_grad_norm < math.inf:
        raise ConfigError(f"--max_grad_norm {run.max_grad_norm:g} is no norm; give 1, or 0 to clip nothing")
    if run.optim_target_modules:
        return  # of layers of a model, which is not there yet
    try:
        kind, settings = Trainer.get_optimizer_cls_and_kwargs(run)
        kind([torch.nn.Parameter(torch.zeros(1))], **settings)
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(
            f"--optim {run.optim.value} with --adam_beta1 {run.adam_beta1:g}, --adam_beta2 {run.adam_beta2:g}, "
            f"--adam_epsilon {run.adam_epsilon:g} cannot be made ({first_line(error)}); mend them, or leave them out"
        ) from None
