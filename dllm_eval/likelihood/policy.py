"""The exact likelihood of text under a sampler whose positions follow from what is revealed.

Knows pairs and the one denoising loop, which it runs with the pair's target as the teacher; knows
no mask sets and no file. `score` calls it for estimator "policy".

The distribution. Probabilities are those that the sampler would draw from at temperature 1:
softmax in float32 (float64 where the logits are) over all ids that it may write. It never
writes the mask token, nor end-of-text under `eos_policy=forbid`; without them the probabilities
of all texts add up to 1. The scoring core and the released code for LLaDA take the softmax over
all ids: where a model gives the mask token the probability m, a token counts -log(1 - m) more
here. Guidance and `credit` change the logits, and the distribution with them; `top_k`, `top_p`
and `eos_policy=last` have a part in choosing positions, as at temperature 0, and none in the
distribution. Under an approximate cache it is the likelihood of the sampler with that cache.

The canvas has the target's length, and what is behind the target is absent, in its last block
too (`blocks.parts`). A step reveals as many positions as the policy's own: 64 tokens in 16
steps are four a step, whatever the target's length. Blocks are the policy's, from the first
target token on (from position 0 of the row where attention goes by blocks), the last of them
cut; a policy of one block takes any target as one. `stop` says nothing: all is scored.

Where the released code is not followed: its threshold rule reveals nothing where no position is
sure enough, step after step until an iteration limit, and returns the sum so far; here one is
revealed at least. Its margin is the difference of log-probabilities, here that of
probabilities (arXiv 2502.06768).

Rounding decides between positions that are as good as equal; in another batch it may decide
otherwise, and the value is then that of another order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch

from dllm_eval.api import Denoiser, Likelihood, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.likelihood.budget import Budget, OneRow
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.policy_check import check_policy
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.loop import denoise
from dllm_eval.samplers.teacher import Teacher


def policy(
    denoiser: Denoiser, pairs: Sequence[Pair], seeds: Sequence[int], config: LikelihoodConfig
) -> Iterator[Likelihood]:
    """The log-probability of a target under `config.policy`, its tokens drawn at temperature 1.

    The sampler chooses the positions U_t of step t from the model's own proposals (at temperature
    0) on the canvas as it stands, with the target's tokens at the positions revealed before. They
    are a function of the revealed text, so the chain rule is exact, however many positions a step
    reveals (DUEL, arXiv 2603.01367; giladturok/duel-code 2213681a,
    large_scale/exact_likelihood/compute.py, compute_deterministic_loglikelihood):

        log p(x) = sum over t, sum over i in U_t of log p(x_i | canvas of step t).

    Args:
        denoiser: A masked model.
        pairs: What to score; text behind a target is seen and not scored.
        seeds: One per pair; nothing is drawn.
        config: `policy` and `tokens_per_forward` are read.

    Yields:
        One Likelihood per pair, in order, in nats. `nfe` counts the sampler's forward passes,
        `is_greedy` says whether the sampler, at temperature 0, writes the target.

    Raises:
        UsageError: No policy, one whose positions are drawn or whose tokens are not final, a family
            that decodes otherwise, a setting that has no place in it, logits that are NaN, or one
            canvas that does not fit into memory.
    """
    del seeds
    if config.policy is None:
        raise UsageError(
            "estimator policy scores under a sampler and none is given; accepted: "
            "LikelihoodConfig(policy=SamplerConfig(...))"
        )
    check_policy(denoiser.family, config.policy)
    sampler, budget = config.policy, Budget(config.tokens_per_forward)
    found: dict[int, Likelihood] = {}
    rows = sorted(
        _rows(pairs, sampler), key=lambda row: (pairs[row.index].target_length, -row.width)
    )
    for _, own in groupby(rows, key=lambda row: pairs[row.index].target_length):
        for some, scored in budget.run(
            own, lambda asked: _score_batch(denoiser, [pairs[row.index] for row in asked], sampler)
        ):
            found.update(zip([row.index for row in some], scored, strict=True))
    for index in range(len(pairs)):
        yield found[index]


@dataclass(frozen=True, kw_only=True)
class _Row(OneRow):
    """One pair's canvas."""

    index: int
    width: int
    """Positions of a forward pass."""


def _rows(pairs: Sequence[Pair], sampler: SamplerConfig) -> list[_Row]:
    copies = 2 if sampler.cfg_scale > 0 else 1
    return [_Row(index=index, width=copies * pair.length) for index, pair in enumerate(pairs)]


def _score_batch(
    denoiser: Denoiser, pairs: Sequence[Pair], sampler: SamplerConfig
) -> list[Likelihood]:
    """Pairs whose targets are equally long."""
    family, length = denoiser.family, pairs[0].target_length
    fitted = fit(sampler, family, length)
    with torch.inference_mode():
        canvas = Canvas.build(
            [_prompt(pair) for pair in pairs],
            family=family,
            vocab_size=denoiser.vocab_size,
            gen_length=length,
            device=denoiser.device,
            overhang=fitted.gen_length - length if family.aligned_block is None else 0,
            cut=True,
        )
        texts = [pair.target.tolist() for pair in pairs]
        teacher = Teacher.of(texts, canvas.starts, canvas.tokens)
        canvas.teacher = teacher
        costs = canvas.finish(host_syncs=denoise(denoiser, canvas, fitted))
        values = teacher.log_p.sum(dim=1).tolist()
        greedy = teacher.greedy[:, 0].tolist()
    return [
        Likelihood(
            value=value,
            stderr=0.0,
            nfe=cost.nfe,
            positions=cost.positions,
            exact=True,
            quantity="log_likelihood",
            estimator=f"policy({sampler.sampler})",
            is_greedy=matches,
        )
        for value, matches, cost in zip(values, greedy, costs, strict=True)
    ]


def _prompt(pair: Pair) -> Prompt:
    return Prompt(
        prefix=tuple(pair.context.tolist()), suffix=tuple(pair.token_ids[pair.stop :].tolist())
    )


def fit(sampler: SamplerConfig, family: Family, length: int) -> SamplerConfig:
    """The same rules on a canvas of whole blocks that has room for `length` tokens.

    A step reveals as many tokens as before, rounded up to whole steps per block.
    """
    block = family.aligned_block or min(sampler.block_length or length, length)
    num_blocks = -(-length // block)
    steps = -(-sampler.steps_per_block * block // sampler.block)
    return replace(
        sampler,
        gen_length=num_blocks * block,
        block_length=block if num_blocks > 1 else None,
        steps=steps * num_blocks,
        stop="none",
    )
