"""Decoding: a canvas, the rules that reveal it, and the one loop (`loop.py`).

Knows tensors and family facts; nothing of lm-eval, files or the clock. Callers: the adapters,
and anybody through `dllm_eval.generate`.
"""

from collections.abc import Sequence

from dllm_eval.api import Denoiser, Generation, Prompt
from dllm_eval.samplers.config import EosPolicy, Mode, PositionRule, StopRule
from dllm_eval.samplers.config import SamplerConfig as SamplerConfig
from dllm_eval.samplers.loop import generate_batch as generate_batch


def generate(  # noqa: PLR0913 - the public face names every decoding rule once
    model: Denoiser,
    prompt_ids: Sequence[int],
    *,
    suffix_ids: Sequence[int] = (),
    sampler: PositionRule = "low_confidence",
    steps: int = 64,
    gen_length: int = 64,
    block_length: int | None = None,
    temperature: float = 0.0,
    threshold: float | None = None,
    cfg_scale: float = 0.0,
    eos_policy: EosPolicy = "none",
    stop: StopRule = "none",
    mode: Mode = "fast",
    seed: int = 0,
) -> Generation:
    """Denoises one canvas behind `prompt_ids` (and before `suffix_ids`, when infilling).

    The settings are those of `SamplerConfig`, which says what each one means.

    Raises:
        UsageError: A setting out of range, or a prompt that does not fit.
    """
    config = SamplerConfig(
        sampler=sampler,
        steps=steps,
        gen_length=gen_length,
        block_length=block_length,
        temperature=temperature,
        threshold=threshold,
        cfg_scale=cfg_scale,
        eos_policy=eos_policy,
        stop=stop,
        mode=mode,
    )
    prompt = Prompt(prefix=tuple(prompt_ids), suffix=tuple(suffix_ids), seed=seed)
    return generate_batch(model, [prompt], config)[0]
