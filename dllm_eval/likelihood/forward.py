"""One forward pass over a batch of masked canvases, and what a reader makes of its logits.

Knows tensors and denoisers; knows no pair, no estimator and no budget. With a large vocabulary, and
where unequal lengths are run without padding, the output head runs at the positions that are read
alone, some at a time, so that memory does not grow with vocabulary times canvas. `core` calls it.
"""

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dllm_eval.api import Denoiser
from dllm_eval.attention import KeyValues
from dllm_eval.likelihood.batch import Batch
from dllm_eval.samplers.late_head import CHUNK_ELEMENTS, LARGE_VOCABULARY, HasStates
from dllm_eval.samplers.packed import Packs, packing_of

Reader = Callable[[Tensor, Tensor], Tensor]
"""(reads, vocab) logits, float32 or wider, which it may overwrite, and (reads,) true ids ->
(reads, columns) float."""

_CPU_LOGITS_PER_READ = 2**20
_LOGITS_PER_READ = 2**26
"""Bounds the float32 copy of the logits: to 4 MiB on a CPU, about its cache, else to 256 MiB."""


def read(denoiser: Denoiser, batch: Batch, held: KeyValues | None, reader: Reader) -> Tensor:
    """Runs the batch.

    Args:
        denoiser: The model.
        batch: Its `prefix_of` says which held row each canvas continues.
        held: Keys and values of finished columns, None where there are none.
        reader: Reduces logits.

    Returns:
        (reads, columns), in the batch's order, on the denoiser's device.
    """
    cache = None
    if held is not None and batch.prefix_of is not None:
        cache = held.spread(to_device(batch.prefix_of, denoiser))
    with torch.inference_mode():
        rows, finish, size = _rows(denoiser, batch, cache)
        places, targets = to_device(batch.masked, denoiser), to_device(batch.targets, denoiser)
        columns = [
            _reduced(finish(rows.index_select(0, where)), ids, reader)
            for where, ids in zip(
                torch.split(places, size), torch.split(targets, size), strict=True
            )
        ]
        return torch.cat(columns)


def _rows(
    denoiser: Denoiser, batch: Batch, cache: KeyValues | None
) -> tuple[Tensor, Callable[[Tensor], Tensor], int]:
    """(batch * rows, ...) of a pass, what makes logits of some of them, and how many at a time."""
    token_ids = to_device(batch.token_ids, denoiser)
    valid = None if batch.valid is None else to_device(batch.valid, denoiser)
    kind, vocab = denoiser.device.type, denoiser.vocab_size
    late = _late(denoiser, batch, token_ids, valid, cache)
    if late is not None:
        chunk = CHUNK_ELEMENTS["cpu" if kind == "cpu" else "cuda"]
        return late[0].flatten(0, 1), late[1], max(1, chunk // vocab)
    logits = denoiser.logits(token_ids, valid=valid, rows=batch.rows, cache=cache)
    return logits.flatten(0, 1), lambda some: some, max(1, _logits_per_read(logits) // vocab)


def _late(
    denoiser: Denoiser,
    batch: Batch,
    token_ids: Tensor,
    valid: Tensor | None,
    cache: KeyValues | None,
) -> tuple[Tensor, nn.Module] | None:
    """(batch, rows, width) states and the head that reads them; None where it runs at once."""
    if batch.spans is not None and isinstance(denoiser, Packs):
        packing = packing_of(denoiser, batch.spans, token_ids.shape[1])
        if packing is not None:
            states = denoiser.states(token_ids, rows=batch.rows, packing=packing)
            return states, denoiser.head
    if denoiser.vocab_size >= LARGE_VOCABULARY and isinstance(denoiser, HasStates):
        states = denoiser.states(token_ids, valid=valid, rows=batch.rows, cache=cache)
        return states, denoiser.head
    return None


def _reduced(logits: Tensor, targets: Tensor, reader: Reader) -> Tensor:
    size = max(1, _logits_per_read(logits) // logits.shape[1])
    parts = zip(torch.split(logits, size), torch.split(targets, size), strict=True)
    return torch.cat([reader(_widened(some), ids) for some, ids in parts])


def _logits_per_read(logits: Tensor) -> int:
    return _CPU_LOGITS_PER_READ if logits.device.type == "cpu" else _LOGITS_PER_READ


def _widened(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def to_device(array: NDArray[Any], denoiser: Denoiser) -> Tensor:
    """The array where the model is."""
    return torch.from_numpy(array).to(denoiser.device, non_blocking=True)
