"""A window that slides over the canvas as its left end is finished (WeDLM's streaming decoding).

Knows the canvas and the reveal rule; knows no model. `choice.py` picks it where `window` is set.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dllm_eval.samplers.reveal import RevealRule
from dllm_eval.samplers.rules import Step


class WindowRule(RevealRule):
    """Reveals only within the first `window` positions behind the gapless beginning.

    A position is finished once everything left of it, and it itself, was revealed before the last
    pass: the pass has then read it as it stays, and its keys are kept. Each row has a window of its
    own. With `stop: eos` a row ends when its gapless beginning holds an end-of-text. As in the
    published engine (Tencent/WeDLM 0216110f, `wedlm_decoder.py`), the masks that fill up the window
    go on behind the canvas; what is revealed there is thrown away.
    """

    def prepare(self) -> None:
        """Nothing is held yet: a row's first pass processes all of its own columns."""
        canvas, family = self.canvas, self.canvas.family
        self._held = [
            start - len(prompt.prefix)
            for start, prompt in zip(canvas.starts, canvas.prompts, strict=True)
        ]
        guided = self.config.cfg_scale > 0  # guidance masks the prompt, so nothing is held
        self._holds = self.config.cache == "auto" and family.looks_back and not guided

    def steps(self, block: slice) -> Iterator[Step]:
        """Steps until every row has reached the block's end, or an end-of-text."""
        length = block.stop - block.start
        self._schedule(length, self.config.steps_per_block)
        self._work_on([count > 0 for count in self.canvas.open_counts(block)])
        self._finished = self._filled = [0] * len(self.canvas.prompts)
        index = 0
        while any(self.noise.running):
            # Its own window's numbers, however far the batch reaches around it.
            self.noise.spans = self._spans(block)
            yield Step(index=index, columns=self._columns(block))
            self.noise.spans = None
            self._finished = self._filled
            self._filled, ended = self._look(block)
            running = [
                old and filled < length and not stop
                for old, filled, stop in zip(self.noise.running, self._filled, ended, strict=True)
            ]
            self._work_on(running)
            index += 1

    def rows(self, block: slice) -> slice:
        """From the first window that is still at work to the end of the last one."""
        at_work = [row for row, on in enumerate(self.noise.running) if on]
        start = block.start + min(self._finished[row] for row in at_work)
        return slice(start, max(self._ends(block)[row] for row in at_work))

    def _spans(self, block: slice) -> list[slice]:
        """Each row's window within the rows asked for."""
        first = self.rows(block).start
        return [slice(max(end - self._window - first, 0), end - first) for end in self._ends(block)]

    def _columns(self, block: slice) -> tuple[int, ...]:
        """What the pass costs each row: its own window and what is not held, whatever the batch."""
        length, shift = self.canvas.tokens.shape[1], self.canvas.family.logits_shift
        ends = [min(end, length) for end in self._ends(block)]
        cost = tuple(end - held for end, held in zip(ends, self._held, strict=True))
        if self._holds:
            self._held = [
                max(held, block.start + finished - shift)
                for held, finished in zip(self._held, self._finished, strict=True)
            ]
        return cost

    def _ends(self, block: slice) -> list[int]:
        """The column behind each row's window."""
        return [block.start + filled + self._window for filled in self._filled]

    @property
    def _window(self) -> int:
        return self.config.window or 1

    def _eligible(self, rows: slice, block: slice) -> Tensor:
        eligible = super()._eligible(rows, slice(block.start, rows.stop))
        columns = torch.arange(rows.start, rows.stop, device=eligible.device)
        ends = torch.tensor(self._ends(block)).to(eligible.device, non_blocking=True)
        return eligible & (columns < ends[:, None])

    def _look(self, block: slice) -> tuple[list[int], list[bool]]:
        """How many positions each row has filled without a gap, and whether its text ends there."""
        tokens, family = self.canvas.tokens[:, block], self.canvas.family
        leading = (tokens != family.mask_id).cumprod(dim=1)
        ends = torch.zeros_like(leading)
        if self.config.stop == "eos":
            for end_id in family.end_ids:
                ends |= (tokens == end_id) * leading
        ended = ends.any(dim=1, keepdim=True)
        self.host_syncs += 1
        filled, stopped = torch.cat([leading.sum(dim=1, keepdim=True), ended.long()], 1).T.tolist()
        self.canvas.let_end(stopped)
        return filled, [bool(stop) for stop in stopped]
