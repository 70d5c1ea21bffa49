"""Settings of one machine, its engines and an API, as made-up results: who ran where, how fast.

`served_frames.py` makes frames of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LAPTOP, API = "laptop", "api.example.ai"
LOCAL_STACK = "transformers 5.23, torch 2.13, sdpa, float32"
VLLM_STACK, SGLANG_STACK = "vllm 0.33.0", "sglang 0.9.1"
API_STACK = "api, chat route"
DIFFUSION, AUTOREGRESSIVE, MERCURY = "Made-up diffusion", "Made-up AR", "Mercury 2"
EFFORTS = ("instant", "low", "medium", "high")
EAGER, STATIC = "eager, dynamic cache", "eager, static cache"
COMPILED, LOOKUP = "compiled, static cache", "prompt lookup, dynamic cache"
VLLM_TIER, SGLANG_TIER = "vllm, default flags", "sglang, LowConfidence"
TIER_SETTINGS: dict[str, dict[str, Any]] = {
    EAGER: {"cache": "dynamic"},
    STATIC: {"cache": "static"},
    COMPILED: {"cache": "static", "compile": "reduce-overhead"},
    LOOKUP: {"cache": "dynamic", "speculative": "prompt_lookup", "draft_tokens": 4},
}
TIER_SECONDS = {EAGER: 0.40, STATIC: 0.36, COMPILED: 0.24, LOOKUP: 0.16, VLLM_TIER: 0.08}
STEPS = (2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One setting and where it ran."""

    model: str
    kind: str
    seconds: float
    quality: float
    settings: dict[str, Any]
    machine: str = LAPTOP
    stack: str = LOCAL_STACK
    placement: str = "local"
    started_here: bool = True
    tier: str = ""
    dial: str = ""
    reported: bool = True
    """Whether forwards, positions, canvas and visible tokens are known."""
    timed: bool = True


def local_diffusion(steps: Sequence[int] = STEPS) -> list[Placed]:
    """30 ms a step; from 4 steps on as good as AR."""
    return [
        Placed(
            model=DIFFUSION,
            kind="diffusion",
            seconds=0.03 * count,
            quality=0.9 if count >= 4 else 0.5,
            settings={"steps": count, "gen_length": 32},
            dial="steps",
        )
        for count in steps
    ]


def local_autoregressive(tiers: Sequence[str] = (EAGER,), *, told: bool = True) -> list[Placed]:
    """One row a tier; without `told` as records from before tiers were written."""
    return [
        Placed(
            model=AUTOREGRESSIVE,
            kind="autoregressive",
            seconds=TIER_SECONDS[tier],
            quality=0.9,
            settings=TIER_SETTINGS[tier],
            tier=tier if told else "",
        )
        for tier in tiers
    ]


def engine_autoregressive(*, started_here: bool = True) -> list[Placed]:
    """An engine on the laptop, or a server that was there already."""
    return [
        Placed(
            model=AUTOREGRESSIVE,
            kind="autoregressive",
            seconds=TIER_SECONDS[VLLM_TIER],
            quality=0.9,
            settings={"engine": "vllm"},
            machine=LAPTOP if started_here else "server 10.0.0.7:8000",
            stack=VLLM_STACK,
            placement="engine",
            started_here=started_here,
            tier=VLLM_TIER,
            reported=False,
        )
    ]


def engine_diffusion(thresholds: Sequence[float] = (0.9, 0.5)) -> list[Placed]:
    """SGLang on the laptop: the same diffusion model, about twice as fast as in process."""
    return [
        Placed(
            model=DIFFUSION,
            kind="diffusion",
            seconds=0.05 * (1 + threshold),
            quality=0.9 if threshold > 0.8 else 0.7,
            settings={"threshold": threshold},
            stack=SGLANG_STACK,
            placement="engine",
            tier=SGLANG_TIER,
            dial="threshold",
            reported=False,
        )
        for threshold in thresholds
    ]


def api_rows(efforts: Sequence[str] = EFFORTS, *, timed: bool = True) -> list[Placed]:
    """Mercury by reasoning effort: the longer it thinks, the better; absurdly fast."""
    return [
        Placed(
            model=MERCURY,
            kind="diffusion",
            seconds=0.002 * 2**number,
            quality=0.6 + 0.1 * number,
            settings={"reasoning_effort": effort, "gen_length": 256},
            machine=API,
            stack=API_STACK,
            placement="api",
            tier="",
            reported=False,
            timed=timed,
        )
        for number, effort in enumerate(efforts)
    ]


def everything() -> list[Placed]:
    """Local rows in four tiers, both engines, and the API."""
    local = [*local_diffusion(), *local_autoregressive((EAGER, STATIC, COMPILED, LOOKUP))]
    return [*local, *engine_diffusion(), *engine_autoregressive(), *api_rows()]
