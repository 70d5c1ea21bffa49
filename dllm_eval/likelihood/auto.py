"""Chooses the estimator by the target's length: exact while that is cheap.

Knows the estimators' functions and no model. The registry names it.
"""

from dllm_eval.likelihood.exact import enumeration, single_token
from dllm_eval.likelihood.monte_carlo import monte_carlo
from dllm_eval.likelihood.plan import Plan, Setting


def auto(setting: Setting) -> Plan:
    """`single_token` for one token, `enumeration` up to `max_enumeration`, else `monte_carlo`."""
    if setting.length == 1:
        return single_token(setting)
    if setting.length <= setting.max_enumeration:
        return enumeration(setting)
    return monte_carlo(setting)
