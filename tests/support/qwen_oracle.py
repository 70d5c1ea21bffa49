"""The Qwen2, Qwen3 and Qwen3-MoE architectures written out, in float64, one text at a time.

From the papers' formulas (arXiv 2407.10671, 2505.09388) and the published tensors: grouped-query
attention head by head, experts token by token, no cache, no padding. Shares nothing with the code
under test.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

Sees = Callable[[int, int], bool]
"""Whether the query at the first place sees the key at the second."""

FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def block_causal(block_length: int) -> Sees:
    return lambda query, key: key // block_length <= query // block_length


def rms_norm(rows: Tensor, weight: Tensor, eps: float) -> Tensor:
    return rows / (rows.square().mean(dim=-1, keepdim=True) + eps).sqrt() * weight


def rotate(rows: Tensor, theta: float) -> Tensor:
    """Pairs (k, k + half) of row i turned by the angle i * theta^(-2k/width)."""
    half = rows.shape[1] // 2
    speeds = theta ** (-torch.arange(half, dtype=torch.float64) * 2 / rows.shape[1])
    angles = torch.arange(len(rows), dtype=torch.float64)[:, None] * speeds
    first, second = rows[:, :half], rows[:, half:]
    turned = [
        first * angles.cos() - second * angles.sin(),
        second * angles.cos() + first * angles.sin(),
    ]
    return torch.cat(turned, dim=1)


def feed_forward(rows: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    inner = rows @ gate.T
    return (inner / (1 + (-inner).exp()) * (rows @ up.T)) @ down.T


class QwenOracle:
    """One checkpoint folder (a single file), and its logits."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.double() for name, tensor in stored.items()}
        self.layers = [self._layer(i) for i in range(self.config["num_hidden_layers"])]

    def rows(self, ids: list[int], sees: Sees) -> Tensor:
        """(length, vocab) float64: what the head makes of every place; no shift."""
        eps = self.config["rms_norm_eps"]
        mask = torch.tensor([[sees(i, j) for j in range(len(ids))] for i in range(len(ids))])
        rows = self.tensors["model.embed_tokens.weight"][ids]
        for w in self.layers:
            rows = rows + self._attention(rms_norm(rows, w["input_layernorm.weight"], eps), w, mask)
            hidden = rms_norm(rows, w["post_attention_layernorm.weight"], eps)
            rows = rows + self._transformed(hidden, w)
        name = "model.embed_tokens" if self.config["tie_word_embeddings"] else "lm_head"
        final = rms_norm(rows, self.tensors["model.norm.weight"], eps)
        return final @ self.tensors[f"{name}.weight"].T

    def _layer(self, index: int) -> dict[str, Tensor]:
        start = f"model.layers.{index}."
        found = {n: t for n, t in self.tensors.items() if n.startswith(start)}
        return {name.removeprefix(start): tensor for name, tensor in found.items()}

    def _heads(self, rows: Tensor, w: dict[str, Tensor], part: str) -> list[Tensor]:
        """What one projection gives each head: (length, width of a head)."""
        config = self.config
        count = config["num_attention_heads" if part == "q" else "num_key_value_heads"]
        out = rows @ w[f"self_attn.{part}_proj.weight"].T + w.get(f"self_attn.{part}_proj.bias", 0)
        heads = list(out.chunk(count, dim=1))
        norm = w.get(f"self_attn.{part}_norm.weight")
        if norm is not None:
            heads = [rms_norm(head, norm, config["rms_norm_eps"]) for head in heads]
        return heads if part == "v" else [rotate(head, config["rope_theta"]) for head in heads]

    def _attention(self, rows: Tensor, w: dict[str, Tensor], mask: Tensor) -> Tensor:
        queries, keys, values = (self._heads(rows, w, part) for part in "qkv")
        out = []
        for i, query in enumerate(queries):
            group = i * len(keys) // len(queries)
            scores = query @ keys[group].T / query.shape[1] ** 0.5
            out.append(scores.masked_fill(~mask, -torch.inf).softmax(dim=1) @ values[group])
        return torch.cat(out, dim=1) @ w["self_attn.o_proj.weight"].T

    def _transformed(self, rows: Tensor, w: dict[str, Tensor]) -> Tensor:
        if "mlp.gate.weight" not in w:
            return feed_forward(rows, *(w[f"mlp.{part}.weight"] for part in FEED_FORWARD))
        return torch.stack([self._routed(row, w) for row in rows])

    def _routed(self, row: Tensor, w: dict[str, Tensor]) -> Tensor:
        chances = (w["mlp.gate.weight"] @ row).softmax(dim=0).tolist()
        count = self.config["num_experts_per_tok"]
        chosen = sorted(range(len(chances)), key=lambda expert: -chances[expert])[:count]
        total = sum(chances[e] for e in chosen) if self.config["norm_topk_prob"] else 1.0
        out = torch.zeros_like(row)
        for expert in chosen:
            parts = (w[f"mlp.experts.{expert}.{part}.weight"] for part in FEED_FORWARD)
            out = out + chances[expert] / total * feed_forward(row, *parts)
        return out
