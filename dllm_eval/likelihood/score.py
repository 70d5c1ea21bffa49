"""Scores pairs: plans each one, runs all plans through the one core, puts the answers together.

Knows estimators by name and batches by their size; knows no lm-eval, no text and no file. The
adapters and the public face call it.
"""

from collections.abc import Iterable, Sequence

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.auto import OF_MASK_SETS, estimator_for
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.blocks import combined, parts
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.core import log_prob_tables
from dllm_eval.likelihood.draws import context_seed, part_seed, salted_seed
from dllm_eval.likelihood.greedy import Greedy, greedy_matches
from dllm_eval.likelihood.look_back import cost
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

    The canvas is the context and the target, with nothing behind it but what `config.target_end`
    says; a salted pair is a piece of a longer text, so nothing is put behind it. A family that
    decodes block by block is scored as the chain of its blocks (`blocks.parts`). Order, batch size
    and neighbours change nothing beyond float rounding. Random numbers depend on `config.seed` and
    a pair's context only, so that the choices of one question share their noise; a salted pair's
    depend on its target and salt, too, so that values which are added up have errors of their own.

    Args:
        denoiser: A diffusion model.
        pairs: Token ids of (context, target); a context may be empty.
        config: The estimator and its settings.
        salts: One per pair, None to share noise by context; without it no pair is salted.

    Returns:
        One Likelihood per pair, in order, in nats. Its `nfe` counts the canvases evaluated for the
        pair (a mask set drawn twice is evaluated once; a finished prefix that several canvases
        share is one more; `check_greedy` adds its steps), its `positions` the tokens processed in
        them, without padding.

    Raises:
        UsageError: A family without a likelihood, an estimator or a setting that means nothing for
            the family, an empty target, a canvas longer than the model takes, an id outside the
            vocabulary, a mask token, no context where the model needs one, a target the estimator
            does not take, NaN logits, or another number of salts than of pairs.
    """
    name = estimator_for(denoiser.family, config.estimator)
    _check_settings(denoiser, name, config)
    if salts is not None and len(salts) != len(pairs):
        raise UsageError(f"{len(salts)} salts for {len(pairs)} pairs; accepted: one per pair")
    salted = salts or [None] * len(pairs)
    end = [denoiser.family.eos_id] if config.target_end == "eos" else []
    built = [
        build_pair(denoiser, index, *pair, end=end if salt is None else [])
        for index, (pair, salt) in enumerate(zip(pairs, salted, strict=True))
    ]
    # Like lengths side by side save padding; the longest first, so that lack of memory shows now.
    order = sorted(range(len(built)), key=lambda index: -built[index].length)
    results: dict[int, Likelihood] = {}
    for start in range(0, len(order), _PAIRS_AT_ONCE):
        chosen = order[start : start + _PAIRS_AT_ONCE]
        some = [built[index] for index in chosen]
        seeds = [_seed(built[index], config.seed, salted[index]) for index in chosen]
        if name in OF_MASK_SETS:
            scored = _score_mask_sets(denoiser, some, seeds, name, config)
        else:
            scored = resolve("likelihood estimator", ESTIMATORS, name)(
                denoiser, some, seeds, config
            )
        results.update(zip(chosen, scored, strict=True))
    return [results[index] for index in range(len(built))]


def _check_settings(denoiser: Denoiser, name: str, config: LikelihoodConfig) -> None:
    family, of_mask_sets = denoiser.family, name in OF_MASK_SETS
    if config.check_greedy and not of_mask_sets:
        raise UsageError(
            f"check_greedy is True, and family {family.name!r} decodes no token for good;"
            " accepted: False"
        )
    if config.target_end != "none" and not (of_mask_sets and family.looks_ahead):
        raise UsageError(
            f"target_end is {config.target_end!r}, and family {family.name!r} has attention"
            f" {family.attention!r} and likelihood {family.likelihood!r}; accepted: none (a masked"
            " family with full attention takes eos)"
        )


def _score_mask_sets(
    denoiser: Denoiser,
    pairs: Sequence[Pair],
    seeds: Sequence[int],
    name: str,
    config: LikelihoodConfig,
) -> Iterable[Likelihood]:
    estimator: Estimator = resolve("likelihood estimator", ESTIMATORS, name)
    split = [parts(pair, denoiser.family, name) for pair in pairs]
    plans = [
        [_plan(estimator, part, part_seed(seed, index), config) for index, part in enumerate(chain)]
        for chain, seed in zip(split, seeds, strict=True)
    ]
    requests = [
        [
            Request(pair=part, masks=plan.masks, read=plan.read, group=group)
            for part, plan in zip(chain, made, strict=True)
        ]
        for group, (chain, made) in enumerate(zip(split, plans, strict=True))
    ]
    greedy: Sequence[Greedy | None] = [None] * len(pairs)
    if config.check_greedy:
        greedy = greedy_matches(
            denoiser, split, config.batch_size, leftmost=name == "left_to_right"
        )
    flat = [request for chain in requests for request in chain]
    tables = log_prob_tables(denoiser, flat, config.batch_size)
    for made, asked, decoded in zip(plans, requests, greedy, strict=True):
        estimate = combined([plan.estimate(next(tables)) for plan in made])
        nfe, positions = cost(asked, denoiser.family)
        yield Likelihood(
            value=estimate.value,
            stderr=estimate.stderr,
            nfe=nfe + (decoded.nfe if decoded else 0),
            positions=positions + (decoded.positions if decoded else 0),
            exact=estimate.exact,
            quantity=estimate.quantity,
            estimator=estimate.estimator,
            samples=estimate.samples,
            is_greedy=decoded.matches if decoded else None,
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
        denoiser: A diffusion model.
        context_ids: Token ids, possibly none.
        target_ids: Token ids, at least one.
        estimator: A name in `registry.ESTIMATORS`.
        samples: Draws of a Monte-Carlo estimate.
        seed: Seeds the draws, together with the context.

    Returns:
        Nats; see `score`, also for the errors.
    """
    config = LikelihoodConfig(estimator=estimator, samples=samples, seed=seed)
    return score(denoiser, [(context_ids, target_ids)], config)[0]
