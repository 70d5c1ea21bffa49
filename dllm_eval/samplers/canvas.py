"""The canvas of a batch: where prompts, masks and padding lie, and what was revealed when.

Rows are laid out [padding | prefix | canvas | suffix | padding], so that a block is the same
columns in every row. Knows nothing of models or of how positions are chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dllm_eval.api import CacheKind, Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.samplers.answers import generation_of
from dllm_eval.samplers.area import Area
from dllm_eval.samplers.certainty import Certainty
from dllm_eval.samplers.given import GivenColumns
from dllm_eval.samplers.last_pass import LastPass
from dllm_eval.samplers.layout import Layout
from dllm_eval.samplers.prompt_check import check_prompt
from dllm_eval.samplers.tally import Tally, column_of
from dllm_eval.samplers.teacher import Teacher

MOST_AREAS = 4
"""Parts look at a block and at what lies behind it; a window's columns are others at each step."""


@dataclass(kw_only=True)
class Canvas:
    """A batch being denoised. Rules change it through `write` and `note_broken` alone."""

    family: Family
    prompts: Sequence[Prompt]
    tokens: Tensor
    """(batch, length) int64."""
    valid: Tensor | None
    """(batch, length) bool, False at padding; None where nothing is padded."""
    given: Tensor
    """(batch, length) bool, True at prefix, suffix, padding and what a request gives of its canvas:
    never written. Another tensor takes its place where it changes, as `areas` tell by."""
    starts: Sequence[int]
    """Each row's first canvas column."""
    ends: Sequence[int]
    """Behind each row's last column to fill in, the overhang included."""
    gen_length: int
    step_set: Tensor
    """(batch, length) int64: the step of the batch at which a position was revealed, else -1."""
    tally: Tally
    """What has been spent on each row."""
    alive: Sequence[bool]
    """Of each row; False once a stopping rule has ended it."""
    working: list[bool]
    """The rows that the current step works on."""
    active: Tensor
    """(batch, 1) bool: the same for the device. Another tensor takes its place, as with `given`."""
    waiting: Sequence[bool]
    """The rows that a later step of the block works on, with what this one keeps."""
    broken: Tensor
    """(batch, length) bool: the model had no usable logits for this position."""
    cache: CacheKind = "none"
    """What the passes over this batch remember of one another; `reader.py` says so."""
    latents: Tensor | None = None
    """(batch, length, width): what a continuous family denoises in place of tokens."""
    teacher: Teacher | None = None
    """Says what is written in place of the model's proposals."""
    certainty: Certainty | None = None
    """Takes down how probable each written token was, where somebody asks."""
    given_columns: GivenColumns | None = None
    """Where on the canvas tokens are given; None where no request gives any."""
    spans: Sequence[tuple[int, int]] | None = None
    """Each row's own columns, first and behind the last; None where they change."""
    areas: dict[tuple[int, int], Area] = field(default_factory=dict)
    """The columns that were looked at last."""

    @classmethod
    def build(
        cls,
        prompts: Sequence[Prompt],
        *,
        family: Family,
        vocab_size: int,
        gen_length: int,
        device: torch.device,
        overhang: int = 0,
        cut: bool = False,
    ) -> "Canvas":
        """Lays out prompts around `gen_length` masks, and `overhang` more that nobody reads.

        Where blocks count from a row's own first token, rows are shifted by whole blocks only, so
        that blocks are the same columns in every row, and the canvas runs on to the end of its
        last block: that overhang is denoised and thrown away. With `cut` all overhang is padding.

        Raises:
            UsageError: A row does not fit the model, or a prompt holds the mask token or an id
                outside the vocabulary, or a suffix that the model cannot see.
        """
        layout = Layout.of(prompts, family, gen_length=gen_length, overhang=overhang, cut=cut)
        starts, ends, spans = layout.starts, layout.ends, layout.spans
        tokens = np.full((len(prompts), layout.length), family.pad_id, dtype=np.int64)
        valid = np.zeros(tokens.shape, dtype=np.bool_)
        given = np.ones(tokens.shape, dtype=np.bool_)
        for row, (prompt, start, end) in enumerate(zip(prompts, starts, ends, strict=True)):
            check_prompt(prompt, family, vocab_size, gen_length)
            first, last = spans[row]
            tokens[row, first:start] = prompt.prefix
            tokens[row, start:end] = max(family.mask_id, 0)
            tokens[row, end:last] = prompt.suffix
            valid[row, first:last] = True
            given[row, start:end] = False
            for offset, token in prompt.given:
                tokens[row, start + offset], given[row, start + offset] = token, True
        ids = torch.from_numpy(tokens).to(device)
        everyone = [True] * len(prompts)
        return cls(
            family=family,
            prompts=prompts,
            tokens=ids,
            valid=None if valid.all() else torch.from_numpy(valid).to(device),
            given=torch.from_numpy(given).to(device),
            starts=starts,
            ends=ends,
            gen_length=gen_length,
            step_set=torch.full_like(ids, -1),
            tally=Tally.of(len(prompts), device),
            alive=everyone,
            working=everyone,
            active=column_of(everyone, device),
            waiting=everyone,
            broken=torch.zeros_like(ids, dtype=torch.bool),
            given_columns=GivenColumns.of(prompts, starts),
            spans=spans,
        )

    @property
    def start(self) -> int:
        """The first column that is canvas in any row."""
        return min(self.starts)

    def blocks(self, block_length: int) -> list[slice]:
        """The columns of each block, left to right."""
        first = self.start
        if self.family.aligned_block is not None:
            first -= first % block_length
        stop = max(self.starts) + self.gen_length
        return [slice(at, at + block_length) for at in range(first, stop, block_length)]

    def open_counts(self, block: slice) -> list[int]:
        """How many positions of the block each row has to fill in; known without the device."""
        columns = [
            max(0, min(block.stop, end) - max(start, block.start))
            if start + self.gen_length > block.start
            else 0
            for start, end in zip(self.starts, self.ends, strict=True)
        ]
        if self.given_columns is None:
            return columns
        taken = self.given_columns.counts(block)
        return [count - given for count, given in zip(columns, taken, strict=True)]

    def work_on(self, rows: Sequence[bool], waiting: Sequence[bool] | None = None) -> None:
        """Lets the next steps work on these rows, as far as no stopping rule has ended them.

        Args:
            rows: One per row of the batch.
            waiting: Rows that will be worked on later in the block; None means no others.
        """
        working = [alive and row for alive, row in zip(self.alive, rows, strict=True)]
        if working != self.working:
            self.working, self.active = working, column_of(working, self.tokens.device)
        self.waiting = self.working
        if waiting is not None:
            self.waiting = [alive and row for alive, row in zip(self.alive, waiting, strict=True)]

    @property
    def steps_done(self) -> Tensor:
        """(batch, 1) int64: steps spent on each row so far."""
        return column_of(self.tally.steps, self.tokens.device)

    def at(self, rows: slice) -> Area:
        """The same columns again and again are cut out once."""
        area = self.areas.get((rows.start, rows.stop))
        if area is None or area.active is not self.active or area.given is not self.given:
            if len(self.areas) == MOST_AREAS:
                self.areas.clear()
            area = self.areas[rows.start, rows.stop] = Area(
                tokens=self.tokens[:, rows],
                step_set=self.step_set[:, rows],
                broken=self.broken[:, rows],
                places=torch.arange(rows.stop - rows.start, device=self.tokens.device),
                open=~self.given[:, rows] & self.active,
                active=self.active,
                given=self.given,
            )
        return area

    def open(self, rows: slice) -> Tensor:
        """(batch, rows) bool: positions of working rows that may be written; left alone."""
        return self.at(rows).open

    def masked(self, rows: slice) -> Tensor:
        """(batch, rows) bool: positions of working rows that are still masked."""
        area = self.at(rows)
        return (area.tokens == self.family.mask_id) & area.open

    def write(
        self, rows: slice, chosen: Tensor, tokens: Tensor, confidence: Tensor | None = None
    ) -> None:
        """Sets the chosen positions and notes the step at which they were set.

        Args:
            rows: The columns that `chosen` and `tokens` speak of.
            chosen: (batch, rows) bool.
            tokens: (batch, rows) int64, read where chosen.
            confidence: (batch, rows), how probable they are, where the rule knows.
        """
        if self.certainty is not None and confidence is not None:
            self.certainty.note(rows, chosen, confidence)
        if self.teacher is not None:
            tokens = self.teacher.corrected(rows, chosen, tokens)
        area = self.at(rows)
        torch.where(chosen, tokens, area.tokens, out=area.tokens)
        area.step_set.masked_fill_(chosen, len(self.tally.worked))

    def mask_again(self, rows: slice, chosen: Tensor) -> None:
        """Takes the chosen positions back, (batch, rows) bool."""
        area = self.at(rows)
        area.tokens.masked_fill_(chosen, self.family.mask_id)
        area.step_set.masked_fill_(chosen, -1)

    def count_step(self, spent: LastPass) -> None:
        """Charges a step to the working rows, and what it keeps to those that wait for it."""
        columns = spent.num_columns
        if columns is None:
            columns = self._widths(spent.start, spent.stop)
        self.tally.charge_step(self.working, columns, spent.passes)
        if self.waiting is not self.working:
            idle = [
                waits and not works for waits, works in zip(self.waiting, self.working, strict=True)
            ]
            self.tally.charge(idle, self._widths(spent.start, spent.kept), spent.passes)

    def _widths(self, start: int, stop: int) -> Sequence[int] | Tensor:
        """How many of these columns are a row's own, one per row or (batch, 1) int64."""
        if self.spans is not None:
            return [max(min(stop, last) - max(start, first), 0) for first, last in self.spans]
        if self.valid is None:
            return [max(stop - start, 0)] * len(self.prompts)
        return self.valid[:, start:stop].sum(dim=1, keepdim=True)

    def note_broken(self, rows: slice, broken: Tensor) -> None:
        """Keeps on the device where logits were unusable, (batch, rows) bool; `finish` reads it."""
        self.at(rows).broken.logical_or_(broken)

    def let_end(self, ended: Sequence[bool]) -> None:
        """Ends these rows: later steps leave them alone."""
        self.alive = [alive and not end for alive, end in zip(self.alive, ended, strict=True)]

    def finish(self, *, host_syncs: int) -> list[Generation]:
        """Reads the batch back: one Generation per prompt, in order.

        Positions that a stopping rule left masked become end-of-text with reveal step -1.

        Raises:
            UsageError: Logits were NaN, or infinite, at a position to decode.
        """
        tokens, steps, broken = torch.stack([self.tokens, self.step_set, self.broken]).tolist()
        if any(map(any, broken)):
            raise unusable_logits()
        positions = self.tally.all_positions()
        own = [slice(start, start + self.gen_length) for start in self.starts]
        return [
            generation_of(
                prompt,
                self.family,
                tokens=self._read(row, tokens[row][own[row]]),
                reveal_step=self.tally.own_steps(row, steps[row][own[row]]),
                nfe=self.tally.nfe[row],
                positions=positions[row],
                host_syncs=host_syncs,
                cache=self.cache,
            )
            for row, prompt in enumerate(self.prompts)
        ]

    def _read(self, row: int, tokens: list[int]) -> list[int]:
        if self.alive[row]:
            return tokens
        eos, mask = self.family.eos_id, self.family.mask_id
        return [eos if token == mask else token for token in tokens]


def unusable_logits() -> UsageError:
    """The error for a model that gives no best token."""
    return UsageError(
        "the model's logits are NaN or infinite where a token is to be chosen; accepted: finite "
        "logits (a wider dtype, such as float32, may give them)"
    )
