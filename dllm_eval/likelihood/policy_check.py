"""Which samplers and families have a policy likelihood, one clear line for all others.

Knows settings and facts; knows no tensor. `policy.py` asks before anything is scored.
"""

from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.parts.daedal import Daedal
from dllm_eval.samplers.parts.orders import Random
from dllm_eval.samplers.parts.p2 import P2
from dllm_eval.samplers.parts.part import Part
from dllm_eval.samplers.parts.remdm import RemdmCap, RemdmConf, RemdmLoop, RemdmRescale
from dllm_eval.samplers.parts.saber import Saber
from dllm_eval.samplers.parts.wino import Wino

REVISING: tuple[type[Part], ...] = (
    *(RemdmCap, RemdmRescale, RemdmConf, RemdmLoop),
    *(P2, Wino, Saber),
)
"""Parts that take revealed tokens back."""


def check_policy(family: Family, sampler: SamplerConfig) -> None:
    """Whether the sampler's positions follow from the revealed text, and what it reveals stays.

    Raises:
        UsageError: They do not, or the family decodes by another rule.
    """
    _check_family(family, sampler)
    name = f"sampler {sampler.sampler!r}"
    drawn = "which draws positions"
    refused = (
        (any(isinstance(part, Random) for part in sampler.parts), f"{name}, {drawn}"),
        (sampler.temperature > 0, f"temperature {sampler.temperature}, which draws proposals"),
        (sampler.schedule == "bernoulli", f"schedule 'bernoulli', {drawn}"),
        (
            sampler.position_temperature > 0,
            f"position_temperature {sampler.position_temperature}, {drawn}",
        ),
        (
            any(isinstance(part, REVISING) for part in sampler.parts),
            f"{name}, which takes revealed tokens back",
        ),
        (
            sampler.edit_threshold is not None,
            f"edit_threshold {sampler.edit_threshold}, which overwrites revealed tokens",
        ),
        (
            any(isinstance(part, Daedal) for part in sampler.parts),
            f"{name}, whose canvas grows",
        ),
        (sampler.initial_length is not None, "initial_length, with which the canvas grows"),
        (sampler.window is not None, "window, which moves the canvas"),
        (sampler.mode == "reference", "mode 'reference', which may write the mask token"),
        (
            sampler.transition != "none",
            f"transition {sampler.transition!r}, which draws what is revealed",
        ),
    )
    for asked, what in refused:
        if asked:
            raise UsageError(
                f"estimator policy has no place for {what}; accepted: samplers that reveal at "
                "temperature 0, by an order other than random, and for good"
            )


def _check_family(family: Family, sampler: SamplerConfig) -> None:
    if family.noise != "mask" or family.likelihood != "masked" or family.expand_id is not None:
        raise UsageError(
            f"estimator policy scores samplers that reveal masks in place, and family "
            f"{family.name!r} decodes otherwise (noise {family.noise!r}, likelihood "
            f"{family.likelihood!r}); accepted: masked families of fixed length"
        )
    trained = family.aligned_block
    if trained is not None and sampler.block not in (trained, sampler.gen_length):
        raise UsageError(
            f"block_length is {sampler.block}, but family {family.name!r} reads blocks of "
            f"{trained} tokens; pass block_length={trained}"
        )
