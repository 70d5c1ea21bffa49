"""The likelihood settings among `dllm`'s arguments, and which of them would change nothing.

Knows arguments, estimators' names and families' facts; knows no model. `diffusion.py` calls it.
"""

from collections.abc import Mapping
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.auto import OF_MASK_SETS, estimator_for
from dllm_eval.likelihood.config import ENUMERATION_LIMIT
from dllm_eval.likelihood.plan import Setting
from dllm_eval.likelihood.race import NO_MEANS
from dllm_eval.registry import ESTIMATORS, resolve

from .arguments import DiffusionArguments

DRAW_NOTHING = (
    *("single_token", "enumeration", "left_to_right", "right_to_left", "policy"),
    *("pseudo_likelihood", "one_step"),
)
"""Exact whatever the target, or exact numbers of something else."""

TAKE_NO_DRAWS = ("single_token", "enumeration")
"""Exact, and only of short targets."""


def likelihood_config(arguments: DiffusionArguments, given: Mapping[str, Any]) -> LikelihoodConfig:
    """The settings of scoring, but for a policy's, which the family has a part in.

    Args:
        arguments: Checked.
        given: What the user wrote.

    Raises:
        UsageError: A bad value, or one that would change nothing.
    """
    if "race_by" in given and arguments.race == 0:
        raise UsageError("race_by means nothing without race; set race, such as 0.005, or leave it")
    if "mc_samples" in given and arguments.likelihood in DRAW_NOTHING:
        raise UsageError(
            f"mc_samples means nothing to likelihood={arguments.likelihood}, which draws nothing;"
            " leave it unset"
        )
    return LikelihoodConfig(
        estimator=arguments.likelihood,
        samples=arguments.mc_samples,
        seed=arguments.seed,
        tokens_per_forward=arguments.tokens_per_forward,
        max_enumeration=arguments.max_enumeration,
        check_greedy=arguments.check_greedy,
        race=arguments.race,
        race_by=arguments.race_by,
        target_end=arguments.target_end,
    )


def check_family(config: LikelihoodConfig, given: Mapping[str, Any], family: Family) -> None:
    """Makes sure that the settings have something to do for a family.

    Args:
        config: The settings of scoring.
        given: What the user wrote.
        family: The model's.

    Raises:
        UsageError: A race without draws to stop, or an enumeration that the family has none of.
    """
    if config.race == 0 and "max_enumeration" not in given:
        return
    name = estimator_for(family, config.estimator)
    meant = name if name == config.estimator else f"{config.estimator} (here {name})"
    if "max_enumeration" in given and name != "auto":
        raise UsageError(
            f"max_enumeration means nothing to likelihood={meant.rstrip(',')}; auto reads it"
        )
    if config.race > 0 and not races(name, config, family):
        raise UsageError(
            f"race is {config.race:g}, and likelihood={meant} makes no draws for family"
            f" {family.name!r} that a race could stop; accepted: 0, or an estimator that draws mask"
            " sets"
        )


def races(name: str, config: LikelihoodConfig, family: Family) -> bool:
    """Whether an estimator is, for long targets, a mean of draws that can be made one by one."""
    if name not in OF_MASK_SETS or name in NO_MEANS:
        return False
    longest = ENUMERATION_LIMIT + 1
    if not family.looks_ahead and family.attention != "reordered":
        longest = min(longest, family.block_length or longest)
    setting = Setting(
        length=longest,
        samples=config.samples,
        max_enumeration=config.max_enumeration,
        seed=0,
        raced=True,
    )
    try:
        plan = resolve("likelihood estimator", ESTIMATORS, name)(setting)
    except UsageError:  # too long a target, or too few samples for one so long
        return name not in TAKE_NO_DRAWS
    return plan.sampling is not None
