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
from dllm_eval.attention import KeyValues
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.batch import Batch, Prefixes, Request, batches
from dllm_eval.likelihood.look_back import batches_behind_prefixes
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

    The canvas is the context and the target, with nothing behind it but what the pair itself puts
    there, as in LLaDA's published evaluation (arXiv 2502.09992): masks or end-of-text behind the
    target would change the values. Log-softmax is taken over the whole vocabulary in float32
    (float64 where the logits are), at the masked target positions that are wanted.

    Args:
        denoiser: The model.
        requests: Neighbours share batches; like lengths side by side save padding.
        rows_per_forward: Masked canvases per forward pass.

    Yields:
        One (rows, target length) float64 table per request, in order; 0 where nothing is read.

    Raises:
        UsageError: The model's logits are NaN.
    """
    for request, values in zip(
        requests, read_masked(denoiser, requests, rows_per_forward, _log_prob), strict=True
    ):
        table = np.zeros(request.masks.shape)
        table[request.wanted] = values[:, 0]
        if np.isnan(table).any():
            raise UsageError(
                "the model's logits are NaN; accepted: finite logits (a wider dtype, such as"
                " float32, may give them)"
            )
        yield table


def read_masked(
    denoiser: Denoiser, requests: Iterable[Request], rows_per_forward: int, reader: Reader
) -> Iterator[NDArray[np.float64]]:
    """What `reader` makes of the logits at the masked positions that are wanted, per request.

    Yields:
        (wanted positions of the request, columns), row by row and each row left to right.
    """
    requests = list(requests)
    pack = batches if denoiser.family.looks_ahead else batches_behind_prefixes
    stream = _lagging(_outputs(denoiser, pack(requests, rows_per_forward, denoiser.family), reader))
    pieces: list[NDArray[np.float64]] = []
    for request in requests:
        wanted = int(request.wanted.sum())
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


def _outputs(denoiser: Denoiser, packed: Iterable[Batch], reader: Reader) -> Iterator[Tensor]:
    prefixes: Prefixes | None = None
    held: KeyValues | None = None
    for batch in packed:
        if batch.prefixes is not prefixes:
            prefixes = batch.prefixes
            held = None if prefixes is None else _held(denoiser, prefixes)
        yield _read(denoiser, batch, held, reader)


def _held(denoiser: Denoiser, prefixes: Prefixes) -> KeyValues:
    """Reads the finished columns once; where logits are shifted, the last ones are left open."""
    length = prefixes.token_ids.shape[1]
    cache = KeyValues(length)
    cache.keep = length - denoiser.family.logits_shift
    denoiser.logits(
        _moved(prefixes.token_ids, denoiser),
        valid=None if prefixes.valid is None else _moved(prefixes.valid, denoiser),
        rows=slice(length - 1, length),
        cache=cache,
    )
    return cache


def _read(denoiser: Denoiser, batch: Batch, held: KeyValues | None, reader: Reader) -> Tensor:
    def move(array: NDArray[np.int64] | NDArray[np.bool_]) -> Tensor:
        return _moved(array, denoiser)

    cache = None
    if held is not None and batch.prefix_of is not None:
        cache = held.spread(move(batch.prefix_of))
    with torch.inference_mode():
        valid = None if batch.valid is None else move(batch.valid)
        logits = denoiser.logits(move(batch.token_ids), valid=valid, rows=batch.rows, cache=cache)
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


def _moved(array: NDArray[np.int64] | NDArray[np.bool_], denoiser: Denoiser) -> Tensor:
    return torch.from_numpy(array).to(denoiser.device, non_blocking=True)


def _widen(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _log_prob(logits: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(logits, targets, reduction="none")[:, None]
