"""How many positions each step reveals. Plain numbers, known before the first forward pass."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

SMALLEST_TIME = 1e-3
"""Where Dream's time grid ends (`generation_utils.py`, eps)."""


def step_counts(schedule: str, num_masked: int, steps: int) -> list[int]:
    """One count per step, adding up to `num_masked`.

    Args:
        schedule: "linear" or "time"; "bernoulli" has no counts and gets the linear ones.
        num_masked: Masked positions in the block, at least 1.
        steps: Denoising steps for the block.
    """
    return time_counts(num_masked, steps) if schedule == "time" else quotas(num_masked, steps)


def quotas(num_masked: int, steps: int) -> list[int]:
    """LLaDA's linear schedule: as even as whole numbers allow, the larger shares first.

    Source: `generate.py`, get_num_transfer_tokens; the discretised linear noise schedule of
    arXiv 2502.09992 Eq. 8.
    """
    base, remainder = divmod(num_masked, steps)
    return [base + (step < remainder) for step in range(steps)]


def time_counts(num_masked: int, steps: int) -> list[int]:
    """Dream's schedule: of the masks that are left, the share that the time step takes, cut down.

    At step i from t to s that is int(masked * (1 - s / t)) in float32; the last step takes the
    rest. With one step per token early steps may reveal nothing, as published (Dream
    `generation_utils.py`, _sample).
    """
    counts, left = [], num_masked
    for share in reveal_chances(steps)[:-1]:
        counts.append(int(np.float32(left) * np.float32(share)))
        left -= counts[-1]
    return [*counts, left]


def reveal_chances(steps: int) -> list[float]:
    """The chance 1 - s / t with which each masked position is revealed at each step; last is 1.

    The exact reverse process of masked diffusion on the grid linspace(1, `SMALLEST_TIME`,
    steps + 1) (Dream, algorithm `origin`; arXiv 2406.07524 Eq. 6).
    """
    grid = np.linspace(1.0, SMALLEST_TIME, steps + 1, dtype=np.float32)
    chances = [float(1 - after / before) for before, after in pairwise(grid)]
    return [*chances[:-1], 1.0]


def steps_needed(sums: Sequence[int], masked: int) -> int:
    """Steps until the sums of the counts reach `masked`; all of them where they never do."""
    return min(bisect_left(sums, masked), len(sums) - 1)
