"""A body and its output head, whose published tensors are read in one pass.

Knows two modules, tensor names and a folder; knows no network, no family and no tokenizer. Family
loaders, and `qwen.py` and `dit_weights.py` for several of them, call `load_body_and_head`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from dllm_eval.checkpoint import Source, load_weights


class BodyAndHead(nn.Module):
    """Both under one roof, as `body` and `head`; `ModelDenoiser` takes them apart again."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head


def load_body_and_head(
    body: nn.Module,
    head: nn.Module,
    folder: Path,
    names: Mapping[str, Source],
    *,
    dtype: torch.dtype,
    device: torch.device,
    tied_to: str | None = None,
    unused: tuple[str, ...] = (),
) -> BodyAndHead:
    """Reads a folder's tensors into a body and a head that were built on the meta device.

    Args:
        body: Its parameters are called "body.<name>" in `names`.
        head: Likewise, "head.<name>".
        folder: A checkpoint folder.
        names: Parameter -> published tensor; further entries are left aside.
        dtype: What the parameters become.
        device: Where they go.
        tied_to: The body's parameter that is the head's weight too; None where the head has one of
            its own, which is published.
        unused: Beginnings of the names of published tensors that are known and not read.

    Raises:
        UsageError: A tensor is missing, surplus or wrongly shaped, or a file is damaged.
    """
    module = BodyAndHead(body, head if tied_to is None else nn.Identity())
    load_weights(module, folder, names, dtype=dtype, device=device, unused=unused)
    if tied_to is not None:
        head.weight = body.get_parameter(tied_to)
        module.head = head
    return module.eval()


def empty_head(width: int, vocab_size: int) -> nn.Linear:
    """A head without a bias, on the meta device."""
    return nn.Linear(width, vocab_size, bias=False, device="meta")


def layer_names(
    parts: Mapping[str, str], num_layers: int, *, native: str, published: str
) -> dict[str, str]:
    """Parameter -> published tensor of every layer.

    Args:
        parts: The same within one layer.
        num_layers: How many layers.
        native: A layer's parameter: "{layer}" and "{part}" stand for its number and the key.
        published: Likewise a layer's tensor, with the value.
    """
    return {
        native.format(layer=layer, part=mine): published.format(layer=layer, part=theirs)
        for layer in range(num_layers)
        for mine, theirs in parts.items()
    }
