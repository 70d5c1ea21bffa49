"""A canvas whose length the model chooses while it fills it in (DreamOn).

Knows the canvas and the reveal rule; the length tokens themselves are in `lengths.py`. `choice.py`
picks it for families that have them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dllm_eval.samplers.lengths import forbid_growth, resize
from dllm_eval.samplers.reveal import RevealRule
from dllm_eval.samplers.rules import Step


class GrowingRule(RevealRule):
    """Begins with `initial_length` masks; `gen_length` is the most that the canvas can hold.

    A row makes at most as many expansions as it has slots, so that it ends. Slots that are not in
    use stay at the canvas's end, hidden from attention, and read as end-of-text afterwards.
    """

    def prepare(self) -> None:
        """Hides the slots that are not in use yet."""
        canvas = self.canvas
        area = self._area
        if canvas.valid is None:
            canvas.valid = torch.ones_like(canvas.given)
        canvas.spans = None
        initial = min(self.config.initial_length or canvas.gen_length, canvas.gen_length)
        slots = torch.arange(canvas.gen_length, device=canvas.tokens.device)
        self._settle(area, (slots < initial).expand(len(canvas.prompts), -1))
        self._expansions = torch.zeros_like(canvas.active, dtype=torch.int64)

    @property
    def _area(self) -> slice:
        return slice(self.canvas.start, self.canvas.start + self.canvas.gen_length)

    def _settle(self, area: slice, used: Tensor) -> None:
        canvas = self.canvas
        if canvas.valid is not None:
            canvas.valid[:, area] = used
        canvas.given = canvas.given.clone()
        canvas.given[:, area] = ~used
        canvas.tokens[:, area] = torch.where(used, canvas.tokens[:, area], canvas.family.eos_id)

    def steps(self, block: slice) -> Iterator[Step]:
        """Those of the reveal rule; the canvas changes when a step has been counted as it was."""
        for step in super().steps(block):
            yield step
            self._resize()

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Reveals, length tokens among the others."""
        canvas, area = self.canvas, self._area
        if canvas.family.expand_id is None:
            raise TypeError(f"family {canvas.family.name!r} has no length tokens")
        self._was_masked = canvas.masked(area)
        forbid_growth(
            prediction,
            expand_id=canvas.family.expand_id,
            used=~canvas.given[:, area],
            expansions=self._expansions,
            budget=canvas.gen_length,
        )
        super().apply(prediction, block, step)

    def _resize(self) -> None:
        """Widens and narrows by the length tokens that the step revealed."""
        canvas, family, area = self.canvas, self.canvas.family, self._area
        if family.expand_id is None or family.delete_id is None:
            raise TypeError(f"family {family.name!r} has no length tokens")
        resized = resize(
            canvas.tokens[:, area],
            used=~canvas.given[:, area],
            was_masked=self._was_masked,
            mask_id=family.mask_id,
            expand_id=family.expand_id,
            delete_id=family.delete_id,
            pad_id=family.eos_id,
            delete_behind=True,
        )
        canvas.tokens[:, area] = resized.tokens
        canvas.step_set[:, area] = resized.move(canvas.step_set[:, area], -1)
        self._expansions += resized.expansions
        self._settle(area, resized.used)
