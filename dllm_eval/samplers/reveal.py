"""The rule of masked families: masks are revealed, and revealed tokens perhaps taken back.

A proposal (`proposal.py`) at every row asked for, the positions that may be revealed
(`eligible.py`), those that are (`selection.py`, or a part of the sampler's name), and the revealed
tokens that are overwritten (`revision.py`). Knows no model; `loop.py` runs it.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch import Tensor

from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.eligible import eligible_positions
from dllm_eval.samplers.late_head import States, propose_masked
from dllm_eval.samplers.left_out import told
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.parts.part import (
    Adjust,
    Blocks,
    Commit,
    Decision,
    Look,
    Moment,
    Part,
    Select,
)
from dllm_eval.samplers.proposal import Prediction, Proposal, forbid, propose
from dllm_eval.samplers.reads import Reads
from dllm_eval.samplers.reference import propose_reference
from dllm_eval.samplers.revision import edits
from dllm_eval.samplers.rules import Step
from dllm_eval.samplers.schedule import reveal_chances, step_counts, steps_needed
from dllm_eval.samplers.selection import select

AnyMoment = TypeVar("AnyMoment", bound=Moment)


class RevealRule:
    """Masked noise: some masked positions are revealed, and some revealed ones overwritten."""

    def __init__(self, *, canvas: Canvas, config: SamplerConfig, noise: Noise) -> None:
        self.canvas = canvas
        self.config = config
        self.noise = noise
        self.host_syncs = 0
        self.self_conditioning: Tensor | None = None
        self.counts: list[int] = []  # that each step of the block reveals, none being given
        self._row_counts: list[list[int]] | None = None  # where given tokens leave some rows fewer
        self._chances: list[float] = []  # with which each step reveals a position, for "bernoulli"
        self.order = config.order
        self.chooser = config.part(Select)
        self._adjust = config.part(Adjust)
        self._blocks = config.part(Blocks)
        self._commit = config.part(Commit)
        self._wide = any(part.whole_canvas for part in config.parts)
        self._leaves_out = any(part.leave_one_out for part in config.parts)
        self._memory: dict[str, dict[str, Tensor]] = {}
        self._left: list[int] = []  # to reveal in the block, of each working row, at most
        self._first_alone = False
        self._edits = config.edit_threshold is not None
        self._edited = torch.zeros_like(canvas.active)
        self._idle = torch.zeros_like(canvas.active, dtype=torch.int64)  # steps without a mask

    def prepare(self) -> None:
        """Nothing: the canvas is all masks."""

    def rows(self, block: slice) -> slice:
        """The block; LLaDA's published rule draws noise for the whole canvas."""
        if self.config.mode == "reference":
            return slice(0, self.canvas.tokens.shape[1])
        if self._first_alone:
            return slice(block.start, block.start + 1)
        if self._wide:
            return slice(block.start, max(self.canvas.starts) + self.canvas.gen_length)
        return block

    def reads(self, rows: slice) -> Reads:
        """Where the next pass is read; the host knows how many positions that are."""
        return Reads.of(self.canvas.masked(rows), self._left)

    def steps(self, block: slice) -> Iterator[Step]:
        """As many as the schedule says, or until the working rows are done."""
        self._memory = {part.kind: {} for part in self.config.parts}
        length = block.stop - block.start
        # A trained block may be longer than the canvas that was asked for.
        steps = -(-self.config.steps_per_block * length // self.config.block)
        if self.chooser is not None:
            steps = self.chooser.num_steps(length, steps)
        self._schedule(length, steps)
        self._row_counts = None
        if self.canvas.given_columns is not None:
            left = [length - taken for taken in self.canvas.given_columns.counts(block)]
            self._row_counts = [step_counts(self.config.schedule, n, steps) for n in left]
        return self._until_done(block) if self.config.adaptive else self._fixed(block)

    def _schedule(self, length: int, steps: int) -> None:
        """Says how many of a block's positions each step reveals, or with what chance."""
        self.counts = step_counts(self.config.schedule, length, steps)
        if self.config.schedule == "bernoulli":
            self._chances = reveal_chances(len(self.counts))

    def _fixed(self, block: slice) -> Iterator[Step]:
        """No look at the device: a row is done when the counts add up to what it had to fill."""
        masked = self.canvas.open_counts(block)
        counts = self._row_counts or [self.counts]
        by_chance = self.config.schedule == "bernoulli"
        if by_chance or (self.chooser is not None and self.chooser.all_steps):
            counts = [[0] * len(self.counts)]
        sums = [list(accumulate(own, initial=0)) for own in counts]
        if len(sums) == 1:
            sums = sums * len(masked)
        needed = [steps_needed(own, number) for own, number in zip(sums, masked, strict=True)]
        for index in range(max(needed)):
            if index == 0 or index in needed:
                self._work_on([index < steps for steps in needed])
            revealed = [own[index] for own in sums]
            self._left = [
                number - done if index < steps else 0
                for number, done, steps in zip(masked, revealed, needed, strict=True)
            ]
            yield Step(index=index, revealed=min(revealed))

    def _until_done(self, block: slice) -> Iterator[Step]:
        """Looks at the device once a step; rows that are done wait, uncounted, and draw nothing."""
        self._left = self.canvas.open_counts(block)
        waiting = [count > 0 for count in self._left]
        if self._wide:
            waiting = self._with_masks(block, waiting)
        begins = [
            waits and start <= block.start
            for waits, start in zip(waiting, self.canvas.starts, strict=True)
        ]
        if self.canvas.given_columns is not None:
            there = self.canvas.given_columns.holds(block.start)
            begins = [own and not given for own, given in zip(begins, there, strict=True)]
        index, self._idle = 0, torch.zeros_like(self.canvas.active, dtype=torch.int64)
        if self.config.first_token == "autoregressive" and any(begins):
            # A step of its own, so that a row draws the same noise whatever else is in the batch.
            self._first_alone = True
            self._work_on(begins, waiting)
            left, self._left = self._left, [int(begun) for begun in begins]
            yield Step(index=index)
            self._left = [count - begun for count, begun in zip(left, begins, strict=True)]
            self._first_alone = False
        self._work_on(waiting)
        while any(self.noise.running):
            before = self.canvas.masked(block) if self._edits else None
            yield Step(index=index)
            told = self.canvas.masked(block).sum(dim=1, keepdim=True)
            if before is not None:
                told = torch.cat([told, self._unsettled(before, told)], dim=1)
            rows: list[list[int]] = told.tolist()
            self._left = [left for left, *_ in rows]
            self._work_on([any(row) for row in rows])
            self.host_syncs += 1
            index += 1

    def _unsettled(self, before: Tensor, left: Tensor) -> Tensor:
        """(batch, 1) bool: rows that had masks (batch, block) before the step, or were edited.

        Not for longer than `max_edit_steps` steps with no mask `left`, (batch, 1) int64.
        """
        self._idle += left == 0
        in_time = (self._idle <= self.config.max_edit_steps) & self.canvas.active
        return (before.any(dim=1, keepdim=True) | self._edited) & in_time

    def _with_masks(self, block: slice, rows: list[bool]) -> list[bool]:
        """Those rows that an early commit has not filled in already."""
        self.host_syncs += 1
        self.canvas.work_on(rows)
        found: list[bool] = self.canvas.masked(block).any(dim=1).tolist()
        return found

    def _work_on(self, rows: list[bool], waiting: list[bool] | None = None) -> None:
        self.canvas.work_on(rows, waiting)
        self.noise.running = self.canvas.working

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Proposes, chooses, writes."""
        self._act(prediction, block, step)

    def apply_states(self, states: States, block: slice, step: Step) -> None:
        """The same from hidden states, where `late_head.applies`."""
        self._act(states, block, step)

    def _act(self, prediction: Tensor | States, block: slice, step: Step) -> None:
        canvas, rows = self.canvas, self.rows(block)
        look, broken = self._look_at(prediction, block, step)
        decision = self._decide(look)
        chosen, touched = decision.reveal, look.eligible
        if self._commit is not None:
            touched = touched | chosen  # what is filled in at once lies behind the block
        if self.config.edit_threshold is not None:
            may, threshold = look.editable(), self.config.edit_threshold
            edited = edits(look.tokens, look.confidence, look.tokens_now, may, threshold)
            self._edited = edited.any(dim=1, keepdim=True)
            chosen, touched = chosen | edited, touched | may
        canvas.note_broken(rows, broken & touched)
        canvas.write(rows, chosen, look.tokens, look.confidence)
        if decision.remask is not None:
            canvas.mask_again(rows, decision.remask)

    def _look_at(
        self, prediction: Tensor | States, block: slice, step: Step
    ) -> tuple[Look, Tensor]:
        """What the parts may look at, and where the logits are unusable, (batch, rows) bool."""
        config, rows = self.config, self.rows(block)
        moment: dict[str, Any] = {
            "canvas": self.canvas,
            "config": config,
            "noise": self.noise,
            "rows": rows,
            "block": block,
            "step": step,
            "num_steps": len(self.counts),
            "quota": self._quota(step),
            "eligible": self._eligible(rows, block),
            "memory": self._memory.setdefault("order", {}),
        }
        left_out: Prediction | None = None
        if self._leaves_out and isinstance(prediction, Tensor):
            prediction, shadow = prediction.chunk(2, dim=1)
            left_out = told(shadow, self.canvas.family)
        proposal = self._propose(prediction, moment)
        look = Look(
            **moment,
            tokens=proposal.tokens,
            confidence=proposal.confidence,
            prediction=proposal.prediction,
            score=proposal.confidence,
            leave_one_out=left_out,
        )
        if self._blocks is not None:
            eligible = self._blocks.narrow(self._remembering(look, self._blocks))
            look = look.changed(eligible=eligible)
        score = self._score(look)
        return look if score is look.score else look.changed(score=score), proposal.broken

    def _score(self, look: Look) -> Tensor:
        if self.config.mode == "reference":
            return look.confidence
        score = self.order.score(look)
        if self.config.eos_policy == "last":
            lowest = torch.finfo(score.dtype).min
            score = torch.where(look.confidence == 0, lowest, score)
        return score

    def _decide(self, look: Look) -> Decision:
        if self.chooser is None or self._first_alone:
            decision = select(look)
        else:
            decision = self.chooser.decide(self._remembering(look, self.chooser))
        if self._commit is None:
            return decision
        done = self._commit.commit(self._remembering(look, self._commit))
        remask = None if decision.remask is None else decision.remask & ~done
        rest = self.canvas.masked(look.rows) & done
        return Decision(reveal=decision.reveal | rest, remask=remask)

    def _remembering(self, moment: AnyMoment, part: Part) -> AnyMoment:
        """The same moment with the part's own memory."""
        return moment.changed(memory=self._memory.setdefault(part.kind, {}))

    def _eligible(self, rows: slice, block: slice) -> Tensor:
        return eligible_positions(self.canvas, self.config, rows, block)

    def _quota(self, step: Step) -> float | Tensor:
        if self._first_alone:
            return 1
        index = min(step.index, len(self.counts) - 1)
        if self.config.schedule == "bernoulli":
            return self._chances[index]
        if self._row_counts is None:
            return self.counts[index]
        own = [counts[index] for counts in self._row_counts]
        if len(set(own)) == 1:
            return own[0]
        return torch.tensor(own).to(self.canvas.tokens.device, non_blocking=True)[:, None]

    def _propose(self, prediction: Tensor | States, moment: dict[str, Any]) -> Proposal:
        config, family = self.config, self.canvas.family
        if isinstance(prediction, States):
            return propose_masked(prediction, config=config, family=family, noise=self.noise)
        if self._adjust is not None and not self._first_alone:
            now = self._remembering(Moment(**moment), self._adjust)
            prediction = self._adjust.adjust(prediction.float(), now)
        if self.canvas.teacher is not None:
            forbid(prediction, config, family)
            self.canvas.teacher.look(prediction, moment["rows"])
        if config.mode == "fast":
            return propose(prediction, config, family, self.noise)
        own = [
            slice(start - len(prompt.prefix), start + self.canvas.gen_length + len(prompt.suffix))
            for start, prompt in zip(self.canvas.starts, self.canvas.prompts, strict=True)
        ]
        return propose_reference(prediction, config, family, self.noise, own)
