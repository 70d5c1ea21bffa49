"""A model whose states depend on everything that may be seen, small enough for many settings.

Real module and real family, made of a seed; knows nothing of what a test asks of it.
"""

import torch
from torch import Tensor, nn

from dllm_eval.api import Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

WIDTH = 12
EOS, EOT, MASK, PAD = 1, 2, 3, 0
PROMPTS = [
    Prompt(prefix=(5, 6, 7), seed=1),
    Prompt(prefix=(9, 4, 8, 11, 6), seed=2),
    Prompt(prefix=(8,), suffix=(10, 12), seed=3),
]


class Mixing(nn.Module):
    """Every state depends on all tokens that may be seen, and on places."""

    def __init__(self, vocab: int, generator: torch.Generator) -> None:
        super().__init__()

        def weights(rows: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, WIDTH, generator=generator), requires_grad=False)

        self.tokens, self.places, self.mix = weights(vocab), weights(128), weights(WIDTH)

    def forward(
        self, input_ids: Tensor, *, mask: Tensor | None, positions: Tensor | None, **_: object
    ) -> Tensor:
        if positions is None:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        hidden: Tensor = self.tokens[input_ids] + self.places[positions]
        seen = torch.ones_like(input_ids, dtype=torch.bool) if mask is None else mask[:, 0, -1]
        keys = torch.tanh(hidden @ self.mix) * seen[..., None]
        return torch.tanh(hidden + 2 * keys.sum(1, keepdim=True) / seen.sum(1)[:, None, None])


def model_of(vocab: int = 29, *, seed: int = 0, shift: int = 0) -> ModelDenoiser:
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(WIDTH, vocab)
    with torch.no_grad():
        head.weight.copy_(torch.randn(vocab, WIDTH, generator=generator))
        head.bias.copy_(torch.randn(vocab, generator=generator))
    head.requires_grad_(requires_grad=False)
    family = Family(
        name="mixing",
        mask_id=MASK,
        eos_id=EOS,
        eot_id=EOT,
        pad_id=PAD,
        logits_shift=shift,
        context_length=128,
    )
    return ModelDenoiser(body=Mixing(vocab, generator), head=head, family=family)
