"""Which estimators a family has, and which one "auto" is: exact while that is cheap.

Knows the estimators' functions and families' facts; knows no model. `score` asks for the name, the
registry names `auto`.
"""

from dllm_eval.errors import UsageError
from dllm_eval.families import Bound, Family
from dllm_eval.likelihood.exact import enumeration, single_token
from dllm_eval.likelihood.monte_carlo import monte_carlo
from dllm_eval.likelihood.plan import Plan, Setting

OF_MASK_SETS = (
    "auto",
    "single_token",
    "enumeration",
    "monte_carlo",
    "control_variate",
    "left_to_right",
)
"""Estimators that are functionals of s(S, i), for families that decode masks."""

ACCEPTED: dict[Bound, tuple[str, ...]] = {
    "masked": OF_MASK_SETS,
    "left_to_right": ("left_to_right",),
    "score_entropy": ("score_entropy",),
    "discrete_time": ("discrete_time",),
    "latent": ("latent_bound",),
}
"""What a family's likelihood may be estimated by; the first is what "auto" means for it."""


def auto(setting: Setting) -> Plan:
    """`single_token` for one token, `enumeration` up to `max_enumeration`, else `monte_carlo`."""
    if setting.length == 1:
        return single_token(setting)
    if setting.length <= setting.max_enumeration:
        return enumeration(setting)
    return monte_carlo(setting)


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
