"""The canvas of a batch: where prompts, masks and padding lie, and what was revealed when.

Rows are laid out [padding | prefix | canvas | suffix | padding], so that the canvas is the same
slice in every row. Knows nothing of models or of how positions are chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import Family


@dataclass(kw_only=True)
class Canvas:
    """A batch being denoised; `reveal` and `note_broken` are all that changes it."""

    family: Family
    prompts: Sequence[Prompt]
    tokens: Tensor
    """(batch, length) int64."""
    valid: Tensor | None
    """(batch, length) bool, False at padding; None where nothing is padded."""
    prompted: Tensor
    """(batch, length) bool, True at prefix and suffix."""
    start: int
    """First canvas position, the same in every row."""
    gen_length: int
    step_set: Tensor
    """(batch, length) int64: the step at which a position was revealed, else -1."""
    steps_done: Tensor
    """(batch, 1) int64: steps spent on each row so far."""
    active: Tensor
    """(batch, 1) bool: False once a stopping rule has ended the row."""
    broken: Tensor
    """(batch, length) bool: the model had no usable logits for this masked position."""

    @classmethod
    def build(
        cls,
        prompts: Sequence[Prompt],
        *,
        family: Family,
        vocab_size: int,
        gen_length: int,
        device: torch.device,
    ) -> "Canvas":
        """Lays out prompts around `gen_length` masks.

        Raises:
            UsageError: A row does not fit the model, or a prompt holds the mask token or an id
                outside the vocabulary.
        """
        before = max(len(prompt.prefix) for prompt in prompts)
        after = max(len(prompt.suffix) for prompt in prompts)
        rows, prompted, valid = [], [], []
        for prompt in prompts:
            _check_prompt(prompt, family, vocab_size, gen_length)
            left, right = before - len(prompt.prefix), after - len(prompt.suffix)
            masks = [family.mask_id] * gen_length
            pads = [family.pad_id]
            rows.append(
                [*pads * left, *prompt.prefix, *masks, *prompt.suffix, *pads * right],
            )
            valid.append([False] * left + [True] * (len(rows[-1]) - left - right) + [False] * right)
            known = [True] * len(prompt.prefix) + [False] * gen_length + [True] * len(prompt.suffix)
            prompted.append([False] * left + known + [False] * right)
        tokens = torch.tensor(rows, dtype=torch.int64).to(device)
        padded = not all(all(row) for row in valid)
        return cls(
            family=family,
            prompts=prompts,
            tokens=tokens,
            valid=torch.tensor(valid).to(device) if padded else None,
            prompted=torch.tensor(prompted).to(device),
            start=before,
            gen_length=gen_length,
            step_set=torch.full_like(tokens, -1),
            steps_done=torch.zeros(len(prompts), 1, dtype=torch.int64, device=device),
            active=torch.ones(len(prompts), 1, dtype=torch.bool, device=device),
            broken=torch.zeros_like(tokens, dtype=torch.bool),
        )

    def masked(self, rows: slice) -> Tensor:
        """(batch, rows) bool: positions of running rows that are still masked."""
        return (self.tokens[:, rows] == self.family.mask_id) & self.active

    def reveal(self, rows: slice, chosen: Tensor, tokens: Tensor) -> None:
        """Writes the chosen positions and counts one step for every row that had a mask.

        Args:
            rows: The positions that `chosen` and `tokens` speak of.
            chosen: (batch, rows) bool.
            tokens: (batch, rows) int64, read where chosen.
        """
        area, steps = self.tokens[:, rows], self.step_set[:, rows]
        area.copy_(torch.where(chosen, tokens, area))
        steps.copy_(torch.where(chosen, self.steps_done, steps))
        self.steps_done += self.active

    def note_broken(self, rows: slice, broken: Tensor) -> None:
        """Keeps on the device where logits were unusable, (batch, rows) bool; `finish` reads it."""
        self.broken[:, rows] |= broken

    def spent(self, block: slice) -> Tensor:
        """(batch, 1) bool: rows with no mask left in the block."""
        return ~self.masked(block).any(dim=1, keepdim=True)

    def finish(self, *, passes_per_step: int, host_syncs: int) -> list[Generation]:
        """Reads the batch back: one Generation per prompt, in order.

        Positions that a stopping rule left masked become end-of-text with reveal step -1.

        Raises:
            UsageError: Logits were NaN, or infinite, at a position to decode.
        """
        if bool(self.broken.any()):
            raise unusable_logits()
        area = slice(self.start, self.start + self.gen_length)
        left = (self.tokens[:, area] == self.family.mask_id) & ~self.active
        tokens = torch.where(left, self.family.eos_id, self.tokens[:, area]).tolist()
        steps, done = self.step_set[:, area].tolist(), self.steps_done[:, 0].tolist()
        return [
            self._generation(prompt, row, step, count * passes_per_step, host_syncs)
            for prompt, row, step, count in zip(self.prompts, tokens, steps, done, strict=True)
        ]

    def _generation(
        self, prompt: Prompt, tokens: list[int], steps: list[int], nfe: int, host_syncs: int
    ) -> Generation:
        visible = visible_tokens(tokens, self.family.end_ids)
        length = len(prompt.prefix) + self.gen_length + len(prompt.suffix)
        return Generation(
            tokens=tuple(tokens),
            visible=visible,
            nfe=nfe,
            positions=nfe * length,
            reveal_step=tuple(steps),
            stop_reason="eos" if len(visible) < len(tokens) else "length",
            host_syncs=host_syncs,
        )


def unusable_logits() -> UsageError:
    """The error for a model that gives no best token."""
    return UsageError(
        "the model's logits are NaN or infinite where a token is to be chosen; accepted: finite "
        "logits (a wider dtype, such as float32, may give them)"
    )


def visible_tokens(tokens: Sequence[int], end_ids: Sequence[int]) -> tuple[int, ...]:
    """The ids before the first end id; all of them where there is none."""
    for index, token in enumerate(tokens):
        if token in end_ids:
            return tuple(tokens[:index])
    return tuple(tokens)


def _check_prompt(prompt: Prompt, family: Family, vocab_size: int, gen_length: int) -> None:
    length = len(prompt.prefix) + gen_length + len(prompt.suffix)
    if length > family.context_length:
        raise UsageError(
            f"prompt of {length - gen_length} tokens and canvas of {gen_length} make {length}, "
            f"over the model's context of {family.context_length}; shorten gen_length"
        )
    if family.mask_id in prompt.prefix or family.mask_id in prompt.suffix:
        raise UsageError(
            f"the prompt contains the mask token (id {family.mask_id}); "
            "pass the text around the gap as prefix and suffix"
        )
    ids = (*prompt.prefix, *prompt.suffix)
    for token in (min(ids, default=0), max(ids, default=0)):
        if not 0 <= token < vocab_size:
            raise UsageError(f"the prompt holds the token id {token}; known: 0 to {vocab_size - 1}")
