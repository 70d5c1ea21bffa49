"""A canvas that is widened where the model needs more room (DAEDAL).

Knows the canvas and the reveal rule; the settings are `parts/daedal.py`. `choice.py` picks it where
the sampler's name has a length part.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.growing import GrowingRule
from dllm_eval.samplers.lengths import stretch
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.parts.daedal import Daedal
from dllm_eval.samplers.parts.part import Decision, Look
from dllm_eval.samplers.reveal import RevealRule
from dllm_eval.samplers.row_statistics import row_statistics
from dllm_eval.samplers.rules import Step
from dllm_eval.samplers.tally import column_of


class ExpandingRule(GrowingRule):
    """Finds a length first, then reveals by threshold and expands the least sure positions.

    Slots that are not in use stay at the canvas's end, hidden from attention, and read as
    end-of-text afterwards. Looks at the device once a step, and once a block.

    Args:
        canvas: Of prompts without a suffix.
        config: Whose name holds `daedal`, and at most an order beside it.
        noise: Each request's random numbers.
        part: The settings.

    Raises:
        UsageError: A suffix, or a setting that a canvas which moves leaves no place for.
    """

    def __init__(
        self, *, canvas: Canvas, config: SamplerConfig, noise: Noise, part: Daedal
    ) -> None:
        _check(canvas, config)
        own = replace(
            config,
            threshold=part.threshold,
            strict_threshold=True,
            initial_length=part.initial_length,
        )
        super().__init__(canvas=canvas, config=own, noise=noise)
        self.part = part
        self._measuring = False
        self._weakest = torch.zeros_like(canvas.tokens[:, self._area], dtype=torch.bool)
        self._chosen = self._weakest
        """What the step makes grow: rows in the first phase, positions in the second."""

    def rows(self, block: slice) -> slice:
        """The whole canvas: end-of-text is looked for everywhere on it."""
        del block
        return self._area

    def steps(self, block: slice) -> Iterator[Step]:
        """Before the first block, as many more as it takes to find a length."""
        if block.start == self._area.start:
            yield from self._find_length()
        for step in RevealRule.steps(self, block):
            yield step
            self._expand(self._chosen)

    def _find_length(self) -> Iterator[Step]:
        part, family, index = self.part, self.canvas.family, 0
        self._measuring = True
        self._work_on([True] * len(self.canvas.prompts))
        while any(self.noise.running):
            yield Step(index=index)
            self._use_more(part.expand_by, family.mask_id, self._chosen)
            self._work_on(self._chosen[:, 0].tolist())
            self.host_syncs += 1
            index += 1
        self._measuring = False
        self._use_more(
            part.eos_positions // 2,
            family.eos_id,
            column_of(self.canvas.alive, self.canvas.tokens.device),
        )

    def apply(self, prediction: Tensor, block: slice, step: Step) -> None:
        """Measures in the first phase, reveals in the second; and chooses what grows.

        It grows when the step has been counted, for what it has read.
        """
        part, used = self.part, self._used()
        expected = end_of_text(prediction, used, self.canvas.family.eos_id, part.eos_positions)
        room = ~used.all(dim=1, keepdim=True)
        if self._measuring:
            self._chosen = self.canvas.active & (expected < part.enough_eos) & room
            return
        RevealRule.apply(self, prediction, block, step)
        self._chosen = self._weakest & (expected < part.expand_eos) & room

    def _decide(self, look: Look) -> Decision:
        """Notes the least sure position that stays masked, if it is unsure enough."""
        decision = super()._decide(look)
        left = look.eligible & ~decision.reveal & (look.confidence < self.part.expand_threshold)
        place = torch.where(left, look.confidence, torch.inf).argmin(dim=1, keepdim=True)
        self._weakest = left & (look.places == place)
        return decision

    def _used(self) -> Tensor:
        """(batch, slots) bool, True first."""
        return ~self.canvas.given[:, self._area]

    def _use_more(self, count: int, token: int, chosen: Tensor) -> None:
        """Takes `count` more slots of the chosen rows, (batch, 1) bool, into use."""
        used, canvas, area = self._used(), self.canvas, self._area
        places = torch.arange(used.shape[1], device=used.device)
        wanted = places < used.sum(dim=1, keepdim=True) + count
        new = ~used & wanted & chosen
        canvas.tokens[:, area] = torch.where(new, token, canvas.tokens[:, area])
        self._settle(area, used | new)

    def _expand(self, chosen: Tensor) -> None:
        """Makes `expand_by` masks of each chosen position, (batch, slots) bool."""
        canvas, area = self.canvas, self._area
        source, used = stretch(self._used() + chosen * (self.part.expand_by - 1))
        canvas.tokens[:, area] = canvas.tokens[:, area].gather(1, source)
        canvas.step_set[:, area] = canvas.step_set[:, area].gather(1, source).masked_fill(~used, -1)
        self._settle(area, used)


def end_of_text(logits: Tensor, used: Tensor, eos_id: int, positions: int) -> Tensor:
    """How much end-of-text the model expects behind its text.

    Args:
        logits: (batch, slots, vocab); left alone.
        used: (batch, slots) bool: positions that are looked at.
        eos_id: Its id.
        positions: How many positions are counted, from the right.

    Returns:
        (batch, 1): the probabilities of end-of-text, at the last `positions` positions where it is
        the most likely token, added up and divided by `positions`.
    """
    row = row_statistics(logits)
    chance = (logits[..., eos_id].float() - row.normaliser).exp()
    expected = used & (row.token == eos_id)
    from_right = expected.flip(1).cumsum(dim=1).flip(1)
    counted = expected & (from_right <= positions)
    return torch.where(counted, chance, 0.0).sum(dim=1, keepdim=True) / positions


def _check(canvas: Canvas, config: SamplerConfig) -> None:
    name = f"sampler {config.sampler!r}"
    if any(prompt.suffix for prompt in canvas.prompts):
        raise UsageError(
            f"{name} ends its canvas with end-of-text and cannot fill a gap in front of a suffix; "
            "pass the prefix alone"
        )
    if canvas.given_columns is not None:
        raise UsageError(
            f"{name} moves what stands on its canvas and cannot keep given tokens in place; "
            "accepted: samplers of a fixed canvas"
        )
    for part in config.parts:
        if part.kind not in ("order", "length"):
            raise UsageError(
                f"{name}: daedal reveals by its own threshold, on a canvas that moves; accepted "
                "beside it: one of the orders"
            )
    unread = {
        "threshold": config.threshold is not None,
        "entropy_threshold": config.entropy_threshold is not None,
        "edit_threshold": config.edit_threshold is not None,
        "sub_block_length": config.sub_block_length is not None,
        "first_token": config.first_token != "in_block",
    }
    for setting, given in unread.items():
        if given:
            raise UsageError(
                f"{name}: {setting} is {getattr(config, setting)!r}, which has no place on a "
                "canvas that moves; leave it unset"
            )
