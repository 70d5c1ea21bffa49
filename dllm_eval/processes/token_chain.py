"""A Markov chain that noises tokens in a fixed number of steps, and its exact reverse step.

Knows probabilities of tokens; knows no model, no canvas and no likelihood. A family loader builds
it, the sampler and the bound of discrete-time families read it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from dllm_eval.errors import UsageError, unknown

Kind = Literal["absorbing", "uniform"]
Schedule = Literal["standard", "cosine"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenChain:
    """D3PM's forward process (arXiv 2107.03006, section 3.1 and appendix A.2.1, A.2.2).

    Over t steps a token stays what it was with probability keep[t]; else an absorbing chain puts
    the mask in its place, a uniform one a token drawn from the whole vocabulary (the old one among
    them). The transition matrix from step s to t has that form with keep[t] / keep[s].
    """

    kind: Kind
    keep: Tensor
    """(steps + 1,) float64, from 1 down to exactly 0: after the last step nothing is left."""
    vocab_size: int
    mask_id: int
    """Read where the chain is absorbing."""

    @classmethod
    def build(
        cls,
        *,
        kind: Kind,
        schedule: Schedule,
        num_steps: int,
        vocab_size: int,
        mask_id: int,
        device: torch.device,
    ) -> Self:
        """The chain of a schedule.

        Schedules are those of google-research d3pm/text/diffusion.py,
        `create_discrete_diffusion_schedule`, as the share of tokens that step i + 1 replaces:
        "standard" 1 / (steps - i), so that keep falls linearly; "cosine", clipped at 0.999. As
        there (`_create_state`), the last step leaves nothing, whatever the schedule says.

        Raises:
            UsageError: An unknown kind or schedule, or no step.
        """
        if kind not in get_args(Kind):
            raise unknown("kind of discrete diffusion", kind, get_args(Kind))
        if num_steps < 1:
            raise UsageError(f"num_steps is {num_steps}; accepted: a whole number of at least 1")
        if schedule == "standard":
            replaced = [1 / (num_steps - step) for step in range(num_steps)]
        elif schedule == "cosine":
            level = [
                math.cos((step / num_steps + 0.008) / 1.008 * math.pi / 2)
                for step in range(num_steps + 1)
            ]
            replaced = [
                min(max(1 - after / before, 0.0), 0.999) for before, after in pairwise(level)
            ]
        else:
            raise unknown("schedule", schedule, get_args(Schedule))
        kept = torch.cumprod(1 - torch.tensor(replaced, dtype=torch.float64), dim=0)
        keep = torch.cat([torch.ones(1, dtype=torch.float64), kept])
        keep[-1] = 0.0
        return cls(kind=kind, keep=keep.to(device), vocab_size=vocab_size, mask_id=mask_id)

    @property
    def num_steps(self) -> int:
        """Steps from clean text to pure noise."""
        return len(self.keep) - 1

    def prior(self, uniform: Tensor) -> Tensor:
        """Tokens after the last step.

        Args:
            uniform: (...) random numbers in [0, 1).

        Returns:
            (...) int64.
        """
        if self.kind == "absorbing":
            return torch.full_like(uniform, self.mask_id, dtype=torch.int64)
        drawn = (uniform.double() * self.vocab_size).long()
        return drawn.clamp_(max=self.vocab_size - 1)

    def corrupt(self, tokens: Tensor, step: Tensor, uniform: Tensor) -> Tensor:
        """A draw from q(x_step | x_0).

        Args:
            tokens: (...) int64, clean.
            step: Broadcasts with tokens, int64.
            uniform: (..., 2) random numbers in [0, 1): whether, and by what, each is replaced.

        Returns:
            (...) int64.
        """
        stays = uniform[..., 0] < self.keep.take(step)
        return torch.where(stays, tokens, self.prior(uniform[..., 1]))

    def reverse(self, clean: Tensor, noisy: Tensor, step: Tensor, to_step: Tensor) -> Tensor:
        """The distribution of x_to given x_step = noisy and a belief about x_0.

        Proportional, over x_to, to q(x_step | x_to) * sum over x_0 of q(x_to | x_0) * clean(x_0)
        (arXiv 2107.03006, Eq. 4; `sample_and_compute_posterior_q` with x_0 a distribution). Where
        `clean` is certain of one token this is the posterior q(x_to | x_step, x_0) of Eq. 3. It is
        not the average of those posteriors: q(x_step | x_0) weighs them.

        Args:
            clean: (..., vocab) probabilities.
            noisy: (...) int64.
            step: Broadcasts with noisy, int64, 1 to `num_steps`.
            to_step: As step, smaller.

        Returns:
            (..., vocab) probabilities in the type of `clean`.
        """
        before, after = self.keep.take(to_step), self.keep.take(step)
        ratio = (after / before).to(clean.dtype).expand(noisy.shape)[..., None]
        held = before.to(clean.dtype).expand(noisy.shape)[..., None]
        tokens = torch.arange(self.vocab_size, device=noisy.device)
        same = noisy[..., None] == tokens
        if self.kind == "uniform":
            # q(x_to | x_0) summed over the belief, times q(x_step | x_to).
            joint = held * clean + (1 - held) / self.vocab_size
            joint = joint * ((1 - ratio) / self.vocab_size + ratio * same)
            return joint / joint.sum(dim=-1, keepdim=True)
        already = 1 - held * (1 - clean[..., self.mask_id, None])
        joint = torch.where(tokens == self.mask_id, already, (1 - ratio) * held * clean)
        joint = joint / joint.sum(dim=-1, keepdim=True)
        # A token that no mask covers was never touched, however unlikely the model finds it.
        return torch.where((noisy == self.mask_id)[..., None], joint, same.to(clean.dtype))
