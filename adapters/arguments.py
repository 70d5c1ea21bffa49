"""What lm-eval may pass to our models, checked once.

Knows names, types and ranges; knows no model. The adapters' constructors call `parse`.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dllm_eval.errors import UsageError, unknown
from dllm_eval.families import Family
from dllm_eval.likelihood.config import RaceBy, TargetEnd
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.catalogue import part_setting_names
from dllm_eval.samplers.config import CHOICES

FLAT = tuple(field.name for field in fields(SamplerConfig) if field.name != "parts")
SAMPLER_NAMES = tuple(dict.fromkeys((*FLAT, *part_setting_names())))


class Arguments(BaseModel):
    """The arguments that both models take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrained: str
    revision: str | None = None
    dtype: str | None = None
    device: str | None = None
    batch_size: int = Field(default=1, ge=1)
    max_batch_size: None = None
    """lm-eval passes it; automatic batch sizes would change what a latency means."""
    seed: int = 0
    records: str | None = None
    """Path of a request log to continue; None keeps the records in memory."""
    warmup: int = Field(default=0, ge=0)
    """Untimed generations per (batch size, length rounded up to 64) before the first timed one."""
    timing_repeats: int = Field(default=1, ge=1)
    max_length: int | None = Field(default=None, ge=2)
    """Longest prompt and answer together; None is what the checkpoint says."""
    rolling_context: int = Field(default=1, ge=1)
    """Tokens that each window of a rolling likelihood reads again before the first it scores."""


COST_ONLY = (
    *("records", "device", "batch_size", "max_batch_size", "tokens_per_forward"),
    *("warmup", "timing_repeats"),
)
"""Arguments that change what an answer costs, or where it is kept, but not the answer."""


class DiffusionArguments(Arguments):
    """The arguments of `dllm`, the sampler's apart."""

    family: str = "auto"
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """Whether forward passes run compiled, and as CUDA graphs, on canvases padded to a few shapes;
    rounding differs from eager passes'."""
    likelihood: str = "auto"
    mc_samples: int = Field(default=128, ge=1)
    max_enumeration: int = 6
    """The longest target that `likelihood=auto` scores by all of its mask sets."""
    race: float = 0.0
    """The error rate at which choices of a question that cannot win are sampled no further."""
    race_by: RaceBy = "both"
    """Which answer the race keeps safe: acc's (sum), acc_norm's (normalised), or both."""
    tokens_per_forward: int = Field(default=8192, ge=1)
    """Positions of one scoring forward, padding included: how many masked canvases share a pass."""
    check_greedy: bool = False
    """Whether a likelihood request also decodes greedily, to fill in lm-eval's is_greedy."""
    target_end: TargetEnd = "none"
    """"eos" puts the end-of-text id behind a likelihood's target, seen and not scored, as Dream's
    published evaluation does; windows of a rolling likelihood are never ended."""
    infill_length: str = "oracle"
    """"oracle" gives the canvas the reference answer's length, "fixed:N" always N tokens; a model
    that chooses its own length does so whatever is set here."""

    @field_validator("target_end", "compile", mode="before")
    @classmethod
    def _none_is_a_name(cls, value: object) -> object:
        return "none" if value is None else value

    @field_validator("infill_length")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        kind, _, count = value.partition(":")
        if value == "oracle" or (kind == "fixed" and count.isdigit() and int(count) > 0):
            return value
        raise ValueError("accepted: oracle, fixed:N")


class AutoregressiveArguments(Arguments):
    """The arguments of `dllm-ar`."""

    cache: Literal["dynamic", "static"] = "dynamic"
    temperature: float = Field(default=0.0, ge=0)
    gen_length: int | None = Field(default=None, ge=1)
    """Most tokens per answer, whatever a task asks; None leaves it to the task."""
    max_gen_toks: int = Field(default=256, ge=1)
    """Most tokens per answer where neither `gen_length` nor the task says."""


Parsed = TypeVar("Parsed", bound=Arguments)


def parse(
    model: str, kind: type[Parsed], given: Mapping[str, Any], also: tuple[str, ...]
) -> Parsed:
    """Checks what was passed to a model.

    Args:
        model: Its lm-eval name, for messages.
        kind: The arguments it takes.
        given: What was passed; the text "none" stands for None.
        also: Names that are checked elsewhere.

    Raises:
        UsageError: An unknown name (the message lists the known ones) or a bad value.
    """
    known = [*kind.model_fields, *also]
    for name in given:
        if name not in known:
            raise unknown(f"argument of {model}", name, known)
    own = {name: value for name, value in given.items() if name not in also}
    try:
        return kind.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise UsageError(f"{model} needs the argument {name}") from error
        raise UsageError(f"argument {name}={given.get(name)!r} of {model}: {message}") from error


def without_none_texts(given: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's argument string knows no None; "none" is read as one."""
    return {
        name: None if isinstance(value, str) and value.lower() in ("none", "null") else value
        for name, value in given.items()
    }


def sampler_config(given: Mapping[str, Any], family: Family) -> SamplerConfig:
    """The sampler settings among a model's arguments, over the family's published ones."""
    settings = {name: value for name, value in given.items() if name in SAMPLER_NAMES}
    # "none" is None to lm-eval's argument string, but the name of a choice in some settings.
    for name, accepted in CHOICES.items():
        if name in settings and settings[name] is None and "none" in accepted:
            settings[name] = "none"
    return SamplerConfig.from_mapping(settings, family)
