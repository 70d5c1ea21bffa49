"""Which estimators a family has, and which one "auto" is: exact while that is cheap.

Knows the estimators' functions and families' facts; knows no model. `score` asks for the name, the
registry names `auto`.
"""

from dllm_eval.errors import UsageError
from dllm_eval.families import Bound, Family
from dllm_eval.likelihood.config import ENUMERATION_LIMIT
from dllm_eval.likelihood.control_variate import control_variate
from dllm_eval.likelihood.end_strata import end_strata
from dllm_eval.likelihood.exact import enumeration, single_token
from dllm_eval.likelihood.monte_carlo import monte_carlo
from dllm_eval.likelihood.plan import Plan, Setting

OF_MASK_SETS = (
    "auto",
    "single_token",
    "enumeration",
    "monte_carlo",
    "control_variate",
    "end_strata",
    "random_order",
    "left_to_right",
    "right_to_left",
    "importance_bound",
    "upper_bound",
    "bernoulli_time",
    "llada_mc",
    "dream_mc",
    "pseudo_likelihood",
    "one_step",
)
"""Estimators that are functionals of s(S, i), for families that decode masks."""

ACCEPTED: dict[Bound, tuple[str, ...]] = {
    "masked": (*OF_MASK_SETS, "policy"),
    "left_to_right": ("left_to_right",),
    "score_entropy": ("score_entropy",),
    "discrete_time": ("discrete_time",),
    "latent": ("latent_bound",),
}
"""What a family's likelihood may be estimated by; the first is what "auto" means for it."""


RACED_ENUMERATION = 3


def auto(setting: Setting) -> Plan:
    """The least error for the budget of `samples` canvases, by the target's length L.

    - One token: `single_token`, exact.
    - L <= `max_enumeration`, and all 2^L - 1 mask sets within the budget: `enumeration`, exact.
    - else `end_strata`, which is `control_variate` where L + 7 exceeds the budget;
    - one canvas: `monte_carlo`.

    In a race mask sets that cannot be left out cost more than a larger error does: there all sets
    are read of up to 3 tokens only, whose 7 the first round would read anyway, and the rest is
    `control_variate`, which has one fixed canvas (benchmarks/likelihood_racing.py).

    On the reference model `end_strata` has 0.01 to 0.35 times the variance of LLaDA's published
    estimator at equal forwards, summed over texts, for 5 to 12 tokens and every budget from 16 to
    128 that it fits, and 0.3 to 0.4 times at 27 tokens (benchmarks/likelihood_variance.py).
    `random_order` was below it at 7 and 8 tokens from 64 canvases on, has few draws to tell its
    error from, and needs 2 L - 1 canvases for any. Where nothing in a model's answers is regular,
    controls gain nothing, and the plain estimate is better by a half or so.
    """
    length = setting.length
    if length == 1:
        return single_token(setting)
    most = min(setting.max_enumeration, RACED_ENUMERATION if setting.raced else ENUMERATION_LIMIT)
    if length <= most and 2**length - 1 <= setting.samples:
        return enumeration(setting)
    if setting.samples == 1:
        return monte_carlo(setting)
    return control_variate(setting) if setting.raced else end_strata(setting)


def estimator_for(family: Family, name: str) -> str:
    """The estimator that a name means for a family.

    Raises:
        UsageError: The family publishes no likelihood, the estimator means nothing for it, or it
            would mask tokens and the family has none.
    """
    if family.likelihood is None:
        raise UsageError(
            f"family {family.name!r} publishes no likelihood, nor a bound of one; accepted:"
            " generation tasks only"
        )
    accepted = ACCEPTED[family.likelihood]
    if accepted[0] in OF_MASK_SETS and family.noise != "mask":
        raise UsageError(
            f"family {family.name!r} has noise {family.noise!r}; likelihood"
            f" {family.likelihood!r} accepts: 'mask'"
        )
    if name == "auto":
        return accepted[0]
    if name not in accepted:
        names = ", ".join(dict.fromkeys(["auto", *accepted]))
        raise UsageError(
            f"likelihood estimator {name!r} means nothing for family {family.name!r}, whose"
            f" likelihood is {family.likelihood!r}; accepted: {names}"
        )
    return name
