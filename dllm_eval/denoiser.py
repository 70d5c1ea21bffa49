"""A loaded model and its family's facts, turned into logits at the rows asked for.

This is the only place that knows the logit shift and the attention pattern. It knows nothing of
samplers, steps or masks; samplers and estimators call `logits`, loaders build it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dllm_eval.families import Family


class ModelDenoiser:
    """A transformer body and an output head that together predict every canvas position.

    Args:
        body: Maps (input_ids, attention_mask, position_ids) to an output with
            `last_hidden_state` of shape (batch, length, width). A transformers body whose
            `config.is_causal` is False attends in both directions.
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
        self._forward: Callable[..., Any] = body.__call__
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
        self, token_ids: Tensor, *, valid: Tensor | None = None, rows: slice | None = None
    ) -> Tensor:
        """One forward pass; row i predicts position i. See `api.Denoiser.logits`.

        The output head, a large share of the work at a large vocabulary, is computed at `rows`
        only. With a logit shift of s, position i is read at i - s, position 0 at 0.
        """
        with torch.inference_mode():
            hidden = self._hidden(token_ids, valid)
            if rows is not None or self.family.logits_shift:
                hidden = self._at(hidden, rows or slice(0, token_ids.shape[1]))
            out: Tensor = self.head(hidden)
            return out

    def _hidden(self, token_ids: Tensor, valid: Tensor | None) -> Tensor:
        if valid is None:
            out = self._forward(input_ids=token_ids, use_cache=False)
        else:
            positions = (valid.cumsum(dim=1) - 1).clamp(min=0)
            out = self._forward(
                input_ids=token_ids,
                attention_mask=valid,
                position_ids=positions,
                use_cache=False,
            )
        hidden: Tensor = out.last_hidden_state  # (batch, length, width)
        return hidden

    def _at(self, hidden: Tensor, rows: slice) -> Tensor:
        shift = self.family.logits_shift
        start, stop = rows.start - shift, rows.stop - shift
        if start >= 0:
            return hidden[:, start:stop]
        first = hidden[:, :1].expand(-1, -start, -1)
        return torch.cat([first, hidden[:, : max(stop, 0)]], dim=1)
