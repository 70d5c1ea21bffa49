"""A loaded model under another block length, and with chosen ids made more likely.

Small blocks keep rule tests quick; likelier end-of-text makes stopping happen. Both the rule under
test and the slow statement of it read the same logits.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from dllm_eval.denoiser import ModelDenoiser


class SmallBlocks:
    """A `Denoiser` around a loaded one; the weights are shared, the facts are its own.

    Args:
        loaded: A model as `load_model` gives it.
        added: Id -> what is added to its logit everywhere.
        facts: Fields of its `Family` to change.
    """

    def __init__(self, loaded: Any, added: Mapping[int, float] | None = None, **facts: Any) -> None:
        self.inner = ModelDenoiser(
            body=loaded.body,
            head=loaded.head,
            family=replace(loaded.family, **facts),
            tokenizer=loaded.tokenizer,
        )
        self.added = dict(added or {})
        self.family, self.device = self.inner.family, self.inner.device
        self.vocab_size = self.inner.vocab_size

    def logits(self, token_ids: Tensor, **options: Any) -> Tensor:
        out = self.inner.logits(token_ids, **options).clone()
        for token, more in self.added.items():
            out[..., token] += more
        return out
