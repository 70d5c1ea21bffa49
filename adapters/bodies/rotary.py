"""Rotary positions (arXiv 2104.09864): the angles' cosines and sines, and the turn itself.

Knows tensors; knows no attention, no file and no family. Every body with rotary positions uses it.
"""

import torch
from torch import Tensor, nn


class Rotary(nn.Module):
    """Cosines and sines of the rotary positions.

    Transformers rounds them to the model's type. LLaDA rotates in float32 whatever that type, so
    `full_precision` keeps them, and attention rounds the rotated queries and keys instead.
    """

    def __init__(
        self, *, width: int, theta: float, full_precision: bool, device: torch.device
    ) -> None:
        super().__init__()
        exponents = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
        self.inverse_frequencies: Tensor
        self.register_buffer("inverse_frequencies", 1.0 / theta**exponents, persistent=False)
        self.full_precision = full_precision

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors of shape (batch or 1, length, width of a head)."""
        angles = position_ids[..., None].float() * self.inverse_frequencies
        angles = torch.cat([angles, angles], dim=-1)
        dtype = torch.float32 if self.full_precision else hidden.dtype
        return angles.cos().to(dtype), angles.sin().to(dtype)


def rotated(vectors: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Vectors turned by their positions, the halves of the width paired.

    Args:
        vectors: (batch, heads, columns, width), queries or keys.
        turn: What `Rotary` gives for the same columns and width.
    """
    cosines, sines = (table[:, None] for table in turn)  # (batch or 1, 1, columns, width)
    first, second = vectors.chunk(2, dim=-1)
    return vectors * cosines + torch.cat([-second, first], dim=-1) * sines
