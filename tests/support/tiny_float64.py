"""Tiny random checkpoints in float64, where two ways to one number agree to the last digits."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.loading import load_model

NAMED = {"sedd": "sedd"}
"""Writers whose config.json does not say what it is -> the family to name."""


def tiny_float64(writer: str, folder: Path) -> ModelDenoiser:
    """The checkpoint that `checkpoints.<writer>` writes, loaded; MDLM's stream stays float32."""
    import_module(f"checkpoints.{writer}").write(folder)
    model = load_model(str(folder), family=NAMED.get(writer, "auto"), device="cpu", dtype="float32")
    assert isinstance(model, ModelDenoiser)
    model.body.double()
    model.head.double()
    return model


def table_of(spans: Sequence[tuple[int, int]], length: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(batch, length) ids, and which are not padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 300, (len(spans), length), generator=generator)
    valid = torch.zeros_like(ids, dtype=torch.bool)
    for row, (start, stop) in enumerate(spans):
        valid[row, start:stop] = True
    return ids, valid
