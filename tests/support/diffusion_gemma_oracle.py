"""DiffusionGemma's architecture written out slowly, for one unpadded sequence, in float64.

Facts from huggingface/transformers 5.23.0, models/diffusion_gemma/modeling_diffusion_gemma.py.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


class Oracle:
    """Plain loops over the published tensors: layer by layer, head by head, query by query."""

    def __init__(self, folder: Path) -> None:
        self.text: dict[str, Any] = json.loads((folder / "config.json").read_text())["text_config"]
        stored = load_file(folder / "model.safetensors")
        self.tensors = {name.removeprefix("model."): t.double() for name, t in stored.items()}

    def logits(self, prompt: list[int], canvas: list[int], before: Tensor | None = None) -> Tensor:
        """(canvas, vocab): the canvas behind a prompt; `before` are the last step's logits."""
        keys = self.encode(prompt) if prompt else [[] for _ in self.text["layer_types"]]
        rows = self.embed(canvas)
        soft = torch.zeros_like(rows)
        if before is not None:
            soft = (
                before.double().softmax(dim=-1) @ self.embedding * self.text["hidden_size"] ** 0.5
            )
        normed = self.norm(soft, "decoder.self_conditioning.pre_norm.weight")
        rows = rms(rows + self.gated(normed, "decoder.self_conditioning."), self.eps)
        for layer, kind in enumerate(self.text["layer_types"]):
            held = keys[layer]
            if kind == "sliding_attention":
                held = held[-(self.text["sliding_window"] - 1) :]
            mine = self.keys_and_values(layer, rows, start=len(prompt))
            seen = [[*held, *mine]] * len(rows)
            rows = self.layer(layer, rows, seen, len(prompt), f"decoder.layers.{layer}.")
        out = self.norm(rows, "decoder.norm.weight") @ self.embedding.T
        cap = self.text["final_logit_softcapping"]
        capped: Tensor = (out / cap).tanh() * cap
        return capped

    def encode(self, prompt: list[int]) -> list[list[tuple[Tensor, Tensor]]]:
        """Keys and values of every layer and prompt position, read causally."""
        rows, kept = self.embed(prompt), []
        for layer, kind in enumerate(self.text["layer_types"]):
            mine = self.keys_and_values(layer, rows, start=0)
            kept.append(mine)
            seen = []
            for i in range(len(prompt)):
                first = max(0, i - self.text["sliding_window"] + 1)
                seen.append(mine[first if kind == "sliding_attention" else 0 : i + 1])
            rows = self.layer(layer, rows, seen, 0, f"encoder.language_model.layers.{layer}.")
        return kept

    @property
    def width(self) -> int:
        return int(self.text["hidden_size"])

    @property
    def eps(self) -> float:
        return float(self.text["rms_norm_eps"])

    @property
    def embedding(self) -> Tensor:
        return self.tensors["decoder.embed_tokens.weight"]

    def embed(self, ids: list[int]) -> Tensor:
        return self.embedding[ids] * math.sqrt(self.width)

    def norm(self, rows: Tensor, name: str) -> Tensor:
        out: Tensor = rms(rows, self.eps) * self.tensors[name]
        return out

    def gated(self, rows: Tensor, start: str) -> Tensor:
        gate, up, down = (self.tensors[f"{start}{n}_proj.weight"] for n in ("gate", "up", "down"))
        return (gelu(rows @ gate.T) * (rows @ up.T)) @ down.T

    def head_width(self, layer: int) -> int:
        full = self.text["layer_types"][layer] == "full_attention"
        return int(self.text["global_head_dim" if full else "head_dim"])

    def keys_and_values(self, layer: int, rows: Tensor, start: int) -> list[tuple[Tensor, Tensor]]:
        """Per position: keys and values, (key heads, width) each."""
        name, width = f"decoder.layers.{layer}.self_attn.", self.head_width(layer)
        normed = self.norm(rows, f"decoder.layers.{layer}.input_layernorm.weight")
        out = []
        for i, row in enumerate(normed):
            key = (self.tensors[f"{name}k_proj.weight"] @ row).view(-1, width)
            value = key
            if f"{name}v_proj.weight" in self.tensors:
                value = (self.tensors[f"{name}v_proj.weight"] @ row).view(-1, width)
            key = self.norm(key, f"{name}k_norm.weight")
            out.append((self.rotate(layer, key, start + i), rms(value, self.eps)))
        return out

    def rotate(self, layer: int, heads: Tensor, position: int) -> Tensor:
        """Pairs (k, k + half) turned by position * theta^(-2k/width), the last ones not at all."""
        rope = self.text["rope_parameters"][self.text["layer_types"][layer]]
        half = heads.shape[1] // 2
        share = rope["partial_rotary_factor"] if rope["rope_type"] == "proportional" else 1.0
        out = heads.clone()
        for k in range(int(share * half)):
            angle = torch.tensor(position * rope["rope_theta"] ** (-k / half))
            out[:, k] = heads[:, k] * angle.cos() - heads[:, k + half] * angle.sin()
            out[:, k + half] = heads[:, k + half] * angle.cos() + heads[:, k] * angle.sin()
        return out

    def layer(
        self,
        layer: int,
        rows: Tensor,
        seen: list[list[tuple[Tensor, Tensor]]],
        start: int,
        scalar: str,
    ) -> Tensor:
        """One layer, `seen[i]` being what position i looks at."""
        name = f"decoder.layers.{layer}."
        attended = self.attention(layer, rows, seen, start)
        rows = rows + self.norm(attended, f"{name}post_attention_layernorm.weight")
        normed = self.norm(rows, f"{name}pre_feedforward_layernorm.weight")
        dense = self.norm(
            self.gated(normed, f"{name}mlp."), f"{name}post_feedforward_layernorm_1.weight"
        )
        sparse = self.norm(self.experts(rows, name), f"{name}post_feedforward_layernorm_2.weight")
        both = self.norm(dense + sparse, f"{name}post_feedforward_layernorm.weight")
        return (rows + both) * self.tensors[f"{scalar}layer_scalar"]

    def attention(
        self, layer: int, rows: Tensor, seen: list[list[tuple[Tensor, Tensor]]], start: int
    ) -> Tensor:
        """Grouped-query attention whose logits are not scaled."""
        name, width = f"decoder.layers.{layer}.self_attn.", self.head_width(layer)
        normed = self.norm(rows, f"decoder.layers.{layer}.input_layernorm.weight")
        out = []
        for i, row in enumerate(normed):
            query = (self.tensors[f"{name}q_proj.weight"] @ row).view(-1, width)
            query = self.rotate(layer, self.norm(query, f"{name}q_norm.weight"), start + i)
            heads = []
            for head, one in enumerate(query):
                group = head * len(seen[i][0][0]) // len(query)
                keys = torch.stack([key[group] for key, _ in seen[i]])
                values = torch.stack([value[group] for _, value in seen[i]])
                heads.append((keys @ one).softmax(dim=0) @ values)
            out.append(self.tensors[f"{name}o_proj.weight"] @ torch.cat(heads))
        return torch.stack(out)

    def experts(self, rows: Tensor, name: str) -> Tensor:
        """Each token through its most probable experts, their probabilities made to add up to 1."""
        normed = self.norm(rows, f"{name}pre_feedforward_layernorm_2.weight")
        routing = rms(rows, self.eps) * self.tensors[f"{name}router.scale"]
        routing = routing / math.sqrt(self.width)
        chances = (routing @ self.tensors[f"{name}router.proj.weight"].T).softmax(dim=-1)
        out = torch.zeros_like(rows)
        for i, row in enumerate(normed):
            best = chances[i].argsort(descending=True)[: self.text["top_k_experts"]]
            for expert in best:
                gate, up = (self.tensors[f"{name}experts.gate_up_proj"][expert] @ row).chunk(2)
                part = self.tensors[f"{name}experts.down_proj"][expert] @ (gelu(gate) * up)
                weight = chances[i, expert] / chances[i, best].sum()
                out[i] += weight * self.tensors[f"{name}router.per_expert_scale"][expert] * part
        return out


def rms(rows: Tensor, eps: float) -> Tensor:
    return rows / (rows.square().mean(dim=-1, keepdim=True) + eps).sqrt()


def gelu(x: Tensor) -> Tensor:
    """The hyperbolic-tangent approximation of arXiv 1606.08415."""
    out: Tensor = x / 2 * (1 + ((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)).tanh())
    return out
