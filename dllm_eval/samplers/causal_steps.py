"""The passes of a batch of autoregressive requests: what is read, where the cache holds it.

Rows are padded on the left. Knows a transformers causal model, ids and columns; nothing of how
tokens are chosen. `autoregressive.py` calls it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from dllm_eval.api import Prompt
from dllm_eval.samplers.causal_compiled import CompiledSteps, columns_around

CacheKind = Literal["dynamic", "static"]
Ids = tuple[int, ...]


class CausalSteps:
    """The model, its cache and the padding of one batch: one forward pass per call.

    Args:
        model: A transformers causal language model.
        prompts: The batch.
        most_columns: Of the cache, over all passes.
        cache: "static" allocates them all at once. Compiled steps run the passes of one token, on
            a static cache of their own.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        prompts: Sequence[Prompt],
        most_columns: int,
        cache: CacheKind | CompiledSteps,
    ) -> None:
        self.model = model
        self.device: torch.device = model.device
        longest = max(len(prompt.prefix) for prompt in prompts)
        self.pads = [longest - len(prompt.prefix) for prompt in prompts]
        self.padded = any(self.pads)
        ids = [[0] * pad + list(p.prefix) for pad, p in zip(self.pads, prompts, strict=True)]
        self.input_ids = torch.tensor(ids, device=self.device)  # (batch, longest)
        self.compiled = cache if isinstance(cache, CompiledSteps) else None
        if self.compiled is not None:
            most_columns = columns_around(most_columns)
            self.cache: Any = self.compiled.cache(len(prompts), most_columns)
        elif cache == "static":
            self.cache = StaticCache(config=model.config, max_cache_len=most_columns)
        else:
            self.cache = DynamicCache(config=model.config)
        places = torch.arange(most_columns, device=self.device)
        pads = torch.tensor(self.pads, device=self.device)[:, None]
        self.valid = (places >= pads).long()  # (batch, most_columns)
        self.places = (places - pads).clamp(min=0)  # (batch, most_columns), without padding
        self.texts = [list(prompt.prefix) for prompt in prompts]
        """What each row's next token is written behind, before the current gap."""
        self.columns = [list(range(pad, longest)) for pad in self.pads]
        """Where the cache holds these tokens."""
        self.num_read = [len(prompt.prefix) for prompt in prompts]
        """Own tokens that the last pass over a text has read, row by row."""
        self.length = self.written = longest
        self.host_syncs = 0

    def prefill(self) -> Tensor:
        """Reads the prompts; returns the logits of the next token, (batch, vocab)."""
        return self._forward(self.input_ids, 0, self.length)

    def advance(self, tokens: Tensor) -> Tensor:
        """Reads one more token of every request, (batch,); returns (batch, vocab)."""
        self.length += 1
        if self.compiled is not None:
            self.host_syncs += 1
            places = self.places[:, self.length - 1 : self.length]
            return self.compiled.advance(tokens[:, None], places, self.valid, self.cache)
        return self._forward(tokens[:, None], self.length - 1, self.length)

    def resume(self, kept: Sequence[Ids], texts: Sequence[Ids], counts: Sequence[int]) -> Tensor:
        """Reads on behind what is kept of each answer, and a text; returns (batch, vocab).

        Columns of what is not kept stay in the cache, hidden; rows that read less are padded.

        Args:
            kept: The beginning of each answer.
            texts: What stands behind it.
            counts: Tokens that each answer had; the last one has not been read, or only because
                other rows went on.
        """
        unread: list[list[int]] = []
        for row, (answer, text) in enumerate(zip(kept, texts, strict=True)):
            held = min(len(answer), counts[row] - 1)
            self.valid[row, self.written + held : self.length] = 0
            self.columns[row].extend(range(self.written, self.written + held))
            self.texts[row].extend((*answer, *text))
            # There has to be a token to read; a text without any leaves the last one to be.
            self.valid[row, self.columns[row][len(self.texts[row]) - 1 :]] = 0
            del self.columns[row][len(self.texts[row]) - 1 :]
            unread.append(self.texts[row][len(self.columns[row]) :])
        self.padded = True
        self.num_read = [len(ids) for ids in unread]
        start, width = self.length, max(self.num_read)
        for row, count in enumerate(self.num_read):
            first = start + width - count
            self.valid[row, start:first] = 0
            ahead = self.places.shape[1] - first
            place = len(self.columns[row])
            self.places[row, first:] = torch.arange(place, place + ahead, device=self.device)
            self.columns[row].extend(range(first, start + width))
        self.length = self.written = start + width
        read = [[0] * (width - len(ids)) + ids for ids in unread]
        return self._forward(torch.tensor(read, device=self.device), start, self.length)

    def waited(self) -> int:
        """Host waits since it was last asked."""
        count, self.host_syncs = self.host_syncs, 0
        return count

    def _forward(self, input_ids: Tensor, start: int, stop: int) -> Tensor:
        # The choice made from these logits is read on the host: the loop's one wait.
        self.host_syncs += 1 + (self.padded and self.device.type != "cpu")
        out = self.model(
            input_ids=input_ids,
            attention_mask=self.valid[:, :stop] if self.padded else None,
            position_ids=self.places[:, start:stop],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits
