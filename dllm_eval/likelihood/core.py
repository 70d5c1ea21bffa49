"""The one scoring core: s(S, i) = log p(x_i | context, target with the set S masked).

Every estimator is a functional of this table. Knows requests and the order of passes; knows no
estimator, no lm-eval, no file and no clock. `score` and `greedy` call it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.likelihood import look_back
from dllm_eval.likelihood.batch import Canvases, Request, pack
from dllm_eval.likelihood.budget import Budget
from dllm_eval.likelihood.forward import Reader, read
from dllm_eval.likelihood.held import outputs_behind_prefixes
from dllm_eval.likelihood.plan import Table
from dllm_eval.likelihood.sharing import shared


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """The core's answer to one request."""

    table: Table
    """(rows, target length) float64; 0 where nothing is read."""
    nfe: int
    """Canvases evaluated; one that several requests share is counted at the first of them."""
    positions: int
    """Tokens in them, without padding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadOut:
    """What a reader made of one request's logits."""

    values: NDArray[np.float64]
    """(wanted positions of the request, columns), row by row and each row left to right."""
    nfe: int
    """As in `Scored`."""
    positions: int
    """As in `Scored`."""


def log_prob_tables(
    denoiser: Denoiser, requests: Sequence[Request], tokens_per_forward: int | Budget
) -> Iterator[Scored]:
    """s(S, i) for every mask set of every request.

    The canvas is the context and the target, with nothing behind it but what the pair itself puts
    there, as in LLaDA's published evaluation (arXiv 2502.09992): masks or end-of-text behind the
    target would change the values. Log-softmax is taken over the whole vocabulary in float32
    (float64 where the logits are), at the masked target positions that are wanted.

    A canvas that several requests of one question ask for is evaluated once. A pass that runs out
    of memory is run again in halves, and later ones are as small.

    Args:
        denoiser: The model.
        requests: Those of one question side by side. Neighbours share batches; like lengths side by
            side save padding. One without mask sets costs nothing.
        tokens_per_forward: Positions of one pass, padding included; at least one canvas always
            runs. A `Budget` keeps what is learnt about memory for the next call.

    Yields:
        One answer per request, in order.

    Raises:
        UsageError: The model's logits are NaN, or one canvas does not fit into memory.
    """
    answers = read_masked(denoiser, requests, tokens_per_forward, _log_prob)
    for request, answer in zip(requests, answers, strict=True):
        table = np.zeros(request.masks.shape)
        table[request.wanted] = answer.values[:, 0]
        if np.isnan(table).any():
            raise UsageError(
                "the model's logits are NaN; accepted: finite logits (a wider dtype, such as"
                " float32, may give them)"
            )
        yield Scored(table=table, nfe=answer.nfe, positions=answer.positions)


def read_masked(
    denoiser: Denoiser,
    requests: Sequence[Request],
    tokens_per_forward: int | Budget,
    reader: Reader,
) -> Iterator[ReadOut]:
    """What `reader` makes of the logits at the masked positions that are wanted, per request.

    Args:
        denoiser: The model.
        requests: See `log_prob_tables`.
        tokens_per_forward: See `log_prob_tables`.
        reader: Its columns are the answer's.
    """
    budget, family = Budget.of(tokens_per_forward), denoiser.family
    questions = [shared(list(own)) for _, own in groupby(requests, key=lambda each: each.question)]
    asked = [each for question in questions for each in question.canvases if each.num_rows]
    run = _outputs if family.looks_ahead else outputs_behind_prefixes
    stream = _lagging(run(denoiser, asked, budget, reader))
    values = np.empty((0, 1))
    for question in questions:
        pieces = [values]
        while sum(map(len, pieces)) < question.num_reads:
            pieces.append(next(stream))
        values = np.concatenate([piece for piece in pieces if len(piece)] or pieces[:1])
        costs = _costs(question.canvases, family)
        for places, (nfe, positions) in zip(question.places, costs, strict=True):
            yield ReadOut(values=values[places], nfe=nfe, positions=positions)
        values = values[question.num_reads :]


def _costs(canvases: Sequence[Canvases], family: Family) -> list[tuple[int, int]]:
    if not family.looks_ahead:
        return look_back.costs(canvases, family)
    return [(each.num_rows, each.num_rows * each.width) for each in canvases]


def _outputs(
    denoiser: Denoiser, canvases: Iterable[Canvases], budget: Budget, reader: Reader
) -> Iterator[Tensor]:
    """(reads, columns) of every pass, where attention sees the whole canvas."""
    for _, output in budget.run(
        canvases, lambda some: read(denoiser, pack(some, denoiser.family), None, reader)
    ):
        yield output


def _lagging(outputs: Iterator[Tensor]) -> Iterator[NDArray[np.float64]]:
    """Copies each output to the host only after the next forward pass was launched."""
    previous: Tensor | None = None
    for output in outputs:
        if previous is not None:
            yield _to_host(previous)
        previous = output
    if previous is not None:
        yield _to_host(previous)


def _to_host(output: Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = output.cpu().numpy().astype(np.float64)
    return values


def _log_prob(logits: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(logits, targets, reduction="none")[:, None]
