"""The models that the benchmarks run: the shipped pair, and random weights in a shape of choice.

A random diffusion model and the autoregressive model beside it share their very weights, so that
only the way of decoding differs. Knows shapes and weights; nothing of clocks, steps or tables.
Every script of this folder calls it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from dllm_eval.api import Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import unknown
from dllm_eval.families import Family
from dllm_eval.loading import load_autoregressive, load_model

REFERENCE = "reference"
ROTARY_BASE = 5e5
WEIGHT_SCALE = 0.02


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Llama-shaped body and an output head of its own."""

    vocab_size: int
    width: int
    inner_width: int
    num_layers: int
    num_heads: int
    dtype: torch.dtype = torch.float32
    context_length: int = 8192


SHAPES = {
    "tiny": Shape(vocab_size=300, width=32, inner_width=64, num_layers=2, num_heads=2),
    "small": Shape(vocab_size=8192, width=256, inner_width=768, num_layers=4, num_heads=4),
    "small-32k": Shape(vocab_size=32000, width=256, inner_width=768, num_layers=4, num_heads=4),
    "small-126k": Shape(vocab_size=126464, width=256, inner_width=768, num_layers=4, num_heads=4),
    "medium": Shape(vocab_size=8192, width=512, inner_width=1536, num_layers=8, num_heads=8),
    # LLaDA-8B: arXiv 2502.09992, Table 5.
    "llada-8b": Shape(
        vocab_size=126464,
        width=4096,
        inner_width=12288,
        num_layers=32,
        num_heads=32,
        dtype=torch.bfloat16,
    ),
}
NAMES = (REFERENCE, *SHAPES)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A diffusion model and an autoregressive one of the same shape, on one device."""

    name: str
    diffusion: ModelDenoiser
    autoregressive: Any
    """A transformers causal model."""

    @property
    def device(self) -> torch.device:
        """Of both."""
        return self.diffusion.device

    def described(self) -> str:
        """The shape in words, from the weights."""
        config, dtype = self.autoregressive.config, str(self.diffusion.dtype).split(".")[1]
        layers, width = config.num_hidden_layers, config.hidden_size
        return f"{layers} layers, width {width}, vocabulary {config.vocab_size}, {dtype}"


def load_pair(name: str, device: str) -> Pair:
    """The shipped pair, or random weights of a shape.

    Raises:
        UsageError: An unknown name or device.
    """
    if name == REFERENCE:
        diffusion: Any = load_model("reference-diffusion", device=device)
        causal, _ = load_autoregressive("reference-ar", device=device)
        return Pair(name=name, diffusion=diffusion, autoregressive=causal)
    if name not in SHAPES:
        raise unknown("shape", name, NAMES)
    diffusion = random_diffusion(SHAPES[name], torch.device(device))
    causal = causal_with_weights_of(diffusion, SHAPES[name])
    return Pair(name=name, diffusion=diffusion, autoregressive=causal)


def prompt_of(length: int) -> Prompt:
    """Some ids that every model here knows, the same ones each time."""
    return Prompt(prefix=tuple(5 + index % 20 for index in range(length)))


def random_diffusion(shape: Shape, device: torch.device) -> ModelDenoiser:
    """A LLaDA of this shape with random weights, drawn on the device."""
    bodies = import_module("dllm_eval.adapters.bodies.transformers_body")
    head_width = shape.width // shape.num_heads
    rotary = bodies.Rotary(width=head_width, theta=ROTARY_BASE, full_precision=True, device=device)
    body = bodies.transformers_body(LlamaModel, _config(shape), rotary)
    head = torch.nn.Linear(shape.width, shape.vocab_size, bias=False, device="meta")
    generator = torch.Generator(device).manual_seed(0)
    for part in (body, head):
        for module, name, weight in _weights(part):
            values = torch.ones(weight.shape, device=device, dtype=shape.dtype)
            if weight.ndim > 1:  # a norm's weights stay at one
                values.normal_(std=WEIGHT_SCALE, generator=generator)
            setattr(module, name, torch.nn.Parameter(values, requires_grad=False))
    family = Family(
        name="llada",
        mask_id=shape.vocab_size - 1,
        eos_id=shape.vocab_size - 2,
        pad_id=shape.vocab_size - 2,
        context_length=shape.context_length,
    )
    return ModelDenoiser(body=body, head=head, family=family)


def causal_with_weights_of(model: ModelDenoiser, shape: Shape) -> Any:  # noqa: ANN401 - transformers has no one type for causal models
    """The causal Llama of transformers around the same tensors; not a second copy of them."""
    with torch.device("meta"):
        causal: Any = LlamaForCausalLM(_config(shape))
    weights = {f"model.{name}": value for name, value in _inner(model).state_dict().items()}
    weights["lm_head.weight"] = model.head.state_dict()["weight"]
    causal.load_state_dict(weights, assign=True)
    # Made apart from the weights: what is computed on the meta device is not there.
    causal.model.rotary_emb = LlamaRotaryEmbedding(_config(shape)).to(model.device)
    return causal.eval().requires_grad_(requires_grad=False)


def weight_bytes(model: ModelDenoiser) -> int:
    """Of body and head together."""
    weights = [*model.body.parameters(), *model.head.parameters()]
    return sum(weight.numel() * weight.element_size() for weight in weights)


def _config(shape: Shape) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.width,
        intermediate_size=shape.inner_width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_heads,
        max_position_embeddings=shape.context_length,
        rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
        tie_word_embeddings=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )


def _inner(model: ModelDenoiser) -> torch.nn.Module:
    inner = model.body.model
    if not isinstance(inner, torch.nn.Module):
        raise TypeError(f"the body wraps no module: {type(model.body).__name__}")
    return inner


def _weights(part: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, torch.Tensor]]:
    for module in part.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            yield module, name, weight
