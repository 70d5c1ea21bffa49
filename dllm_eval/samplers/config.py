"""What the user may set about decoding a canvas, checked once, here.

Knows no tensor and no model. The command line, a sweep's YAML and lm-eval's model arguments all
build the same `SamplerConfig`; what they leave unset, the family's published settings fill in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, TypeVar

from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.samplers.catalogue import compose
from dllm_eval.samplers.checks import check_choices, check_numbers, choices_of
from dllm_eval.samplers.naming import check_names, named
from dllm_eval.samplers.parts.orders import LowConfidence
from dllm_eval.samplers.parts.part import Order, Part
from dllm_eval.samplers.parts.settings import declared
from dllm_eval.samplers.published import DEFAULT_LENGTH, beside_published, published
from dllm_eval.samplers.unread import check_read

PartKind = TypeVar("PartKind", bound=Part)

Schedule = Literal["linear", "time", "bernoulli"]
Floor = Literal["one", "quota"]
TopPCut = Literal["reach", "within"]
Confidence = Literal["model", "filtered"]
FirstToken = Literal["in_block", "autoregressive"]
Transition = Literal["none", "ancestral", "analytic", "euler"]
EosPolicy = Literal["none", "forbid", "last"]
StopRule = Literal["none", "eos"]
CacheUse = Literal["auto", "none", "prefix", "dual", "delayed"]
Mode = Literal["fast", "reference"]


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """One composition of decoding rules.

    Raises:
        UsageError: A value out of range, or a combination that has no meaning.
    """

    sampler: str = "low_confidence"
    """A name of `dllm-eval samplers`, or several joined by "+": the order, and what is revealed."""
    steps: int = 64
    """Denoising steps over the whole canvas. Left out, they are what the family publishes for a
    block times the blocks, else `gen_length`, one a token; 64 in a family that publishes no
    decoding. An error where the tokens decide their number."""
    gen_length: int = DEFAULT_LENGTH
    """Canvas length in tokens."""
    block_length: int | None = None
    """Tokens of a block; blocks are finished left to right. Unset is one block: the canvas."""
    temperature: float = 0.0
    """0 takes the most likely token; otherwise Gumbel noise is added to the logits."""
    threshold: float | None = None
    """Reveal every position whose token has at least this probability, and at least one, instead of
    a fixed quota."""
    cfg_scale: float = 0.0
    """Classifier-free guidance; above 0 a step costs two forward passes."""
    eos_policy: EosPolicy = "none"
    """"forbid" never reveals end-of-text; "last" reveals it only when nothing else is left."""
    stop: StopRule = "none"
    """"eos" leaves out the blocks behind the first end-of-text; costs one host wait a block."""
    mode: Mode = "fast"
    """"reference" reproduces LLaDA's published `generate.py` token for token."""
    cache: CacheUse = "auto"
    """"auto" keeps the keys of finished blocks where attention only looks back, which is exact;
    "prefix", "dual", "delayed", where it looks everywhere, are approximate: answers may change."""
    cache_refresh: int | None = None
    """Steps after which an approximate cache is filled anew; unset is as it was published."""

    schedule: Schedule = "linear"
    """How many per step: LLaDA's even quota ("linear"); Dream's "time" grid, rounded down; or
    "bernoulli", where each position is revealed on its own with the grid's probability."""
    at_least: Floor = "one"
    """What a step with a `threshold` reveals at least: one position, or the schedule's quota."""
    strict_threshold: bool = False
    """Whether a position has to be more confident than `threshold`, and not just as confident."""
    top_k: int | None = None
    """Draw tokens from this many most likely ones only."""
    top_p: float | None = None
    """Draw tokens from the fewest most likely ones that have this probability together."""
    top_p_cut: TopPCut = "reach"
    """Whether the least likely token kept is the one that reaches `top_p`, or stays "within" it."""
    confidence: Confidence = "model"
    """A proposal's probability under the model's own distribution, or under the "filtered" one
    that it was drawn from (after temperature, `top_k` and `top_p`)."""
    position_temperature: float = 0.0
    """Above 0, a quota's positions are drawn by softmax(score / this) without replacement."""
    initial_length: int | None = None
    """Masks at the start, where the model chooses its length itself; `gen_length` is the most."""
    sub_block_length: int | None = None
    """Tokens of a sub-block; they are finished left to right inside a block."""
    first_token: FirstToken = "in_block"
    """"autoregressive" reveals a block's first token alone, before the rest of it."""
    edit_threshold: float | None = None
    """Overwrite revealed tokens of the block when another one has more than this probability."""
    max_edit_steps: int = 16
    """Most steps a block is edited for when no mask is left in it."""
    window: int | None = None
    """Only the first so many positions behind the finished ones can be revealed (WeDLM)."""
    entropy_threshold: float | None = None
    """Reveal every position whose entropy (nats) and penalty are below this; at least one."""
    position_penalty: float = 0.0
    """Added to the entropy for each position behind the first masked one, in nats."""
    entropy_bound: float | None = None
    """Uniform noise: accept the surest tokens while their joint entropy stays within (nats)."""
    final_temperature: float | None = None
    """Uniform noise: the temperature of the last step; it goes there in a straight line."""
    stop_entropy: float | None = None
    """Uniform noise: stop when the tokens no longer change and their mean entropy is below."""
    stable_steps: int = 1
    """Uniform noise: for how many steps the tokens must not have changed."""
    transition: Transition = "none"
    """Step by the noise process's own reverse transition on a time grid (MDLM, SEDD, D3PM)."""
    parts: tuple[Part, ...] = ()
    """What `sampler` names, with settings of its own; made from the name where it is left empty."""

    def __post_init__(self) -> None:
        self._compose()
        check_choices(self, CHOICES)
        check_numbers(self)
        self._check_blocks()
        if self.mode == "reference":
            self._check_reference()

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], family: Family | None = None) -> Self:
        """Builds a configuration from names and values.

        Args:
            settings: What the user set; an unknown name is an error.
            family: Its published settings stand where the user set nothing.
        """
        given = dict(settings)
        sampler = given.get("sampler", named(family, cls.sampler))
        composition = check_names(given, {each.name for each in fields(cls)} - {"parts"}, sampler)
        own = composition.part_settings()
        asked = {**composition.settings, **given}
        flat = {name: value for name, value in asked.items() if name not in own}
        chooses = "sampler" in given and any(part.kind == "select" for part in composition.parts)
        settings = {**published(family, flat, chooses=chooses), **flat}
        config = cls(**{**settings, "sampler": sampler, "parts": composition.build(asked)})
        if family is not None:
            told = {name: value for name, value in given.items() if name not in own}
            check_read(beside_published(told, family), config, family)
        return config

    def _compose(self) -> None:
        """Fills in what the sampler's name stands for, where it was not `from_mapping` that did."""
        composition = compose(self.sampler)
        if self.parts:
            if not set(composition.parts) <= {type(part) for part in self.parts}:
                raise UsageError(
                    f"the parts are not those of sampler {self.sampler!r}; leave them out"
                )
            return
        given = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "parts" and getattr(self, each.name) != each.default
        }
        for name, value in {**composition.settings, **given}.items():
            object.__setattr__(self, name, value)
        own = {name: given[name] for name in composition.part_settings() if name in given}
        for each in fields(self):
            if each.name in own:  # the part's, and no flat setting
                object.__setattr__(self, each.name, each.default)
        object.__setattr__(self, "parts", composition.build(own))

    def resolved(self) -> dict[str, Any]:
        """Every setting in force by its flat name, those of the parts included."""
        flat = {each.name: getattr(self, each.name) for each in fields(self)}
        del flat["parts"]
        for part in self.parts:
            flat.update({name: getattr(part, name) for name in declared(part)})
        return flat

    def part(self, kind: type[PartKind]) -> PartKind | None:
        """The part of this kind; None where the plain rule stands."""
        return next((part for part in self.parts if isinstance(part, kind)), None)

    @property
    def order(self) -> Order:
        """Which masked positions come first."""
        return self.part(Order) or LowConfidence()

    def within(self, gen_length: int, given: int = 0) -> Self:
        """The same rules over one block of another length, as infilled gaps need them.

        Args:
            gen_length: The canvas.
            given: How many tokens of it are given.
        """
        return replace(
            self,
            gen_length=gen_length,
            block_length=None,
            steps=min(self.steps, gen_length - given),
            stop="none",  # there is no later block to leave out
        )

    @property
    def block(self) -> int:
        """Tokens per block."""
        return self.gen_length if self.block_length is None else self.block_length

    @property
    def num_blocks(self) -> int:
        """Blocks on the canvas, where it begins with one."""
        return -(-self.gen_length // self.block)

    @property
    def steps_per_block(self) -> int:
        """Denoising steps spent on each block."""
        return max(1, self.steps // self.num_blocks)

    @property
    def adaptive(self) -> bool:
        """Whether the tokens themselves decide how many steps a block takes."""
        rules = (
            self.threshold,
            self.entropy_threshold,
            self.edit_threshold,
            self.sub_block_length,
            self.initial_length,
        )
        if any(rule is not None for rule in rules) or self.first_token != "in_block":
            return True
        return any(part.adaptive for part in self.parts)

    def _check_blocks(self) -> None:
        if self.block > self.gen_length:
            raise UsageError(
                f"block_length {self.block} is longer than the canvas: gen_length is "
                f"{self.gen_length}; pass block_length <= gen_length"
            )
        if self.gen_length % self.block:
            raise UsageError(
                f"block_length {self.block} does not divide gen_length {self.gen_length}"
            )
        if None not in (self.sub_block_length, self.block_length) and (
            self.block % (self.sub_block_length or 1)
        ):
            raise UsageError(
                f"sub_block_length {self.sub_block_length} does not divide the block of "
                f"{self.block} tokens"
            )
        if self.transition != "none" or self._counts_no_steps():
            return
        if self.steps % self.num_blocks:
            raise UsageError(
                f"steps {self.steps} does not divide into {self.num_blocks} blocks "
                f"(gen_length {self.gen_length} / block_length {self.block}); "
                f"pass a multiple of {self.num_blocks}"
            )
        by_counts = self.schedule == "linear" and not any(part.all_steps for part in self.parts)
        if self.steps > self.gen_length and by_counts:
            raise UsageError(
                f"steps {self.steps} is more than one per canvas position; "
                f"pass steps <= gen_length ({self.gen_length})"
            )

    def _counts_no_steps(self) -> bool:
        free = self.threshold is not None and self.at_least == "one"
        if any(not part.reads_steps for part in self.parts):
            return True
        return free or self.entropy_threshold is not None or self.entropy_bound is not None

    def _check_reference(self) -> None:
        if self.sampler not in ("low_confidence", "random"):
            raise UsageError(
                f"mode 'reference' has no sampler {self.sampler!r}: LLaDA published "
                "low_confidence and random"
            )
        for field in fields(self):
            open_to_all = (*LLADA_SETTINGS, "parts")
            if field.name not in open_to_all and getattr(self, field.name) != field.default:
                raise UsageError(
                    f"mode 'reference' is LLaDA's fixed schedule: leave {field.name} unset"
                )


CHOICES = choices_of(SamplerConfig)
LLADA_SETTINGS = (
    "mode",
    "sampler",
    "steps",
    "gen_length",
    "block_length",
    "temperature",
    "cfg_scale",
    "eos_policy",
    "cache",
)
"""What LLaDA's published rule leaves open."""
