"""The LLaDA2 architecture written out slowly from the published tensors, in float64.

Head by head in attention, token by token through the experts; block-causal by comparing block
numbers. Shares nothing with the module under test.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


def rms_norm(rows: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.stack([row / (row.square().mean() + eps).sqrt() for row in rows]) * weight


def rotate(vector: Tensor, position: int, theta: float, width: int) -> Tensor:
    """The first `width` entries, in pairs (k, k + half), turned by position * theta^(-2k/width)."""
    half, out = width // 2, vector.clone()
    for k in range(half):
        angle = torch.tensor(position * theta ** (-2 * k / width), dtype=torch.float64)
        out[k] = vector[k] * angle.cos() - vector[k + half] * angle.sin()
        out[k + half] = vector[k + half] * angle.cos() + vector[k] * angle.sin()
    return out


def gated(rows: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    gate = rows @ weights[f"{name}.gate_proj.weight"].T
    up = rows @ weights[f"{name}.up_proj.weight"].T
    return (gate * gate.sigmoid() * up) @ weights[f"{name}.down_proj.weight"].T


class BailingOracle:
    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.double() for name, tensor in stored.items()}

    def rows(self, ids: list[int], block: int) -> Tensor:
        """(length, vocab) logits of one unpadded sequence under blocks of that length."""
        eps, tensors = self.config["rms_norm_eps"], self.tensors
        rows = tensors["model.word_embeddings.weight"][ids]
        for layer in range(self.config["num_hidden_layers"]):
            start = f"model.layers.{layer}."
            w = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            hidden = rms_norm(rows, w["input_layernorm.weight"], eps)
            rows = rows + self._attention(hidden, w, block)
            hidden = rms_norm(rows, w["post_attention_layernorm.weight"], eps)
            if layer < self.config["first_k_dense_replace"]:
                rows = rows + gated(hidden, w, "mlp")
            else:
                rows = rows + torch.stack([self._experts(token, w) for token in hidden])
        tied = self.config["tie_word_embeddings"]
        head = tensors["model.word_embeddings.weight" if tied else "lm_head.weight"]
        return rms_norm(rows, tensors["model.norm.weight"], eps) @ head.T

    def _attention(self, rows: Tensor, w: dict[str, Tensor], block: int) -> Tensor:
        c = self.config
        heads, key_heads, width = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        turned = int(width * c["partial_rotary_factor"])
        fused = rows @ w["attention.query_key_value.weight"].T
        if c["use_qkv_bias"]:
            fused = fused + w["attention.query_key_value.bias"]
        parts = fused.chunk(heads + 2 * key_heads, dim=1)  # queries, then keys, then values
        out = []
        for head in range(heads):
            group = head // (heads // key_heads)
            query, key, value = parts[head], parts[heads + group], parts[heads + key_heads + group]
            if c["use_qk_norm"]:
                query = rms_norm(query, w["attention.query_layernorm.weight"], c["rms_norm_eps"])
                key = rms_norm(key, w["attention.key_layernorm.weight"], c["rms_norm_eps"])
            theta = c["rope_theta"]
            query = torch.stack([rotate(q, i, theta, turned) for i, q in enumerate(query)])
            key = torch.stack([rotate(k, i, theta, turned) for i, k in enumerate(key)])
            mixed = []
            for i in range(len(rows)):
                seen = [j for j in range(len(rows)) if j // block <= i // block]
                weights = (key[seen] @ query[i] / width**0.5).softmax(dim=0)
                mixed.append(weights @ value[seen])
            out.append(torch.stack(mixed))
        joined = torch.cat(out, dim=1) @ w["attention.dense.weight"].T
        return joined + w["attention.dense.bias"] if c["use_bias"] else joined

    def _experts(self, token: Tensor, w: dict[str, Tensor]) -> Tensor:
        c = self.config
        scores = [1 / (1 + torch.exp(-row @ token)) for row in w["mlp.gate.weight"]]
        biased = [float(s + b) for s, b in zip(scores, w["mlp.gate.expert_bias"], strict=True)]
        members = c["num_experts"] // c["n_group"]
        groups = [range(g * members, (g + 1) * members) for g in range(c["n_group"])]
        groups.sort(key=lambda group: -sum(sorted((biased[i] for i in group), reverse=True)[:2]))
        allowed = [i for group in groups[: c["topk_group"]] for i in group]
        chosen = sorted(allowed, key=lambda i: -biased[i])[: c["num_experts_per_tok"]]
        total = sum(float(scores[i]) for i in chosen) if len(chosen) > 1 else 1.0
        out = torch.zeros_like(token)
        for i in chosen:
            share = scores[i] / total * c["routed_scaling_factor"]
            out = out + share * gated(token, w, f"mlp.experts.{i}")
        return out + gated(token, w, "mlp.shared_experts") if c["num_shared_experts"] else out
