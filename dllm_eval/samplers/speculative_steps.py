"""Passes of a batch whose rows move on unequally: each reads what its cache lacks, and takes back.

Rows share columns, and those that read less are padded on the left. Columns of tokens taken back
are cut off where they are the last ones of every row, else hidden; a batch of one hides none. Knows
a transformers causal model and ids; nothing of drafts and of how tokens are chosen.
`speculative.py` runs the model on it, `speculative_drafts.py` the assistant.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from dllm_eval.errors import UsageError

SPARE_COLUMNS = 256
"""By which the table of hidden columns grows."""


class UnequalSteps:
    """A model, its cache, and what each row has in it.

    Args:
        model: A transformers causal language model.
        batch: Rows.

    Raises:
        UsageError: Its cache cannot take tokens back.
    """

    def __init__(self, model: Any, batch: int) -> None:  # noqa: ANN401
        self.model = model
        self.device: torch.device = model.device
        check_takes_back(model, batch)
        # Made without the model's config it keeps all columns, those behind a sliding window too.
        self.cache: Any = DynamicCache()
        self.columns: list[list[int]] = [[] for _ in range(batch)]
        """Where the cache holds each row's tokens, from its first one on."""
        self.num_read = [0] * batch
        """Tokens that the last pass read, row by row."""
        self.host_syncs = 0
        self._length = 0
        self._seen: NDArray[np.int64] = np.zeros((batch, SPARE_COLUMNS), dtype=np.int64)

    def held(self, row: int) -> int:
        """How many tokens of a row the cache has."""
        return len(self.columns[row])

    def read(self, rows: Sequence[Sequence[int]], wanted: int) -> Tensor:
        """Reads on.

        Args:
            rows: Each row's ids, those that the cache has first; a row may have no more than them.
            wanted: Positions whose logits are asked for.

        Returns:
            (batch, wanted, vocab): what follows the last `wanted` columns of this pass. A row's own
            tokens are the last ones.
        """
        unread = [list(ids[self.held(row) :]) for row, ids in enumerate(rows)]
        self.num_read = [len(ids) for ids in unread]
        width = max(self.num_read)
        ids = [[0] * (width - len(own)) + own for own in unread]
        return self._forward(torch.tensor(ids, device=self.device), wanted)

    def advance(self, tokens: Tensor) -> Tensor:
        """Reads one more token of every row, (batch,); returns (batch, vocab)."""
        self.num_read = [1] * len(self.columns)
        return self._forward(tokens[:, None], 1)[:, -1]

    def keep(self, counts: Sequence[int]) -> None:
        """Takes back what a row has beyond its first so many tokens."""
        for row, count in enumerate(counts):
            self._seen[row, self.columns[row][count:]] = 0
            del self.columns[row][count:]
        length = 1 + max((own[-1] for own in self.columns if own), default=-1)
        if length < self._length:
            for layer in self.cache.layers:
                layer.keys = layer.keys[..., :length, :]
                layer.values = layer.values[..., :length, :]
            self._length = length

    def _forward(self, ids: Tensor, wanted: int) -> Tensor:
        width = ids.shape[1]
        positions = [
            [0] * (width - count) + list(range(len(own), len(own) + count))
            for own, count in zip(self.columns, self.num_read, strict=True)
        ]
        self._extend(width)
        hidden = any(len(own) < self._length for own in self.columns)
        # Drafts are compared on the host; transformers looks whether a mask hides anything.
        self.host_syncs += hidden and self.device.type != "cpu"
        out = self.model(
            input_ids=ids,
            attention_mask=torch.from_numpy(self._seen[:, : self._length]).to(self.device)
            if hidden
            else None,
            position_ids=torch.tensor(positions, device=self.device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=wanted,
        )
        logits: Tensor = out.logits[:, -wanted:]
        return logits

    def _extend(self, width: int) -> None:
        """Gives the tokens of this pass their columns."""
        stop = self._length + width
        if stop > self._seen.shape[1]:
            more = max(SPARE_COLUMNS, stop - self._seen.shape[1])
            self._seen = np.pad(self._seen, ((0, 0), (0, more)))
        self._seen[:, self._length : stop] = 0
        for row, count in enumerate(self.num_read):
            self._seen[row, stop - count : stop] = 1
            self.columns[row].extend(range(stop - count, stop))
        self._length = stop


def check_takes_back(model: Any, batch: int) -> None:  # noqa: ANN401
    """Whether what a draft left in a model's cache can be taken back.

    Raises:
        UsageError: It is a running state, or hidden columns would count in a sliding window.
    """
    if getattr(model, "_is_stateful", False):
        raise UsageError(
            f"speculative decoding takes tokens back, and {type(model).__name__} keeps a running "
            "state that cannot; pass speculative=none"
        )
    if batch > 1 and _slides(model.config):
        raise UsageError(
            f"speculative decoding of {type(model).__name__}, which has a sliding window, takes "
            f"one request at a time and was given {batch}; pass batch_size=1"
        )


def _slides(config: Any) -> bool:  # noqa: ANN401
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return any("full" not in kind for kind in kinds)
    return getattr(config, "sliding_window", None) is not None
