"""One token at a time with a KV cache: the baseline that a diffusion sampler is measured against.

Knows a transformers causal model, token ids and end ids; nothing of lm-eval, files or the clock.
`adapters/autoregressive.py` calls it. The prompt is read in one pass, then every pass is one token.
Several gaps are filled one after another: what the cache holds stays, and the next text is read in
one pass behind it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.samplers.causal_compiled import CompiledSteps
from dllm_eval.samplers.causal_rows import Row, Stop, check_requests, noise_of
from dllm_eval.samplers.causal_steps import CacheKind, CausalSteps, Ids

Kept = Callable[[int, Ids], Ids]
"""(request, visible ids of its answer) -> those that stand before the next text."""


def generate_autoregressive(
    model: Any,  # noqa: ANN401 - transformers has no one type for causal models
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    temperature: float = 0.0,
    cache: CacheKind | CompiledSteps = "dynamic",
    stop: Stop | None = None,
) -> list[Generation]:
    """Continues every prompt until an end id, `stop`, or `max_new_tokens`.

    Args:
        model: A transformers causal language model in evaluation mode.
        prompts: Their suffixes must be empty; write infilling into the prefix.
        max_new_tokens: Most tokens per request, at least 1.
        eos_ids: Ids that end a request; the end id is the last of `tokens` and not visible.
        temperature: 0 takes the most likely token; otherwise the sampling temperature.
        cache: "static" allocates keys and values once, for the longest request. Compiled steps of
            the same model run its passes of one token, on their own static cache, and compile what
            they have not met yet.
        stop: Looks at a request's ids so far, after each; True ends it ("stop_string").

    Returns:
        One Generation per prompt. A pass is of all of them, one token each; a request that is done
        stays in it, uncounted, until the last one is, as in the denoising loop. The host waits for
        the device once per token, to see which requests are done; transformers' masks add one wait
        per pass where rows are padded.

    Raises:
        UsageError: An empty prompt, a suffix, a setting out of range, or NaN logits.
    """
    found = fill_gaps(
        model,
        [(prompt, ()) for prompt in prompts],
        max_new_tokens=max_new_tokens,
        eos_ids=eos_ids,
        temperature=temperature,
        cache=cache,
        stop=stop,
    )
    return [answers[0] for answers in found]


def fill_gaps(
    model: Any,  # noqa: ANN401 - transformers has no one type for causal models
    requests: Sequence[tuple[Prompt, Sequence[Ids]]],
    *,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    temperature: float = 0.0,
    cache: CacheKind | CompiledSteps = "dynamic",
    stop: Stop | None = None,
    kept: Kept = lambda _, visible: visible,
) -> list[list[Generation]]:
    """Fills the gaps of every request in turn, each from all that stands before it.

    Args:
        model: As for `generate_autoregressive`.
        requests: What stands before the first gap, and the texts between the gaps; of these all
            requests have as many.
        max_new_tokens: Most tokens per gap.
        eos_ids: Ids that end a gap.
        temperature: As for `generate_autoregressive`; every gap has random numbers of its own.
        cache: What was read for one gap is not read again for the next one.
        stop: Looks at a gap's ids so far.
        kept: What of an answer stands before the next text; the rest is forgotten.

    Returns:
        Of each request one Generation per gap, each with its own cost.

    Raises:
        UsageError: As for `generate_autoregressive`.
    """
    if not requests:
        return []
    prompts, between = [prompt for prompt, _ in requests], [texts for _, texts in requests]
    check_requests(prompts, max_new_tokens, temperature)
    if not isinstance(cache, CompiledSteps) and cache not in ("dynamic", "static"):
        raise UsageError(f"cache is {cache!r}; known: dynamic, static")
    ends, num_gaps = frozenset(eos_ids), 1 + len(between[0])
    found: list[list[Generation]] = [[] for _ in prompts]
    # A CUDA graph writes into tensors that outlive the call, which inference tensors may not.
    with torch.no_grad() if isinstance(cache, CompiledSteps) else torch.inference_mode():
        most_columns = _most_columns(prompts, between, max_new_tokens)
        steps = CausalSteps(model, prompts, most_columns, cache)
        logits = steps.prefill()
        for gap in range(num_gaps):
            rows = [Row() for _ in prompts]
            read = steps.num_read
            noise = noise_of(prompts, gap, temperature, steps.device)
            for count in range(1, max_new_tokens + 1):
                chosen, ids = _choose(logits, temperature, noise)
                done = _append(rows, ids, read, ends, stop)
                if done or count == max_new_tokens:
                    break
                logits, read = steps.advance(chosen), [1] * len(rows)
            for own, row in zip(found, rows, strict=True):
                own.append(row.generation(ends, steps.waited()))
            if gap + 1 < num_gaps:
                kept_ids = [kept(place, own[-1].visible) for place, own in enumerate(found)]
                counts = [len(row.tokens) for row in rows]
                logits = steps.resume(kept_ids, [texts[gap] for texts in between], counts)
    return found


def _most_columns(
    prompts: Sequence[Prompt], between: Sequence[Sequence[Ids]], max_new_tokens: int
) -> int:
    """Columns of the cache: rows are as wide as the widest one, text by text."""
    prefix = max(len(prompt.prefix) for prompt in prompts)
    # The last token of an answer is read with the text behind it.
    texts = sum(max(len(text) for text in texts) + 1 for texts in zip(*between, strict=True))
    return prefix + texts + max_new_tokens * (1 + len(between[0]))


def _choose(
    logits: Tensor, temperature: float, noise: list[torch.Generator]
) -> tuple[Tensor, list[int]]:
    """The next tokens, on the device (batch,) and on the host; reading them is the loop's one wait.

    Argmax, or a sample by the Gumbel-max trick with each request's own noise. On the host -1 stands
    where the logits give none.
    """
    if not noise:
        best, chosen = logits.max(dim=-1)
    else:
        draws = [torch.empty_like(logits[0], dtype=torch.float32) for _ in noise]
        for draw, own in zip(draws, noise, strict=True):
            draw.exponential_(generator=own)
        # -log of an exponential variable is a Gumbel variable.
        chosen = (logits.float() / temperature - torch.stack(draws).log()).argmax(dim=-1)
        best = logits.gather(-1, chosen[:, None])[:, 0]
    ids: list[int] = torch.where(best.isfinite(), chosen, -1).tolist()
    return chosen, ids


def _append(
    rows: list[Row], tokens: list[int], read: list[int], ends: frozenset[int], stop: Stop | None
) -> bool:
    """Gives every unfinished request its token; True when all are finished."""
    for row, token, positions in zip(rows, tokens, read, strict=True):
        if row.stop_reason is None:
            row.passed(positions)
            row.add(token, ends, stop)
    return all(row.stop_reason is not None for row in rows)
