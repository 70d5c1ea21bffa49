"""The DiffusionGemma family: google/diffusiongemma-26B-A4B-it, through transformers' own classes.

Reads the published folder into transformers' encoder and decoder, which share their weights; no
code of the checkpoint runs, and the vision tower is left unread. `encoder_decoder.py` makes one
denoiser of the two, `dllm_eval/samplers/renoise.py` is their decoding rule. Reached through the
registry alone.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from dllm_eval.checkpoint import load_weights, read_json
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family

from .bodies.encoder_decoder import EncoderDecoder
from .bodies.transformers_body import ATTENTION
from .entries import check_counts, check_values, read_entries
from .tokens import load_tokenizer

FIRST_RELEASE = "5.11"
"""The first transformers release with `models/diffusion_gemma`."""

VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")
"""Prefixes of published tensors that text has no use for."""

TEXT_DEFAULTS: dict[str, Any] = {
    "max_position_embeddings": 131072,
    "sliding_window": 512,
    "final_logit_softcapping": 30.0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
GENERATION_DEFAULTS: dict[str, Any] = {
    "max_new_tokens": 256,
    "max_denoising_steps": 48,
    "t_min": 0.4,
    "t_max": 0.8,
    "stability_threshold": 1,
    "confidence_threshold": 0.005,
}
ENTROPY_BOUND = 0.1
"""What transformers' classes take where config.json and generation_config.json are silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "tie_word_embeddings": (True, None),
    "use_bidirectional_attention": ("vision", None),
}
"""The values that the native modules can express; "all" is another attention pattern."""

COUNTS = (
    "sliding_window",
    "max_position_embeddings",
    "num_experts",
    "top_k_experts",
    "moe_intermediate_size",
)
"""Entries of the text_config that transformers takes unset too, though nothing works then."""


class _Weights(nn.Module):
    """Everything that is read: the decoder, and the encoder's own scale of every layer's output."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        scalars = [_as_parameter(layer) for layer in decoder.get_submodule("layers").children()]
        self.encoder_scalars = nn.ParameterList(torch.empty_like(scalar) for scalar in scalars)

    def names(self) -> dict[str, str]:
        """Parameter -> published tensor."""
        return {
            name: f"model.{name}"
            if name.startswith("decoder.")
            else f"model.encoder.language_model.layers.{name.rpartition('.')[2]}.layer_scalar"
            for name, _ in self.named_parameters()
        }


def _as_parameter(layer: nn.Module) -> nn.Parameter:
    """Makes a layer's `layer_scalar`, a stored buffer, a parameter like all other weights."""
    scalar = nn.Parameter(layer.get_buffer("layer_scalar"), requires_grad=False)
    del layer.layer_scalar
    layer.layer_scalar = scalar
    return scalar


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> EncoderDecoder:
    """Loads a DiffusionGemma checkpoint folder.

    Raises:
        UsageError: transformers is too old, or something in the folder is missing, damaged or not
            expressible.
    """
    published = read_entries(folder)
    path = folder / "config.json"
    text = published.get("text_config")
    if not isinstance(text, dict):
        raise UsageError(f"{path} has no text_config")
    text = TEXT_DEFAULTS | text
    _check(published, text, path)
    module = _transformers_module()
    tokenizer = load_tokenizer(folder)
    family = _family(published, text, tokenizer, folder)
    config = _native_config(module, published, path)
    with torch.device("meta"):
        decoder = module.DiffusionGemmaDecoderModel(config)
        encoder = module.modeling_diffusion_gemma.DiffusionGemmaEncoderTextModel(config.text_config)
    for half in (decoder, encoder):
        half.rotary_emb = type(half.rotary_emb)(config.text_config).to(device)
        embedding = half.embed_tokens
        embedding.embed_scale = torch.tensor(embedding.scalar_embed_scale, device=device)
    weights = _Weights(decoder)
    load_weights(weights, folder, weights.names(), dtype=dtype, device=device, unused=VISION)
    _share(encoder, weights)
    return EncoderDecoder(
        encoder=encoder,
        decoder=decoder,
        config=config.text_config,
        family=family,
        tokenizer=tokenizer,
    )


def _transformers_module() -> Any:  # noqa: ANN401 - the module exists in some releases only
    try:
        return import_module("transformers.models.diffusion_gemma")
    except ImportError as error:
        raise UsageError(
            f"family diffusion_gemma needs transformers >= {FIRST_RELEASE}; installed: "
            f"{transformers.__version__}"
        ) from error


def _native_config(module: Any, published: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401
    entries = {name: value for name, value in published.items() if name != "vision_config"}
    try:
        config = module.DiffusionGemmaConfig.from_dict(entries)
    except Exception as error:  # the releases share no class of error for a bad entry
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from error
    config.text_config._attn_implementation = ATTENTION
    return config


def _share(encoder: nn.Module, weights: _Weights) -> None:
    """Gives the encoder the decoder's tensors, except its own scales."""
    layers = zip(encoder.get_submodule("layers").children(), weights.encoder_scalars, strict=True)
    for layer, scalar in layers:
        del layer.layer_scalar
        layer.layer_scalar = scalar
    for name, parameter in list(encoder.named_parameters()):
        if parameter.is_meta:
            owner, _, leaf = name.rpartition(".")
            setattr(encoder.get_submodule(owner), leaf, weights.decoder.get_parameter(name))


def _check(published: Mapping[str, Any], text: Mapping[str, Any], path: Path) -> None:
    for entries in (published, text):
        check_values(entries, EXPRESSIBLE, path, "DiffusionGemma")
    check_counts(text, COUNTS, path)
    check_values(text, {"hidden_activation": ("gelu_pytorch_tanh", None)}, path, "DiffusionGemma")
    for rotary in (text.get("rope_parameters") or {}).values():
        if isinstance(rotary, Mapping) and "rope_type" in rotary:
            check_values(rotary, {"rope_type": ("default", "proportional")}, path, "DiffusionGemma")
    cap = text["final_logit_softcapping"]
    if not isinstance(cap, int | float):
        raise UsageError(f"{path}: final_logit_softcapping is {cap!r}, not a number")


def _family(
    published: Mapping[str, Any],
    text: Mapping[str, Any],
    tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    folder: Path,
) -> Family:
    path = folder / "generation_config.json"
    generation = GENERATION_DEFAULTS | (read_json(path) if path.is_file() else {})
    ends = generation.get("eos_token_id") or published.get("eos_token_id") or text["eos_token_id"]
    ends = [ends] if isinstance(ends, int) else list(ends)
    if tokenizer.eos_token_id not in ends:
        raise UsageError(
            f"{folder}: the tokenizer's end-of-text token {tokenizer.eos_token!r} has the id "
            f"{tokenizer.eos_token_id}, which is not among the published eos_token_id {ends}"
        )
    canvas_length = published.get("canvas_length") or 256
    return Family(
        name="diffusion_gemma",
        noise="uniform",
        mask_id=NO_MASK,
        eos_id=ends[0],
        eot_id=ends[1] if len(ends) > 1 else None,
        more_end_ids=tuple(ends[2:]),
        pad_id=text["pad_token_id"],
        attention="causal_context",
        block_length=canvas_length,
        context_length=text["max_position_embeddings"],
        self_conditioned=True,
        likelihood=None,
        decoding={
            "entropy_bound": _entropy_bound(generation, path),
            "temperature": generation["t_max"],
            "final_temperature": generation["t_min"],
            "stop_entropy": generation["confidence_threshold"],
            "stable_steps": generation["stability_threshold"],
            "steps_per_block": generation["max_denoising_steps"],
            "gen_length": generation["max_new_tokens"],
            "block_length": canvas_length,
            "stop": "eos",
        },
    )


def _entropy_bound(generation: Mapping[str, Any], path: Path) -> float:
    sampler = generation.get("sampler_config") or {"entropy_bound": ENTROPY_BOUND}
    bound = sampler.get("entropy_bound")
    if not isinstance(bound, float):
        raise UsageError(f"{path}: sampler_config has the entropy_bound {bound!r}, not a number")
    return bound
