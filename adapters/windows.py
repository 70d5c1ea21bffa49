"""A long text as windows that score each of its tokens once.

Knows ids and lm-eval's rule for cutting them; knows no model. `base.py` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .jobs import Pair


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """How texts are cut.

    Raises:
        UsageError: A window has no room for so much context.
    """

    tokens: int
    """Positions a full window takes in the model."""
    context: int
    """Tokens before a window's first scored one that it reads again, at least."""
    scored_at_end: bool
    """Whether a window's last token is at a position of its own (a mask), or is only predicted."""

    def __post_init__(self) -> None:
        if not 1 <= self.context < self.tokens:
            raise UsageError(
                f"rolling_context is {self.context}, and a window has {self.tokens} positions;"
                f" accepted: 1 to {self.tokens - 1}"
            )

    def windows(self, ids: Sequence[int], begin_id: int) -> list[Pair]:
        """(context, target) of each window; the targets joined are the text.

        lm-eval's `get_rolling_token_windows` (0.4.13): the first window's context is the begin id
        alone; each other one begins `context` tokens before what it scores, and the last, which has
        fewer tokens left to score, as many before as fill it.
        """
        windows = get_rolling_token_windows(
            token_list=list(ids),
            prefix_token=begin_id,
            max_seq_len=self.tokens - self.scored_at_end,
            context_len=self.context,
        )
        pairs = [make_disjoint_window(window) for window in windows]
        return [(tuple(context), tuple(target)) for context, target in pairs]


def whole_blocks(tokens: int, context: int, family: Family) -> int:
    """The most positions, up to `tokens`, with which a window ends where one of its blocks does.

    A block that a window cuts would be scored as one that ends there, though the text goes on.
    """
    block = family.block_length
    if family.looks_ahead or not block or family.attention == "reordered":
        return tokens
    before = 0 if family.attention == "block_causal" else context
    blocks = (tokens - before) // block
    return before + blocks * block if blocks > 0 else tokens
