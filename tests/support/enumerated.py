"""Sampled answers against the distribution that a slow enumeration gives them."""

from collections import Counter
from collections.abc import Mapping, Sequence

from scipy.stats import chisquare

from dllm_eval.api import Denoiser, Prompt
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.loop import generate_batch


def sampled(
    denoiser: Denoiser,
    config: SamplerConfig,
    count: int,
    *,
    prefix: Sequence[int] = (),
    suffix: Sequence[int] = (),
) -> Counter[tuple[int, ...]]:
    """How often each canvas comes out of so many requests that differ in their seed alone."""
    found: Counter[tuple[int, ...]] = Counter()
    for start in range(0, count, 500):
        prompts = [
            Prompt(prefix=tuple(prefix), suffix=tuple(suffix), seed=seed)
            for seed in range(start, min(start + 500, count))
        ]
        found.update(out.tokens for out in generate_batch(denoiser, prompts, config))
    return found


def p_value(
    found: Mapping[tuple[int, ...], int], expected: Mapping[tuple[int, ...], float]
) -> float:
    """Of a chi-square test; outcomes expected fewer than five times are taken together."""
    assert abs(sum(expected.values()) - 1) < 1e-9
    assert not set(found) - set(expected), "an outcome that the enumeration excludes"
    count = sum(found.values())
    common = [key for key, share in expected.items() if share * count >= 5]
    observed = [found.get(key, 0) for key in common]
    wanted = [expected[key] * count for key in common]
    rest = count - sum(wanted)
    if rest > 1e-6:
        observed.append(count - sum(observed))
        wanted.append(rest)
    return float(chisquare(observed, wanted).pvalue)
