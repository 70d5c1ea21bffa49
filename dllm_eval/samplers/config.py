"""What the user may set about decoding a canvas, checked once, here.

Knows no tensor and no model. The command line, a sweep's YAML and lm-eval's model arguments all
build the same `SamplerConfig`; what they leave unset, the family's published settings fill in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from dllm_eval.errors import UsageError, unknown
from dllm_eval.families import Family
from dllm_eval.samplers.checks import check_choices, check_numbers, choices_of
from dllm_eval.samplers.unread import check_read

PositionRule = Literal["low_confidence", "random", "margin", "entropy", "left_to_right"]
Schedule = Literal["linear", "time", "bernoulli"]
Floor = Literal["one", "quota"]
TopPCut = Literal["reach", "within"]
Confidence = Literal["model", "filtered"]
FirstToken = Literal["in_block", "autoregressive"]
Transition = Literal["none", "ancestral", "analytic", "euler"]
EosPolicy = Literal["none", "forbid", "last"]
StopRule = Literal["none", "eos"]
CacheUse = Literal["auto", "none"]
Mode = Literal["fast", "reference"]


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """One composition of decoding rules.

    Raises:
        UsageError: A value out of range, or a combination that has no meaning.
    """

    sampler: PositionRule = "low_confidence"
    """Which masked positions are revealed first."""
    steps: int = 64
    """Denoising steps over the whole canvas; a `threshold` needs fewer or more."""
    gen_length: int = 64
    """Canvas length in tokens."""
    block_length: int | None = None
    """Blocks are finished left to right; None is one block, the whole canvas."""
    temperature: float = 0.0
    """0 takes the most likely token; otherwise Gumbel noise is added to the logits."""
    threshold: float | None = None
    """Reveal every position at least this confident (at least one), instead of a fixed quota."""
    cfg_scale: float = 0.0
    """Classifier-free guidance; above 0 a step costs two forward passes."""
    eos_policy: EosPolicy = "none"
    """"forbid" never reveals end-of-text; "last" reveals it only when nothing else is left."""
    stop: StopRule = "none"
    """"eos" leaves out the blocks behind the first end-of-text; costs one host wait a block."""
    mode: Mode = "fast"
    """"reference" reproduces LLaDA's published `generate.py` token for token."""
    cache: CacheUse = "auto"
    """"auto" keeps the keys of finished blocks where attention only looks back, which is exact."""

    schedule: Schedule = "linear"
    """How many per step: LLaDA's even quota; Dream's "time" grid, rounded down; or "bernoulli",
    where each position is revealed on its own with the grid's probability."""
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
    """Sub-blocks are finished left to right inside a block."""
    first_token: FirstToken = "in_block"
    """"autoregressive" reveals a block's first token alone, before the rest of it."""
    edit_threshold: float | None = None
    """Overwrite revealed tokens of the block when another one is more probable than this."""
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

    def __post_init__(self) -> None:
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
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise unknown("sampler setting", name, known)
        config = cls(**{**_published(family, settings), **settings})
        if family is not None:
            check_read(_own(settings, family), config, family)
        return config

    def within(self, gen_length: int) -> Self:
        """The same rules over one block of another length, as an infilled gap needs them."""
        return replace(
            self,
            gen_length=gen_length,
            block_length=None,
            steps=min(self.steps, gen_length),
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
        return any(rule is not None for rule in rules) or self.first_token != "in_block"

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
        if self.steps > self.gen_length and self.schedule == "linear":
            raise UsageError(
                f"steps {self.steps} is more than one per canvas position; "
                f"pass steps <= gen_length ({self.gen_length})"
            )

    def _counts_no_steps(self) -> bool:
        free = self.threshold is not None and self.at_least == "one"
        return free or self.entropy_threshold is not None or self.entropy_bound is not None

    def _check_reference(self) -> None:
        if self.sampler not in ("low_confidence", "random"):
            raise UsageError(
                f"mode 'reference' has no sampler {self.sampler!r}: LLaDA published "
                "low_confidence and random"
            )
        for field in fields(self):
            if field.name not in LLADA_SETTINGS and getattr(self, field.name) != field.default:
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


def _own(settings: Mapping[str, Any], family: Family) -> list[str]:
    """The settings that say something else than the family's published ones would."""
    found = []
    for name, value in settings.items():
        others = {other: settings[other] for other in settings if other != name}
        published = _published(family, others)
        if name not in published or published[name] != value:
            found.append(name)
    return found


GIVES_WAY: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "transition": (
        ("sampler", "schedule", "threshold", "entropy_threshold", "position_temperature"),
        ("steps", "temperature"),
    ),
    "entropy_threshold": (
        ("sampler", "schedule", "threshold", "steps", "position_temperature"),
        ("position_penalty",),
    ),
    "threshold": (("position_temperature",), ("at_least", "strict_threshold")),
}
"""A family's setting -> what of the user's takes its place, and what else of the family's goes."""


def _published(family: Family | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The family's settings, fitted to the canvas that the user set.

    `steps_per_block` among them becomes `steps`; without it, such a family reveals one token per
    step at least. A user who asks for LLaDA's reference rule gets that rule alone.
    """
    if family is None or not family.decoding or given.get("mode") == "reference":
        return {}
    settings = dict(family.decoding)
    for name, (instead, along) in GIVES_WAY.items():
        if name not in given and any(given.get(other) is not None for other in instead):
            for gone in (name, *along):
                settings.pop(gone, None)
    per_block = settings.pop("steps_per_block", None)
    asked = {**settings, **given}
    length, block = asked.get("gen_length", SamplerConfig.gen_length), asked.get("block_length")
    if not isinstance(length, int) or not isinstance(block, int | None):
        return settings  # the checks name what is wrong with it
    overhangs = family.aligned_block == block and isinstance(block, int) and length % block
    if block is None or block > length or overhangs:
        settings.pop("block_length", None)
        block = length
    if length > 0 and block > 0:  # else the checks name what is wrong with it
        settings.setdefault("steps", length if per_block is None else per_block * (length // block))
    return settings
