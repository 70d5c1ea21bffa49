"""A small random bidirectional model to decode with; no transformers, no checkpoint."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dllm_eval.families import Family

EOS, EOT, MASK, PAD = 1, 2, 3, 0


class RandomDenoiser:
    """Every logit depends on every token and its place; computed in float64, padding hidden."""

    def __init__(
        self, vocab_size: int, seed: int, *, coarse: bool = False, forbid_mask: bool = False
    ) -> None:
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        width = 16
        self.embed, self.place = weights(vocab_size, width), weights(512, width)
        self.mix, self.head = weights(width, width), weights(width, vocab_size) / 2
        self.coarse, self.forbid_mask = coarse, forbid_mask
        self.family = Family(
            name="random", mask_id=MASK, eos_id=EOS, eot_id=EOT, pad_id=PAD, context_length=512
        )
        self.device = torch.device("cpu")
        self.vocab_size = vocab_size
        self.forwards: list[tuple[int, int]] = []

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        **_: object,
    ) -> Tensor:
        self.forwards.append((token_ids.shape[0], token_ids.shape[1]))
        seen = torch.ones_like(token_ids, dtype=torch.bool) if valid is None else valid
        place = self.place[(seen.cumsum(1) - 1).clamp(min=0)]
        hidden = (self.embed[token_ids] + place) * seen[..., None]
        context = torch.tanh(hidden @ self.mix).sum(1, keepdim=True) / seen.sum(1)[:, None, None]
        logits = torch.tanh(hidden + 3 * context) @ self.head
        if self.coarse:
            logits = logits.round()
        if self.forbid_mask:
            logits[..., MASK] = -1e9
        logits = logits.float()
        return logits if rows is None else logits[:, rows].clone()


@pytest.fixture
def random_denoiser() -> Callable[..., RandomDenoiser]:
    return RandomDenoiser
