"""Scoring whole sets of short texts under a sampler, as the tests of the policy likelihood do."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from dllm_eval.api import Likelihood
from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.policy import policy
from dllm_eval.samplers import SamplerConfig

CONTEXT = (1, 0)
Ids = tuple[int, ...]


def name(settings: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in settings.items())


def scored(
    model: Any,
    targets: Sequence[Ids],
    *,
    context: Ids = CONTEXT,
    behind: Ids = (),
    **settings: Any,
) -> list[Likelihood]:
    pairs = [
        Pair(
            token_ids=np.array([*context, *target, *behind]),
            target_length=len(target),
            behind=len(behind),
        )
        for target in targets
    ]
    sampler = SamplerConfig.from_mapping(settings, model.family)
    config = LikelihoodConfig(estimator="policy", policy=sampler)
    return list(policy(model, pairs, [0] * len(pairs), config))


def texts(length: int, tokens: int = 3) -> list[Ids]:
    return list(product(range(tokens), repeat=length))


def total(found: Sequence[Likelihood]) -> float:
    return math.fsum(math.exp(each.value) for each in found)
