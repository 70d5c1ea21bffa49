"""One autoregressive request's way to its answer: what was written, when, and at what cost.

Knows ids and counts; nothing of models or of how tokens are chosen. `autoregressive.py` and
`speculative.py` call it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from dllm_eval.api import Generation, Prompt, StopReason
from dllm_eval.errors import UsageError
from dllm_eval.samplers.canvas import unusable_logits

Stop = Callable[[Sequence[int]], bool]
"""Looks at an answer's ids so far; True ends it."""

GOLDEN = 0x9E3779B97F4A7C15
"""An odd constant that sends the gaps of a request to seeds far apart."""


@dataclass
class Row:
    """One request, or one of its gaps."""

    tokens: list[int] = field(default_factory=list)
    reveal_step: list[int] = field(default_factory=list)
    stop_reason: StopReason | None = None
    nfe: int = 0
    positions: int = 0
    draft_nfe: int | None = None
    draft_positions: int | None = None

    def passed(self, positions: int) -> None:
        """Counts a pass of the model that read so many of this request's tokens."""
        self.nfe += 1
        self.positions += positions

    def drafted(self, passes: int, positions: int) -> None:
        """Counts passes of an assistant."""
        self.draft_nfe = (self.draft_nfe or 0) + passes
        self.draft_positions = (self.draft_positions or 0) + positions

    def add(self, token: int, ends: frozenset[int], stop: Stop | None) -> bool:
        """Writes a token that the last pass gave; True where it is the request's last one.

        Raises:
            UsageError: It is negative, which says that the logits named none.
        """
        if token < 0:
            raise unusable_logits()
        self.tokens.append(token)
        self.reveal_step.append(self.nfe - 1)
        if token in ends:
            self.stop_reason = "eos"
        elif stop is not None and stop(self.tokens):
            self.stop_reason = "stop_string"
        return self.stop_reason is not None

    def generation(self, ends: frozenset[int], host_syncs: int) -> Generation:
        """The answer; `host_syncs` are those of the whole batch."""
        ended = next((i for i, token in enumerate(self.tokens) if token in ends), None)
        return Generation(
            tokens=tuple(self.tokens),
            visible=tuple(self.tokens[:ended]),
            nfe=self.nfe,
            positions=self.positions,
            reveal_step=tuple(self.reveal_step),
            stop_reason=self.stop_reason or "length",
            host_syncs=host_syncs,
            cache="exact",
            draft_nfe=self.draft_nfe,
            draft_positions=self.draft_positions,
        )


def check_requests(prompts: Sequence[Prompt], max_new_tokens: int, temperature: float) -> None:
    """What every way of autoregressive decoding asks of its input.

    Raises:
        UsageError: An empty prompt, a suffix, or a number out of range.
    """
    if max_new_tokens < 1:
        raise UsageError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
    if temperature < 0:
        raise UsageError(f"temperature is {temperature}; it must be at least 0")
    for prompt in prompts:
        if not prompt.prefix:
            raise UsageError("an autoregressive model cannot continue an empty prompt")
        if prompt.suffix:
            raise UsageError("an autoregressive model takes no suffix; put it into the prefix")


def noise_of(
    prompts: Sequence[Prompt], gap: int, temperature: float, device: torch.device, *, salt: int = 0
) -> list[torch.Generator]:
    """Each request's own random numbers for one gap; none where nothing is drawn.

    Args:
        prompts: With their seeds.
        gap: From 0.
        temperature: 0 draws nothing.
        device: Where they are drawn.
        salt: Sets streams of one request apart.
    """
    if temperature == 0:
        return []
    seeds = [(prompt.seed + gap * GOLDEN + salt) % 2**63 for prompt in prompts]
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]
