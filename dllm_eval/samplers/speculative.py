"""Autoregressive decoding in fewer passes: guesses are read together, and as many kept as hold.

Knows a transformers causal model, ids and who guesses; nothing of lm-eval, files or the clock.
`adapters/autoregressive.py` calls it. Greedy answers are those of `autoregressive.fill_gaps` token
for token, up to rounding; sampled ones follow the same distribution. Cost is counted as there:
passes of the model, and every position that it reads, rejected guesses included.
"""

from collections.abc import Sequence
from typing import Any

import torch

from dllm_eval.api import Generation, Prompt
from dllm_eval.samplers.autoregressive import Kept
from dllm_eval.samplers.causal_rows import Row, Stop, check_requests, noise_of
from dllm_eval.samplers.causal_steps import Ids
from dllm_eval.samplers.speculative_choice import accepted
from dllm_eval.samplers.speculative_drafts import Drafter
from dllm_eval.samplers.speculative_steps import UnequalSteps

DRAFTS = 0x5851F42D4C957F2D
"""Sets the random numbers of guesses apart from those that judge them."""


def fill_gaps_by_drafts(
    model: Any,  # noqa: ANN401 - transformers has no one type for causal models
    requests: Sequence[tuple[Prompt, Sequence[Ids]]],
    *,
    drafter: Drafter,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    temperature: float = 0.0,
    stop: Stop | None = None,
    kept: Kept = lambda _, visible: visible,
) -> list[list[Generation]]:
    """As `autoregressive.fill_gaps`, with a growing cache and somebody who guesses ahead.

    Args:
        model: A transformers causal language model in evaluation mode.
        requests: What stands before the first gap, and the texts between the gaps.
        drafter: Made for this batch.
        max_new_tokens: Most tokens per gap.
        eos_ids: Ids that end a gap.
        temperature: 0 is greedy.
        stop: Looks at a gap's ids so far.
        kept: What of an answer stands before the next text.

    Returns:
        Of each request one Generation per gap. `reveal_step` has the pass that gave each token. The
        host waits for the device once per pass, and once per guess of an assistant.

    Raises:
        UsageError: As `fill_gaps`, or a model whose cache cannot take tokens back.
    """
    if not requests:
        return []
    prompts, between = [prompt for prompt, _ in requests], [texts for _, texts in requests]
    check_requests(prompts, max_new_tokens, temperature)
    found: list[list[Generation]] = [[] for _ in prompts]
    texts = [list(prompt.prefix) for prompt in prompts]
    with torch.inference_mode():
        steps, waits = UnequalSteps(model, len(prompts)), 0
        for gap in range(1 + len(between[0])):
            starts = [len(text) for text in texts]
            drafter.begin(noise_of(prompts, gap, temperature, steps.device, salt=DRAFTS))
            noise = noise_of(prompts, gap, temperature, steps.device)
            state = _Gap(
                steps, drafter, texts, ends=frozenset(eos_ids), stop=stop, most=max_new_tokens
            )
            while state.unfinished:
                state.step(temperature, noise)
            waited = waits
            waits = steps.host_syncs + drafter.host_syncs
            for own, row in zip(found, state.rows, strict=True):
                own.append(row.generation(state.ends, waits - waited))
            if gap < len(between[0]):
                for place, (own, start) in enumerate(zip(found, starts, strict=True)):
                    text, ids = texts[place], kept(place, own[-1].visible)
                    texts[place] = [*text[:start], *ids, *between[place][gap]]
                    starts[place] += len(ids)
                state.rewind(starts)
    return found


class _Gap:
    """A gap of every request of a batch, while it is filled."""

    def __init__(
        self,
        steps: UnequalSteps,
        drafter: Drafter,
        texts: list[list[int]],
        *,
        ends: frozenset[int],
        stop: Stop | None,
        most: int,
    ) -> None:
        self.steps, self.drafter, self.texts = steps, drafter, texts
        self.ends, self.stop, self.most = ends, stop, most
        self.rows = [Row() for _ in texts]

    @property
    def unfinished(self) -> bool:
        """Whether another pass is needed."""
        return not all(map(self._done, self.rows))

    def step(self, temperature: float, noise: Sequence[torch.Generator]) -> None:
        """One pass over guesses of all unfinished rows."""
        left = [-1 if self._done(row) else self.most - len(row.tokens) - 1 for row in self.rows]
        drafts = self.drafter.draft(self.texts, left)
        self.drafter.charge(self.rows)
        reads = [
            text[: self.steps.held(place)] if left[place] < 0 else [*text, *drafts[place].tokens]
            for place, text in enumerate(self.texts)
        ]
        logits = self.steps.read(reads, 1 + max(len(draft.tokens) for draft in drafts))
        written = accepted(logits, drafts, temperature=temperature, noise=noise)
        self.steps.host_syncs += 1
        for place, (row, tokens) in enumerate(zip(self.rows, written, strict=True)):
            if left[place] < 0:
                continue
            row.passed(self.steps.num_read[place])
            for token in tokens:
                ended = row.add(token, self.ends, self.stop)
                self.texts[place].append(token)
                if ended:
                    break
        self.rewind([len(text) for text in self.texts])

    def rewind(self, counts: Sequence[int]) -> None:
        """Takes back guesses that did not hold; a text's last token stays to be read."""
        longest = [
            min(count, len(text) - 1, self.steps.held(place))
            for place, (count, text) in enumerate(zip(counts, self.texts, strict=True))
        ]
        self.steps.keep(longest)
        self.drafter.rewind(longest)

    def _done(self, row: Row) -> bool:
        return row.stop_reason is not None or len(row.tokens) >= self.most
