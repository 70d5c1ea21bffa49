"""Which guesses a model accepts, and what it writes behind them: the same law as without guesses.

Greedy: a guess is accepted while it is the model's own most likely token. Sampling: speculative
sampling of Leviathan et al., arXiv 2211.17192, algorithm 1: a token x drawn from q is accepted with
probability min(1, p(x) / q(x)), and where one is rejected the next token is drawn from
max(0, p - q), normalised. What prompt lookup guesses was not drawn: q is 1 at the guess. Where p
and q differ by rounding alone the residual may be nought everywhere; then p is drawn from, where
`_speculative_sampling` of huggingface/transformers 5.23.0 (generation/utils.py) divides by nought.

Knows logits and drafts; nothing of models and caches. `speculative.py` calls it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dllm_eval.samplers.speculative_drafts import Draft


def accepted(
    logits: Tensor,
    drafts: Sequence[Draft],
    *,
    temperature: float,
    noise: Sequence[torch.Generator],
) -> list[list[int]]:
    """What each row writes: its accepted guesses and one token more; one wait for the device.

    Args:
        logits: (batch, width, vocab); row i's last 1 + drafts[i] are those behind its text and
            behind each guess.
        drafts: One per row.
        temperature: 0 is greedy.
        noise: Random numbers of each row; unused where greedy.

    Returns:
        Of each row the tokens in reading order; -1 where the logits are unusable.
    """
    if temperature == 0:
        return _greedy(logits, drafts)
    told = [
        _sampled(logits[row, -1 - len(draft.tokens) :], draft, temperature, noise[row])
        for row, draft in enumerate(drafts)
    ]
    counts: list[list[int]] = torch.stack(told).tolist()
    return [
        [*draft.tokens[:count], token] for draft, (count, token) in zip(drafts, counts, strict=True)
    ]


def _greedy(logits: Tensor, drafts: Sequence[Draft]) -> list[list[int]]:
    best, chosen = logits.max(dim=-1)
    ids: list[list[int]] = torch.where(best.isfinite(), chosen, -1).tolist()
    found = []
    for own, draft in zip(ids, drafts, strict=True):
        own = own[-1 - len(draft.tokens) :]
        pairs = zip(own, draft.tokens, strict=False)
        count = next((i for i, (is_, said) in enumerate(pairs) if is_ != said), len(own) - 1)
        found.append(own[: count + 1])
    return found


def _sampled(logits: Tensor, draft: Draft, temperature: float, noise: torch.Generator) -> Tensor:
    """(2,): how many guesses are accepted, and the token behind them.

    Args:
        logits: (1 + guesses, vocab).
        draft: The row's.
        temperature: Above 0.
        noise: The row's.
    """
    device, guesses = logits.device, len(draft.tokens)
    likely = (logits.float() / temperature).softmax(dim=-1)
    weights, count = likely, torch.zeros((), dtype=torch.int64, device=device)
    if guesses:
        places = torch.arange(guesses, device=device)
        tokens = torch.tensor(draft.tokens, device=device)
        drawn = torch.zeros_like(likely[:guesses])
        if draft.probabilities is None:
            drawn[places, tokens] = 1.0
        else:
            drawn[:, : draft.probabilities.shape[1]] = draft.probabilities
        chances = torch.rand(guesses, generator=noise, device=device)
        kept = chances * drawn[places, tokens] < likely[places, tokens]
        count = kept.long().cumprod(dim=0).sum()
        residual = (likely[:guesses] - drawn).clamp(min=0)
        residual = torch.where(residual.sum(dim=-1, keepdim=True) > 0, residual, likely[:guesses])
        weights = torch.cat([residual, likely[guesses:]])
    draws = torch.empty_like(likely[0]).exponential_(generator=noise)
    weight, token = (weights.index_select(0, count[None])[0] / draws).max(dim=-1)
    return torch.stack([count, torch.where(weight.isfinite() & (weight > 0), token, -1)])
