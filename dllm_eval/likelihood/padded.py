"""Pairs side by side in one tensor, for bounds that noise the target alone.

Knows pairs and padding; knows no model and no noise. `discrete_time` and `latent_bound` call it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.likelihood.pair import Pair


@dataclass(frozen=True, kw_only=True, eq=False)
class Padded:
    """One row per pair, padded in front, so that all targets end in the last column."""

    tokens: Tensor
    """(batch, length) int64."""
    valid: Tensor | None
    """(batch, length) bool, False at padding; None where nothing is padded."""
    scored: Tensor
    """(batch, length) bool, True at the targets."""
    rows: slice
    """Columns that cover every target."""

    @classmethod
    def build(cls, pairs: Sequence[Pair], pad_id: int, device: torch.device) -> "Padded":
        """Lays the pairs out."""
        length = max(pair.length for pair in pairs)
        tokens = torch.full((len(pairs), length), pad_id)
        valid, scored = (torch.zeros_like(tokens, dtype=torch.bool) for _ in range(2))
        for row, pair in enumerate(pairs):
            tokens[row, length - pair.length :] = torch.from_numpy(pair.token_ids)
            valid[row, length - pair.length :] = True
            scored[row, length - pair.target_length :] = True
        return cls(
            tokens=tokens.to(device, non_blocking=True),
            valid=None if valid.all() else valid.to(device, non_blocking=True),
            scored=scored.to(device, non_blocking=True),
            rows=slice(length - max(pair.target_length for pair in pairs), length),
        )

    def spread(self, parts: Sequence[Tensor]) -> Tensor:
        """(batch, length, ...) with each part, (own length, ...), at the end of its row; else 0."""
        shape = (*self.tokens.shape, *parts[0].shape[1:])
        out = torch.zeros(shape, dtype=parts[0].dtype)
        for row, part in enumerate(parts):
            out[row, len(out[row]) - len(part) :] = part
        return out.to(self.tokens.device, non_blocking=True)


def not_numbers() -> UsageError:
    """The error for a model whose output is NaN."""
    return UsageError(
        "the model's logits are NaN; accepted: finite logits (a wider dtype, such as float32, may"
        " give them)"
    )
