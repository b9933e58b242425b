"""Masked diffusion: windows with masks in them, a curriculum of what is masked, networks that see both ways, sampling.

The process is that of Sahoo et al. 2024 ("Simple and Effective Masked Diffusion Language Models", arXiv 2406.07524):
at time t in (0, 1] each predicted id is absorbed by a mask with probability t (the log-linear schedule, alpha = 1 - t),
and the network, which is not told t, predicts what stood there. The negative log-likelihood of a window is at most

    the integral over t of  1/t * E[sum of -log p(id | all that is not masked) over the masked ids]

Ids that are not predicted (the prompt of a mapping, for instance) are context: they are never masked.
"""
