"""The one scoring core: s(S, i) = log p(x_i | context, target with the set S masked).

Every estimator is a functional of this table. Knows tensors and batches; knows no estimator, no
lm-eval, no file and no clock. `score` and `greedy` call it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.batch import Batch, Request, batches
from dllm_eval.likelihood.plan import Table

Reader = Callable[[Tensor, Tensor], Tensor]
"""(masked positions, vocab) logits, float32 or wider, and (masked positions,) true ids ->
(masked positions, columns)."""

_CPU_LOGITS_PER_READ = 2**20
_LOGITS_PER_READ = 2**26
"""Bounds the float32 copy of the logits: to 4 MiB on a CPU, about its cache, else to 256 MiB."""


def log_prob_tables(
    denoiser: Denoiser, requests: Sequence[Request], rows_per_forward: int
) -> Iterator[Table]:
    """s(S, i) for every mask set of every request.

    The canvas is the context and the target alone, with nothing behind it, as in LLaDA's published
    evaluation (arXiv 2502.09992): masks or end-of-text behind the target would change the values.
    Log-softmax is taken over the whole vocabulary in float32 (float64 where the logits are), at
    masked target positions only.

    Args:
        denoiser: The model.
        requests: Neighbours share batches; like lengths side by side save padding.
        rows_per_forward: Masked canvases per forward pass.

    Yields:
        One (rows, target length) float64 table per request, in order; 0 where nothing is masked.

    Raises:
        UsageError: The model's logits are NaN.
    """
    for request, values in zip(
        requests, read_masked(denoiser, requests, rows_per_forward, _log_prob), strict=True
    ):
        table = np.zeros(request.masks.shape)
        table[request.masks] = values[:, 0]
        if np.isnan(table).any():
            raise UsageError(
                "the model's logits are NaN; accepted: finite logits (a wider dtype, such as"
                " float32, may give them)"
            )
        yield table


def read_masked(
    denoiser: Denoiser, requests: Iterable[Request], rows_per_forward: int, reader: Reader
) -> Iterator[NDArray[np.float64]]:
    """What `reader` makes of the logits at the masked positions, per request and in order.

    Yields:
        (masked positions of the request, columns), row by row and each row left to right.
    """
    requests = list(requests)
    stream = _lagging(
        _read(denoiser, batch, reader)
        for batch in batches(requests, rows_per_forward, denoiser.family)
    )
    pieces: list[NDArray[np.float64]] = []
    for request in requests:
        wanted = int(request.masks.sum())
        while sum(map(len, pieces)) < wanted:
            pieces.append(next(stream))
        values = np.concatenate(pieces)
        yield values[:wanted]
        pieces = [values[wanted:]]


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


def _read(denoiser: Denoiser, batch: Batch, reader: Reader) -> Tensor:
    def move(array: NDArray[np.int64] | NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(array).to(denoiser.device, non_blocking=True)

    with torch.inference_mode():
        valid = None if batch.valid is None else move(batch.valid)
        logits = denoiser.logits(move(batch.token_ids), valid=valid, rows=batch.rows)
        flat = logits.flatten(0, 1)  # (batch * rows, vocab)
        budget = _CPU_LOGITS_PER_READ if flat.device.type == "cpu" else _LOGITS_PER_READ
        size = max(1, budget // flat.shape[1])
        columns = [
            reader(_widen(flat.index_select(0, where)), targets)
            for where, targets in zip(
                torch.split(move(batch.masked), size),
                torch.split(move(batch.targets), size),
                strict=True,
            )
        ]
        return torch.cat(columns)


def _widen(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _log_prob(logits: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(logits, targets, reduction="none")[:, None]
