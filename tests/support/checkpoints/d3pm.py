"""A tiny random D3PM checkpoint in this project's own layout (none was ever published)."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import END, save_sharded, write_tokenizer

MASK = "<mask>"


def d3pm_tensors(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under the released tree's names, matrices out x in."""
    generator = torch.Generator().manual_seed(seed)

    def matrix(out: int, into: int, scale: float = 1.0) -> Tensor:
        return torch.randn(out, into, generator=generator).mul(scale / into**0.5)

    def norm(width: int) -> Tensor:
        return 1 + 0.1 * torch.randn(width, generator=generator)

    width, inner, rows = config["emb_dim"], config["mlp_dim"], config["vocab_size"]
    tensors = {
        "token_embedder.embedding": torch.randn(rows, width, generator=generator),
        "timestep_embed.timestep_embedder.embedding": torch.randn(
            config["num_steps"], width, generator=generator
        ),
        "relpos_bias.rel_embedding": torch.randn(
            config["num_heads"], config["relative_attention_num_buckets"], generator=generator
        ),
        "decoder_norm.scale": norm(width),
        "logits_dense.kernel": matrix(rows, width, 3.0),
    }
    for layer in range(config["num_decoder_layers"]):
        for name in ("query", "key", "value"):
            # Attention is not scaled by the width, so queries and keys are small.
            kernel = matrix(config["qkv_dim"], width, 1.0 if name == "value" else 0.6)
            tensors[f"layers_{layer}.self_attention.{name}.kernel"] = kernel
        tensors[f"layers_{layer}.self_attention.out.kernel"] = matrix(width, config["qkv_dim"])
        tensors[f"layers_{layer}.mlp.wi.kernel"] = matrix(inner, width)
        tensors[f"layers_{layer}.mlp.wo.kernel"] = matrix(width, inner)
        for name in ("pre_self_attention_layer_norm", "pre_mlp_layer_norm"):
            tensors[f"layers_{layer}.{name}.scale"] = norm(width)
    return tensors


def d3pm_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    kind = changes.get("kind", "mask")
    masks = {"mask_token_id": vocabulary[MASK]} if kind == "mask" else {}
    return {
        "model_type": "d3pm",
        "kind": kind,
        "schedule_type": "standard",
        "vocab_size": max(vocabulary.values()) + 1,
        "emb_dim": 32,
        "num_heads": 4,
        "num_decoder_layers": 2,
        "qkv_dim": 32,
        "mlp_dim": 48,
        "num_steps": 16,
        "max_length": 256,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 20,
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[END],
        **masks,
    } | changes


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes the folder; `config` overrides config.json's entries.

    With `kind` "beta-diagonal" the noise is uniform, and there is no mask token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    specials = (END, MASK) if config.get("kind", "mask") == "mask" else (END,)
    vocabulary = write_tokenizer(folder, specials, eos_token=END, pad_token=END)
    if MASK in vocabulary:
        vocabulary = _mask_last(folder, vocabulary)
    settings = d3pm_config(vocabulary, **config)
    (folder / "config.json").write_text(json.dumps(settings))
    save_sharded(folder, d3pm_tensors(settings, seed), shards)
    return folder


def _mask_last(folder: Path, vocabulary: dict[str, int]) -> dict[str, int]:
    """Gives the mask token the last id, as the released vocabularies do."""
    old, last = vocabulary[MASK], max(vocabulary.values())
    other = next(token for token, index in vocabulary.items() if index == last)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"] |= {MASK: last, other: old}
    for token in content["added_tokens"]:
        if token["content"] == MASK:
            token["id"] = last
    path.write_text(json.dumps(content))
    return vocabulary | {MASK: last, other: old}
