"""Settings that a rule does not read are refused when they are set, never left aside.

Knows the names of settings; knows no tensor. The rules of discrete-time and continuous families
call it, which read few of them.
"""

from dataclasses import fields

from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.samplers.config import SamplerConfig

READ = (
    "steps",
    "gen_length",
    "block_length",
    "temperature",
    "transition",
    "stop",
    "cache",
)
"""What rules on the noise process's own time grid read, and what the loop reads for all."""


def refuse_unread(config: SamplerConfig, family: Family) -> None:
    """Raises a `UsageError` that names a setting which would change nothing."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in READ and value != field.default:
            raise UsageError(
                f"{field.name} is {value!r}, which means nothing to family {family.name!r}: it "
                "redraws every position by the reverse of its noise; leave it unset"
            )
