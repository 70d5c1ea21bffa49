"""Scores pairs: plans each one, runs all plans through the one core, puts the answers together.

Knows estimators by name and batches by their size; knows no lm-eval, no text and no file. The
adapters and the public face call it.
"""

from collections.abc import Sequence
from dataclasses import replace

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.auto import OF_MASK_SETS, estimator_for
from dllm_eval.likelihood.blocks import parts
from dllm_eval.likelihood.budget import Budget
from dllm_eval.likelihood.chain import Chain
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.core import log_prob_tables
from dllm_eval.likelihood.draws import context_seed, part_seed, salted_seed
from dllm_eval.likelihood.greedy import Greedy, greedy_matches
from dllm_eval.likelihood.pair import Pair, build_pair
from dllm_eval.likelihood.plan import Estimator, Plan, Setting
from dllm_eval.likelihood.question import Question, check_questions, chunks
from dllm_eval.likelihood.race import first_round, going_on, next_round
from dllm_eval.likelihood.win import Win, exact_wins, win_probabilities
from dllm_eval.registry import ESTIMATORS, resolve

_PAIRS_AT_ONCE = 1024
"""Bounds the memory that drawn mask sets and their values take."""


def score(
    denoiser: Denoiser,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    config: LikelihoodConfig,
    *,
    salts: Sequence[str | None] | None = None,
    questions: Sequence[Question] = (),
) -> list[Likelihood]:
    """Scores log p(target | context), or a lower bound of it, for every pair.

    The canvas is the context and the target, with nothing behind it but what `config.target_end`
    says; a salted pair is a piece of a longer text, so nothing is put behind it. A family that
    decodes block by block is scored as the chain of its blocks (`blocks.parts`). Order, batch size
    and neighbours change nothing beyond float rounding. Random numbers depend on `config.seed` and
    a pair's context only, or that of its question's first choice, so that the choices of one
    question share their noise; a salted pair's depend on its target and salt, too, so that values
    which are added up have errors of their own.

    Args:
        denoiser: A diffusion model.
        pairs: Token ids of (context, target); a context may be empty.
        config: The estimator and its settings.
        salts: One per pair, None to share noise by context; without it no pair is salted.
        questions: Which pairs are compared. A canvas that several choices of a question share, such
            as the one mask of single-letter choices, is evaluated once; and with `config.race`,
            a choice that cannot win is sampled no further.

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
    check_questions(questions, len(pairs))
    built = [
        build_pair(denoiser, index, *pair, end=end if salt is None else [])
        for index, (pair, salt) in enumerate(zip(pairs, salted, strict=True))
    ]
    results: dict[int, Likelihood] = {}
    for some in chunks(_units(questions, built), _PAIRS_AT_ONCE):
        chosen = [index for question in some for index in question.pairs]
        own = [built[index] for index in chosen]
        seeds = _seeds(some, built, salted, config.seed)
        score_them = _score_mask_sets if name in OF_MASK_SETS else _score_otherwise
        scored = score_them(denoiser, own, seeds, some, name, config)
        results.update(zip(chosen, scored, strict=True))
    return [results[index] for index in range(len(built))]


def _score_otherwise(
    denoiser: Denoiser,
    pairs: Sequence[Pair],
    seeds: Sequence[int],
    questions: Sequence[Question],
    name: str,
    config: LikelihoodConfig,
) -> list[Likelihood]:
    """By a function of its own. Where a question's choices are exact, no seed changes anything."""
    scored = list(resolve("likelihood estimator", ESTIMATORS, name)(denoiser, pairs, seeds, config))
    found: list[Likelihood] = []
    for question in questions:
        own = scored[len(found) : len(found) + len(question.pairs)]
        if len(own) > 1 and all(each.exact for each in own):
            values = [each.value for each in own]
            wins = exact_wins(question, values)
            own = [
                replace(
                    each,
                    win_probability=win.by_value,
                    win_probability_normalised=win.normalised,
                )
                for each, win in zip(own, wins, strict=True)
            ]
        found += own
    return found


def _units(questions: Sequence[Question], pairs: Sequence[Pair]) -> list[Question]:
    """The questions, and every other pair as one of its own.

    Like lengths side by side save padding; the longest first, so that lack of memory shows now.
    """
    compared = {index for question in questions for index in question.pairs}
    alone = [Question(pairs=(index,)) for index in range(len(pairs)) if index not in compared]
    return sorted(
        [*questions, *alone], key=lambda unit: -max(pairs[index].length for index in unit.pairs)
    )


def _check_settings(denoiser: Denoiser, name: str, config: LikelihoodConfig) -> None:
    family, of_mask_sets = denoiser.family, name in OF_MASK_SETS
    if config.check_greedy and not (of_mask_sets or name == "policy"):
        raise UsageError(
            f"check_greedy is True, and family {family.name!r} decodes no token for good;"
            " accepted: False"
        )
    if config.target_end != "none" and not (
        (of_mask_sets or name == "policy") and family.looks_ahead
    ):
        raise UsageError(
            f"target_end is {config.target_end!r}, and family {family.name!r} has attention"
            f" {family.attention!r} and likelihood {family.likelihood!r}; accepted: none (a masked"
            " family with full attention takes eos)"
        )


def _score_mask_sets(
    denoiser: Denoiser,
    pairs: Sequence[Pair],
    seeds: Sequence[int],
    questions: Sequence[Question],
    name: str,
    config: LikelihoodConfig,
) -> list[Likelihood]:
    """`pairs` are those of the questions, in their order."""
    estimator: Estimator = resolve("likelihood estimator", ESTIMATORS, name)
    number_of = [number for number, question in enumerate(questions) for _ in question.pairs]
    chains = []
    for group, (pair, seed, number) in enumerate(zip(pairs, seeds, number_of, strict=True)):
        split = parts(pair, denoiser.family, name)
        raced = config.race > 0 and len(questions[number].pairs) > 1
        plans = [
            _plan(estimator, part, part_seed(seed, index), config, raced=raced)
            for index, part in enumerate(split)
        ]
        chains.append(Chain(parts=split, plans=plans, group=group, question=number))
    greedy: Sequence[Greedy | None] = [None] * len(pairs)
    if config.check_greedy:
        greedy = greedy_matches(
            denoiser,
            [chain.parts for chain in chains],
            config.tokens_per_forward,
            questions=number_of,
            leftmost=name == "left_to_right",
        )
    choices = [
        [chains[group] for group, own in enumerate(number_of) if own == number]
        for number in range(len(questions))
    ]
    _sample(denoiser, list(zip(questions, choices, strict=True)), config)
    wins = [
        win
        for question, own in zip(questions, choices, strict=True)
        for win in win_probabilities(question, own)
    ]
    return [
        _likelihood(chain, win, decoded)
        for chain, win, decoded in zip(chains, wins, greedy, strict=True)
    ]


def _sample(
    denoiser: Denoiser,
    contests: Sequence[tuple[Question, list[Chain]]],
    config: LikelihoodConfig,
) -> None:
    """Reads what every chain needs: all at once or, in a race, round by round."""
    running = list(contests)
    budget = Budget(config.tokens_per_forward)
    asking = [
        (chain, first_round(chain, config) if len(chains) > 1 else chain.most_draws)
        for _, chains in contests
        for chain in chains
    ]
    while asking:
        requests = [chain.requests(num_draws) for chain, num_draws in asking]
        flat = [request for own in requests for request in own]
        answers = log_prob_tables(denoiser, flat, budget)
        for (chain, _), own in zip(asking, requests, strict=True):
            chain.receive([next(answers) for _ in own])
        going = [going_on(question, chains, config) for question, chains in running]
        asking = [
            (chain, next_round(chain))
            for (_, chains), each in zip(running, going, strict=True)
            for chain, goes_on in zip(chains, each, strict=True)
            if goes_on
        ]
        running = [contest for contest, each in zip(running, going, strict=True) if any(each)]


def _likelihood(chain: Chain, win: Win, decoded: Greedy | None) -> Likelihood:
    estimate = chain.estimate()
    return Likelihood(
        value=estimate.value,
        stderr=estimate.stderr,
        nfe=chain.nfe + (decoded.nfe if decoded else 0),
        positions=chain.positions + (decoded.positions if decoded else 0),
        exact=estimate.exact,
        quantity=estimate.quantity,
        estimator=estimate.estimator,
        samples=estimate.samples,
        is_greedy=decoded.matches if decoded else None,
        degrees=estimate.degrees,
        importance_bound=estimate.importance_bound,
        upper_bound=estimate.upper_bound,
        upper_bound_stderr=estimate.upper_bound_stderr,
        win_probability=win.by_value,
        win_probability_normalised=win.normalised,
    )


def _seeds(
    questions: Sequence[Question], pairs: Sequence[Pair], salts: Sequence[str | None], seed: int
) -> list[int]:
    """By the context of a question's first choice, since others may differ or be cut elsewhere."""
    found = []
    for question in questions:
        shared = context_seed(seed, pairs[question.pairs[0]].context)
        for index in question.pairs:
            salt = salts[index]
            own = shared if salt is None else salted_seed(seed, pairs[index].token_ids, salt)
            found.append(own)
    return found


def _plan(
    estimator: Estimator, pair: Pair, seed: int, config: LikelihoodConfig, *, raced: bool
) -> Plan:
    setting = Setting(
        length=pair.target_length,
        samples=config.samples,
        max_enumeration=config.max_enumeration,
        seed=seed,
        raced=raced,
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
