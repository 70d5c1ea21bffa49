"""The NBDiff architecture written out slowly from the published tensors, in numpy's float64.

openPangu-Embedded's layers: grouped-query attention with biases, rotated heads, gated feed-forward.
Shares nothing with the module under test.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

Rows = NDArray[np.float64]


def rms_norm(rows: Rows, weight: Rows, eps: float) -> Rows:
    out: Rows = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + eps) * weight
    return out


def rotate(vectors: Rows, theta: float) -> Rows:
    """Row i's pairs (k, k + half) turned by i * theta^(-2k/width)."""
    half = vectors.shape[1] // 2
    angles = np.arange(len(vectors))[:, None] * theta ** (-2 * np.arange(half) / (2 * half))
    first, second = vectors[:, :half], vectors[:, half:]
    turned = first * np.cos(angles) - second * np.sin(angles)
    return np.concatenate([turned, second * np.cos(angles) + first * np.sin(angles)], axis=1)


class NBDiffOracle:
    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / "model.safetensors")
        self.tensors: dict[str, Rows] = {n: t.double().numpy() for n, t in stored.items()}

    def rows(self, ids: list[int], start: int) -> Tensor:
        """(length, vocab): row i, which predicts position i + 1.

        Positions before `start` look back only; those from it on see each other too.
        """
        eps, tensors = self.config["rms_norm_eps"], self.tensors
        rows = tensors["model.embed_tokens.weight"][ids]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            w = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            hidden = rms_norm(rows, w["input_layernorm.weight"], eps)
            rows = rows + self._attention(hidden, w, start)
            hidden = rms_norm(rows, w["post_attention_layernorm.weight"], eps)
            gate = hidden @ w["mlp.gate_proj.weight"].T
            up = hidden @ w["mlp.up_proj.weight"].T
            rows = rows + (gate / (1 + np.exp(-gate)) * up) @ w["mlp.down_proj.weight"].T
        logits = rms_norm(rows, tensors["model.norm.weight"], eps) @ tensors["lm_head.weight"].T
        return torch.from_numpy(logits)

    def _attention(self, rows: Rows, w: dict[str, Rows], start: int) -> Rows:
        heads, key_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        theta = self.config["rope_theta"]

        def projected(name: str, vectors: Rows) -> Rows:
            out: Rows = vectors @ w[f"self_attn.{name}.weight"].T
            return out + w[f"self_attn.{name}.bias"] if self.config["bias"] else out

        queries = np.split(projected("q_proj", rows), heads, axis=1)
        keys = np.split(projected("k_proj", rows), key_heads, axis=1)
        values = np.split(projected("v_proj", rows), key_heads, axis=1)
        out = []
        for head in range(heads):
            group = head // (heads // key_heads)
            query, key = rotate(queries[head], theta), rotate(keys[group], theta)
            mixed = []
            for i, one in enumerate(query):
                seen = len(rows) if i >= start else i + 1
                weights = np.exp(key[:seen] @ one / len(one) ** 0.5)
                mixed.append(weights / weights.sum() @ values[group][:seen])
            out.append(np.stack(mixed))
        return projected("o_proj", np.concatenate(out, axis=1))
