"""One token at a time with a KV cache: the baseline that a diffusion sampler is measured against.

Knows a transformers causal model, token ids and end ids; nothing of lm-eval, files or the clock.
`adapters/autoregressive.py` calls it. The prompt is read in one pass, then every pass is one token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from dllm_eval.api import Generation, Prompt, StopReason
from dllm_eval.errors import UsageError
from dllm_eval.samplers.canvas import unusable_logits

CacheKind = Literal["dynamic", "static"]
Stop = Callable[[Sequence[int]], bool]


@dataclass
class _Row:
    """One request's way through the loop."""

    prompt_length: int
    tokens: list[int] = field(default_factory=list)
    stop_reason: StopReason | None = None

    def generation(self, end_ids: frozenset[int], host_syncs: int) -> Generation:
        ended = next((i for i, token in enumerate(self.tokens) if token in end_ids), None)
        nfe = len(self.tokens)
        return Generation(
            tokens=tuple(self.tokens),
            visible=tuple(self.tokens[:ended]),
            nfe=nfe,
            positions=self.prompt_length + nfe - 1 if nfe else 0,
            reveal_step=tuple(range(nfe)),
            stop_reason=self.stop_reason or "length",
            host_syncs=host_syncs,
            cache="exact",
        )


def generate_autoregressive(
    model: Any,  # noqa: ANN401 - transformers has no one type for causal models
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    temperature: float = 0.0,
    cache: CacheKind = "dynamic",
    stop: Stop | None = None,
) -> list[Generation]:
    """Continues every prompt until an end id, `stop`, or `max_new_tokens`.

    Args:
        model: A transformers causal language model in evaluation mode.
        prompts: Their suffixes must be empty; write infilling into the prefix.
        max_new_tokens: Most tokens per request, at least 1.
        eos_ids: Ids that end a request; the end id is the last of `tokens` and not visible.
        temperature: 0 takes the most likely token; otherwise the sampling temperature.
        cache: "static" allocates keys and values once, for the longest request.
        stop: Looks at a request's ids so far, after each; True ends it ("stop_string").

    Returns:
        One Generation per prompt. A pass is of all of them, one token each; a request that is done
        stays in it, uncounted, until the last one is, as in the denoising loop. The host waits for
        the device once per token, to see which requests are done; transformers' masks add one wait
        per pass where rows are padded.

    Raises:
        UsageError: An empty prompt, a suffix, a setting out of range, or NaN logits.
    """
    if not prompts:
        return []
    _check(prompts, max_new_tokens, temperature, cache)
    rows = [_Row(prompt_length=len(prompt.prefix)) for prompt in prompts]
    ends = frozenset(eos_ids)
    with torch.inference_mode():
        steps = _Steps(model, prompts, max_new_tokens, cache)
        noise = _noise(prompts, temperature, steps.device)
        logits = steps.prefill()
        for count in range(1, max_new_tokens + 1):
            chosen = _choose(logits, temperature, noise)  # (batch,)
            done = _append(rows, _read(chosen, logits), ends, stop)
            if done or count == max_new_tokens:
                break
            logits = steps.advance(chosen)
    return [row.generation(ends, steps.host_syncs) for row in rows]


def _check(prompts: Sequence[Prompt], max_new_tokens: int, temperature: float, cache: str) -> None:
    if max_new_tokens < 1:
        raise UsageError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
    if temperature < 0:
        raise UsageError(f"temperature is {temperature}; it must be at least 0")
    if cache not in ("dynamic", "static"):
        raise UsageError(f"cache is {cache!r}; known: dynamic, static")
    for prompt in prompts:
        if not prompt.prefix:
            raise UsageError("an autoregressive model cannot continue an empty prompt")
        if prompt.suffix:
            raise UsageError("an autoregressive model takes no suffix; put it into the prefix")


class _Steps:
    """The model, its cache and the padding of one batch: one forward pass per call."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        prompts: Sequence[Prompt],
        max_new_tokens: int,
        cache: CacheKind,
    ) -> None:
        self.model = model
        self.device: torch.device = model.device
        longest = max(len(prompt.prefix) for prompt in prompts)
        self.pads = [longest - len(prompt.prefix) for prompt in prompts]
        self.padded = any(self.pads)
        ids = [[0] * pad + list(p.prefix) for pad, p in zip(self.pads, prompts, strict=True)]
        self.input_ids = torch.tensor(ids, device=self.device)  # (batch, longest)
        total = longest + max_new_tokens
        if cache == "static":
            self.cache: Any = StaticCache(config=model.config, max_cache_len=total)
        else:
            self.cache = DynamicCache(config=model.config)
        places = torch.arange(total, device=self.device)
        pads = torch.tensor(self.pads, device=self.device)[:, None]
        self.valid = (places >= pads).long()  # (batch, total)
        self.places = (places - pads).clamp(min=0)  # (batch, total), positions without padding
        self.length = longest
        self.host_syncs = 0

    def prefill(self) -> Tensor:
        """Reads the prompts; returns the logits of the next token, (batch, vocab)."""
        return self._forward(self.input_ids, 0, self.length)

    def advance(self, tokens: Tensor) -> Tensor:
        """Reads one more token of every request, (batch,); returns (batch, vocab)."""
        self.length += 1
        return self._forward(tokens[:, None], self.length - 1, self.length)

    def _forward(self, input_ids: Tensor, start: int, stop: int) -> Tensor:
        # The choice made from these logits is read on the host: the loop's one wait.
        self.host_syncs += 1 + (self.padded and self.device.type != "cpu")
        out = self.model(
            input_ids=input_ids,
            attention_mask=self.valid[:, :stop] if self.padded else None,
            position_ids=self.places[:, start:stop],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits


def _noise(
    prompts: Sequence[Prompt], temperature: float, device: torch.device
) -> list[torch.Generator]:
    if temperature == 0:
        return []
    return [torch.Generator(device).manual_seed(prompt.seed) for prompt in prompts]


def _choose(logits: Tensor, temperature: float, noise: list[torch.Generator]) -> Tensor:
    """Argmax, or a sample by the Gumbel-max trick with each request's own noise; (batch,)."""
    if not noise:
        return logits.argmax(dim=-1)
    width = logits.shape[-1]
    draws = [
        torch.empty(width, dtype=torch.float32, device=logits.device).exponential_(generator=own)
        for own in noise
    ]
    # -log of an exponential variable is a Gumbel variable.
    return (logits.float() / temperature - torch.stack(draws).log()).argmax(dim=-1)


def _read(chosen: Tensor, logits: Tensor) -> list[int]:
    """The chosen ids on the host, -1 where the logits give none; the loop's one wait."""
    best = logits.gather(-1, chosen[:, None])[:, 0]
    ids: list[int] = torch.where(best.isfinite(), chosen, -1).tolist()
    return ids


def _append(rows: list[_Row], tokens: list[int], ends: frozenset[int], stop: Stop | None) -> bool:
    """Gives every unfinished request its token; True when all are finished."""
    for row, token in zip(rows, tokens, strict=True):
        if row.stop_reason is not None:
            continue
        if token < 0:
            raise unusable_logits()
        row.tokens.append(token)
        if token in ends:
            row.stop_reason = "eos"
        elif stop is not None and stop(row.tokens):
            row.stop_reason = "stop_string"
    return all(row.stop_reason is not None for row in rows)
