"""Positions of a canvas where only some tokens may be written: the borders of a healed gap.

The model's logits of all other tokens are put at -inf there, before any rule looks at them: so
every sampler, the guidance and the temperature go by the distribution given the constraint. Knows
canvases and logits; knows no text and no rule. `reader.py` builds one per batch, `late_head.py`
asks it where logits are made a few at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.row_statistics import RowStatistics


@dataclass(frozen=True, kw_only=True)
class AllowedPlaces:
    """The constrained positions among the rows that a pass asks for."""

    places: Tensor
    """(constrained,) int64: each request * rows + row."""
    forbidden: Tensor
    """(constrained + 1, vocab) bool; the last one forbids nothing."""
    number: Tensor
    """(requests * rows,) int64: which constraint a place has; the last one where it has none."""

    def restrict(self, logits: Tensor, places: Tensor) -> Tensor:
        """Puts what may not be written at -inf, in place.

        Args:
            logits: (places, vocab).
            places: (places,) int64, each request * rows + row.
        """
        return logits.masked_fill_(self.forbidden[self.number[places]], -torch.inf)

    def joined(self, all_rows: RowStatistics, own: RowStatistics, places: Tensor) -> RowStatistics:
        """Statistics of rows, those of constrained positions in place of the unconstrained ones.

        Args:
            all_rows: (places,) each, made without the constraints.
            own: (constrained,) each, made with them.
            places: (places,) int64, each request * rows + row.
        """
        last = len(self.places) - 1
        number = self.number[places]
        constrained, number = number <= last, number.clamp(max=last)

        def chosen(old: Tensor, new: Tensor) -> Tensor:
            return torch.where(constrained, new[number], old)

        def maybe(old: Tensor | None, new: Tensor | None) -> Tensor | None:
            return None if old is None or new is None else chosen(old, new)

        return RowStatistics(
            best=chosen(all_rows.best, own.best),
            token=chosen(all_rows.token, own.token),
            probability=chosen(all_rows.probability, own.probability),
            entropy=maybe(all_rows.entropy, own.entropy),
            runner_up=maybe(all_rows.runner_up, own.runner_up),
        )


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """The constraints of a batch."""

    rows: Sequence[int]
    """Of each constrained position, its request in the batch."""
    columns: Sequence[int]
    """Of each, its column on the canvas."""
    forbidden: Tensor
    """(constrained, vocab) bool."""
    keeps_weight: bool
    """Whether exp(logits) are weights as they are (SEDD): then what is forbidden leaves its weight
    to what is allowed, or a position would seldom be revealed."""
    _seen: dict[tuple[int, int], AllowedPlaces | None] = field(default_factory=dict)

    @classmethod
    def of(cls, canvas: Canvas, vocab_size: int) -> "Allowed | None":
        """The constraints of a batch's requests; None where there are none.

        Raises:
            UsageError: A constraint lies outside the canvas, on a given token, or allows no token.
        """
        rows, columns, forbidden = [], [], []
        for row, (prompt, start) in enumerate(zip(canvas.prompts, canvas.starts, strict=True)):
            taken = {offset for offset, _ in prompt.given}
            for offset, ids in prompt.allowed:
                if not 0 <= offset < canvas.gen_length or offset in taken:
                    raise UsageError(
                        f"allowed tokens are given for position {offset} of the canvas; accepted: "
                        f"positions to fill in, from 0 to {canvas.gen_length - 1}"
                    )
                rows.append(row)
                columns.append(start + offset)
                forbidden.append(_forbidden(ids, canvas.family.mask_id, vocab_size))
        if not rows:
            return None
        return cls(
            rows=rows,
            columns=columns,
            forbidden=torch.stack(forbidden).to(canvas.tokens.device, non_blocking=True),
            keeps_weight=canvas.family.likelihood == "score_entropy",
        )

    def restrict(self, logits: Tensor, rows: slice) -> None:
        """Puts what may not be written at -inf, in place.

        Args:
            logits: (batch, rows, vocab), or with leave-one-out twice as many rows.
            rows: Their columns.
        """
        width = rows.stop - rows.start
        at = self.at(rows, len(logits))
        if at is None:
            return
        request, row = at.places // width, at.places % width
        for first in range(0, logits.shape[1], width):
            own = logits[request, row + first]  # (constrained, vocab)
            kept = own.masked_fill(at.forbidden[:-1], -torch.inf)
            if self.keeps_weight:
                lost = own.logsumexp(dim=-1) - kept.logsumexp(dim=-1)
                kept = kept + lost[:, None]
            logits[request, row + first] = kept

    def at(self, rows: slice, num_requests: int) -> AllowedPlaces | None:
        """The constrained positions among these columns; None where there are none."""
        key = (rows.start, rows.stop)
        if key not in self._seen:
            self._seen[key] = self._places(rows, num_requests)
        return self._seen[key]

    def _places(self, rows: slice, num_requests: int) -> AllowedPlaces | None:
        inside = [n for n, at in enumerate(self.columns) if rows.start <= at < rows.stop]
        if not inside:
            return None
        width, device = rows.stop - rows.start, self.forbidden.device
        places = [self.rows[n] * width + self.columns[n] - rows.start for n in inside]
        number = torch.full((num_requests * width,), len(inside))
        number[places] = torch.arange(len(inside))
        free = torch.zeros_like(self.forbidden[:1])
        picked = torch.tensor(inside).to(device, non_blocking=True)
        return AllowedPlaces(
            places=torch.tensor(places).to(device, non_blocking=True),
            forbidden=torch.cat([self.forbidden[picked], free]),
            number=number.to(device, non_blocking=True),
        )


@lru_cache(maxsize=64)
def _forbidden(ids: tuple[int, ...], mask_id: int, vocab_size: int) -> Tensor:
    """(vocab,) bool, on the CPU."""
    if not ids or not all(0 <= token < vocab_size and token != mask_id for token in ids):
        raise UsageError(
            f"{len(ids)} tokens are allowed at a position of the canvas, some of them unknown or "
            f"the mask; accepted: one or more ids from 0 to {vocab_size - 1} without {mask_id}"
        )
    forbidden = torch.ones(vocab_size, dtype=torch.bool)
    forbidden[torch.tensor(ids)] = False
    return forbidden
