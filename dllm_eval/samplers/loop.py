"""The one denoising loop. Every sampler is this loop with other rules plugged in.

    for each block, left to right:
        for each step:   canvas -> logits -> rule -> canvas

With a large vocabulary the rule gets hidden states, and asks for logits as it goes.
It knows tensors only: no tokenizer, no file, no clock. With a fixed schedule the host never waits
for the device; a rule that goes by the tokens waits once a step and `stop: eos` once a block, and
that is counted.
"""

from collections.abc import Sequence

import torch

from dllm_eval.api import Denoiser, Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.samplers import late_head
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.certainty import Certainty
from dllm_eval.samplers.choice import rule_for
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.reader import Reader
from dllm_eval.samplers.reveal import RevealRule
from dllm_eval.samplers.stop import end_rows


def generate_batch(
    denoiser: Denoiser,
    prompts: Sequence[Prompt],
    config: SamplerConfig,
    *,
    certainty: bool = False,
) -> list[Generation]:
    """Denoises one canvas per prompt, all in the same forward passes.

    Args:
        denoiser: The model.
        prompts: Any mixture of lengths; each carries its own seed, so the answers do not depend
            on what else is in the batch.
        config: The decoding rules.
        certainty: Whether each Generation says how sure the model was, where masks are revealed.

    Returns:
        One Generation per prompt, in order.

    Raises:
        UsageError: A prompt does not fit or holds an id that the model does not know, a setting
            has no meaning for the family, or the logits are NaN.
    """
    if not prompts:
        return []
    with torch.inference_mode():
        canvas = Canvas.build(
            prompts,
            family=denoiser.family,
            vocab_size=denoiser.vocab_size,
            gen_length=config.gen_length,
            device=denoiser.device,
            overhang=config.window or 0,
        )
        if certainty:
            canvas.certainty = Certainty.of(canvas.tokens)
        host_syncs = denoise(denoiser, canvas, config)
        found = canvas.finish(host_syncs=host_syncs)
        if canvas.certainty is None:
            return found
        return canvas.certainty.told(found, canvas.starts, canvas.given)


def denoise(denoiser: Denoiser, canvas: Canvas, config: SamplerConfig) -> int:
    """Fills every canvas position in place; returns how often the host waited for the device."""
    block_length = _block_length(canvas, config)
    noise = Noise(canvas.prompts, canvas.tokens.device)
    rule = rule_for(denoiser, canvas, config, noise)
    reader = Reader(denoiser, canvas, config)
    if canvas.teacher is not None and type(rule) is not RevealRule:
        raise UsageError(f"{type(rule).__name__} cannot follow a given text; accepted: RevealRule")
    # Rules that move the canvas or draw whole distributions want logits, and so does a teacher.
    plain = type(rule) is RevealRule and canvas.teacher is None
    late = plain and late_head.applies(denoiser, config)
    rule.prepare()
    blocks, host_syncs = canvas.blocks(block_length), 0
    for index, block in enumerate(blocks):
        if canvas.given_columns is not None and not any(canvas.open_counts(block)):
            continue  # given in every row
        for step in rule.steps(block):
            rows = rule.rows(block)
            if late and isinstance(rule, RevealRule):
                rule.apply_states(reader.states(rows, step, rule.reads(rows)), block, step)
            else:
                rule.apply(reader.read(rows, step, rule.self_conditioning), block, step)
            canvas.count_step(reader.last_pass)
        if config.stop == "eos" and index + 1 < len(blocks):
            end_rows(canvas, block)
            host_syncs += 1
            if not any(canvas.alive):
                break
    return host_syncs + rule.host_syncs


def _block_length(canvas: Canvas, config: SamplerConfig) -> int:
    """The block's tokens; attention that looks back by blocks leaves no choice."""
    trained = canvas.family.aligned_block
    if trained is None:
        return config.block
    if config.block not in (trained, canvas.gen_length):
        raise UsageError(
            f"block_length is {config.block}, but family {canvas.family.name!r} reads blocks of "
            f"{trained} tokens; pass block_length={trained}"
        )
    return trained
