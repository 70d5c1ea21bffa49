"""Likelihood estimators: does each give the chain's own log-probabilities?

The posteriors belong to one distribution, so that the ELBO is no bound here but the log-likelihood
itself, whatever the order of the tokens.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.score import score
from dllm_eval.oracle.draw import Setup
from dllm_eval.oracle.hidden_markov import HiddenMarkovDenoiser
from dllm_eval.oracle.row import Row
from dllm_eval.samplers.config import SamplerConfig

GROUP = "likelihood"
SEED_OF_TABLES = 3
CONTEXT = (2, 0)
TARGET_LENGTH = 4
LARGEST_ERROR_NATS = 1e-9
DRAWS = 4096
LARGEST_Z = 4.0
WITHOUT_ERROR = (
    "enumeration",
    "left_to_right",
    "right_to_left",
    "random_order",
    "importance_bound",
    "upper_bound",
)
"""All orders of revealing give one probability here, so that drawn ones have no error either."""
NO_LIKELIHOODS = ("pseudo_likelihood", "one_step")
ONE_A_STEP: tuple[dict[str, Any], ...] = (
    {"sampler": "low_confidence"},
    {"sampler": "margin", "block_length": 2},
)
IN_PARALLEL: tuple[dict[str, Any], ...] = (
    {"sampler": "entropy", "steps": 32},
    {"sampler": "threshold", "threshold": 0.42},
    {"sampler": "margin+entropy_bounded", "entropy_bound": 1.0},
)
"""Samplers whose positions follow from the revealed text; steps are for 64 tokens."""

Ids = tuple[int, ...]


def check_likelihoods(setup: Setup, denoiser: Denoiser | None = None) -> Iterator[Row]:
    """Exact estimators to rounding, drawn ones to four standard errors.

    Args:
        setup: Seeds and device.
        denoiser: What to score with instead of the chain; a test passes a wrong one.
    """
    answers = replace(setup.answers, dtype=torch.float64)
    chain = HiddenMarkovDenoiser.random(seed=SEED_OF_TABLES, answers=answers)
    model = denoiser or chain
    yield _exact(chain, model, "single_token", 1)
    for name in WITHOUT_ERROR:
        yield _exact(chain, model, name, TARGET_LENGTH)
    for name in ("monte_carlo", "control_variate", "end_strata"):
        yield _drawn(chain, model, name, setup)
    for name in NO_LIKELIHOODS:
        yield _no_likelihood(chain, model, name)
    for settings in ONE_A_STEP:
        yield _one_a_step(chain, model, settings)
    for settings in IN_PARALLEL:
        yield _normalised(chain, model, settings)


def _truth(chain: HiddenMarkovDenoiser, length: int) -> dict[Ids, float]:
    table = chain.probabilities(length, prefix=CONTEXT).log().cpu()
    targets = product(range(chain.num_symbols), repeat=length)
    return {target: float(table[target]) for target in targets}


def _exact(chain: HiddenMarkovDenoiser, model: Denoiser, name: str, length: int) -> Row:
    truth = _truth(chain, length)
    found = score(model, [(CONTEXT, target) for target in truth], LikelihoodConfig(estimator=name))
    errors = [abs(each.value - wanted) for each, wanted in zip(found, truth.values(), strict=True)]
    return Row(
        group=GROUP,
        name=f"{name}, targets of {length}",
        claim=f"log p(target | context) to {LARGEST_ERROR_NATS:g} nats",
        expected=0.0,
        measured=max(errors),
        samples=len(truth),
        holds=max(errors) <= LARGEST_ERROR_NATS
        and all(each.stderr <= LARGEST_ERROR_NATS for each in found),
        note="largest error in nats, over all targets",
    )


def _drawn(chain: HiddenMarkovDenoiser, model: Denoiser, name: str, setup: Setup) -> Row:
    """One target, so that one number of standard errors is one chance."""
    truth = _truth(chain, TARGET_LENGTH)
    target = min(truth, key=truth.__getitem__)
    (seed,) = setup.seeds(name, 1)
    config = LikelihoodConfig(estimator=name, samples=DRAWS, seed=seed)
    (found,) = score(model, [(CONTEXT, target)], config)
    away = (found.value - truth[target]) / found.stderr
    return Row(
        group=GROUP,
        name=f"{name}, target of {TARGET_LENGTH}",
        claim=f"within {LARGEST_Z:g} standard errors of log p(target | context)",
        expected=truth[target],
        measured=found.value,
        low=found.value - 1.96 * found.stderr,
        high=found.value + 1.96 * found.stderr,
        samples=DRAWS,
        holds=abs(away) <= LARGEST_Z,
        note=f"{away:+.2f} standard errors; nats",
    )


def _no_likelihood(chain: HiddenMarkovDenoiser, model: Denoiser, name: str) -> Row:
    """Each token given all others, or none, by summing the table of all targets' probabilities."""
    table = chain.probabilities(TARGET_LENGTH, prefix=CONTEXT).cpu()
    wanted = torch.zeros_like(table)
    for place in range(TARGET_LENGTH):
        others = [each for each in range(TARGET_LENGTH) if each != place]
        alone = table.sum(dim=others, keepdim=True)
        given = table / table.sum(dim=place, keepdim=True)
        wanted += (given if name == "pseudo_likelihood" else alone).log()
    targets = list(product(range(chain.num_symbols), repeat=TARGET_LENGTH))
    pairs = [(CONTEXT, target) for target in targets]
    found = score(model, pairs, LikelihoodConfig(estimator=name))
    errors = [
        abs(each.value - float(wanted[target])) for each, target in zip(found, targets, strict=True)
    ]
    return Row(
        group=GROUP,
        name=f"{name}, targets of {TARGET_LENGTH}",
        claim=f"its own definition to {LARGEST_ERROR_NATS:g} nats; no likelihood",
        expected=0.0,
        measured=max(errors),
        samples=len(targets),
        holds=max(errors) <= LARGEST_ERROR_NATS,
        note="largest error in nats, over all targets",
    )


def _one_a_step(chain: HiddenMarkovDenoiser, model: Denoiser, settings: dict[str, Any]) -> Row:
    truth = _truth(chain, TARGET_LENGTH)
    found = _under(model, list(truth), settings)
    errors = [abs(each.value - wanted) for each, wanted in zip(found, truth.values(), strict=True)]
    return Row(
        group=GROUP,
        name=f"policy, {_told(settings)}",
        claim=f"log p(target | context) to {LARGEST_ERROR_NATS:g} nats, one token a step",
        expected=0.0,
        measured=max(errors),
        samples=len(truth),
        holds=max(errors) <= LARGEST_ERROR_NATS,
        note="largest error in nats, over all targets",
    )


def _normalised(chain: HiddenMarkovDenoiser, model: Denoiser, settings: dict[str, Any]) -> Row:
    targets = list(_truth(chain, TARGET_LENGTH))
    found = _under(model, targets, settings)
    total = math.fsum(math.exp(each.value) for each in found)
    fewest = min(each.nfe for each in found)
    return Row(
        group=GROUP,
        name=f"policy, {_told(settings)}",
        claim=f"the probabilities of all targets add up to 1, to {LARGEST_ERROR_NATS:g}",
        expected=1.0,
        measured=total,
        samples=len(found),
        holds=abs(total - 1) <= LARGEST_ERROR_NATS,
        note=f"{fewest} steps at fewest for {TARGET_LENGTH} tokens",
    )


def _under(model: Denoiser, targets: list[Ids], settings: dict[str, Any]) -> list[Likelihood]:
    sampler = SamplerConfig.from_mapping(settings)
    config = LikelihoodConfig(estimator="policy", policy=sampler)
    return score(model, [(CONTEXT, target) for target in targets], config)


def _told(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{value}" if key == "sampler" else f"{key} {value}" for key, value in settings.items()
    )
