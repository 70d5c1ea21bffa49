"""What a sampler is made of: each part decides one thing about a step.

    logits -> adjust -> proposal -> narrow -> score -> commit, decide -> canvas

A part is a frozen dataclass: its fields are its settings, its docstring is its rule. What it
remembers from step to step lies in `Moment.memory`, per request, so that no answer depends on the
batch. `reveal.RevealRule` asks the parts; `catalogue.py` names them. Knows no model.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from torch import Tensor

from dllm_eval.samplers.parts.settings import check_settings

if TYPE_CHECKING:
    from dllm_eval.samplers.canvas import Canvas
    from dllm_eval.samplers.config import SamplerConfig
    from dllm_eval.samplers.noise import Noise
    from dllm_eval.samplers.proposal import Prediction
    from dllm_eval.samplers.rules import Step

Kind = Literal["order", "select", "adjust", "commit", "blocks", "length"]

Statistic = Literal["best", "second", "entropy"]
"""Of a distribution: the probabilities of its two most probable tokens, and its entropy."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One step of a batch, before anything is proposed."""

    canvas: "Canvas"
    config: "SamplerConfig"
    noise: "Noise"
    rows: slice
    """The columns that every (batch, rows) tensor speaks of."""
    block: slice
    """The columns of the block."""
    step: "Step"
    num_steps: int
    """How many steps the schedule gives this block."""
    quota: float | Tensor
    """How many positions the schedule reveals in this step, (batch, 1) where given tokens leave
    rows different numbers; for "bernoulli" with what chance."""
    eligible: Tensor
    """(batch, rows) bool: the masked positions that may be revealed."""
    memory: dict[str, Tensor]
    """The part's own, empty at the start of each block."""

    @property
    def tokens_now(self) -> Tensor:
        """(batch, rows) int64: what the canvas holds."""
        return self.canvas.tokens[:, self.rows]

    @property
    def places(self) -> Tensor:
        """(rows,) int64: 0, 1, 2, ..."""
        return self.canvas.at(self.rows).places

    def changed(self, **changes: Any) -> Self:  # noqa: ANN401 - of any field
        """As `dataclasses.replace`, in a tenth of its time, which counts once a step."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), **changes)
        return twin

    def editable(self) -> Tensor:
        """(batch, rows) bool: canvas positions of working rows that hold a token already."""
        return self.canvas.open(self.rows) & (self.tokens_now != self.canvas.family.mask_id)


@dataclass(frozen=True, kw_only=True)
class Look(Moment):
    """The same step, with what the model proposes."""

    tokens: Tensor
    """(batch, rows) int64: the proposed tokens."""
    confidence: Tensor
    """(batch, rows): probability of the proposed token."""
    prediction: "Prediction"
    """The distributions behind it."""
    score: Tensor
    """(batch, rows): the order's; larger is revealed first. Confidences before it has spoken."""
    leave_one_out: "Prediction | None" = None
    """What each position would be if it alone were masked, for a part that asks for it."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one step does."""

    reveal: Tensor
    """(batch, rows) bool, within `Look.eligible`."""
    remask: Tensor | None = None
    """(batch, rows) bool, within `Look.editable()`: tokens that become masks again."""


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """One decision of a sampler.

    Raises:
        UsageError: A setting is out of its range.
    """

    kind: ClassVar[Kind]
    source: ClassVar[str]
    """arXiv id; repository, commit and function."""
    forwards: ClassVar[str] = "1"
    """Forward passes per step."""
    adaptive: ClassVar[bool] = False
    """Whether the tokens decide how many steps a block takes; costs one host wait a step."""
    all_steps: ClassVar[bool] = False
    """Whether every step of the schedule is run, because its counts say nothing."""
    reads_steps: ClassVar[bool] = True
    """Whether `steps` and `schedule` mean anything to it."""
    reads_order: ClassVar[bool] = True
    """Whether it looks at `Look.score`."""
    whole_canvas: ClassVar[bool] = False
    """Whether it wants logits up to the end of the canvas."""
    reads: ClassVar[tuple[Statistic, ...] | None] = None
    """What of `Look.prediction` it looks at, if that is all, besides token, confidence and score,
    and at masked positions alone: then no whole distributions have to be kept. None: it may look
    at anything."""
    leave_one_out: ClassVar[bool] = False
    """Whether it wants `Look.leave_one_out`."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Order(Part):
    """Which masked positions come first."""

    kind = "order"

    @abstractmethod
    def score(self, look: Look) -> Tensor:
        """(batch, rows); larger is revealed first."""


@dataclass(frozen=True, kw_only=True)
class Select(Part):
    """Which positions this step reveals, and which it masks again."""

    kind = "select"

    def num_steps(self, length: int, steps: int) -> int:
        """Steps that a block of `length` tokens takes, where the schedule gives it `steps`."""
        del length
        return steps

    @abstractmethod
    def decide(self, look: Look) -> Decision:
        """The decision of one step."""


@dataclass(frozen=True, kw_only=True)
class Adjust(Part):
    """What is done to the logits before anything is proposed."""

    kind = "adjust"

    @abstractmethod
    def adjust(self, logits: Tensor, moment: Moment) -> Tensor:
        """(batch, rows, vocab) float32; `logits` may be overwritten."""


@dataclass(frozen=True, kw_only=True)
class Commit(Part):
    """When the rest of the canvas is filled in at once."""

    kind = "commit"
    adaptive = True
    whole_canvas = True

    @abstractmethod
    def commit(self, look: Look) -> Tensor:
        """(batch, 1) bool: rows whose masked positions are all revealed now."""


@dataclass(frozen=True, kw_only=True)
class Blocks(Part):
    """Where the block that is worked on ends."""

    kind = "blocks"
    adaptive = True
    whole_canvas = True

    @abstractmethod
    def narrow(self, look: Look) -> Tensor:
        """(batch, rows) bool, within `look.eligible`."""


@dataclass(frozen=True, kw_only=True)
class Length(Part):
    """How the canvas grows; `expanding.py` is the rule that reads it."""

    kind = "length"
    adaptive = True
