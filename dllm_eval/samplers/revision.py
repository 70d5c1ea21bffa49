"""Token editing: revealed tokens that another one replaces (LLaDA2.1).

Knows tensors alone. `rules.py` calls it after each proposal.
"""

from torch import Tensor


def editable(tokens: Tensor, may_write: Tensor, mask_id: int) -> Tensor:
    """(batch, rows) bool: canvas positions of working rows that hold a token already."""
    return may_write & (tokens != mask_id)


def edits(
    proposed: Tensor, confidence: Tensor, tokens: Tensor, may_edit: Tensor, threshold: float
) -> Tensor:
    """(batch, rows) bool: another token is proposed, and more probable than `threshold`."""
    return may_edit & (proposed != tokens) & (confidence > threshold)
