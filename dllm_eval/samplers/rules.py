"""What one step does to the canvas. A rule decides; the one loop (`loop.py`) runs it.

`RevealRule` is the rule of masked families: a proposal (`proposal.py`) at every row asked for, the
positions that may be revealed (`eligible.py`), those that are (`selection.py`), and the revealed
tokens that are taken back (`revision.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.eligible import eligible_positions
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.proposal import Proposal, propose
from dllm_eval.samplers.reference import propose_reference
from dllm_eval.samplers.revision import editable, edits
from dllm_eval.samplers.schedule import reveal_chances, step_counts
from dllm_eval.samplers.selection import select


@dataclass(frozen=True, kw_only=True)
class Step:
    """One denoising step."""

    index: int
    """From 0 within the block."""
    time: float | None = None
    """The share of noise before the step, 1 where nothing is known; None where nobody asks."""
    next_time: float | None = None
    """The share of noise after it."""


class Rule(Protocol):
    """How a family's noise is taken away, step by step; built once per batch."""

    host_syncs: int
    """How often the rule has waited for the device."""
    self_conditioning: Tensor | None
    """The last prediction, as the model wants it back; None where it wants none."""

    def prepare(self) -> None:
        """Draws the canvas that decoding starts from, where that is not all masks."""
        ...

    def steps(self, block: slice) -> Iterator[Step]:
        """The steps of a block; may look at the canvas between one step and the next."""
        ...

    def rows(self, block: slice) -> slice:
        """The columns whose logits the next step wants."""
        ...

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Writes the canvas.

        Args:
            prediction: (batch, rows, vocab) logits at `rows(block)`; may be overwritten.
            block: The block's columns.
            step: The step.
        """
        ...


class RevealRule:
    """Masked noise: some masked positions are revealed, and some revealed ones overwritten."""

    def __init__(self, *, canvas: Canvas, config: SamplerConfig, noise: Noise) -> None:
        self.canvas = canvas
        self.config = config
        self.noise = noise
        self.host_syncs = 0
        self.self_conditioning: Tensor | None = None
        self.counts: list[int] = []
        """How many positions each step of the block reveals."""
        self._first_alone = False
        self._edited: Tensor | None = None

    def prepare(self) -> None:
        """Nothing: the canvas is all masks."""

    def rows(self, block: slice) -> slice:
        """The block; LLaDA's published rule draws noise for the whole canvas."""
        if self.config.mode == "reference":
            return slice(0, self.canvas.tokens.shape[1])
        if self._first_alone:
            return slice(block.start, block.start + 1)
        return block

    def steps(self, block: slice) -> Iterator[Step]:
        """As many as the schedule says, or until the working rows are done."""
        length = block.stop - block.start
        # A trained block may be longer than the canvas that was asked for.
        steps = -(-self.config.steps_per_block * length // self.config.block)
        self.counts = step_counts(self.config.schedule, length, steps)
        return self._until_done(block) if self.config.adaptive else self._fixed(block)

    def _fixed(self, block: slice) -> Iterator[Step]:
        """No look at the device: a row is done when the counts add up to what it had to fill."""
        counts = self.counts if self.config.schedule != "bernoulli" else [0] * len(self.counts)
        needed = [_steps_needed(counts, masked) for masked in self.canvas.open_counts(block)]
        for index in range(max(needed)):
            if index == 0 or index in needed:
                self._work_on([index < steps for steps in needed])
            yield Step(index=index)

    def _until_done(self, block: slice) -> Iterator[Step]:
        """Looks at the device once a step; rows that are done wait, uncounted, and draw nothing."""
        waiting = [count > 0 for count in self.canvas.open_counts(block)]
        begins = [
            waits and start <= block.start
            for waits, start in zip(waiting, self.canvas.starts, strict=True)
        ]
        index, idle = 0, torch.zeros_like(self.canvas.steps_done)
        if self.config.first_token == "autoregressive" and any(begins):
            # A step of its own, so that a row draws the same noise whatever else is in the batch.
            self._first_alone = True
            self.canvas.work_on(begins, waiting)
            self.noise.running = begins
            yield Step(index=index)
            self._first_alone = False
        self._work_on(waiting)
        while any(self.noise.running):
            masked = self.canvas.masked(block).any(dim=1, keepdim=True)
            yield Step(index=index)
            going_on = self.canvas.masked(block).any(dim=1, keepdim=True)
            if self._edited is not None:
                idle += ~going_on
                unsettled = (masked | self._edited) & (idle <= self.config.max_edit_steps)
                going_on = going_on | unsettled
            self.canvas.active = self.canvas.active & going_on
            self.noise.running = self.canvas.active[:, 0].tolist()
            self.host_syncs += 1
            index += 1

    def _work_on(self, rows: list[bool]) -> None:
        self.canvas.work_on(rows)
        self.noise.running = rows

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Proposes, chooses, writes."""
        canvas, config, rows = self.canvas, self.config, self.rows(block)
        proposal = self._propose(prediction)
        eligible = self._eligible(rows, block)
        chosen = select(proposal, eligible, config, self._quota(step), self.noise)
        if config.edit_threshold is not None:
            may = editable(canvas.tokens[:, rows], canvas.open(rows), canvas.family.mask_id)
            edited = edits(
                proposal.tokens,
                proposal.confidence,
                canvas.tokens[:, rows],
                may,
                config.edit_threshold,
            )
            self._edited = edited.any(dim=1, keepdim=True)
            chosen, eligible = chosen | edited, eligible | may
        canvas.note_broken(rows, proposal.broken & eligible)
        canvas.write(rows, chosen, proposal.tokens)

    def _eligible(self, rows: slice, block: slice) -> Tensor:
        return eligible_positions(self.canvas, self.config, rows, block)

    def _quota(self, step: Step) -> int | float:
        if self._first_alone:
            return 1
        last = len(self.counts) - 1
        if self.config.schedule == "bernoulli":
            return reveal_chances(len(self.counts))[min(step.index, last)]
        return self.counts[min(step.index, last)]

    def _propose(self, logits: Tensor) -> Proposal:
        if self.config.mode == "fast":
            return propose(logits, self.config, self.canvas.family, self.noise)
        own = [
            slice(start - len(prompt.prefix), start + self.canvas.gen_length + len(prompt.suffix))
            for start, prompt in zip(self.canvas.starts, self.canvas.prompts, strict=True)
        ]
        return propose_reference(logits, self.config, self.canvas.family, self.noise, own)


def _steps_needed(counts: list[int], masked: int) -> int:
    """Steps until counts add up to `masked`; all of them where they never do."""
    if masked == 0:
        return 0
    done = 0
    for index, count in enumerate(counts):
        done += count
        if done >= masked:
            return index + 1
    return len(counts)
