"""How much noise there is at a time between 0 (text) and 1 (almost all masks).

Knows the schedule that MDLM, SEDD and BD3-LM were published with; knows no sampler and no model.
`samplers/transition.py` asks for noise between two times, `adapters/bodies/dit.py` tells the model
how much is left.
"""

import torch
from torch import Tensor

EPSILON = 1e-3
"""At time 1 a position is masked with probability 1 - EPSILON, so that its noise is finite."""


def total_noise(time: Tensor) -> Tensor:
    """The log-linear schedule, sigma(t) = -log(1 - (1 - EPSILON) t).

    A position is masked at time t with probability 1 - exp(-sigma(t)) = (1 - EPSILON) t.

    Args:
        time: In [0, 1], any shape.

    Source: SEDD (arXiv 2310.16834, section 5.1); LogLinearNoise of noise_lib.py in
        louaaron/Score-Entropy-Discrete-Diffusion, commit 0605786d.
    """
    return -torch.log1p(-(1 - EPSILON) * time)


def noise_rate(time: Tensor) -> Tensor:
    """The schedule's slope, d sigma / d t = (1 - EPSILON) / (1 - (1 - EPSILON) t)."""
    return (1 - EPSILON) / (1 - (1 - EPSILON) * time)
