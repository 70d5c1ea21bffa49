"""What differs between diffusion model families, as data.

A family is facts plus a forward; samplers and estimators read the facts and never ask for a
family's name. Cards (one checkpoint's facts, `adapters/cards/*.yaml`) are read in `cards.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Noise = Literal["mask", "uniform", "continuous"]
Attention = Literal["full", "block_causal", "causal_context", "reordered"]
Bound = Literal["masked", "score_entropy", "discrete_time", "latent", "left_to_right"]

NO_MASK = -1
"""The mask id of a family without a mask token; no token has it."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The facts a decoding loop needs of one loaded checkpoint."""

    name: str
    noise: Noise = "mask"
    mask_id: int
    """The id of a position that is not revealed yet; `NO_MASK` where noise is not masks."""
    eos_id: int
    """Ends the visible text, and fills a canvas behind its answer."""
    eot_id: int | None = None
    """A chat model's end-of-turn id, if it has one; it ends the visible text too."""
    more_end_ids: tuple[int, ...] = ()
    """Further ids that end the visible text."""
    pad_id: int
    """Fills unequal rows of a batch; hidden from attention."""
    logits_shift: int = 0
    """The logits at i - shift predict position i: 0 for LLaDA, 1 for models grown from AR ones."""
    attention: Attention = "full"
    """Which positions a position sees, see `dllm_eval/attention.py`."""
    block_length: int | None = None
    """The block size that the family was trained with, where it has one."""
    context_length: int
    """Longest canvas, prompt included."""
    time_conditioned: bool = False
    """Whether the model is told how much noise is left."""
    self_conditioned: bool = False
    """Whether the model is given its own last prediction."""
    likelihood: Bound | None = "masked"
    """Which bound on log p(target | context) the family has; None where it has none."""
    expand_id: int | None = None
    """The id that stands for two masks, where the model chooses its own length (DreamOn)."""
    delete_id: int | None = None
    """The id that stands for no token at all (DreamOn)."""
    decoding: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Published default sampler settings, by `SamplerConfig` field; what the user sets wins."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids at which visible text ends."""
        turn = () if self.eot_id is None else (self.eot_id,)
        return (self.eos_id, *turn, *self.more_end_ids)

    @property
    def aligned_block(self) -> int | None:
        """The block length where blocks count from a request's own first token, else None.

        Attention that looks back only by whole blocks leaves no choice of where they lie.
        """
        return self.block_length if self.attention == "block_causal" else None

    @property
    def looks_ahead(self) -> bool:
        """Whether a position sees text behind the block it lies in, as infilling needs."""
        return self.attention == "full"

    @property
    def looks_back(self) -> bool:
        """Whether finished text never sees what comes behind it, as an exact cache needs."""
        return self.attention != "full"
