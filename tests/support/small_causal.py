"""Tiny causal models of transformers in random weights, and what they do without any cache."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

KINDS = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "sliding qwen2": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
}


def small_causal(kind: str = "llama", *, vocab_size: int = 300, seed: int = 0, **more: Any) -> Any:
    """Two layers, width 32, in weights that are far from uniform."""
    name, own = KINDS[kind]
    transformers = import_module("transformers")
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    config = getattr(transformers, f"{name}Config")(**settings | own | more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, f"{name}ForCausalLM")(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4 if parameter.dim() > 1 else 1.0)
    return model.eval().requires_grad_(requires_grad=False)


@torch.inference_mode()
def next_logits(model: Any, text: Sequence[int]) -> Tensor:
    """(vocab,) behind a text, read anew without a cache."""
    logits: Tensor = model(torch.tensor([list(text)]), use_cache=False).logits[0, -1]
    return logits


def slow_greedy(model: Any, prompt: Sequence[int], most: int, end: int = -1) -> list[int]:
    """The greedy answer, all of the text read for every token; its end id is its last token."""
    answer: list[int] = []
    while len(answer) < most and (not answer or answer[-1] != end):
        answer.append(int(next_logits(model, [*prompt, *answer]).argmax()))
    return answer
