"""A loaded model and its family's facts, turned into logits at the rows asked for.

This is the only place that knows the logit shift; the attention pattern comes from `attention.py`.
It knows nothing of samplers, steps or masks; samplers and estimators call `logits`, loaders in
`adapters/` build it.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from dllm_eval.attention import (
    Columns,
    KeyValues,
    Rows,
    StaleKeyValues,
    at_columns,
    at_rows,
    attention_mask,
    positions_of,
    shadow_mask,
    stop_of,
)
from dllm_eval.compiled import Backend, CompiledBody, CompileMode
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.packing import Packing, packed_pass


class ModelDenoiser:
    """A transformer body and an output head that together predict every canvas position.

    Args:
        body: Maps (input_ids, mask=, positions=, cache=, time=) to hidden states of shape
            (batch, columns, width): `mask` as `attention_mask` makes it; `positions` (batch or 1,
            columns) int64, None for 0, 1, 2, ...; `cache` is passed on to `attention.attend`;
            `time` (batch,) where the family is conditioned on it, else None. One whose `narrows`
            is true also takes `rows=`, an `attention.Rows`, and gives the states of these alone.
        head: Maps hidden states to logits, (..., width) -> (..., vocab_size).
        family: The checkpoint's facts.
        tokenizer: The checkpoint's tokenizer, or None where only ids are used.
    """

    def __init__(
        self,
        *,
        body: nn.Module,
        head: nn.Module,
        family: Family,
        tokenizer: Any = None,  # noqa: ANN401 - transformers has no one typed tokenizer class
    ) -> None:
        self.body = body
        self.head = head
        self._run: Callable[..., Tensor] = body
        self._narrows = getattr(body, "narrows", False)
        self.family = family
        self.tokenizer = tokenizer
        parameter = next(body.parameters())
        self._device = parameter.device
        self.dtype = parameter.dtype
        weight = head.weight
        if not isinstance(weight, Tensor):
            raise TypeError(f"the output head has no weight tensor: {type(head).__name__}")
        self._vocab_size = weight.shape[0]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._device

    @property
    def vocab_size(self) -> int:
        """Number of rows of the output head."""
        return self._vocab_size

    @property
    def packs(self) -> bool:
        """Whether `states` takes a packing: all is seen and nothing told, and it runs eagerly."""
        told, eager = self.family.time_conditioned, self._run is self.body
        takes = getattr(self.body, "packs", False)
        return bool(takes) and eager and self.family.attention == "full" and not told

    @property
    def num_shapes(self) -> int:
        """How many shapes have been compiled by now; 0 where nothing is."""
        return self._run.num_shapes if isinstance(self._run, CompiledBody) else 0

    def compiled(self, mode: CompileMode, *, backend: Backend = "inductor") -> Self:
        """The same model and weights with its body compiled; see `compiled.CompiledBody`.

        Args:
            mode: "reduce-overhead" records CUDA graphs.
            backend: Another compiler than torch's own.

        Raises:
            UsageError: CUDA graphs are asked for elsewhere.
        """
        if mode == "reduce-overhead" and self._device.type != "cuda":
            raise UsageError(
                f"compile is {mode!r}, which means CUDA graphs, and the device is "
                f"{str(self._device)!r}; accepted here: none, default"
            )
        twin = copy(self)
        twin._run = CompiledBody(self.body, mode, backend=backend)
        return twin

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: KeyValues | None = None,
        self_conditioning: Tensor | None = None,
    ) -> Tensor:
        """One forward pass; row i predicts position i. See `api.Denoiser.logits`.

        The output head, a large share of the work at a large vocabulary, is computed at `rows`
        only. With a logit shift of s, position i is read at i - s; where that lies before the
        first column of the pass, at that column. Rows that the pass does not process, because
        `cache` names other columns, say nothing.
        """
        del self_conditioning  # no family with a plain body takes one
        with torch.inference_mode():
            out: Tensor = self.head(self._states(token_ids, valid, rows, time, cache))
        return out

    def states(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: KeyValues | None = None,
        at: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """What `logits` gives to the head, (batch, rows, width): the same pass, without it.

        Where `at` names columns among the rows, (batch, reads) int64, the outcome is (batch, reads,
        width), and the last layer is spared the rest.
        """
        with torch.inference_mode():
            return self._states(token_ids, valid, rows, time, cache, at, packing)

    def _states(
        self,
        token_ids: Tensor,
        valid: Tensor | None,
        rows: slice | None,
        time: Tensor | None,
        cache: KeyValues | None,
        at: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        rows = rows or slice(0, token_ids.shape[1])
        if packing is not None:
            wanted, shift = rows if at is None else at, self.family.logits_shift
            return packed_pass(
                self.body, token_ids, packing, wanted, shift=shift, narrows=self._narrows
            )
        start = 0 if cache is None else cache.length
        behind = slice(start, stop_of(self.family, rows, token_ids.shape[1]))
        columns = behind if cache is None else cache.columns(behind)
        mask = attention_mask(self.family, token_ids, valid=valid, columns=behind, rows=rows)
        first = columns.start if isinstance(columns, slice) else behind.start
        span = self._span(rows, first, valid)
        sources = None if at is None else self._sources(at, first, valid)
        # Compiled passes read a whole block, or each number of rows would need a graph of its own.
        whole = sources is None or isinstance(self._run, CompiledBody)
        read = span if whole or sources is None else sources
        if isinstance(columns, slice):
            hidden = self._hidden(token_ids, valid, columns, mask, time, cache, _from(read, first))
        else:
            some = cache.read if isinstance(cache, StaleKeyValues) else None
            hidden = self._hidden(token_ids, valid, columns, mask, time, cache, some)
            columns = columns if some is None else columns[:, some]
            hidden = at_rows(_spread(hidden, columns, behind.stop), read)
        if cache is not None:
            cache.advance()
        if sources is None:
            return self._at_rows(hidden, rows, span.start, valid)
        return at_rows(hidden, sources - span.start) if whole else hidden

    def _span(self, rows: slice, first: int, valid: Tensor | None) -> slice:
        """The columns that `_at_rows` looks at; `first` is the pass's first one."""
        start = max(rows.start - self.family.logits_shift, first)
        stop = rows.stop if valid is not None else rows.stop - self.family.logits_shift
        return slice(start, max(stop, start + 1))

    def _sources(self, at: Tensor, first: int, valid: Tensor | None) -> Tensor:
        """(batch, reads): the column that each is read from; `first` is the pass's first one."""
        if self.family.logits_shift == 0:
            return at
        neighbour = (at - self.family.logits_shift).clamp(min=first)
        if valid is None:
            return neighbour
        # A row's first position has no neighbour but padding.
        return torch.where(valid.gather(1, neighbour), neighbour, at)

    def logits_and_leave_one_out(
        self, token_ids: Tensor, *, valid: Tensor | None = None, rows: slice | None = None
    ) -> Tensor:
        """Logits, and what each row would be if it alone were masked, in one pass.

        See `samplers.left_out.LeavesOneOut`. Only for full attention without a logit shift.
        """
        rows, length = rows or slice(0, token_ids.shape[1]), token_ids.shape[1]
        shadow = torch.full_like(token_ids[:, rows], self.family.mask_id)
        own = torch.ones_like(token_ids, dtype=torch.bool) if valid is None else valid
        positions = positions_of(own)
        with torch.inference_mode():
            hidden = self._pass(
                torch.cat([token_ids, shadow], dim=1),
                mask=shadow_mask(token_ids, valid=valid, rows=rows),
                positions=torch.cat([positions, positions[:, rows]], dim=1),
                cache=None,
                time=None,
                wanted=slice(rows.start, length + shadow.shape[1]),
            )
            num = shadow.shape[1]
            out: Tensor = self.head(torch.cat([hidden[:, :num], hidden[:, -num:]], dim=1))
            return out

    def _hidden(
        self,
        token_ids: Tensor,
        valid: Tensor | None,
        columns: Columns,
        mask: Tensor | None,
        time: Tensor | None,
        cache: KeyValues | None,
        wanted: Rows,
    ) -> Tensor:
        """(batch, wanted, width): the states of some columns of the pass, None for all."""
        positions = None
        if valid is not None:
            positions = at_columns(positions_of(valid), columns)
        elif not isinstance(columns, slice):
            positions = columns
        elif columns.start:
            positions = torch.arange(columns.start, columns.stop, device=token_ids.device)[None]
        ids = at_columns(token_ids, columns)
        told = time if self.family.time_conditioned else None
        return self._pass(
            ids, mask=mask, positions=positions, cache=cache, time=told, wanted=wanted
        )

    def _pass(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor | None,
        cache: KeyValues | None,
        time: Tensor | None,
        wanted: Rows,
    ) -> Tensor:
        """The body, (batch, wanted, width); `wanted` are those of `ids`' columns."""
        if isinstance(wanted, slice) and wanted == slice(0, ids.shape[1]):
            wanted = None
        if wanted is None or not self._narrows:
            hidden = self._run(ids, mask=mask, positions=positions, cache=cache, time=time)
            return at_rows(hidden, wanted)
        return self._run(ids, mask=mask, positions=positions, cache=cache, time=time, rows=wanted)

    def _at_rows(self, hidden: Tensor, rows: slice, first: int, valid: Tensor | None) -> Tensor:
        """(batch, rows, width): what each row is read from; `hidden` begins at column `first`."""
        shift = self.family.logits_shift
        own = slice(rows.start - first, rows.stop - first)
        start, stop = own.start - shift, own.stop - shift
        at = hidden[:, max(start, 0) : max(stop, 0)]
        if start < 0:
            at = torch.cat([hidden[:, :1].expand(-1, -start, -1), at], dim=1)
        if shift and valid is not None:
            # A row's first position has no neighbour but padding.
            alone = ~valid.roll(shift, dims=1)[:, rows]
            at = torch.where(alone[..., None], hidden[:, own], at)
        return at


def _from(columns: slice | Tensor, first: int) -> slice | Tensor:
    """The same columns counted from the pass's first one."""
    if isinstance(columns, slice):
        return slice(columns.start - first, columns.stop - first)
    return columns - first if first else columns


def _spread(hidden: Tensor, columns: Tensor, length: int) -> Tensor:
    """(batch, length, width): each state at its column, zeros where nothing was processed."""
    whole = hidden.new_zeros(hidden.shape[0], length, hidden.shape[2])
    return whole.scatter_(1, columns[..., None].expand_as(hidden), hidden)
