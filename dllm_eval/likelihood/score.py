"""Scores pairs: plans each one, runs all plans through the one core, puts the answers together.

Knows estimators by name and batches by their size; knows no lm-eval, no text and no file. The
adapters and the public face call it.
"""

from collections.abc import Iterable, Sequence

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.core import log_prob_tables
from dllm_eval.likelihood.draws import context_seed, salted_seed
from dllm_eval.likelihood.greedy import greedy_matches
from dllm_eval.likelihood.pair import Pair, build_pair
from dllm_eval.likelihood.plan import Estimator, Plan, Setting
from dllm_eval.registry import ESTIMATORS, resolve

_PAIRS_AT_ONCE = 1024
"""Bounds the memory that drawn mask sets and their values take."""


def score(
    denoiser: Denoiser,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    config: LikelihoodConfig,
    *,
    salts: Sequence[str | None] | None = None,
) -> list[Likelihood]:
    """Scores log p(target | context), or a lower bound of it, for every pair.

    The canvas is the context and the target, with nothing behind it. Order, batch size and
    neighbours change nothing beyond float rounding. Random numbers depend on `config.seed` and a
    pair's context only, so that the choices of one question share their noise; a salted pair's
    depend on its target and salt, too, so that values which are added up have errors of their own.

    Args:
        denoiser: A masked diffusion model.
        pairs: Token ids of (context, target); a context may be empty.
        config: The estimator and its settings.
        salts: One per pair, None to share noise by context; without it no pair is salted.

    Returns:
        One Likelihood per pair, in order, in nats. Its `nfe` counts the masked canvases evaluated
        for the pair (a mask set drawn twice is evaluated once; `check_greedy` adds its steps), its
        `positions` their tokens without padding.

    Raises:
        UsageError: A family without mask tokens, an empty target, a canvas longer than the model
            takes, an id outside the vocabulary, a mask token, a target the estimator does not take,
            NaN logits, or another number of salts than of pairs.
    """
    if denoiser.family.noise != "mask":
        raise UsageError(
            f"family {denoiser.family.name!r} has noise {denoiser.family.noise!r}; likelihood"
            " scoring accepts: 'mask'"
        )
    if salts is not None and len(salts) != len(pairs):
        raise UsageError(f"{len(salts)} salts for {len(pairs)} pairs; accepted: one per pair")
    salted = salts or [None] * len(pairs)
    built = [build_pair(denoiser, index, *pair) for index, pair in enumerate(pairs)]
    # Like lengths side by side save padding; the longest first, so that lack of memory shows now.
    order = sorted(range(len(built)), key=lambda index: -built[index].length)
    results: dict[int, Likelihood] = {}
    for start in range(0, len(order), _PAIRS_AT_ONCE):
        chosen = order[start : start + _PAIRS_AT_ONCE]
        seeds = [_seed(built[index], config.seed, salted[index]) for index in chosen]
        scored = _score_some(denoiser, [built[index] for index in chosen], seeds, config)
        results.update(zip(chosen, scored, strict=True))
    return [results[index] for index in range(len(built))]


def _score_some(
    denoiser: Denoiser, pairs: Sequence[Pair], seeds: Sequence[int], config: LikelihoodConfig
) -> Iterable[Likelihood]:
    estimator: Estimator = resolve("likelihood estimator", ESTIMATORS, config.estimator)
    plans = [_plan(estimator, pair, seed, config) for pair, seed in zip(pairs, seeds, strict=True)]
    requests = [
        Request(pair=pair, masks=plan.masks) for pair, plan in zip(pairs, plans, strict=True)
    ]
    greedy: Sequence[tuple[bool | None, int]] = [(None, 0)] * len(pairs)
    if config.check_greedy:
        greedy = greedy_matches(denoiser, pairs, config.batch_size)
    tables = log_prob_tables(denoiser, requests, config.batch_size)
    for pair, plan, table, (matches, steps) in zip(pairs, plans, tables, greedy, strict=True):
        estimate = plan.estimate(table)
        nfe = len(plan.masks) + steps
        yield Likelihood(
            value=estimate.value,
            stderr=estimate.stderr,
            nfe=nfe,
            positions=nfe * pair.length,
            exact=estimate.exact,
            quantity=estimate.quantity,
            estimator=estimate.estimator,
            samples=estimate.samples,
            is_greedy=matches,
        )


def _seed(pair: Pair, seed: int, salt: str | None) -> int:
    if salt is None:
        return context_seed(seed, pair.context)
    return salted_seed(seed, pair.token_ids, salt)


def _plan(estimator: Estimator, pair: Pair, seed: int, config: LikelihoodConfig) -> Plan:
    setting = Setting(
        length=pair.target_length,
        samples=config.samples,
        max_enumeration=config.max_enumeration,
        seed=seed,
    )
    return estimator(setting)


def log_likelihood(
    denoiser: Denoiser,
    context_ids: Sequence[int],
    target_ids: Sequence[int],
    estimator: str = "auto",
    samples: int = 128,
    seed: int = 0,
) -> Likelihood:
    """Scores one pair with `score`.

    Args:
        denoiser: A masked diffusion model.
        context_ids: Token ids, possibly none.
        target_ids: Token ids, at least one.
        estimator: A name in `registry.ESTIMATORS`.
        samples: Mask sets of a Monte-Carlo estimate.
        seed: Seeds the mask sets, together with the context.

    Returns:
        Nats; see `score`, also for the errors.
    """
    config = LikelihoodConfig(estimator=estimator, samples=samples, seed=seed)
    return score(denoiser, [(context_ids, target_ids)], config)[0]
