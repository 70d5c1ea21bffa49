"""The one denoising loop. Every sampler is this loop with other rules plugged in.

    for each block, left to right:
        for each step:   canvas -> logits -> proposal -> selection -> canvas

It knows tensors only: no tokenizer, no file, no clock. With a fixed schedule the host never waits
for the device; a threshold waits once a step and `stop: eos` once a block, and that is counted.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dllm_eval.api import Denoiser, Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.guidance import guided_logits, passes_per_step
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.proposal import Proposal, propose
from dllm_eval.samplers.reference import propose_reference
from dllm_eval.samplers.schedule import quotas
from dllm_eval.samplers.selection import by_quota, by_threshold

Proposer = Callable[[Tensor], Proposal]


def generate_batch(
    denoiser: Denoiser, prompts: Sequence[Prompt], config: SamplerConfig
) -> list[Generation]:
    """Denoises one canvas per prompt, all in the same forward passes.

    Args:
        denoiser: The model.
        prompts: Any mixture of lengths; each carries its own seed, so the answers do not depend
            on what else is in the batch.
        config: The decoding rules.

    Returns:
        One Generation per prompt, in order.

    Raises:
        UsageError: A prompt does not fit or holds an id that the model does not know, the family
            is not a masked diffusion model, or the logits are NaN.
    """
    if not prompts:
        return []
    if denoiser.family.noise != "mask":
        raise UsageError(
            f"family {denoiser.family.name!r} has no mask token; it needs its own rule"
        )
    with torch.inference_mode():
        canvas = Canvas.build(
            prompts,
            family=denoiser.family,
            vocab_size=denoiser.vocab_size,
            gen_length=config.gen_length,
            device=denoiser.device,
        )
        host_syncs = denoise(denoiser, canvas, config)
        return canvas.finish(
            passes_per_step=passes_per_step(config.cfg_scale), host_syncs=host_syncs
        )


def denoise(denoiser: Denoiser, canvas: Canvas, config: SamplerConfig) -> int:
    """Reveals every canvas position in place; returns how often the host waited for the device."""
    noise = Noise(canvas.prompts, canvas.tokens.device)
    proposer = _proposer(canvas, config, noise)
    host_syncs = 0
    for index in range(config.num_blocks):
        start = canvas.start + index * config.block
        block = slice(start, start + config.block)
        if config.threshold is None:
            _reveal_by_quota(denoiser, canvas, config, block, proposer)
        else:
            host_syncs += _reveal_by_threshold(denoiser, canvas, config, block, proposer, noise)
        if config.stop == "eos" and index + 1 < config.num_blocks:
            host_syncs += 1
            if _all_ended(canvas, block):
                break
    return host_syncs


def _reveal_by_quota(
    denoiser: Denoiser, canvas: Canvas, config: SamplerConfig, block: slice, proposer: Proposer
) -> None:
    """Finishes one block in `steps_per_block` steps, without waiting for the device."""
    whole = slice(0, canvas.tokens.shape[1])
    rows = whole if config.mode == "reference" else block
    for count in quotas(config.block, config.steps_per_block):
        proposal = proposer(guided_logits(denoiser, canvas, rows, config.cfg_scale))
        eligible = canvas.masked(rows)
        eligible[:, block.stop - rows.start :] = False
        canvas.note_broken(rows, proposal.broken & eligible)
        canvas.reveal(rows, by_quota(proposal, eligible, count), proposal.tokens)


def _reveal_by_threshold(
    denoiser: Denoiser,
    canvas: Canvas,
    config: SamplerConfig,
    block: slice,
    proposer: Proposer,
    noise: Noise,
) -> int:
    """Finishes one block; rows that are done wait, uncounted. Returns the host waits."""
    threshold = 1.0 if config.threshold is None else config.threshold
    entered, host_syncs = canvas.active, 0
    while any(noise.running):
        proposal = proposer(guided_logits(denoiser, canvas, block, config.cfg_scale))
        eligible = canvas.masked(block)
        canvas.note_broken(block, proposal.broken & eligible)
        chosen = by_threshold(proposal, eligible, threshold)
        canvas.reveal(block, chosen, proposal.tokens)
        canvas.active = entered & ~canvas.spent(block)
        noise.running = canvas.active[:, 0].tolist()
        host_syncs += 1
    canvas.active = entered
    noise.running = [True] * len(noise.running)
    return host_syncs


def _all_ended(canvas: Canvas, block: slice) -> bool:
    """Ends the rows that have revealed end-of-text in this block; waits for the device."""
    ended = torch.zeros_like(canvas.active)
    for end_id in canvas.family.end_ids:
        ended |= (canvas.tokens[:, block] == end_id).any(dim=1, keepdim=True)
    canvas.active = canvas.active & ~ended
    return not bool(canvas.active.any())


def _proposer(canvas: Canvas, config: SamplerConfig, noise: Noise) -> Proposer:
    if config.mode == "fast":
        return lambda logits: propose(logits, config, canvas.family, noise)
    own = [
        slice(
            canvas.start - len(prompt.prefix),
            canvas.start + canvas.gen_length + len(prompt.suffix),
        )
        for prompt in canvas.prompts
    ]
    return lambda logits: propose_reference(logits, config, canvas.family, noise, own)
