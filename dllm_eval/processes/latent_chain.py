"""Gaussian noise on latents: how much at which time, and the exact step back.

Knows noise levels and latents; knows no model, no token and no canvas. Family loaders build a
chain, the latent sampler and the latent bound read it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, Self, get_args

import torch
from torch import Tensor

from dllm_eval.errors import UsageError, unknown

Schedule = Literal["sqrt", "cosine", "linear"]
Grid = list[tuple[float, float]]
"""(time, next time) of every forward pass; equal where the latents are not to be moved."""

LARGEST_STEP = 0.999
"""The most of a latent's variance that one step of a discrete schedule replaces."""


class LatentChain(Protocol):
    """A variance preserving process: z_t = alpha z_0 + sigma noise, alpha^2 + sigma^2 = 1."""

    def gamma(self, time: Tensor) -> Tensor:
        """log(sigma^2 / alpha^2) at a time in [0, 1], (...) float64; it grows with time."""
        ...

    def grid(self, steps: int) -> Grid:
        """The published time grid of so many sampling steps."""
        ...


def levels(gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Alpha and sigma of a gamma, (...) each."""
    return torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()


def step_back(
    latents: Tensor, clean: Tensor, gamma: Tensor, next_gamma: Tensor, noise: Tensor
) -> Tensor:
    """A draw from q(z_s | z_t, z_0) for s < t.

    arXiv 2107.00630, Eq. 33; the same as Eq. 7 of arXiv 2006.11239 in other letters.

    Args:
        latents: (...) z_t.
        clean: (...) z_0, as the model believes.
        gamma: At t; broadcasts with latents.
        next_gamma: At s.
        noise: (...) standard normal.
    """
    (alpha, _), (next_alpha, next_sigma) = levels(gamma), levels(next_gamma)
    share = -torch.expm1(next_gamma - gamma)
    mean = (1 - share) * next_alpha / alpha * latents + share * next_alpha * clean
    return mean + share.sqrt() * next_sigma * noise


@dataclass(frozen=True, kw_only=True, eq=False)
class SteppedChain:
    """Diffusion-LM's process of T steps (arXiv 2205.14217, appendix A).

    Time is step / T; at time 0 nothing is noise, and chain step t of XiangLi1999/Diffusion-LM
    gaussian_diffusion.py, counted from 0, is time (t + 1) / T.
    """

    keep: Tensor
    """(T + 1,) float64: alpha^2, from 1 downwards."""

    @classmethod
    def build(cls, *, schedule: Schedule, num_steps: int, device: torch.device) -> Self:
        """The chain of `get_named_beta_schedule`.

        Raises:
            UsageError: An unknown schedule, or no step.
        """
        if schedule not in get_args(Schedule):
            raise unknown("noise schedule", schedule, get_args(Schedule))
        if num_steps < 1:
            raise UsageError(f"{num_steps} diffusion steps; accepted: a whole number of at least 1")
        if schedule == "linear":
            low, high = 0.1 / num_steps, 20 / num_steps
            replaced = torch.linspace(low, high, num_steps, dtype=torch.float64)
        else:
            left = [_left(schedule, step / num_steps) for step in range(num_steps + 1)]
            shares = [min(1 - after / before, LARGEST_STEP) for before, after in pairwise(left)]
            replaced = torch.tensor(shares, dtype=torch.float64)
        keep = torch.cat([torch.ones(1, dtype=torch.float64), (1 - replaced).cumprod(dim=0)])
        return cls(keep=keep.to(device))

    @property
    def num_steps(self) -> int:
        """Steps from clean latents to noise."""
        return len(self.keep) - 1

    def gamma(self, time: Tensor) -> Tensor:
        """See `LatentChain`; minus infinity at time 0."""
        keep = self.keep.take((time.double() * self.num_steps).round().long())
        return torch.log1p(-keep) - keep.log()

    def grid(self, steps: int) -> Grid:
        """So many of the chain's steps, evenly spread (respace.py, `space_timesteps`).

        Raises:
            UsageError: More steps than the chain has.
        """
        if steps > self.num_steps:
            raise UsageError(
                f"steps {steps} is more than the {self.num_steps} of the model's noise schedule"
            )
        stride = (self.num_steps - 1) / (steps - 1) if steps > 1 else 1.0
        taken, place = [0], 0.0
        for _ in range(steps):
            # Added up one by one, as there: a product would round otherwise at ties.
            taken.append(round(place) + 1)
            place += stride
        times = [step / self.num_steps for step in reversed(taken)]
        return list(pairwise(times))


def _left(schedule: Schedule, time: float) -> float:
    """alpha^2 at a time, before it is cut into steps."""
    if schedule == "sqrt":
        return 1 - math.sqrt(time + 1e-4)
    return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedChain:
    """Plaid's process in continuous time: gamma is a monotone network between two learned ends.

    igul222/plaid lib/models.py, NoiseSchedule and GammaBounds (arXiv 2305.18619, section 3).
    """

    slopes: Tensor
    """(hidden,) W1 before its softplus."""
    offsets: Tensor
    """(hidden,) b1."""
    heights: Tensor
    """(hidden,) W2 before its softplus."""
    gamma_0: Tensor
    """() gamma at time 0."""
    gamma_1: Tensor
    """() gamma at time 1."""

    def gamma(self, time: Tensor) -> Tensor:
        """See `LatentChain`."""
        ends = self._raw(torch.arange(2, dtype=torch.float64, device=time.device))
        share = (self._raw(time) - ends[0]) / (ends[1] - ends[0])
        low, high = self.gamma_0.double(), self.gamma_1.double()
        return low + (high - low) * share

    def slope(self, time: Tensor) -> Tensor:
        """The derivative of gamma by time, (...) float64."""
        ends = self._raw(torch.arange(2, dtype=torch.float64, device=time.device))
        slopes = torch.nn.functional.softplus(self.slopes.double())
        heights = 0.01 * torch.nn.functional.softplus(self.heights.double())
        bend = 1 - torch.tanh(self._inner(time)) ** 2
        rise = (bend * slopes * heights).sum(dim=-1) / (ends[1] - ends[0])
        return rise * (self.gamma_1.double() - self.gamma_0.double())

    def grid(self, steps: int) -> Grid:
        """The released grid: times from 1 to 0 inclusive, each step 1 / steps long.

        The times lie 1 / (steps - 1) apart, so the latents always hold slightly more noise than
        the next pass is told. sample.py is followed to the letter here, and in its two passes at
        time 0: the first only renews the self-conditioning, the second is read out as tokens.

        Raises:
            UsageError: One step, of which the released grid makes no end.
        """
        if steps < 2:
            raise UsageError(f"steps is {steps}; a grid from noise to text has at least 2")
        times = torch.linspace(1, 0, steps, dtype=torch.float64).tolist()
        moves = [(time, time - 1 / steps) for time in times if time > 0]
        return [*moves, (0.0, 0.0), (0.0, 0.0)]

    def _inner(self, time: Tensor) -> Tensor:
        slopes = torch.nn.functional.softplus(self.slopes.double())
        return (time.double()[..., None] - 0.5) * slopes + self.offsets.double()

    def _raw(self, time: Tensor) -> Tensor:
        heights = 0.01 * torch.nn.functional.softplus(self.heights.double())
        return (torch.tanh(self._inner(time)) * heights).sum(dim=-1)
