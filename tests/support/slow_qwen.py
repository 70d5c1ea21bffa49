"""The Qwen2 and Qwen3 decoder written out slowly, from published tensors; float64, one sequence.

Who sees whom is the caller's: `looks[i]` names the positions that position i sees. Test modules of
families in these shapes compare their native module with it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


def rms_norm(rows: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.stack([row / (row.square().mean() + eps).sqrt() for row in rows]) * weight


def rotate(vector: Tensor, position: int, theta: float) -> Tensor:
    """Pairs (k, k + half) of one head's vector turned by position * theta^(-2k/width)."""
    half = vector.shape[0] // 2
    out = vector.clone()
    for k in range(half):
        angle = torch.tensor(position * theta ** (-2 * k / vector.shape[0]), dtype=torch.float64)
        out[k] = vector[k] * angle.cos() - vector[k + half] * angle.sin()
        out[k + half] = vector[k + half] * angle.cos() + vector[k] * angle.sin()
    return out


def attention(
    rows: Tensor, w: dict[str, Tensor], config: dict[str, Any], looks: Sequence[Sequence[int]]
) -> Tensor:
    """Attention head by head and query by query, position i at rotary position i."""
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    theta, eps = config["rope_theta"], config["rms_norm_eps"]
    projected = {}
    for name in ("q", "k", "v"):
        flat = rows @ w[f"{name}_proj.weight"].T + w.get(f"{name}_proj.bias", 0)
        each = [flat[:, at : at + width] for at in range(0, flat.shape[1], width)]
        if f"{name}_norm.weight" in w:
            each = [rms_norm(part, w[f"{name}_norm.weight"], eps) for part in each]
        projected[name] = each
    out = []
    for head in range(heads):
        shared = head // (heads // groups)
        keys = [rotate(key, i, theta) for i, key in enumerate(projected["k"][shared])]
        mixed = []
        for i, query in enumerate(projected["q"][head]):
            seen = list(looks[i])
            turned = rotate(query, i, theta)
            scores = torch.stack([turned @ keys[j] for j in seen]) / width**0.5
            mixed.append(scores.softmax(dim=0) @ projected["v"][shared][seen])
        out.append(torch.stack(mixed))
    return torch.cat(out, dim=1) @ w["o_proj.weight"].T


def slow_logits(ids: list[int], folder: Path, looks: Sequence[Sequence[int]]) -> Tensor:
    """(length, vocab) float64 logits of one sequence, row i as the published head gives it."""
    config = json.loads((folder / "config.json").read_text())
    stored = load_file(folder / "model.safetensors")
    tensors = {name.removeprefix("model."): t.double() for name, t in stored.items()}
    eps = config["rms_norm_eps"]
    rows = tensors["embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        start = f"layers.{layer}."
        w = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        own = {n.removeprefix("self_attn."): t for n, t in w.items() if n.startswith("self_attn.")}
        normed = rms_norm(rows, w["input_layernorm.weight"], eps)
        rows = rows + attention(normed, own, config, looks)
        hidden = rms_norm(rows, w["post_attention_layernorm.weight"], eps)
        gate = hidden @ w["mlp.gate_proj.weight"].T
        fed = gate * gate.sigmoid() * (hidden @ w["mlp.up_proj.weight"].T)
        rows = rows + fed @ w["mlp.down_proj.weight"].T
    head = tensors["embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return rms_norm(rows, tensors["norm.weight"], eps) @ head.T
