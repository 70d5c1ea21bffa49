"""The rule of continuous families: latents are denoised, and read out as tokens at the end.

Knows the canvas, random numbers and Gaussian noise; knows no model and no family. What a loaded
continuous model offers is `LatentDenoiser`; the loop builds one rule per batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.processes.latent_chain import LatentChain, levels, step_back
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.rules import Step
from dllm_eval.samplers.unread import refuse_unread


@runtime_checkable
class LatentDenoiser(Protocol):
    """What the latent sampler and the latent bound need of a continuous model."""

    @property
    def family(self) -> Family:
        """The facts in which this model differs from others; its noise is "continuous"."""
        ...

    @property
    def device(self) -> torch.device:
        """Where token ids and latents have to be."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of tokens that latents are read out as."""
        ...

    @property
    def latent_width(self) -> int:
        """Numbers per position of the latents."""
        ...

    @property
    def chain(self) -> LatentChain:
        """The forward process."""
        ...

    @property
    def holds_prompts(self) -> bool:
        """True: prompt positions hold their embeddings; False: the model is pulled towards them."""
        ...

    def embed(self, token_ids: Tensor) -> Tensor:
        """(...) ids -> (..., latent_width) latents without noise."""
        ...

    def predict(
        self,
        token_ids: Tensor,
        *,
        latents: Tensor,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        """One forward pass.

        Args:
            token_ids: (batch, length) int64, `NO_MASK` at the positions to denoise.
            latents: (batch, length, latent_width): z_t; behind it, for a self-conditioned family,
                what the clean latents were predicted to be one step before.
            valid: (batch, length) bool, False at padding; None means that nothing is padded.
            time: (batch,) in [0, 1].

        Returns:
            (batch, length, 2 * latent_width + vocab_size), see `LatentPrediction`.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LatentPrediction:
    """What a forward pass says about every position."""

    clean: Tensor
    """(batch, length, latent_width) the latents without noise."""
    pull: Tensor
    """(batch, length, latent_width) what guidance towards the prompt adds to `clean`."""
    logits: Tensor
    """(batch, length, vocab) the tokens that the clean latents stand for."""

    def packed(self) -> Tensor:
        """All three behind each other, as one tensor crosses the loop."""
        return torch.cat([self.clean, self.pull, self.logits], dim=-1)

    @classmethod
    def unpacked(cls, packed: Tensor, width: int) -> "LatentPrediction":
        """The inverse of `packed`."""
        return cls(
            clean=packed[..., :width],
            pull=packed[..., width : 2 * width],
            logits=packed[..., 2 * width :],
        )


def read_latents(denoiser: LatentDenoiser, canvas: Canvas, step: Step) -> Tensor:
    """One pass over the latents that the rule has laid out, a packed `LatentPrediction`."""
    if canvas.latents is None:
        raise TypeError("no latents were laid out")
    # In float64, as noise levels move fast near the ends of time.
    time = torch.full(
        (len(canvas.tokens),),
        step.time or 0.0,
        dtype=torch.float64,
        device=canvas.tokens.device,
    )
    return denoiser.predict(canvas.tokens, latents=canvas.latents, valid=canvas.valid, time=time)


class LatentRule:
    """Ancestral sampling of latents, in float64, and the most likely tokens at the end.

    z_s is drawn from q(z_s | z_t, z_0) at the predicted z_0: `p_sample` of Diffusion-LM's
    gaussian_diffusion.py (XiangLi1999/Diffusion-LM, commit 759889d5) and the sampler of Plaid's
    sample.py (igul222/plaid, commit e7d5cf87), which are the same step on other time grids.

    `temperature` divides the predicted noise: Plaid's `score_temp`, published as 0.9; at 1 it
    leaves the prediction as it is, which is Diffusion-LM's rule.

    A model that holds prompts sees their embeddings without noise at every step but the first, at
    which they are noised: `p_sample_loop_progressive_infill`, whose lines that noise them at every
    step are commented out. Otherwise the prompt's latents are denoised with the rest, and what the
    model adds as `pull` is all that makes them the prompt (Plaid's token guidance).

    Args:
        canvas: The batch; its open positions are written at the last step.
        noise: Random numbers of each request.
        denoiser: Read for its chain, width and embeddings; never run here.
        config: `steps` and `temperature` are read.

    Raises:
        UsageError: Blocks, temperature 0, more steps than the chain has, or a setting that the rule
            does not read.
    """

    def __init__(
        self, *, canvas: Canvas, noise: Noise, denoiser: LatentDenoiser, config: SamplerConfig
    ) -> None:
        refuse_unread(config, canvas.family)
        if config.num_blocks > 1:
            raise UsageError(
                f"family {canvas.family.name!r} denoises the whole canvas at once: leave "
                f"block_length unset, not {config.block_length}"
            )
        if config.temperature <= 0:
            raise UsageError(
                f"family {canvas.family.name!r} divides the predicted noise by temperature, which "
                f"is {config.temperature:g}; pass a number above 0"
            )
        self.canvas = canvas
        self.noise = noise
        self.denoiser = denoiser
        self.config = config
        self.host_syncs = 0
        self.self_conditioning: Tensor | None = None
        self.grid = denoiser.chain.grid(config.steps)
        self._latents = torch.zeros(0)

    def prepare(self) -> None:
        """Draws the latents of every position; tokens stay unknown until the last step."""
        canvas, whole = self.canvas, self.rows(slice(0))
        canvas.write(whole, canvas.open(whole), torch.full_like(canvas.tokens, NO_MASK))
        self._latents = self._normal()
        start = self._gamma(1.0)
        if self.denoiser.holds_prompts:
            alpha, sigma = levels(start)
            self._hold(alpha * self._prompt() + sigma * self._latents)
        self._show(torch.zeros_like(self._latents))

    def rows(self, block: slice) -> slice:
        """The whole canvas, prompts included."""
        del block
        return slice(0, self.canvas.tokens.shape[1])

    def steps(self, block: slice) -> Iterator[Step]:
        """The family's grid."""
        del block
        for index, (time, next_time) in enumerate(self.grid):
            yield Step(index=index, time=time, next_time=next_time)

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Moves the latents one step on; the last step writes tokens.

        Args:
            prediction: (batch, length, 2 * latent_width + vocab), a packed `LatentPrediction`.
            block: The canvas columns.
            step: Where the process is, and where it goes.
        """
        said = LatentPrediction.unpacked(prediction, self.denoiser.latent_width)
        # A model that is pulled towards prompts looks on the host whether there are any.
        self.host_syncs += not self.denoiser.holds_prompts
        may_change = self.canvas.open(block)
        broken = ~torch.isfinite(prediction).all(dim=-1)
        self.canvas.note_broken(block, broken[:, block] & may_change)
        time, next_time = step.time or 0.0, step.next_time or 0.0
        if next_time < time:
            self._move(said, time, next_time)
        self._show(said.clean.double())
        if step.index == len(self.grid) - 1:
            self.canvas.write(block, may_change, said.logits[:, block].argmax(dim=-1))

    def _move(self, said: LatentPrediction, time: float, next_time: float) -> None:
        gamma = self._gamma(time)
        alpha, sigma = levels(gamma)
        predicted_noise = (self._latents - alpha * said.clean.double()) / sigma
        clean = (self._latents - sigma * predicted_noise / self.config.temperature) / alpha
        clean = clean + said.pull.double()
        self._latents = step_back(
            self._latents, clean, gamma, self._gamma(next_time), self._normal()
        )
        if self.denoiser.holds_prompts:
            self._hold(self._prompt())

    def _hold(self, latents: Tensor) -> None:
        self._latents = torch.where(self.canvas.given[..., None], latents, self._latents)

    def _prompt(self) -> Tensor:
        return self.denoiser.embed(self.canvas.tokens.clamp(min=0)).double()

    def _show(self, predicted: Tensor) -> None:
        """Lays out what the model is to see next."""
        if self.canvas.family.self_conditioned:
            self.canvas.latents = torch.cat([self._latents, predicted], dim=-1)
        else:
            self.canvas.latents = self._latents

    def _gamma(self, time: float) -> Tensor:
        device = self.canvas.tokens.device
        # Filled in on the device: a copy of a number from the host would wait for it.
        return self.denoiser.chain.gamma(torch.full((), time, dtype=torch.float64, device=device))

    def _normal(self) -> Tensor:
        """(batch, length, latent_width) float64 noise.

        Each request draws for its own positions alone, so that padding changes nothing.
        """
        canvas, width = self.canvas, self.denoiser.latent_width
        out = torch.zeros(
            *canvas.tokens.shape, width, dtype=torch.float64, device=canvas.tokens.device
        )
        for row, (prompt, start) in enumerate(zip(canvas.prompts, canvas.starts, strict=True)):
            own = slice(start - len(prompt.prefix), start + canvas.gen_length + len(prompt.suffix))
            out[row, own].normal_(generator=self.noise.generators[row])
        return out
