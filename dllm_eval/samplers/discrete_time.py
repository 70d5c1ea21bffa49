"""The rule of D3PM: every position is redrawn at every step from the chain's reverse step.

Knows the canvas, random numbers and the chain's arithmetic; knows no model and no family. The
loop builds one rule per batch and applies it to the logits of each step.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.processes.token_chain import TokenChain
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.rules import Step
from dllm_eval.samplers.unread import refuse_unread


class DiscreteTimeRule:
    """Ancestral sampling of arXiv 2107.03006 (google-research d3pm/text/diffusion.py).

    `discrete_diffusion_predict_fn`: tokens start from the chain's last step; each step draws
    x_to from p(x_to | x_step), and the last one takes its most likely value instead of a draw.
    An absorbing model that believes in the mask token may therefore leave one, as there.

    `temperature` divides the logits of p(x_0 | x_step). 1 is the published rule, 0 its option
    `use_maximum_likelihood_decoding`, which takes the best x_0 for certain; what follows from
    x_0 is drawn in both. A token that an absorbing model has revealed stays, as in the limit of any
    belief; the released code adds 1e-20 to each factor before its logarithm, so that a token whose
    belief is of that size (at 0, any but the best) is drawn anew among rounding leftovers.

    Prompt positions keep their tokens at every step; the released models have no prompts.

    Args:
        canvas: The batch; its open positions are redrawn.
        noise: Random numbers of each request.
        chain: The forward process the model was trained on.
        config: `steps` and `temperature` are read.

    Raises:
        UsageError: More steps than the chain has, or a setting that the rule does not read.
    """

    def __init__(
        self, *, canvas: Canvas, noise: Noise, chain: TokenChain, config: SamplerConfig
    ) -> None:
        refuse_unread(config, canvas.family)
        if config.steps_per_block > chain.num_steps:
            raise UsageError(
                f"steps {config.steps} is {config.steps_per_block} a block, more than the "
                f"{chain.num_steps} steps of the model's chain; pass steps <= "
                f"{chain.num_steps * config.num_blocks}"
            )
        self.canvas = canvas
        self.noise = noise
        self.chain = chain
        self.config = config
        self.host_syncs = 0
        self.self_conditioning: Tensor | None = None

    def prepare(self) -> None:
        """Fills the canvas from the chain's last step."""
        rows = slice(self.canvas.start, self.canvas.start + self.canvas.gen_length)
        area = torch.zeros_like(self.canvas.tokens[:, rows], dtype=torch.float64)
        drawn = self.chain.prior(self.noise.uniform(area))
        self.canvas.write(rows, self.canvas.open(rows), drawn)

    def rows(self, block: slice) -> slice:
        """The block."""
        return block

    def steps(self, block: slice) -> Iterator[Step]:
        """From 1 to 0 in strides as even as whole steps of the chain allow.

        Published strides divide the chain (`step_size`); other counts are rounded to its steps.
        Blocks behind this one stay as the chain's last step left them.
        """
        self.canvas.work_on([count > 0 for count in self.canvas.open_counts(block)])
        count, last = self.config.steps_per_block, self.chain.num_steps
        grid = [round(last * (count - index) / count) / last for index in range(count + 1)]
        for index, (time, next_time) in enumerate(pairwise(grid)):
            yield Step(index=index, time=time, next_time=next_time)

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Redraws the open positions of a block.

        Args:
            prediction: (batch, rows of the block, vocab) logits of x_0.
            block: The canvas columns that `prediction` speaks of.
            step: Where the chain is, and where it goes.
        """
        noisy, still_open = self.canvas.tokens[:, block], self.canvas.open(block)
        logits = prediction.float()
        self.canvas.note_broken(block, ~torch.isfinite(logits).all(dim=-1) & still_open)
        before, after = self._chain_step(step.time), self._chain_step(step.next_time)
        reverse = self.chain.reverse(self._clean(logits), noisy, before, after)
        if step.next_time:
            drawn = (reverse.log() + self.noise.gumbel(reverse)).argmax(dim=-1)
        else:
            drawn = reverse.argmax(dim=-1)
        self.canvas.write(block, still_open & (drawn != noisy), drawn)

    def _clean(self, logits: Tensor) -> Tensor:
        if self.config.temperature > 0:
            return (logits / self.config.temperature).softmax(dim=-1)
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter_(-1, best, 1.0)

    def _chain_step(self, time: float | None) -> Tensor:
        step = round((time or 0.0) * self.chain.num_steps)
        return torch.full((), step, device=self.chain.keep.device)
