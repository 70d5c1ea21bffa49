"""Exact likelihoods of (context, target) pairs under a causal transformers model.

Knows token ids and forward passes; knows no lm-eval and no text. `autoregressive.py` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import torch
from torch import Tensor

from dllm_eval.api import Likelihood
from dllm_eval.likelihood.budget import Budget, OneRow
from dllm_eval.likelihood.question import Question
from dllm_eval.samplers.canvas import unusable_logits

from .jobs import Ids, Pair


@dataclass(frozen=True, kw_only=True)
class _Input(OneRow):
    """What the model is given once, and the pairs whose targets are read from it."""

    ids: Ids
    """A context and a target without its last token."""
    readers: list[int] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Positions."""
        return len(self.ids)


def score_causal(
    model: Any,  # noqa: ANN401 - transformers has no one type of causal models
    pairs: Sequence[Pair],
    questions: Sequence[Question],
    *,
    pad_id: int,
    tokens_per_forward: int,
) -> list[Likelihood]:
    """The exact log p(target | context) of every pair, and whether greedy decoding gives it.

    Choices of one question for which the model is given the same ids, as all single-letter choices
    are, share a row; it is counted at the first of them. A pass that runs out of memory is halved.

    Args:
        model: A causal language model.
        pairs: Token ids; a context has at least one.
        questions: Which pairs are compared.
        pad_id: Stands behind shorter rows, where nothing looks back from.
        tokens_per_forward: Positions of one pass, padding included; one row always runs.

    Raises:
        UsageError: The model's logits are NaN, or one row does not fit into memory.
    """
    found: dict[int, Likelihood] = {}

    def attempt(rows: list[_Input]) -> list[Likelihood]:
        return _read(model, rows, pairs, pad_id)

    for rows, likelihoods in Budget(tokens_per_forward).run(_inputs(pairs, questions), attempt):
        readers = [index for row in rows for index in row.readers]
        found.update(zip(readers, likelihoods, strict=True))
    return [found[index] for index in range(len(pairs))]


def _inputs(pairs: Sequence[Pair], questions: Sequence[Question]) -> list[_Input]:
    """The distinct inputs of every question, and of every other pair."""
    question_of = {
        index: number for number, question in enumerate(questions) for index in question.pairs
    }
    rows: dict[tuple[int, Ids], _Input] = {}
    for index, (context, target) in enumerate(pairs):
        ids = (*context, *target)[:-1]
        question = question_of.get(index, len(questions) + index)
        rows.setdefault((question, ids), _Input(ids=ids)).readers.append(index)
    return list(rows.values())


def _read(
    model: Any,  # noqa: ANN401 - as above
    rows: Sequence[_Input],
    pairs: Sequence[Pair],
    pad_id: int,
) -> list[Likelihood]:
    """Of each row's readers, row by row."""
    longest = max(row.width for row in rows)
    padded = [[*row.ids, *[pad_id] * (longest - row.width)] for row in rows]
    first = min(len(pairs[index][0]) - 1 for row in rows for index in row.readers)
    with torch.inference_mode():
        ids = torch.tensor(padded, device=model.device)  # (batch, longest)
        out = model(input_ids=ids, use_cache=False, logits_to_keep=longest - first)
        return [
            _likelihood(
                logits[len(pairs[index][0]) - 1 - first :],
                pairs[index][1],
                positions=row.width if index == row.readers[0] else 0,
            )
            for row, logits in zip(rows, out.logits, strict=True)
            for index in row.readers
        ]


def _likelihood(logits: Tensor, target: Ids, positions: int) -> Likelihood:
    """The sum of log p(token) over a target whose first token `logits[0]` predicts."""
    rows = logits[: len(target)].float().log_softmax(dim=-1)
    wanted = torch.tensor(target, device=logits.device)
    value = float(rows.gather(1, wanted[:, None]).sum(dtype=torch.float64))
    if isnan(value):
        raise unusable_logits()
    return Likelihood(
        value=value,
        stderr=0.0,
        nfe=1 if positions else 0,
        positions=positions,
        exact=True,
        quantity="log_likelihood",
        estimator="autoregressive",
        is_greedy=bool((rows.argmax(dim=-1) == wanted).all()),
    )
