"""Measures diffusion language models against autoregressive ones, through lm-eval.

The public face: loading, decoding and scoring in Python. Importing this package imports nothing
heavy; a name's module, and torch with it, is imported when the name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dllm_eval.api import Denoiser as Denoiser
    from dllm_eval.api import Generation as Generation
    from dllm_eval.api import Likelihood as Likelihood
    from dllm_eval.api import Prompt as Prompt
    from dllm_eval.errors import UsageError as UsageError
    from dllm_eval.families import Family as Family
    from dllm_eval.likelihood import LikelihoodConfig as LikelihoodConfig
    from dllm_eval.likelihood import log_likelihood as log_likelihood
    from dllm_eval.loading import load_model as load_model
    from dllm_eval.samplers import SamplerConfig as SamplerConfig
    from dllm_eval.samplers import generate as generate

_HOMES = {
    "Denoiser": "dllm_eval.api",
    "Family": "dllm_eval.families",
    "Generation": "dllm_eval.api",
    "Likelihood": "dllm_eval.api",
    "LikelihoodConfig": "dllm_eval.likelihood",
    "Prompt": "dllm_eval.api",
    "SamplerConfig": "dllm_eval.samplers",
    "UsageError": "dllm_eval.errors",
    "generate": "dllm_eval.samplers",
    "load_model": "dllm_eval.loading",
    "log_likelihood": "dllm_eval.likelihood",
}

__all__ = [
    "Denoiser",
    "Family",
    "Generation",
    "Likelihood",
    "LikelihoodConfig",
    "Prompt",
    "SamplerConfig",
    "UsageError",
    "generate",
    "load_model",
    "log_likelihood",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "__version__":
        return import_module("importlib.metadata").version("dllm-eval")
    if name not in _HOMES:
        raise AttributeError(f"module 'dllm_eval' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
