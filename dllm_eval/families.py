"""What differs between diffusion model families, as data.

A family is facts plus a forward; samplers and estimators read the facts and never ask for a
family's name. Cards (one checkpoint's facts, `adapters/cards/*.yaml`) are read in `cards.py`.
"""

from dataclasses import dataclass
from typing import Literal

Noise = Literal["mask", "uniform", "continuous"]
Attention = Literal["full", "block_causal", "causal"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """The facts a decoding loop needs of one loaded checkpoint."""

    name: str
    noise: Noise = "mask"
    mask_id: int
    """The id of a position that is not revealed yet."""
    eos_id: int
    """Ends the visible text, and fills a canvas behind its answer."""
    eot_id: int | None = None
    """A chat model's end-of-turn id, if it has one; it ends the visible text too."""
    pad_id: int
    """Fills unequal rows of a batch; hidden from attention."""
    logits_shift: int = 0
    """The logits at i - shift predict position i: 0 for LLaDA, 1 for models grown from AR ones."""
    attention: Attention = "full"
    block_length: int | None = None
    """The block size a block-causal family was trained with."""
    context_length: int
    """Longest canvas, prompt included."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids at which visible text ends."""
        return (self.eos_id,) if self.eot_id is None else (self.eos_id, self.eot_id)
