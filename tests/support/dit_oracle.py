"""The diffusion transformer of MDLM, SEDD and BD3-LM said slowly, one position after the other.

In float64 numpy on the published tensors; shares nothing with the code under test.
"""

from collections.abc import Callable, Sequence
from math import erf, exp, log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def see_all(_query: int, _key: int) -> bool:
    return True


class SlowDit:
    """One request at a time."""

    def __init__(self, tensors: dict[str, Tensor], *, prefix: str, heads: int) -> None:
        self.tensors = {
            name.removeprefix(prefix): tensor.numpy().astype(np.float64)
            for name, tensor in tensors.items()
        }
        self.heads = heads
        self.layers = len({name.split(".")[1] for name in self.tensors if name[:6] == "blocks"})

    def linear(self, name: str, vector: Array) -> Array:
        out: Array = self.tensors[f"{name}.weight"] @ vector
        return out + self.tensors.get(f"{name}.bias", 0.0)

    def norm(self, name: str, vector: Array) -> Array:
        centred = vector - vector.mean()
        out: Array = centred / sqrt((centred**2).mean() + 1e-5) * self.tensors[f"{name}.weight"]
        return out

    def level(self, sigma: float) -> Array:
        waves = [sigma * exp(-log(10000) * index / 128) for index in range(128)]
        embedded = np.concatenate([np.cos(waves), np.sin(waves)])
        inner = self.linear("sigma_map.mlp.0", embedded)
        return silu(self.linear("sigma_map.mlp.2", silu(inner)))

    def logits(
        self,
        token_ids: Sequence[int],
        *,
        sigma: float = 0.0,
        sees: Callable[[int, int], bool] = see_all,
    ) -> Array:
        """(length, vocab) of the released network's last linear layer."""
        level = self.level(sigma)
        hidden = [self.tensors["vocab_embed.embedding"][token] for token in token_ids]
        for layer in range(self.layers):
            hidden = self._layer(f"blocks.{layer}", hidden, level, sees)
        shift, scale = np.split(self.linear("output_layer.adaLN_modulation", level), 2)
        rows = [
            self.linear(
                "output_layer.linear",
                self.norm("output_layer.norm_final", vector) * (1 + scale) + shift,
            )
            for vector in hidden
        ]
        return np.stack(rows)

    def _layer(
        self, name: str, hidden: list[Array], level: Array, sees: Callable[[int, int], bool]
    ) -> list[Array]:
        parts = np.split(self.linear(f"{name}.adaLN_modulation", level), 6)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts
        inputs = [self.norm(f"{name}.norm1", vector) * (1 + scale) + shift for vector in hidden]
        mixed = self._attention(name, inputs, sees)
        out = []
        for vector, heads in zip(hidden, mixed, strict=True):
            vector = vector + gate * self.linear(f"{name}.attn_out", heads)
            inner = self.norm(f"{name}.norm2", vector) * (1 + mlp_scale) + mlp_shift
            inner = gelu_tanh(self.linear(f"{name}.mlp.0", inner))
            out.append(vector + mlp_gate * self.linear(f"{name}.mlp.2", inner))
        return out

    def _attention(
        self, name: str, inputs: list[Array], sees: Callable[[int, int], bool]
    ) -> list[Array]:
        projected = [self.linear(f"{name}.attn_qkv", vector) for vector in inputs]
        width = len(inputs[0]) // self.heads
        cut = [vector.reshape(3, self.heads, width) for vector in projected]
        out = []
        for place, query in enumerate(cut):
            row = []
            for head in range(self.heads):
                keys = [other for other in range(len(cut)) if sees(place, other)]
                turned = rotated(query[0, head], place)
                scores = np.array(
                    [turned @ rotated(cut[other][1, head], other) / sqrt(width) for other in keys]
                )
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                row.append(
                    sum(
                        weight * cut[other][2, head]
                        for weight, other in zip(weights, keys, strict=True)
                    )
                )
            out.append(np.concatenate(row))
        return out


def rotated(vector: Array, place: int) -> Array:
    half = len(vector) // 2
    out = np.empty_like(vector)
    for index in range(half):
        angle = place / 10000 ** (2 * index / len(vector))
        first, second = vector[index], vector[index + half]
        out[index] = first * np.cos(angle) - second * np.sin(angle)
        out[index + half] = second * np.cos(angle) + first * np.sin(angle)
    return out


def silu(vector: Array) -> Array:
    out: Array = vector / (1 + np.exp(-vector))
    return out


def gelu_tanh(vector: Array) -> Array:
    inner = sqrt(2 / np.pi) * (vector + 0.044715 * vector**3)
    out: Array = vector * 0.5 * (1 + np.tanh(inner))
    # The exact form is erf's; close by, which shows that the approximation is not a mistyped one.
    exact = vector * 0.5 * (1 + np.array([erf(value / sqrt(2)) for value in vector]))
    assert np.abs(out - exact).max() < 1e-3
    return out


def sigma_of(time: float) -> float:
    """SEDD's total noise at a time."""
    return -log1p(-(1 - 1e-3) * time)
