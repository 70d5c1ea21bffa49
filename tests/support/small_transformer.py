"""A two-layer transformer in random weights, any attention pattern, and a slow statement of it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dllm_eval.attention import KeyValues, attend
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Attention, Family

TOKENS = 4
MASK, PAD = TOKENS, TOKENS + 1
VOCAB = TOKENS + 2
HEADS, WIDTH = 2, 16


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.inner = nn.Linear(WIDTH, WIDTH)


class SmallBody(nn.Module):
    """Learned positions, two layers of attention with an exact cache."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.places = nn.Embedding(64, WIDTH)
        self.first, self.second = Layer(), Layer()

    @property
    def layers(self) -> tuple[Layer, Layer]:
        return self.first, self.second

    def forward(
        self,
        input_ids: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor | None,
        cache: KeyValues | None = None,
        time: Tensor | None = None,  # noqa: ARG002 - not conditioned on it
    ) -> Tensor:
        if positions is None:
            positions = torch.arange(input_ids.shape[1])[None]
        hidden: Tensor = self.tokens(input_ids) + self.places(positions)
        for index, layer in enumerate(self.layers):
            parts = (layer.query(hidden), layer.key(hidden), layer.value(hidden))
            query, key, value = (p.unflatten(2, (HEADS, -1)).transpose(1, 2) for p in parts)
            seen = attend(query, key, value, mask=mask, cache=cache, layer=index)
            hidden = hidden + torch.tanh(layer.inner(seen.transpose(1, 2).flatten(2)))
        return hidden


def small_model(
    attention: Attention, *, block_length: int | None = None, logits_shift: int = 0, seed: int = 0
) -> ModelDenoiser:
    torch.manual_seed(seed)
    body, head = SmallBody().eval(), nn.Linear(WIDTH, VOCAB)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.mul_(2.0)
        head.bias[MASK:] = -30.0
    family = Family(
        name="small",
        mask_id=MASK,
        eos_id=0,
        pad_id=PAD,
        logits_shift=logits_shift,
        attention=attention,
        block_length=block_length,
        context_length=64,
        likelihood="left_to_right" if attention == "reordered" else "masked",
    )
    return ModelDenoiser(body=body, head=head, family=family)


@torch.inference_mode()
def slow_log_probs(model: ModelDenoiser, canvas: Sequence[int], block_start: int) -> Tensor:
    """(length, vocab) log-probabilities of one canvas, one query and one head at a time.

    `block_start` is where the block that is being denoised begins.
    """
    body, family, length = model.body, model.family, len(canvas)
    assert isinstance(body, SmallBody)
    hidden = [body.tokens.weight[token] + body.places.weight[i] for i, token in enumerate(canvas)]
    for layer in body.layers:
        queries, all_keys, all_values = (
            [project(each) for each in hidden] for project in (layer.query, layer.key, layer.value)
        )
        after = []
        for i in range(length):
            seen = [k for k in range(length) if sees(family, canvas, i, k, block_start)]
            outs = []
            for head in range(HEADS):
                part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
                keys = torch.stack([all_keys[k][part] for k in seen])
                values = torch.stack([all_values[k][part] for k in seen])
                weights = (keys @ queries[i][part] / (WIDTH // HEADS) ** 0.5).softmax(dim=0)
                outs.append(weights @ values)
            after.append(hidden[i] + torch.tanh(layer.inner(torch.cat(outs))))
        hidden = after
    rows = [hidden[max(i - family.logits_shift, 0)] for i in range(length)]
    logits: Tensor = model.head(torch.stack(rows))
    return logits.double().log_softmax(dim=1)


def sees(family: Family, canvas: Sequence[int], query: int, key: int, block_start: int) -> bool:
    """Whether one position sees another one, in the words of each family's paper."""
    if family.attention == "full":
        return True
    if family.attention == "block_causal":
        assert family.block_length is not None
        return key // family.block_length <= query // family.block_length
    if family.attention == "causal_context":
        return key <= query or query >= block_start
    asks_as_mask, is_mask = canvas[query] == MASK, canvas[key] == MASK
    if not asks_as_mask:
        return not is_mask and key <= query
    return not is_mask or key <= query
