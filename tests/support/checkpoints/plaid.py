"""A tiny random Plaid: the release's four .pt files and tokenizer, and their conversion."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import build_tokenizer

END = "<|endoftext_R9VQqF0Ag7|>"


def plaid_modules(
    *, vocab_size: int, embed_dim: int, dim: int, n_blocks: int, noise_width: int, seed: int
) -> dict[str, dict[str, Tensor]]:
    """File -> tensors, under the released names."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    def matrix(out: int, into: int) -> Tensor:
        return normal(out, into, scale=into**-0.5)

    model = {
        "input_linear.weight": matrix(dim, embed_dim),
        "selfcond_linear.weight": matrix(dim, embed_dim),
        "gamma_linear.weight": matrix(dim, 64),
        "rotary_emb.inv_freq": torch.ones(4),
        "output_norm.weight": 1 + normal(dim, scale=0.1),
        # The readout divides by dim / 256, so a narrow model's weights are small.
        "output_linear.weight": normal(vocab_size, dim, scale=dim**0.5 / 64),
        "output_linear.bias": normal(vocab_size, scale=0.5),
    }
    for block in range(n_blocks):
        parts = {
            "rmsnorm1.weight": 1 + normal(dim, scale=0.1),
            "attn_qkv.weight": matrix(3 * dim, dim),
            "attn_out.weight": matrix(dim, dim),
            "rmsnorm2.weight": 1 + normal(dim, scale=0.1),
            "mlp.fc1.weight": matrix(4 * dim, dim),
            "mlp.fc2.weight": matrix(dim, 4 * dim),
        }
        model |= {f"blocks.{block}.{name}": tensor for name, tensor in parts.items()}
    return {
        "noise_schedule": {
            "W1": normal(noise_width, 1),
            "b1": normal(noise_width),
            "W2": normal(1, noise_width),
        },
        "gamma_bounds": {"gamma_0": torch.tensor(-3.0), "gamma_1": torch.tensor(6.0)},
        "embedding_matrix": {"matrix": normal(vocab_size, embed_dim)},
        "model": model,
    }


def write_published(folder: Path, *, seed: int = 0, **sizes: int) -> Path:
    """Writes the files as the release holds them, with the repository's tokenizer beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer((END,))
    tokenizer.save(str(folder / "owt2_tokenizer.json"))
    shape = {"embed_dim": 8, "dim": 32, "n_blocks": 2, "noise_width": 16} | sizes
    modules = plaid_modules(vocab_size=tokenizer.get_vocab_size(), seed=seed, **shape)
    for name, tensors in modules.items():
        torch.save(tensors, folder / f"{name}.pt")
    return folder


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes the release beside `folder` and converts it; `config` overrides config.json.

    The conversion writes one file, so `shards` is not for this family.
    """
    from dllm_eval.registry import resolve

    if shards != 1:
        raise ValueError("a converted Plaid is one file")
    convert = resolve("converter", {"plaid": "dllm_eval.adapters.convert.plaid:convert"}, "plaid")
    published = write_published(folder.parent / f"{folder.name}-published", seed=seed)
    convert(published, folder, n_heads=4, seq_len=256)
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | {"sampling_timesteps": 8} | config
    path.write_text(json.dumps(settings))
    return folder
