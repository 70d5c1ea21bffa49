"""Random tensors of the diffusion transformer under the names of MDLM, SEDD and BD3-LM."""

import torch
from torch import Tensor

NUM_FREQUENCIES = 128


def dit_tensors(
    *, vocab: int, width: int, level: int, layers: int, heads: int, prefix: str, seed: int
) -> dict[str, Tensor]:
    """Weights large enough for logits, gates and noise levels to matter."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def matrix(out: int, into: int) -> Tensor:
        return normal(out, into).div(into**0.5)

    def linear(name: str, out: int, into: int) -> dict[str, Tensor]:
        return {f"{name}.weight": matrix(out, into), f"{name}.bias": 0.3 * normal(out)}

    tensors = {
        "vocab_embed.embedding": normal(vocab, width),
        "rotary_emb.inv_freq": 1 / 10000 ** (torch.arange(0, width // heads, 2) * heads / width),
        "output_layer.norm_final.weight": 1 + 0.1 * normal(width),
        **linear("sigma_map.mlp.0", level, 2 * NUM_FREQUENCIES),
        **linear("sigma_map.mlp.2", level, level),
        **linear("output_layer.linear", vocab, width),
        **linear("output_layer.adaLN_modulation", 2 * width, level),
    }
    for index in range(layers):
        block = {
            "norm1.weight": 1 + 0.1 * normal(width),
            "norm2.weight": 1 + 0.1 * normal(width),
            "attn_qkv.weight": 2 * matrix(3 * width, width),
            "attn_out.weight": matrix(width, width),
            **linear("mlp.0", 4 * width, width),
            **linear("mlp.2", width, 4 * width),
            **linear("adaLN_modulation", 6 * width, level),
        }
        tensors |= {f"blocks.{index}.{name}": tensor for name, tensor in block.items()}
    return {prefix + name: tensor for name, tensor in tensors.items()}
