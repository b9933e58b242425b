"""Text from a model trained by masked diffusion: all masks at first, some of them found in each step.

`ancestral` runs the process backwards (Sahoo et al. 2024, section 3.2): in the step from time t to s each mask is found
with probability (t - s) / t. `confident` finds as many in each step, those whose drawn id is likeliest.
"""

from typing import Literal

import torch
from transformers import PreTrainedModel

Sampling = Literal["ancestral", "confident"]


@torch.no_grad()
def fill(
    model: PreTrainedModel, ids: torch.Tensor, *, sampling: Sampling, num_steps: int, temperature: float, seed: int
) -> torch.Tensor:
    """`ids` (L,) with all masks found in `num_steps` forwards at most; others stay. Temperature 0: the likeliest ids.

    `model` sees both ways; of its ids only those below the mask are drawn.
    """
    mask_id = model.config.mask_token_id
    rng = torch.Generator(device=ids.device).manual_seed(seed)
    ids = ids.clone()
    for left in range(num_steps, 0, -1):
        places = (ids == mask_id).nonzero().squeeze(1)
        if not len(places):
            break
        logits = model(input_ids=ids.unsqueeze(0)).logits[0, places, :mask_id].float()
        drawn, certainty = _drawn(logits, temperature, rng)
        found = _found(certainty, left, sampling, rng)
        ids[places[found]] = drawn[found]
    return ids


def _drawn(logits: torch.Tensor, temperature: float, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """An id for each row of logits (n, V), (n,), and how likely it is without a temperature, (n,)."""
    chances = logits.softmax(dim=1)
    if temperature == 0:
        drawn = chances.argmax(dim=1)
    else:
        drawn = (logits / temperature).softmax(dim=1).multinomial(1, generator=rng).squeeze(1)
    return drawn, chances.gather(1, drawn.unsqueeze(1)).squeeze(1)


def _found(certainty: torch.Tensor, left: int, sampling: Sampling, rng: torch.Generator) -> torch.Tensor:
    """Which masks are found when `left` steps are left: numbers of some of the n rows, all of them in the last step."""
    if sampling == "confident":
        return certainty.topk(-(-len(certainty) // left)).indices
    chance = torch.rand(len(certainty), generator=rng, device=certainty.device)
    return (chance < 1 / left).nonzero().squeeze(1)
