"""A tiny random Diffusion-LM: the three files that its training writes, and their conversion."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import CORPUS

SPECIALS = ("START", "END", "UNK", "PAD")
LENGTH = 12
"""Square root of the canvas: `image_size`."""


def vocabulary() -> dict[str, int]:
    """Special words first, then the words of the little corpus."""
    words = sorted({word for text in CORPUS for word in text.split()})
    return {word: index for index, word in enumerate([*SPECIALS, *words])}


def diffusion_lm_tensors(
    arguments: dict[str, Any], seed: int, width: int = 32
) -> dict[str, Tensor]:
    """Random weights under the published names; an averaged embedding beside the head's own."""
    generator = torch.Generator().manual_seed(seed)
    latent, channels = arguments["in_channel"], arguments["num_channels"]
    tensors: dict[str, Tensor] = {}

    def linear(name: str, out: int, into: int, scale: float = 1.0) -> None:
        weight = torch.randn(out, into, generator=generator) * scale / into**0.5
        tensors[f"{name}.weight"] = weight
        tensors[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=generator)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(width, generator=generator)

    words = arguments["vocab_size"]
    tensors["word_embedding.weight"] = torch.randn(words, latent, generator=generator)
    linear("lm_head", words, latent, 3.0)
    linear("time_embed.0", 4 * channels, channels)
    linear("time_embed.2", width, 4 * channels)
    linear("input_up_proj.0", width, latent, 2.0)
    linear("input_up_proj.2", width, width, 2.0)
    for layer in range(2):
        start = f"input_transformers.layer.{layer}"
        for name in ("query", "key", "value"):
            linear(f"{start}.attention.self.{name}", width, width)
        linear(f"{start}.attention.output.dense", width, width)
        norm(f"{start}.attention.output.LayerNorm")
        linear(f"{start}.intermediate.dense", 48, width)
        linear(f"{start}.output.dense", width, 48)
        norm(f"{start}.output.LayerNorm")
    tensors["position_ids"] = torch.arange(160)[None]
    tensors["position_embeddings.weight"] = 0.2 * torch.randn(160, width, generator=generator)
    norm("LayerNorm")
    linear("output_down_proj.0", width, width)
    linear("output_down_proj.2", latent, width, 3.0)
    return tensors


def training_arguments(**changes: Any) -> dict[str, Any]:
    """training_args.json of the README's first training, in small; unread keys left out."""
    return {
        "model_arch": "transformer",
        "training_mode": "e2e",
        "predict_xstart": True,
        "learn_sigma": False,
        "class_cond": False,
        "experiment_mode": "lm",
        "logits_mode": 1,
        "noise_schedule": "sqrt",
        "timestep_respacing": "",
        "rescale_timesteps": True,
        "in_channel": 8,
        "out_channel": 8,
        "num_channels": 16,
        "diffusion_steps": 10,
        "image_size": LENGTH,
        "vocab_size": len(vocabulary()),
        "config_name": "bert-base-uncased",
        "modality": "e2e-tgt",
        "padding_mode": "block",
    } | changes


def write_published(folder: Path, *, seed: int = 0, **arguments: Any) -> Path:
    """Writes what a training leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = training_arguments(**arguments)
    (folder / "training_args.json").write_text(json.dumps(settings))
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    torch.save(diffusion_lm_tensors(settings, seed), folder / "ema_0.9999_200000.pt")
    return folder


def write(folder: Path, *, seed: int = 0, shards: int = 1, **arguments: Any) -> Path:
    """Writes a training folder beside `folder` and converts it; one file, so no `shards`."""
    from dllm_eval.registry import resolve

    if shards != 1:
        raise ValueError("a converted Diffusion-LM is one file")
    target = {"diffusion_lm": "dllm_eval.adapters.convert.diffusion_lm:convert"}
    convert = resolve("converter", target, "diffusion_lm")
    beside = folder.parent / f"{folder.name}-published"
    convert(write_published(beside, seed=seed, **arguments), folder, n_heads=4)
    return folder
