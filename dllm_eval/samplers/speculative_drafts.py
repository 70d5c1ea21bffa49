"""Who guesses the next tokens: the text itself (prompt lookup), or a smaller model (assisted).

Knows ids, and of an assistant its passes; nothing of the model that judges the guesses.
`speculative.py` calls it.

Prompt lookup is the rule of transformers' `PromptLookupCandidateGenerator.get_candidates`
(huggingface/transformers, src/transformers/generation/candidate_generator.py, 5.23.0), after
apoorvumang/prompt-lookup-decoding: the longest n-gram at the text's end that stood before, its
first occurrence, and what followed there, up to an end id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dllm_eval.samplers.causal_rows import Row
from dllm_eval.samplers.speculative_steps import UnequalSteps


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is guessed for one row."""

    tokens: list[int]
    probabilities: Tensor | None = None
    """(tokens, vocab) float32, of which the tokens were drawn; None where nothing was drawn."""


NOTHING = Draft(tokens=[])


class Drafter(Protocol):
    """Guesses for a batch, pass after pass."""

    @property
    def host_syncs(self) -> int:
        """Waits for the device so far."""
        ...

    def draft(self, texts: Sequence[Sequence[int]], most: Sequence[int]) -> list[Draft]:
        """What may follow each text.

        Args:
            texts: All ids of each row so far; between two calls of `begin` they only grow.
            most: Of each row, the most tokens that are of use; below 0 where the row is finished.
        """
        ...

    def begin(self, noise: Sequence[torch.Generator]) -> None:
        """Begins a gap: what stands before it may be other than it was.

        Args:
            noise: Random numbers of each row; empty where nothing is to be drawn.
        """
        ...

    def rewind(self, counts: Sequence[int]) -> None:
        """Of what it has read of each row, only so many first tokens still stand."""
        ...

    def charge(self, rows: Sequence[Row]) -> None:
        """Adds what the last drafts cost to the rows; a lookup costs no pass."""
        ...


@dataclass(kw_only=True)
class PromptLookup:
    """Guesses that the text repeats itself.

    Args:
        draft_tokens: Most tokens of a guess.
        ngram: Longest end of the text that is looked up.
        ends: Ids that end an answer; no guess goes beyond one.
    """

    draft_tokens: int
    ngram: int
    ends: frozenset[int]
    _places: dict[int, dict[tuple[int, ...], int]] = field(default_factory=dict)
    """Of each row: n-gram -> the place behind its first occurrence."""
    _indexed: dict[int, int] = field(default_factory=dict)

    @property
    def host_syncs(self) -> int:
        """None: texts are on the host."""
        return 0

    def begin(self, noise: Sequence[torch.Generator]) -> None:
        """Forgets the texts; nothing is drawn."""
        del noise
        self._places, self._indexed = {}, {}

    def rewind(self, counts: Sequence[int]) -> None:
        """Nothing: a draft is not looked up before it is accepted."""

    def draft(self, texts: Sequence[Sequence[int]], most: Sequence[int]) -> list[Draft]:
        """What followed the text's end where it first stood."""
        return [
            self._of_row(row, text, min(limit, self.draft_tokens))
            for row, (text, limit) in enumerate(zip(texts, most, strict=True))
        ]

    def charge(self, rows: Sequence[Row]) -> None:
        """Nothing."""

    def _of_row(self, row: int, text: Sequence[int], most: int) -> Draft:
        if most < 1:
            return NOTHING
        places = self._places.setdefault(row, {})
        for end in range(self._indexed.get(row, 0) + 1, len(text)):
            for size in range(1, min(self.ngram, end) + 1):
                places.setdefault(tuple(text[end - size : end]), end)
        self._indexed[row] = len(text) - 1
        for size in range(min(self.ngram, len(text) - 1), 0, -1):
            place = places.get(tuple(text[-size:]))
            if place is not None:
                found = list(text[place : place + most])
                ended = next((i for i, token in enumerate(found) if token in self.ends), None)
                return Draft(tokens=found[:ended])
        return NOTHING


class Assistant:
    """A smaller model with the same vocabulary that decodes a few tokens ahead.

    Args:
        model: A transformers causal language model.
        batch: Rows.
        draft_tokens: Most tokens of a guess.
        vocab_size: Of the model that judges; ids beyond it are never guessed.
        temperature: 0 guesses the most likely token; else guesses are drawn, as the judge draws.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        batch: int,
        *,
        draft_tokens: int,
        vocab_size: int,
        temperature: float,
    ) -> None:
        self.draft_tokens = draft_tokens
        self._steps = UnequalSteps(model, batch)
        self._vocab_size = vocab_size
        self._temperature = temperature
        self._noise: Sequence[torch.Generator] = ()
        self._costs = [(0, 0)] * batch
        self._waits = 0

    @property
    def host_syncs(self) -> int:
        """One per draft, and those of its passes."""
        return self._waits + self._steps.host_syncs

    def begin(self, noise: Sequence[torch.Generator]) -> None:
        """Takes the gap's random numbers."""
        self._noise = noise

    def rewind(self, counts: Sequence[int]) -> None:
        """Takes back what no longer stands."""
        held = [self._steps.held(row) for row in range(len(counts))]
        self._steps.keep([min(pair) for pair in zip(held, counts, strict=True)])

    def draft(self, texts: Sequence[Sequence[int]], most: Sequence[int]) -> list[Draft]:
        """Reads what is new in the texts and goes on alone."""
        counts = [min(limit, self.draft_tokens) for limit in most]
        longest = max(counts)
        self._costs = [(0, 0)] * len(counts)
        if longest < 1:
            return [NOTHING] * len(counts)
        begun = [self._steps.held(row) for row in range(len(counts))]
        rows = [
            text if count > 0 else text[:held]
            for text, count, held in zip(texts, counts, begun, strict=True)
        ]
        logits = self._steps.read(rows, 1)[:, -1]
        self._costs = [
            (count, read + count - 1) if count > 0 else (0, 0)
            for count, read in zip(counts, self._steps.num_read, strict=True)
        ]
        chosen: list[Tensor] = []
        likely: list[Tensor] = []
        for number in range(longest):
            tokens, probabilities = self._choose(logits[:, : self._vocab_size], counts, number)
            chosen.append(tokens)
            likely.append(probabilities)
            if number + 1 < longest:
                logits = self._steps.advance(tokens)
        ids: list[list[int]] = torch.stack(chosen, dim=1).tolist()
        self._waits += 1
        drawn = bool(self._noise)
        return [
            Draft(
                tokens=own[: max(count, 0)],
                probabilities=torch.stack([step[row] for step in likely[:count]])
                if drawn and count > 0
                else None,
            )
            for row, (own, count) in enumerate(zip(ids, counts, strict=True))
        ]

    def charge(self, rows: Sequence[Row]) -> None:
        """What the last draft cost each row; a row that is done costs nothing."""
        for row, (passes, positions) in zip(rows, self._costs, strict=True):
            row.drafted(passes, positions)

    def _choose(self, logits: Tensor, counts: Sequence[int], number: int) -> tuple[Tensor, Tensor]:
        """(batch,) ids and the (batch, vocab) probabilities that they were drawn with."""
        if not self._noise:
            return logits.argmax(dim=-1), logits
        probabilities = (logits.float() / self._temperature).softmax(dim=-1)
        draws = torch.ones_like(probabilities)
        for own, draw, count in zip(self._noise, draws, counts, strict=True):
            if number < count:  # a row's random numbers depend on no other row
                draw.exponential_(generator=own)
        return (probabilities / draws).argmax(dim=-1), probabilities
