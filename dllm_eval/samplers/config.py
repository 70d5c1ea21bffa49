"""What the user may set about decoding a canvas, checked once, here.

Knows no tensor and no model. The command line, a sweep's YAML and lm-eval's model arguments all
build the same `SamplerConfig`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from dllm_eval.errors import UsageError, unknown

PositionRule = Literal["low_confidence", "random", "margin", "entropy", "left_to_right"]
EosPolicy = Literal["none", "forbid", "last"]
StopRule = Literal["none", "eos"]
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
    """Denoising steps over the whole canvas; ignored when `threshold` is set."""
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
    """"eos" leaves out the blocks behind the first end-of-text; costs one host wait a block.
    It needs more than one block."""
    mode: Mode = "fast"
    """"reference" reproduces LLaDA's published `generate.py` token for token."""

    def __post_init__(self) -> None:
        _check_choice("sampler", self.sampler, PositionRule)
        _check_choice("eos_policy", self.eos_policy, EosPolicy)
        _check_choice("stop", self.stop, StopRule)
        _check_choice("mode", self.mode, Mode)
        for name in ("steps", "gen_length", "block_length"):
            _check_count(name, getattr(self, name))
        _check_range("temperature", self.temperature, low=0.0)
        _check_range("cfg_scale", self.cfg_scale, low=0.0)
        if self.threshold is not None:
            _check_range("threshold", self.threshold, low=0.0, high=1.0)
        self._check_blocks()
        if self.stop == "eos" and self.num_blocks == 1:
            raise UsageError(
                "stop 'eos' leaves out later blocks, but the canvas is one block of "
                f"{self.block} tokens; pass block_length < gen_length ({self.gen_length})"
            )
        if self.mode == "reference":
            self._check_reference()

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Builds a configuration from names and values; an unknown name is an error."""
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise unknown("sampler setting", name, known)
        return cls(**settings)

    @property
    def block(self) -> int:
        """Tokens per block."""
        return self.gen_length if self.block_length is None else self.block_length

    @property
    def num_blocks(self) -> int:
        """Blocks on the canvas."""
        return self.gen_length // self.block

    @property
    def steps_per_block(self) -> int:
        """Denoising steps spent on each block."""
        return self.steps // self.num_blocks

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
        if self.threshold is not None:
            return
        if self.steps % self.num_blocks:
            raise UsageError(
                f"steps {self.steps} does not divide into {self.num_blocks} blocks "
                f"(gen_length {self.gen_length} / block_length {self.block}); "
                f"pass a multiple of {self.num_blocks}"
            )
        if self.steps > self.gen_length:
            raise UsageError(
                f"steps {self.steps} is more than one per canvas position; "
                f"pass steps <= gen_length ({self.gen_length})"
            )

    def _check_reference(self) -> None:
        if self.sampler not in ("low_confidence", "random"):
            raise UsageError(
                f"mode 'reference' has no sampler {self.sampler!r}: LLaDA published "
                "low_confidence and random"
            )
        if self.threshold is not None or self.stop != "none":
            raise UsageError(
                "mode 'reference' is LLaDA's fixed schedule: leave threshold and stop unset"
            )


def _check_choice(name: str, value: object, choices: object) -> None:
    if value not in get_args(choices):
        raise unknown(name, value, get_args(choices))


def _check_count(name: str, value: object) -> None:
    if name == "block_length" and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}")


def _check_range(name: str, value: object, *, low: float, high: float = float("inf")) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value < float("inf") or value > high:  # type: ignore[operator]
        upper = f" and at most {high:g}" if high < float("inf") else ""
        raise UsageError(f"{name} must be a number of at least {low:g}{upper}, not {value!r}")
