"""Which setting to deploy under a budget, which is next, and how sure that is.

Pure arrays over the rows of one suite on one machine and stack. Knows no file and no text; called
by `report/recommend.py`.
"""

from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.budget import Budget
from dllm_eval.stats.candidates import Candidates, mean_over
from dllm_eval.stats.chooser import Chooser
from dllm_eval.stats.sureness import Sureness


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One setting and how sure it is. Shares are of paired resamples of documents and requests."""

    row: int
    """The index that the caller gave."""
    quality: float
    """Over all documents. Chosen for being high, so too high on average."""
    held_out_quality: float
    """Of what one half of the documents would choose, on the other half; NaN for a runner-up."""
    same_choice: float
    """Share of those halves that choose this setting; NaN for a runner-up."""
    seconds: float
    """At the percentile asked for."""
    p_meets: float
    """That it meets the budget, no more than exact bounds for so few documents and requests.
    NaN where it depends on seconds of two rounds."""
    p_best: float
    """That it meets the budget and no other that does is clearly preferable: better by more than a
    point, or without a latency budget faster. NaN where seconds are of two rounds."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer. Without a pick nothing qualifies."""

    pick: Pick | None
    runner_up: Pick | None
    instead_of: int | None = None
    """The row of the highest quality, where the pick was taken for being cheaper and not
    separable from it."""
    floor: float
    """The least quality allowed; NaN where none was asked for."""
    nearest: tuple[int, ...]
    """Without a pick, the rows that come nearest: the fastest that has the quality, and the best
    that is fast enough, else the fastest or the best of all."""
    considered: int


def recommend(
    candidates: Candidates,
    budget: Budget,
    *,
    seed: int = 0,
    replicates: int = 2000,
    splits: int = 200,
) -> Recommendation:
    """The setting to deploy.

    With a latency budget, the highest quality within it; with a quality floor alone, the fastest
    that reaches it. Of settings within one point of the best and not separable from it (paired sign
    test), the one of the fewest token positions.

    Args:
        candidates: The settings, all of one machine and stack.
        budget: What they have to meet.
        seed: Of resamples and splits.
        replicates: Resamples.
        splits: Random halvings of the documents, on one half of which the choice is repeated.

    Raises:
        UsageError: The floor is relative and there is no AR row, or scores are no shares.
    """
    chooser = Chooser(candidates=candidates, budget=budget)
    everything = np.arange(candidates.quality.shape[1])
    order = chooser.ranked(everything)
    floor, rows = chooser.floor(everything), candidates.rows
    if not order:
        return Recommendation(
            pick=None,
            runner_up=None,
            floor=floor,
            nearest=tuple(rows[i] for i in chooser.nearest(everything)),
            considered=len(rows),
        )
    generator = np.random.default_rng(seed)
    sureness = Sureness(chooser, generator=generator, replicates=replicates)
    held_out, same = _held_out(chooser, order[0], generator, splits)
    picks = [
        Pick(
            row=rows[i],
            quality=float(candidates.means(everything)[i]),
            held_out_quality=held_out if i == order[0] else float("nan"),
            same_choice=same if i == order[0] else float("nan"),
            seconds=float(chooser.seconds[i]),
            p_meets=sureness.p_meets(i),
            p_best=sureness.p_best(i),
        )
        for i in order[:2]
    ]
    best = chooser.best(everything, chooser.meeting(everything))
    return Recommendation(
        pick=picks[0],
        runner_up=picks[1] if len(picks) > 1 else None,
        instead_of=None if best == order[0] else rows[best],
        floor=floor,
        nearest=(),
        considered=len(rows),
    )


def _held_out(
    chooser: Chooser, chosen: int, generator: np.random.Generator, splits: int
) -> tuple[float, float]:
    """Mean quality on one half of what the other half chooses; how often that is what all choose.

    The quality is NaN where no half chooses anything.
    """
    count = chooser.candidates.quality.shape[1]
    found: list[float] = []
    same = 0
    for _ in range(splits):
        order = generator.permutation(count)
        half = order[: count // 2]
        ranked = chooser.ranked(half, depth=1)
        if not ranked:
            continue
        same += ranked[0] == chosen
        found.append(float(chooser.candidates.means(order[count // 2 :])[ranked[0]]))
    held_out = mean_over(np.array([found])) if found else np.array([np.nan])
    return float(held_out[0]), same / splits
