"""The best diffusion row of a group against its best AR row, with what is known of both.

Reads statistics, computes none; knows no wording beyond single facts. Called by `first_look.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dllm_eval.report import text
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.paired import LEVEL
from dllm_eval.stats.resample import UNKNOWN, Interval
from dllm_eval.stats.row import Row
from dllm_eval.stats.speedup import MatchedSpeedup


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who stands for either side, and the paired statistics between them."""

    best: Row
    """The diffusion row of the highest quality, the fastest of equals."""
    rival: Row
    """The AR row, likewise."""
    speedup: MatchedSpeedup | None
    """Of the diffusion model that reaches matched quality soonest; None where seconds were not
    compared."""
    matched_rows: tuple[Row, ...]
    """The fastest rows that reach matched quality, diffusion first; the best where none do."""
    verdicts: frozenset[str]
    """Of all diffusion rows against AR, Holm-corrected."""

    @property
    def num_documents(self) -> int:
        """How many documents stand behind the scores."""
        return self.best.num_documents

    @property
    def gap(self) -> Interval:
        """95 % of diffusion's best score less AR's."""
        compared = self.best.comparison
        return UNKNOWN if compared is None else compared.difference_interval

    @property
    def best_verdict(self) -> str:
        """Of the best diffusion row."""
        return "" if self.best.comparison is None else self.best.comparison.verdict

    @property
    def faster(self) -> bool:
        """Whether the best diffusion row takes less time than AR, by its 95 % interval."""
        compared = self.best.comparison
        return compared is not None and compared.latency_ratio_interval.low > 1

    @property
    def dominated(self) -> bool:
        """Whether the diffusion row at matched quality is dominated by AR, Holm-corrected."""
        compared = self.matched_rows[0].comparison
        return compared is not None and compared.verdict == "dominated by AR"

    @property
    def bounded(self) -> bool:
        """Whether the scores are bounds on either side, so that a worse one shows nothing."""
        kinds = {self.best.likelihood, self.rival.likelihood}
        return not kinds <= {None, "exact"}

    @property
    def told_better(self) -> bool:
        """Whether diffusion's lead shows anything: a bound that beats an exact value does."""
        return self.rival.likelihood in (None, "exact") and self.best.likelihood != "neither"

    @property
    def ahead(self) -> str:
        """What a better score is called: higher, or better where lower numbers are."""
        return "better" if self.best.scale.lower_is_better else "higher"

    @property
    def scores_differ(self) -> bool:
        """Whether the best row's score differs from AR's after Holm's correction."""
        compared = self.best.comparison
        if compared is None:
            return False
        named = compared.verdict in (
            "slower, better",
            "faster, worse",
            "dominated by AR",
            "worse, speed open",
            "better, speed open",
        )
        return named or compared.mcnemar_p <= LEVEL

    @property
    def gap_text(self) -> str:
        """The difference of the best scores, with its interval."""
        compared = self.best.comparison
        if compared is None or math.isnan(compared.difference):
            return "The scores were not compared on the same documents."
        low, high = 100 * self.gap.low, 100 * self.gap.high
        ahead = compared.difference >= 0
        words = ("worse", "better") if self.best.scale.lower_is_better else ("fewer", "more")
        side = words[ahead]
        if not ahead:
            low, high = -high, -low
        shown = text.signed if low < 0 < high else text.fixed
        span = f"{shown(low)} to {shown(high)}"
        if compared.difference == 0:
            return f"Both score the same on {self.num_documents} documents (95 % interval {span})."
        own = "Diffusion's bound is" if self.best.likelihood == "bound" else "Diffusion scores"
        return (
            f"{own} {abs(100 * compared.difference):.1f} points {side} on "
            f"{self.num_documents} documents (95 % interval {span})."
        )

    @property
    def floor(self) -> float:
        """Matched quality; NaN where seconds were not compared."""
        return math.nan if self.speedup is None else self.speedup.quality_floor

    @property
    def ratio(self) -> float:
        """AR seconds over diffusion seconds at matched quality."""
        return math.nan if self.speedup is None else self.speedup.ratio

    @property
    def reached_share(self) -> float:
        """Share of resamples in which matched quality is reached."""
        return math.nan if self.speedup is None else self.speedup.reached_share

    @property
    def span(self) -> tuple[float, float]:
        """95 % of `ratio`; 0 below says that matched quality may well not be reached."""
        if self.speedup is None:
            return math.nan, math.nan
        return self.speedup.interval.low, self.speedup.interval.high

    @property
    def speed_text(self) -> str:
        """The speed-up's interval, told of the side that is ahead."""
        low, high = self.span
        if low > 1:
            return f"Faster by {text.ratio(low)} to {text.ratio(high)} (95 % interval)."
        missed = text.percent(1 - self.reached_share, digits=0)
        if low == 0:
            tail = f"In {missed} of resamples diffusion does not reach that score at all."
            ahead = self.ratio < 1 and 0 < high < 1
            least = f"Faster by at least {text.ratio(1 / high)} (95 % interval). " if ahead else ""
            return least + tail
        if high < 1:
            return f"Faster by {text.ratio(1 / high)} to {text.ratio(1 / low)} (95 % interval)."
        span = f"{text.ratio(low)} to {text.ratio(high)}"
        return f"Diffusion takes {span} as many requests in the same time (95 % interval)."


def contest(analysis: TaskAnalysis, group: GroupAnalysis) -> Contest | None:
    """The contest of one group; None where one side was not run in it."""
    rows = [analysis.rows[i] for i in group.members]
    diffusion = [row for row in rows if row.configuration.kind == "diffusion"]
    rivals = [row for row in rows if row.configuration.kind == "autoregressive"]
    if not diffusion or not rivals:
        return None
    best = _best(diffusion)
    rival = rival_of(analysis, best, rivals)
    own = _soonest(group)
    matched: tuple[Row, ...] = (best, rival)
    if own is not None and own[1].reached:
        model, speedup = own
        of_model = [row for row in diffusion if row.configuration.model == model]
        floor = speedup.quality_floor
        pair = fastest_at(of_model, floor), fastest_at(rivals, floor)
        matched = tuple(row for row in pair if row is not None)
    return Contest(
        best=best,
        rival=rival,
        speedup=None if own is None else own[1],
        matched_rows=matched,
        verdicts=frozenset(r.comparison.verdict for r in diffusion if r.comparison is not None),
    )


def rival_of(analysis: TaskAnalysis, own: Row, rivals: Sequence[Row]) -> Row:
    """The AR row to tell of beside a diffusion row: of several tiers the one it is held against."""
    best = _best(rivals)
    if own.comparison is None or not best.configuration.tier:
        return best
    held = analysis.rows[own.comparison.rival]
    return held if any(held is row for row in rivals) else best


def _soonest(group: GroupAnalysis) -> tuple[str, MatchedSpeedup] | None:
    """The model whose speed-up is largest; of those that reach nothing, the likeliest to."""

    def rank(item: tuple[str, MatchedSpeedup]) -> tuple[bool, float]:
        speedup = item[1]
        found = speedup.ratio if speedup.reached else speedup.reached_share
        return speedup.reached, -1.0 if math.isnan(found) else found

    return max(group.speedups.items(), key=rank, default=None)


def fastest_at(rows: Sequence[Row], floor: float) -> Row | None:
    """The soonest row of at least this quality, of those timed on an idle machine."""
    # The same tolerance as the speed-up's own.
    enough = [row for row in rows if row.quality >= floor - 1e-9 and not row.busy]
    timed = [row for row in enough if not math.isnan(row.latency_s)]
    return min(timed, key=lambda row: row.latency_s, default=None)


def _best(rows: Sequence[Row]) -> Row:
    return min(rows, key=lambda r: (-r.quality, math.isnan(r.latency_s), r.latency_s))
