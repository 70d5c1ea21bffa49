"""D3PM on text (arXiv 2107.03006), absorbing and uniform, as google-research d3pm/text trains them.

No checkpoint was ever published, so the folder's layout is this project's own: config.json with
`model_type` "d3pm" and the released configuration's names, safetensors whose names follow the
released parameter tree below `module/decoder` (matrices as torch keeps them, out x in: transpose
jax's), and a tokenizer.json. Reached through the registry alone.
"""

from pathlib import Path
from typing import Any, Literal

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.processes.token_chain import Kind, TokenChain

from .bodies.body_and_head import empty_head, layer_names, load_body_and_head
from .bodies.d3pm import D3pmBody, D3pmShape
from .entries import check_counts, check_multiples, check_values, read_entries, stated_id
from .tokens import load_tokenizer

KINDS: dict[str, Kind] = {"mask": "absorbing", "beta-diagonal": "uniform"}
"""`kind` of create_discrete_diffusion -> ours. The released configuration `uniform_diffusion` is
neither: it asks for "band-diagonal", which moves a token to ids next to its own."""

RELEASED: dict[str, Any] = {
    "kind": "mask",
    "schedule_type": "standard",
    "emb_dim": 768,
    "num_heads": 12,
    "num_decoder_layers": 12,
    "qkv_dim": 768,
    "mlp_dim": 3072,
    "mlp_activations": ["gelu"],
    "mlp_use_bias": False,
    "num_steps": 1000,
    "max_length": 128,
    "position_embeddings": "relative",
    "relative_attention_per_layer": False,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "rescale_logits": False,
    "logits_via_embedding": False,
    "parallel_layer": False,
    "use_timestep_embeddings": True,
    "use_film_layers": False,
    "predict_x0": True,
    "num_encoder_layers": 0,
}
"""Where config.json is silent: d3pm/text/configs.py `lm1b_base` and models.py TransformerConfig;
the encoder, which no text configuration feeds, is left out."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "kind": tuple(KINDS),
    "schedule_type": ("standard", "cosine"),
    "mlp_activations": (["gelu"],),
    "mlp_use_bias": (False,),
    "position_embeddings": ("relative",),
    "relative_attention_per_layer": (False,),
    "rescale_logits": (False,),
    "logits_via_embedding": (False,),
    "parallel_layer": (False,),
    "use_timestep_embeddings": (True,),
    "use_film_layers": (False,),
    "predict_x0": (True,),
    "num_encoder_layers": (0,),
}
"""What the native module and the chain can express; anything else is refused by name."""

COUNTS = (
    "vocab_size",
    "emb_dim",
    "num_heads",
    "num_decoder_layers",
    "qkv_dim",
    "mlp_dim",
    "num_steps",
    "max_length",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
)

NAMES = {
    "body.token_embedder.weight": "token_embedder.embedding",
    "body.timestep_embedder.weight": "timestep_embed.timestep_embedder.embedding",
    "body.relpos_bias": "relpos_bias.rel_embedding",
    "body.decoder_norm.weight": "decoder_norm.scale",
    "head.weight": "logits_dense.kernel",
}
LAYER_NAMES = {
    "pre_self_attention_layer_norm.weight": "pre_self_attention_layer_norm.scale",
    "self_attention.query.weight": "self_attention.query.kernel",
    "self_attention.key.weight": "self_attention.key.kernel",
    "self_attention.value.weight": "self_attention.value.kernel",
    "self_attention.out.weight": "self_attention.out.kernel",
    "pre_mlp_layer_norm.weight": "pre_mlp_layer_norm.scale",
    "mlp.wi.weight": "mlp.wi.kernel",
    "mlp.wo.weight": "mlp.wo.kernel",
}
"""Native parameter -> stored tensor; of the model, and within one of its layers."""


class D3pmDenoiser(ModelDenoiser):
    """A D3PM model and the chain it reverses."""

    chain: TokenChain


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> D3pmDenoiser:
    """Loads a D3PM folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    config = RELEASED | read_entries(folder)
    check_counts(config, COUNTS, path)
    check_values(config, EXPRESSIBLE, path, "D3PM")
    check_multiples(config, [("qkv_dim", "num_heads")], path)
    for name in ("eos_token_id", "pad_token_id"):
        stated_id(config, name, path, vocab_size=config["vocab_size"])
    chain = TokenChain.build(
        kind=KINDS[config["kind"]],
        schedule=config["schedule_type"],
        num_steps=config["num_steps"],
        vocab_size=config["vocab_size"],
        mask_id=_mask_id(config, path),
        device=device,
    )
    names = NAMES | layer_names(
        LAYER_NAMES,
        config["num_decoder_layers"],
        native="body.layers.{layer}.{part}",
        published="layers_{layer}.{part}",
    )
    with torch.device("meta"):
        body = D3pmBody(_shape(config))
    head = empty_head(config["emb_dim"], config["vocab_size"])
    module = load_body_and_head(body, head, folder, names, dtype=dtype, device=device)
    denoiser = D3pmDenoiser(
        body=module.body,
        head=module.head,
        family=_family(config, chain),
        tokenizer=load_tokenizer(folder),
    )
    denoiser.chain = chain
    return denoiser


def _shape(config: dict[str, Any]) -> D3pmShape:
    return D3pmShape(**{name: config[name] for name in D3pmShape.__dataclass_fields__})


def _mask_id(config: dict[str, Any], path: Path) -> int:
    """The absorbing state is the vocabulary's last id, as MaskDiffusion has it."""
    if config["kind"] != "mask":
        return NO_MASK
    mask_id = stated_id(config, "mask_token_id", path, vocab_size=config["vocab_size"])
    if mask_id != config["vocab_size"] - 1:
        raise UsageError(
            f"{path}: mask_token_id is {mask_id}; the released code masks with the last id, "
            f"{config['vocab_size'] - 1}"
        )
    if mask_id in (config["eos_token_id"], config["pad_token_id"]):
        raise UsageError(f"{path}: mask_token_id {mask_id} is the id of another token too")
    return mask_id


def _family(config: dict[str, Any], chain: TokenChain) -> Family:
    noise: Literal["mask", "uniform"] = "mask" if chain.kind == "absorbing" else "uniform"
    return Family(
        name="d3pm",
        noise=noise,
        mask_id=chain.mask_id,
        eos_id=config["eos_token_id"],
        pad_id=config["pad_token_id"],
        context_length=config["max_length"],
        time_conditioned=True,
        likelihood="discrete_time",
        decoding={"transition": "ancestral", "steps": chain.num_steps, "temperature": 1.0},
    )
