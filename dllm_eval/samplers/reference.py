"""LLaDA's published proposal rule, kept to the letter so that results can be compared.

Source: `generate.py` of ML-GSAI/LLaDA, commit b7e6c356. Noise is float64 and drawn for every
position of the canvas, the softmax runs in the logits' own dtype, and nothing hides the mask
token. One slip of the published code is kept: with a temperature above 0, `eos_policy: last`
lowers the confidence of the end-of-turn token alone, because the two names in its chained
assignment are then different tensors.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dllm_eval.families import Family
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.proposal import Prediction, Proposal


def propose_reference(
    logits: Tensor,
    config: SamplerConfig,
    family: Family,
    noise: Noise,
    lengths: Sequence[slice],
) -> Proposal:
    """As `proposal.propose`, over the whole canvas; `confidence` is the published score.

    Args:
        logits: (batch, length, vocab) of every position; overwritten.
        config: The sampler's settings; low_confidence or random.
        family: Which ids are special.
        noise: Each request's generator.
        lengths: Where each row's own tokens lie, so that padding draws no noise.
    """
    if config.eos_policy == "forbid":
        logits[..., family.eos_id] = -torch.inf
    noisy = _add_noise(logits, config.temperature, noise, lengths)
    tokens = noisy.argmax(dim=-1)
    broken = ~noisy.gather(-1, tokens[..., None])[..., 0].isfinite()
    if config.eos_policy == "last":
        hidden = family.end_ids if config.temperature == 0 else family.end_ids[1:]
        for end_id in hidden:
            logits[..., end_id] = -torch.inf
    if config.sampler == "random":
        score = torch.zeros(tokens.shape, device=tokens.device)
        for row, generator, own in _drawing(score, noise, lengths):
            row[own] = torch.rand(row[own].shape, generator=generator, device=row.device)
    else:
        score = logits.softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]
    prediction = Prediction(logits=logits)
    return Proposal(tokens=tokens, confidence=score, broken=broken, prediction=prediction)


def _add_noise(
    logits: Tensor,
    temperature: float,
    noise: Noise,
    lengths: Sequence[slice],
) -> Tensor:
    if temperature == 0:
        return logits
    noisy = logits.to(torch.float64)
    for row, generator, own in _drawing(noisy, noise, lengths):
        drawn = torch.rand(
            row[own].shape, generator=generator, device=row.device, dtype=torch.float64
        )
        row[own] = row[own].exp() / (-drawn.log()) ** temperature
    return noisy


def _drawing(
    values: Tensor, noise: Noise, lengths: Sequence[slice]
) -> Iterator[tuple[Tensor, torch.Generator, slice]]:
    """Rows at work; given tokens may leave a row nothing to fill in while others go on."""
    rows = zip(values, noise.generators, noise.running, lengths, strict=True)
    for row, generator, running, own in rows:
        if running:
            yield row, generator, own
