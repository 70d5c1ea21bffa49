"""Likelihood of a target under a masked diffusion model: estimators over one scoring core.

Knows tensors; knows no lm-eval, no file and no clock. Adapters and the public face call it.
"""

from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.score import log_likelihood, score

__all__ = ["LikelihoodConfig", "log_likelihood", "score"]
