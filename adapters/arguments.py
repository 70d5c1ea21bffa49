"""What lm-eval may pass to our models, checked once.

Knows names, types and ranges; knows no model. The adapters' constructors call `parse`.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from dllm_eval.catalogue.arguments_reading import Accepts
from dllm_eval.errors import UsageError, unknown
from dllm_eval.families import Family
from dllm_eval.likelihood.config import (
    ENUMERATION_LIMIT,
    MOST_RACE_ERROR,
    MOST_SAMPLES,
    RaceBy,
    TargetEnd,
)
from dllm_eval.loading import DTYPES
from dllm_eval.registry import ESTIMATORS, FAMILIES
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.catalogue import part_setting_names
from dllm_eval.samplers.config import CHOICES

from .fim_formats import NAMES as FIM_NAMES

FLAT = tuple(field.name for field in fields(SamplerConfig) if field.name != "parts")
SAMPLER_NAMES = tuple(dict.fromkeys((*FLAT, *part_setting_names())))

CHECKPOINTS = "a folder, a hub id, or a shipped model's name"


class Arguments(BaseModel):
    """The arguments that both models take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrained: Annotated[str, Accepts(CHECKPOINTS)]
    """The checkpoint. Shipped: reference-diffusion, reference-ar, stress-diffusion, stress-ar."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; unset is its default branch."""
    dtype: Annotated[str | None, Accepts(", ".join((*DTYPES, "auto")))] = None
    """Of the weights; unset and "auto" are as they are stored."""
    device: Annotated[str | None, Accepts("a torch device, such as cuda:0 or cpu")] = None
    """Where the model runs; unset is the GPU where there is one, else the CPU."""
    batch_size: int = Field(default=1, ge=1)
    """Requests that are answered together."""
    max_batch_size: None = None
    """lm-eval passes it; automatic batch sizes would change what a latency means."""
    seed: int = 0
    """Of all that is drawn. Every request has noise of its own, made of this, its content and its
    repeat."""
    records: Annotated[str | None, Accepts("a file")] = None
    """One row per request is appended to it, and what it holds is not asked again; unset keeps the
    records in memory."""
    warmup: int = Field(default=0, ge=0)
    """Untimed generations per (batch size, length rounded up to 64) before the first timed one."""
    timing_repeats: int = Field(default=1, ge=1)
    """How often each answer is made and timed; its seconds are the median."""
    max_length: int | None = Field(default=None, ge=2)
    """Longest prompt and answer together, in tokens; unset is what the checkpoint says."""
    rolling_context: int = Field(default=1, ge=1)
    """Tokens that each window of a rolling likelihood reads again before the first it scores."""


COST_ONLY = (
    *("records", "device", "batch_size", "max_batch_size", "tokens_per_forward"),
    *("warmup", "timing_repeats"),
)
"""Arguments that change what an answer costs, or where it is kept, but not the answer."""


LENGTH_POLICIES = "oracle, fixed:N, model"


class DiffusionArguments(Arguments):
    """The arguments of `dllm`, the sampler's apart."""

    family: Annotated[str, Accepts(", ".join(("auto", *FAMILIES, "module:function")))] = "auto"
    """How the checkpoint loads and decodes; "auto" reads its config.json, "module:function" is a
    loader of your own (ARCHITECTURE.md)."""
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """Whether forward passes run compiled ("default"), and as CUDA graphs besides, on canvases
    padded to a few shapes; rounding differs from eager passes'. Time such a model with warmup=1 or
    more."""
    likelihood: Annotated[str, Accepts(", ".join(ESTIMATORS))] = "auto"
    """The estimator; docs/likelihood.md says what each gives and costs."""
    mc_samples: Annotated[int, Accepts(f"whole, 1 to {MOST_SAMPLES}")] = Field(default=128, ge=1)
    """Most masked canvases per choice, or per block of it where attention goes by blocks."""
    max_enumeration: Annotated[int, Accepts(f"whole, 1 to {ENUMERATION_LIMIT}")] = 6
    """The longest target, in tokens, that `likelihood=auto` scores by all of its mask sets."""
    race: Annotated[float, Accepts(f"0 (off) to below {MOST_RACE_ERROR:g}")] = 0.0
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
    infill_length: Annotated[str, Accepts(LENGTH_POLICIES)] = "oracle"
    """"oracle" gives the canvas the reference answer's length, "fixed:N" always N tokens, "model"
    the one of `infill_lengths` at which the model is surest of what it writes; a model that chooses
    its own length does so whatever is set here."""
    infill_lengths: Annotated[str, Accepts("ascending, from 2 on")] = "4-8-16-32-64"
    """What `infill_length=model` chooses from, in tokens; every one of them is decoded."""
    boundary: Literal["heal", "as_is"] | None = None
    """Whether a text's token at the border of a gap may become part of a longer one ("heal"), or
    stands as it was tokenised alone ("as_is", as published evaluations do); unset heals where
    the canvas stays in place and holds tokens."""

    @field_validator("target_end", "compile", mode="before")
    @classmethod
    def _none_is_a_name(cls, value: object) -> object:
        return "none" if value is None else value

    @field_validator("infill_length", mode="before")
    @classmethod
    def _known_policy(cls, value: object) -> str:
        text = str(value)
        kind, _, count = text.partition(":")
        if text in ("oracle", "model") or (kind == "fixed" and _positive(count)):
            return text
        raise ValueError(f"accepted: {LENGTH_POLICIES}")

    @field_validator("infill_lengths", mode="before")
    @classmethod
    def _ascending(cls, value: object) -> str:
        texts = str(value).split("-")
        if all(_positive(text) for text in texts):
            lengths = [int(text) for text in texts]
            if lengths[0] > 1 and lengths == sorted(set(lengths)):
                return str(value)
        raise ValueError('accepted: ascending whole numbers from 2 on, such as "4-8-16"')

    @property
    def candidates(self) -> tuple[int, ...]:
        """The lengths of `infill_lengths`."""
        return tuple(int(text) for text in self.infill_lengths.split("-"))


MOST_DRAFTED = {"prompt_lookup": 10, "assisted": 4}
"""Where `draft_tokens` is not set. Ten is what transformers' `PromptLookupCandidateGenerator` takes
for itself."""
DRAFTING = {
    "assistant": ("assisted",),
    "draft_tokens": ("prompt_lookup", "assisted"),
    "lookup_ngram": ("prompt_lookup",),
}
"""Argument -> the ways to guess that read it."""


class AutoregressiveArguments(Arguments):
    """The arguments of `dllm-ar`."""

    cache: Literal["auto", "dynamic", "static"] = "auto"
    """Keys and values that grow with every token, or are allocated at once; "auto" is "static"
    where decoding is compiled, else "dynamic"."""
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """Whether passes of one token run compiled ("default"), and as CUDA graphs besides, on static
    caches of a few lengths; rounding differs from eager passes'."""
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token, else one is drawn. A task may ask for the same, for no other."""
    gen_length: int | None = Field(default=None, ge=1)
    """Most tokens per answer, whatever a task asks; unset leaves it to the task."""
    max_gen_toks: int = Field(default=256, ge=1)
    """Most tokens per answer where neither `gen_length` nor the task says."""
    fim: Annotated[str, Accepts(", ".join(FIM_NAMES))] = "auto"
    """How one gap is put to the model: "auto" by the infilling tokens that the tokenizer has, a
    format by its name, or "none" for the text before the gap alone."""

    assistant: Annotated[str | None, Accepts(CHECKPOINTS)] = None
    """The smaller model of `speculative=assisted`; it must have the same tokenizer."""
    draft_tokens: int | None = Field(default=None, ge=1)
    """Most tokens that are guessed at once; unset is 10 for prompt_lookup, 4 for assisted."""
    lookup_ngram: int | None = Field(default=None, ge=1)
    """The longest end of a text that `speculative=prompt_lookup` looks up in it, in tokens; unset
    is 2."""
    speculative: Literal["none", "prompt_lookup", "assisted"] = Field(
        default="none", validate_default=True
    )
    """Who guesses the next tokens, so that a pass may give several; greedy answers stay as they
    are, sampled ones keep their distribution."""

    @field_validator("fim", "compile", "speculative", mode="before")
    @classmethod
    def _none_is_a_name(cls, value: object) -> object:
        return "none" if value is None else value

    @field_validator("fim")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in FIM_NAMES:
            raise ValueError(f"accepted: {', '.join(FIM_NAMES)}")
        return value

    @field_validator("compile")
    @classmethod
    def _compiled_on_static_caches(cls, value: str, info: ValidationInfo) -> str:
        if value != "none" and info.data.get("cache") == "dynamic":
            raise ValueError("it needs a static cache; leave cache unset, or set compile=none")
        return value

    @field_validator("speculative")
    @classmethod
    def _whole(cls, value: str, info: ValidationInfo) -> str:
        given = info.data
        if value != "none" and (
            given.get("compile") != "none" or given.get("cache") not in ("auto", "dynamic")
        ):
            raise ValueError("its cache takes tokens back: set compile=none and cache=dynamic")
        if value == "assisted" and given.get("assistant") is None:
            raise ValueError("name the smaller model: assistant=FOLDER or a hub id")
        for name, readers in DRAFTING.items():
            if given.get(name) is not None and value not in readers:
                raise ValueError(f"{name} is read with speculative={' or '.join(readers)} alone")
        return value

    @property
    def most_drafted(self) -> int:
        """Most tokens that are guessed at once; 0 where nobody guesses."""
        return self.draft_tokens or MOST_DRAFTED.get(self.speculative, 0)


def _positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


Parsed = TypeVar("Parsed", bound=BaseModel)


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
            raise unknown(
                f"argument of {model}", name, known, all_by=f"dllm-eval arguments {model}"
            )
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
