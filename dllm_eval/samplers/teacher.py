"""The teacher of a canvas: its text is written in place of what the model proposes, and scored.

Positions are still chosen from the model's own proposals, so the loop goes the way the sampler
would go if it had drawn this text. Knows tensors; nothing of rules. `canvas.py` asks what to
write, `reveal.py` shows the logits, `likelihood/policy.py` reads the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**24
"""Bounds the wide copy of the logits to 64 MiB in float32."""


@dataclass(kw_only=True)
class Teacher:
    """The text of a batch, and what is known of its probability so far."""

    tokens: Tensor
    """(batch, length) int64: the text at its canvas columns, anything elsewhere."""
    log_p: Tensor
    """(batch, length) float64, nats: of each token in the step that wrote it, 0 before that."""
    greedy: Tensor
    """(batch, 1) bool: whether the model has proposed every token written so far."""
    seen: Tensor
    """(batch, rows) float64: each token's log-probability in the current step."""

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], starts: Sequence[int], canvas: Tensor) -> "Teacher":
        """Lays out texts on a canvas.

        Args:
            texts: One per row.
            starts: The column at which each one begins.
            canvas: (batch, length) int64, for shape and device.
        """
        tokens = torch.zeros(canvas.shape, dtype=torch.int64)
        for row, text, start in zip(tokens, texts, starts, strict=True):
            row[start : start + len(text)] = torch.tensor(text)
        zeros = torch.zeros(canvas.shape, dtype=torch.float64, device=canvas.device)
        return cls(
            tokens=tokens.to(canvas.device),
            log_p=zeros,
            greedy=torch.ones(len(texts), 1, dtype=torch.bool, device=canvas.device),
            seen=zeros[:, :0],
        )

    def look(self, logits: Tensor, rows: slice) -> None:
        """Reads the text's log-probabilities off one step's logits.

        Args:
            logits: (batch, rows, vocab), what is never written at -inf; float32 or wider is used.
            rows: Their columns.
        """
        targets = self.tokens[:, rows]
        flat, wanted = logits.flatten(0, 1), targets.flatten()
        size = max(1, CHUNK_ELEMENTS // logits.shape[-1])
        parts = []
        for some, ids in zip(torch.split(flat, size), torch.split(wanted, size), strict=True):
            wide = some.to(torch.promote_types(some.dtype, torch.float32))
            own = wide.gather(1, ids[:, None])[:, 0]
            parts.append((own - wide.logsumexp(dim=-1)).double())
        self.seen = torch.cat(parts).view(targets.shape)

    def corrected(self, rows: slice, chosen: Tensor, proposed: Tensor) -> Tensor:
        """What is to be written, (batch, rows) int64; takes its log-probability down.

        Args:
            rows: The columns.
            chosen: (batch, rows) bool: where something will be written.
            proposed: (batch, rows) int64: the model's own tokens.
        """
        tokens, log_p = self.tokens[:, rows], self.log_p[:, rows]
        torch.where(chosen, self.seen, log_p, out=log_p)
        self.greedy &= ((tokens == proposed) | ~chosen).all(dim=1, keepdim=True)
        return tokens
