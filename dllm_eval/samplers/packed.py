"""When a batch of unequal lengths is run without its padding.

The answers are the same up to rounding, so this is a matter of time alone. Knows denoisers and
lengths; nothing of rules, steps and estimators. `reader.py` asks for decoding, `likelihood/forward`
for scoring.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dllm_eval.api import Denoiser
from dllm_eval.packing import HALF_PRECISION, Packing, Span

LEAST_PADDING = 0.1
"""Share of a padded batch's positions that is padding, from which it is packed. Packing costs an
attention call more per layer for each other length: at width 128 and batch 4, the least measured, 3
to 6 % of a step on a CPU; at width 256 it gains from 0.03 on (`benchmarks/packing.py`)."""


@runtime_checkable
class Packs(Protocol):
    """A denoiser whose body may be given a batch without its padding."""

    head: nn.Module

    @property
    def packs(self) -> bool:
        """Whether this one takes it."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        ...

    def states(
        self,
        token_ids: Tensor,
        *,
        rows: slice | None = None,
        at: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """As `late_head.HasStates.states` of the padded batch; the head is run behind it."""
        ...


def packing_of(denoiser: Denoiser, spans: Sequence[Span], length: int) -> Packing | None:
    """Where the batch stands without padding; None where it is better padded.

    On a GPU only in half precision, where one call attends to sequences of unequal lengths; what
    several calls would cost there has not been measured.

    Args:
        denoiser: The model.
        spans: Of each row of the batch.
        length: Columns of the padded table.
    """
    if not isinstance(denoiser, Packs) or not denoiser.packs:
        return None
    if denoiser.device.type != "cpu" and denoiser.dtype not in HALF_PRECISION:
        return None
    if padding_of(spans, length) < LEAST_PADDING:
        return None
    return Packing.of(spans, length, denoiser.device)


def padding_of(spans: Sequence[Span], length: int) -> float:
    """The share of a table's positions that is padding."""
    return 1 - sum(stop - start for start, stop in spans) / (len(spans) * length)
