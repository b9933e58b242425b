"""Fresh weights as Pythia's own training drew them, which transformers' default does not.

All matrices have `small_init`, std sqrt(2 / 5d) (Nguyen & Salazar 2019, "Transformers without tears", arXiv
1910.05895), but those that write into the residual stream have `wang_init`, std 2 / (L sqrt(d)), with d the hidden size
and L the number of layers: `init_method` and `output_layer_init_method` of Pythia's pythia-14m.yml, by the formulas of
GPT-NeoX' megatron/model/init_functions.py. Biases are 0 and scales of norms are 1, as transformers has them already.
"""

import math

import torch
from transformers import PreTrainedModel

from metalang.seeds import key_for
from metalang.training.roles import roles_of, whole


def pythia_init(model: PreTrainedModel, *, seed: int) -> str:
    """Draws all matrices of a fresh model anew; gives the line of the banner.

    A tensor depends on the seed, its name and its shape alone. Raises ConfigError for a model that is neither GPT-NeoX
    nor like Llama.
    """
    width, layers = model.config.hidden_size, model.config.num_hidden_layers
    small, wang = small_std(width), wang_std(width, layers)
    roles = roles_of(model, "--init pythia")
    for name, parameter in model.named_parameters():
        with whole(parameter), torch.no_grad():
            if parameter.ndim == 2:
                std = wang if roles[name].endswith("output") else small
                parameter.copy_(drawn(parameter.shape, mean=0.0, std=std, names=("init", seed, name)))
    return f"init       pythia: std {small:.4f}, and {wang:.4f} for the outputs of attention and MLP"


def small_std(width: int) -> float:
    """The std of `small_init`.

    >>> round(small_std(128), 4)
    0.0559
    """
    return math.sqrt(2 / (5 * width))


def wang_std(width: int, layers: int) -> float:
    """The std of `wang_init`.

    >>> round(wang_std(128, 6), 4)
    0.0295
    """
    return 2 / (layers * math.sqrt(width))


def drawn(shape: torch.Size, *, mean: float, std: float, names: tuple[str | int, ...]) -> torch.Tensor:
    """Numbers from N(mean, std^2), float32 on the CPU, from the stream of these names."""
    generator = torch.Generator().manual_seed(key_for(*names))
    return torch.randn(shape, generator=generator) * std + mean
