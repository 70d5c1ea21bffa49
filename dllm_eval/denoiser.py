"""A loaded model and its family's facts, turned into logits at the rows asked for.

This is the only place that knows the logit shift; the attention pattern comes from `attention.py`.
It knows nothing of samplers, steps or masks; samplers and estimators call `logits`, loaders in
`adapters/` build it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from dllm_eval.attention import KeyValues, attention_mask, positions_of, stop_of
from dllm_eval.families import Family


class ModelDenoiser:
    """A transformer body and an output head that together predict every canvas position.

    Args:
        body: Maps (input_ids, mask=, positions=, cache=, time=) to hidden states of shape
            (batch, columns, width): `mask` as `attention_mask` makes it; `positions` (batch or 1,
            columns) int64, None for 0, 1, 2, ...; `cache` is passed on to `attention.attend`;
            `time` (batch,) where the family is conditioned on it, else None.
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
        first column of the pass, at that column.
        """
        del self_conditioning  # no family with a plain body takes one
        rows = rows or slice(0, token_ids.shape[1])
        start = 0 if cache is None else cache.length
        columns = slice(start, stop_of(self.family, rows, token_ids.shape[1]))
        with torch.inference_mode():
            mask = attention_mask(self.family, token_ids, valid=valid, columns=columns, rows=rows)
            hidden = self._hidden(token_ids, valid, columns, mask, time, cache)
            if cache is not None:
                cache.advance()
            own = None if valid is None else valid[:, columns]
            return self._read(hidden, slice(rows.start - start, rows.stop - start), own)

    def _hidden(
        self,
        token_ids: Tensor,
        valid: Tensor | None,
        columns: slice,
        mask: Tensor | None,
        time: Tensor | None,
        cache: KeyValues | None,
    ) -> Tensor:
        positions = None
        if valid is not None:
            positions = positions_of(valid[:, : columns.stop])[:, columns]
        elif columns.start:
            positions = torch.arange(columns.start, columns.stop, device=token_ids.device)[None]
        hidden: Tensor = self.body(
            token_ids[:, columns],
            mask=mask,
            positions=positions,
            cache=cache,
            time=time if self.family.time_conditioned else None,
        )
        return hidden  # (batch, columns, width)

    def _read(self, hidden: Tensor, rows: slice, valid: Tensor | None) -> Tensor:
        shift = self.family.logits_shift
        start, stop = rows.start - shift, rows.stop - shift
        at = hidden[:, max(start, 0) : max(stop, 0)]
        if start < 0:
            at = torch.cat([hidden[:, :1].expand(-1, -start, -1), at], dim=1)
        if shift and valid is not None:
            # A row's first position has no neighbour but padding.
            first = ~valid.roll(shift, dims=1)[:, rows]
            at = torch.where(first[..., None], hidden[:, rows], at)
        out: Tensor = self.head(at)
        return out
