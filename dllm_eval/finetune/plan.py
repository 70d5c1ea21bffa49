"""What a fine-tuning run is asked to do, and the numbers of the published recipe.

Plain data; knows no tensor. Made by the command line, read by everything else here.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from dllm_eval.errors import UsageError, unknown

Masked = Literal["all", "completion"]
"""Which tokens the noise may hide from a diffusion model."""
MASKED: Final = ("all", "completion")
DTYPES: Final = ("float32", "bfloat16")
MOST_SEED: Final = 2**31 - 1
"""An epoch's seed is a multiple of it, and torch's generators take 64 bits."""

LEARNING_RATE: Final = 2e-4
WARM_UP_UPDATES: Final = 200
FINAL_RATE_SHARE: Final = 0.1
WEIGHT_DECAY: Final = 0.1
BETAS: Final = (0.9, 0.95)
GRADIENT_NORM: Final = 1.0
"""ML-GSAI/SMDM 583aa47, `sft/finetune_mdm_reverse.py`: AdamW, linear warm-up, cosine decay to a
tenth, clipped gradients; 10 epochs in batches of 64."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run. The defaults are SMDM's for the name/description facts."""

    pretrained: str
    data: str
    """"reversal-curse", or a file of JSON lines with prompt and completion."""
    out: Path
    family: str | None = None
    """Of a diffusion checkpoint, where its config.json does not say."""
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = LEARNING_RATE
    warm_up: int = WARM_UP_UPDATES
    """Updates; at most two fifths of all, so that few texts are learned too."""
    masked: Masked = "all"
    dtype: str = "float32"
    """Of the arithmetic; "bfloat16" is autocast over weights that stay float32."""
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0.0 < self.learning_rate < math.inf:
            raise UsageError(f"learning rate is {self.learning_rate}; it must be above 0")
        if self.warm_up < 0 or self.seed < 0:
            raise UsageError("warm-up and seed must not be negative")
        if self.seed > MOST_SEED:
            raise UsageError(f"seed is {self.seed}; accepted: up to {MOST_SEED}")
        if self.masked not in MASKED:
            raise unknown("masked", self.masked, MASKED)
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    def rate_share(self, update: int, num_updates: int) -> float:
        """The learning rate of an update as a share of the peak, counted from 0."""
        warm_up = min(self.warm_up, 2 * num_updates // 5)
        if update < warm_up:
            return (update + 1) / warm_up
        done = (update - warm_up) / max(1, num_updates - warm_up)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        return FINAL_RATE_SHARE + (1.0 - FINAL_RATE_SHARE) * cosine

    def as_dict(self) -> dict[str, Any]:
        """What makes two runs the same, as JSON says it; the folder and the device do not."""
        found = asdict(self)
        del found["out"], found["device"]
        return found
