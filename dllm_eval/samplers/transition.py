"""The rule that goes by the noise process itself: MDLM's and SEDD's samplers on a time grid.

Masks fall away on the grid linspace(1, 1e-5, steps + 1), each on its own, by the reverse of the
process that put them there; what is left at its end is revealed in one last step. Knows canvas,
random numbers and the log-linear schedule; knows no model. The loop builds one per batch.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.processes.noise_schedules import noise_rate, total_noise
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig, Transition
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.proposal import propose
from dllm_eval.samplers.rules import Step

SMALLEST_TIME = 1e-5
"""Where the published time grids end (`_sample` of MDLM, `get_pc_sampler` of SEDD, eps)."""


NOT_ASKED = (
    "sampler",
    "schedule",
    "threshold",
    "position_temperature",
    "sub_block_length",
    "first_token",
    "edit_threshold",
    "entropy_threshold",
)
"""Settings that choose positions, which here the noise process does."""


class TransitionRule:
    """Reveals positions by the reverse transition from one time to the next.

    ancestral: MDLM's `ddpm` and `ddpm_cache` (arXiv 2406.07524, Eq. 6; diffusion.py of
        kuleshov-group/mdlm, commit c112c526, `_ddpm_caching_update`). A mask stays from t to s with
        probability s / t, whatever the model says; else a token is drawn. The last step takes the
        most likely token. The time at which each mask falls is drawn beforehand, and steps at which
        none falls are left out: the model would say nothing that is used. So answers are
        distributed as with all steps, and no more forward passes are spent than with MDLM's cache.
    analytic, euler: SEDD's (arXiv 2310.16834, section 4; sampling.py and graph_lib.py of
        louaaron/Score-Entropy-Discrete-Diffusion, commit 0605786d), see `transition_chance`. The
        last step draws its tokens.

    `temperature`, `top_k` and `top_p` shape the distribution of a token that is revealed, not when
    it is; 1 and unset are the published rules. Prompt and suffix stay as they are at every step,
    which for SEDD is the published `proj_fun`; MDLM publishes no prompts.

    Raises:
        UsageError: A setting that chooses positions is set, too.
    """

    def __init__(self, *, canvas: Canvas, config: SamplerConfig, noise: Noise) -> None:
        for name in NOT_ASKED:
            if getattr(config, name) != getattr(SamplerConfig, name):
                raise UsageError(
                    f"{name} means nothing to transition {config.transition!r}, which reveals "
                    f"positions by the noise process alone; pass transition=none, or no {name}"
                )
        if config.eos_policy == "last":
            raise UsageError(
                f"eos_policy 'last' means nothing to transition {config.transition!r}; accepted: "
                "none, forbid"
            )
        self.canvas = canvas
        self.config = config
        self.noise = noise
        self.host_syncs = 0
        self.self_conditioning: Tensor | None = None
        self._due: Tensor | None = None

    def prepare(self) -> None:
        """Nothing: the canvas is all masks."""

    def rows(self, block: slice) -> slice:
        """The block."""
        return block

    def steps(self, block: slice) -> Iterator[Step]:
        """The grid and a last step from its end to 0; "ancestral" leaves out idle ones."""
        times = [*time_grid(self.config.steps_per_block), 0.0]
        open_rows = [count > 0 for count in self.canvas.open_counts(block)]
        self._work_on(open_rows)
        if self.config.transition == "ancestral":
            for index, rows in self._fall(block, times, open_rows):
                self._work_on(rows)
                yield Step(index=index, time=times[index], next_time=times[index + 1])
            return
        for index, time in enumerate(times[:-1]):
            yield Step(index=index, time=time, next_time=times[index + 1])

    def _fall(
        self, block: slice, times: list[float], open_rows: list[bool]
    ) -> Iterator[tuple[int, list[bool]]]:
        """Draws when each mask falls; gives each step at which one does, and in which rows."""
        masked = self.canvas.masked(block)
        fall = self.noise.uniform(masked.double())  # the time at which a mask falls is uniform
        later = torch.tensor(times[-2:0:-1], dtype=fall.dtype)  # ascending
        later = later.to(fall.device, non_blocking=True)
        due = len(later) - torch.searchsorted(later, fall, right=True)
        self._due = due
        self.host_syncs += 1
        per_row = torch.where(masked, due, -1).tolist()
        wanted = [
            set(row) - {-1} if own else set() for row, own in zip(per_row, open_rows, strict=True)
        ]
        for index in sorted(set().union(*wanted)):
            yield index, [index in row for row in wanted]

    def _work_on(self, rows: list[bool]) -> None:
        self.canvas.work_on(rows)
        self.noise.running = rows

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Reveals the positions whose time has come, or that a draw chooses."""
        canvas, config = self.canvas, self.config
        masked = canvas.masked(block)
        last = step.next_time == 0
        if last:
            chosen = masked
            if config.transition == "ancestral":
                config = replace(config, temperature=0.0)
        elif self._due is not None:
            chosen = masked & (self._due == step.index)
        else:
            chance = transition_chance(prediction, canvas.family, config.transition, step)
            chosen = masked & (self.noise.uniform(chance) < chance)
        proposal = propose(prediction, config, canvas.family, self.noise)
        canvas.note_broken(block, proposal.broken & masked)
        canvas.write(block, chosen, proposal.tokens, proposal.confidence)


def time_grid(steps: int) -> list[float]:
    """linspace(1, `SMALLEST_TIME`, steps + 1)."""
    grid: list[float] = torch.linspace(1.0, SMALLEST_TIME, steps + 1, dtype=torch.float64).tolist()
    return grid


def transition_chance(logits: Tensor, family: Family, transition: Transition, step: Step) -> Tensor:
    """How likely a masked position is revealed between two times.

    With the score s_j = w_j / (exp(sigma_t) - 1), where w_j is p(x_0 = j | x_t) up to the model's
    error, SEDD's Tweedie tau-leaping reveals token j with probability
    (exp(sigma_t - sigma_s) - 1) s_j (`staggered_score` times `transp_transition`), its Euler step
    with (t - s) sigma'_t s_j (`reverse_rate`). Under the log-linear schedule both come to
    (1 - s/t) w_j. The weights of a masked model sum to one, so that its chance is ancestral
    sampling's.

    Where the scores of a model that need not sum to one leave less than nothing for the mask, the
    position is revealed for certain, as in the published draw.

    Args:
        logits: (batch, rows, vocab); those of the mask are the lowest finite number.
        family: Whether exp(logits) are the weights w as they are ("score_entropy") or only in
            proportion.
        transition: "analytic", "euler" or "ancestral".
        step: From its time to its next time, both given and positive.

    Returns:
        (batch, rows) float64, at most 1.
    """
    if family.likelihood == "score_entropy":
        weight = logits.float().logsumexp(dim=-1).double().exp()
    else:
        weight = torch.ones(logits.shape[:2], dtype=torch.float64, device=logits.device)
    return (weight * _factor(transition, step)).clamp(max=1.0)


def _factor(transition: Transition, step: Step) -> float:
    time, next_time = step.time or 0.0, step.next_time or 0.0
    if transition == "ancestral":
        return 1 - next_time / time
    before, after = (torch.tensor(at, dtype=torch.float64) for at in (time, next_time))
    noise = float(total_noise(before))
    if transition == "euler":
        return (time - next_time) * float(noise_rate(before)) / math.expm1(noise)
    return math.expm1(noise - float(total_noise(after))) / math.expm1(noise)
