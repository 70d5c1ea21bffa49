"""Uniform noise: accept the surest tokens of a canvas, draw the rest anew, until nothing changes.

One of the rules of the loop (`loop.py`), for models whose noise is random tokens and not masks.
Knows logits and the canvas; nothing of the model, of files or of the clock.

Source: huggingface/transformers 5.23.0, models/diffusion_gemma/generation_diffusion_gemma.py,
`EntropyBoundSampler`, `StableAndConfidentStoppingCriteria` and `_denoising_step`; the bound on the
joint entropy is arXiv 2505.24857.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.rules import Step


class RenoiseRule:
    """Each step tempers the logits, draws a token per position, keeps those of low entropy.

    A row's answer is what was most likely at every position in its last step, as in the published
    code, and not what was drawn there. Only the block in progress is looked at and written.

    Args:
        canvas: The batch.
        config: `entropy_bound`, `temperature`, `final_temperature`, `stop_entropy`,
            `stable_steps` and the steps per block.
        noise: Each request's random numbers.
        vocab_size: Random tokens are drawn from all of it.

    Raises:
        UsageError: There is no bound, or the temperature is 0, which leaves nothing to take an
            entropy of.
    """

    def __init__(
        self, *, canvas: Canvas, config: SamplerConfig, noise: Noise, vocab_size: int
    ) -> None:
        if config.entropy_bound is None:
            raise UsageError(
                f"family {canvas.family.name!r} needs entropy_bound; accepted: a number of nats, "
                "such as 0.1"
            )
        if config.temperature <= 0:
            raise UsageError(
                f"entropy_bound needs a temperature above 0, not {config.temperature:g}"
            )
        self.canvas = canvas
        self.config = config
        self.noise = noise
        self.bound = config.entropy_bound
        self.vocab_size = vocab_size
        self.host_syncs = 0
        """Times the host waited for the device, to see which rows are done."""
        self.self_conditioning: Tensor | None = None
        """(batch, rows, vocab): the step before, as tempered logits; None at a block's first."""
        self._likeliest: Tensor | None = None
        self._steps_unchanged = torch.zeros_like(canvas.active, dtype=torch.int64)
        self._settled = torch.zeros_like(canvas.active)

    def prepare(self) -> None:
        """Nothing: a block's random tokens are drawn when its turn comes."""

    def rows(self, block: slice) -> slice:
        """The block."""
        return block

    def steps(self, block: slice) -> Iterator[Step]:
        """Fills the block with random tokens, then steps while a row is unsettled.

        With `stop_entropy` the host waits for the device once a step.
        """
        canvas, count = self.canvas, self.config.steps_per_block
        self.noise.running = [
            canvas.given_columns is None or count > 0 for count in canvas.open_counts(block)
        ]
        canvas.work_on(self.noise.running)
        self.self_conditioning, self._likeliest = None, None
        self._steps_unchanged = torch.zeros_like(canvas.active, dtype=torch.int64)
        self._settled = torch.zeros_like(canvas.active)
        opened = canvas.open(block)
        canvas.write(block, opened, self._random(canvas.tokens[:, block]))
        for index in range(count):
            yield Step(index=index, time=1 - index / count, next_time=1 - (index + 1) / count)
            if self.config.stop_entropy is None:
                continue
            settled: list[bool] = self._settled[:, 0].tolist()
            self.host_syncs += 1
            working = zip(canvas.working, settled, strict=True)
            canvas.work_on([works and not done for works, done in working])
            self.noise.running = canvas.working
            if not any(self.noise.running):
                break

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Accepts and renoises, or writes the answer of the rows for which this is the last step.

        Args:
            prediction: (batch, rows, vocab) logits of the block; overwritten.
            block: The block in progress.
            step: Which of its steps this is.
        """
        if self.config.eos_policy == "forbid":
            prediction[..., list(self.canvas.family.end_ids)] = -torch.inf
        tempered = prediction.float().div_(temperature(self.config, step.index))
        best, likeliest = tempered.max(dim=-1)
        log_p = tempered.log_softmax(dim=-1)
        entropy = entropies(log_p)
        drawn = log_p.add_(self.noise.gumbel(log_p)).argmax(dim=-1)
        entropy, mean = self._of_open(entropy, block)
        self._settle(mean, likeliest, block)
        accepted = within_bound(entropy, self.bound)
        renoised = torch.where(accepted, drawn, self._random(drawn))
        last = step.index == self.config.steps_per_block - 1
        answer = torch.ones_like(self._settled) if last else self._settled
        tokens = torch.where(answer, likeliest, renoised)
        opened = self.canvas.open(block)
        self.canvas.note_broken(block, ~best.isfinite() & opened)
        changed = tokens != self.canvas.tokens[:, block]
        self.canvas.write(block, opened & changed, tokens)
        self.self_conditioning = tempered

    def _of_open(self, entropy: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        """(batch, rows) entropies, none at what is given, and their (batch, 1) mean.

        What is given is not drawn, so it counts neither in the bound nor in the mean.
        """
        if self.canvas.given_columns is None:
            return entropy, entropy.mean(dim=1, keepdim=True)
        given = self.canvas.given[:, block]
        number = (~given).sum(dim=1, keepdim=True).clamp(min=1)
        mean = entropy.masked_fill(given, 0.0).sum(dim=1, keepdim=True) / number
        return entropy.masked_fill(given, torch.inf), mean

    def _settle(self, mean_entropy: Tensor, likeliest: Tensor, block: slice) -> None:
        """Notes the rows whose likeliest tokens no longer change and are sure enough."""
        if self.canvas.given_columns is not None:
            likeliest = likeliest.masked_fill(self.canvas.given[:, block], 0)
        if self.config.stop_entropy is not None and self._likeliest is not None:
            same = (likeliest == self._likeliest).all(dim=1, keepdim=True)
            self._steps_unchanged = torch.where(same, self._steps_unchanged + 1, 0)
            sure = mean_entropy < self.config.stop_entropy
            self._settled = (self._steps_unchanged >= self.config.stable_steps) & sure
        self._likeliest = likeliest

    def _random(self, like: Tensor) -> Tensor:
        """Tokens of the shape of `like`, each of the vocabulary equally likely."""
        # float64, because 24 bits of a float32 do not divide evenly among 200 000 tokens.
        uniform = self.noise.uniform(torch.empty_like(like, dtype=torch.float64))
        return uniform.mul_(self.vocab_size).long().clamp_(max=self.vocab_size - 1)


def temperature(config: SamplerConfig, index: int) -> float:
    """The temperature of step `index` (from 0): a straight line from the first to the final one.

    The final one itself lies one step behind the last, as published: at step i of N it is
    final + (first - final) (N - i) / N.
    """
    first = config.temperature
    final = first if config.final_temperature is None else config.final_temperature
    left = config.steps_per_block - index
    return final + (first - final) * (left / config.steps_per_block)


def entropies(log_p: Tensor) -> Tensor:
    """(..., vocab) log-probabilities to their entropy in nats."""
    lowest = torch.finfo(log_p.dtype).min  # keeps 0 * -inf out of the sum
    return -(log_p.exp() * log_p.clamp(min=lowest)).sum(dim=-1)


def within_bound(entropy: Tensor, bound: float) -> Tensor:
    """The positions of lowest entropy whose joint entropy exceeds the largest by `bound` at most.

    The k surest are accepted while H_1 + ... + H_k - max(H_1, ..., H_k) <= bound, so that they are
    nearly independent (arXiv 2505.24857, the entropy-bounded unmasking rule); the first always is.

    Args:
        entropy: (batch, rows) in nats.
        bound: In nats.

    Returns:
        (batch, rows) bool.
    """
    ascending, order = entropy.sort(dim=-1)
    accepted = ascending.cumsum(dim=-1) - ascending <= bound
    return torch.zeros_like(accepted).scatter_(-1, order, accepted)
