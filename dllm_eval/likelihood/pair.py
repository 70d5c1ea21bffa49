"""One (context, target) pair of token ids, checked before any forward pass.

Knows the model's limits and no estimator. `score` builds pairs; batches are filled from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A scoring canvas: the context, the target, and what the family's convention puts behind."""

    token_ids: NDArray[np.int64]
    """(context + target + behind,)"""
    target_length: int
    behind: int = 0
    """Ids behind the target: visible, never masked and never scored."""

    @property
    def length(self) -> int:
        """Positions of the canvas."""
        return len(self.token_ids)

    @property
    def start(self) -> int:
        """The position of the first id scored."""
        return self.stop - self.target_length

    @property
    def stop(self) -> int:
        """The position behind the last id scored."""
        return self.length - self.behind

    @property
    def context(self) -> NDArray[np.int64]:
        """The ids conditioned on, (context,)."""
        return self.token_ids[: self.start]

    @property
    def target(self) -> NDArray[np.int64]:
        """The ids scored, (target,)."""
        return self.token_ids[self.start : self.stop]


def build_pair(
    denoiser: Denoiser,
    index: int,
    context: Sequence[int],
    target: Sequence[int],
    end: Sequence[int] = (),
) -> Pair:
    """Checks one pair against the model.

    Args:
        denoiser: Sets the longest canvas and the vocabulary.
        index: The pair's place in the caller's list, for the error.
        context: Token ids, possibly none.
        target: Token ids, at least one.
        end: Token ids behind the target, which are seen and not scored.

    Raises:
        UsageError: An empty target, a canvas too long, an id outside the vocabulary, a mask token,
            or no context where the model predicts a token from the one before it and looks back.
    """
    family = denoiser.family
    length, limit = len(context) + len(target) + len(end), family.context_length
    if len(target) == 0:
        raise UsageError(f"pair {index} has an empty target; accepted: at least one token to score")
    if length > limit:
        behind = f" + {len(end)} tokens behind them" if end else ""
        raise UsageError(
            f"pair {index} has {len(context)} context + {len(target)} target tokens{behind} ="
            f" {length}; accepted: up to the model's context length of {limit}"
        )
    if not family.looks_ahead and len(context) < family.logits_shift:
        raise UsageError(
            f"pair {index} has no context, and family {family.name!r} predicts a token from the one"
            " before it; accepted: at least one context token"
        )
    token_ids = np.array([*context, *target, *end], dtype=np.int64)
    if token_ids.min() < 0 or token_ids.max() >= denoiser.vocab_size:
        wrong = token_ids[(token_ids < 0) | (token_ids >= denoiser.vocab_size)][0]
        raise UsageError(
            f"pair {index} holds the token id {wrong}; accepted: 0 to {denoiser.vocab_size - 1}"
        )
    if family.mask_id in token_ids:
        raise UsageError(
            f"pair {index} holds the mask token (id {family.mask_id}); accepted: text without it"
        )
    return Pair(token_ids=token_ids, target_length=len(target), behind=len(end))
