"""A tiny random NBDiff checkpoint: openPangu-Embedded-7B's entries, tensors and tokenizer files."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import save_sharded
from checkpoints.sentence_pieces import write_sentence_pieces

MASK, TURN, END = "[unused0]", "[unused9]", "[unused10]"
CHAT_TEMPLATE = (
    "{% for message in messages %}[unused9]{{ message['role'] }}:{{ message['content'] }}"
    "[unused10]{% endfor %}{% if add_generation_prompt %}[unused9]assistant:{% endif %}"
)


def nbdiff_tensors(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under the published names, large enough for the logits to differ."""
    generator = torch.Generator().manual_seed(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    head = width // config["num_attention_heads"]
    narrow = head * config["num_key_value_heads"]
    tensors: dict[str, Tensor] = {}

    def matrix(name: str, out: int, into: int, *, bias: bool = False) -> None:
        tensors[f"{name}.weight"] = torch.randn(out, into, generator=generator).div(into**0.5)
        if bias:
            tensors[f"{name}.bias"] = 0.3 * torch.randn(out, generator=generator)

    def scale(name: str) -> None:
        tensors[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=generator)

    rows = config["vocab_size"]
    tensors["model.embed_tokens.weight"] = torch.randn(rows, width, generator=generator)
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}"
        for name, out in (("q_proj", width), ("k_proj", narrow), ("v_proj", narrow)):
            matrix(f"{start}.self_attn.{name}", out, width, bias=config["bias"])
        matrix(f"{start}.self_attn.o_proj", width, width, bias=config["bias"])
        matrix(f"{start}.mlp.gate_proj", inner, width)
        matrix(f"{start}.mlp.up_proj", inner, width)
        matrix(f"{start}.mlp.down_proj", width, inner)
        scale(f"{start}.input_layernorm")
        scale(f"{start}.post_attention_layernorm")
        table = config["rope_theta"] ** -(torch.arange(0, head, 2) / head)
        tensors[f"{start}.self_attn.rotary_emb.inv_freq"] = table
    scale("model.norm")
    matrix("lm_head", rows, width)
    tensors["lm_head.weight"] *= 3
    return tensors


def nbdiff_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    """config.json with the published entries, small; ids are those of the tokenizer."""
    return {
        "architectures": ["PanguEmbeddedForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_openpangu_dense.PanguEmbeddedConfig",
            "AutoModel": "modeling_openpangu_dense.PanguEmbeddedModel",
            "AutoModelForCausalLM": "modeling_openpangu_dense.PanguEmbeddedForCausalLM",
        },
        "bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": vocabulary["<s>"],
        "pad_token_id": vocabulary["<unk>"],
        "eos_token_id": vocabulary[END],
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 512,
        "model_type": "PanguEmbedded",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "rope_theta": 16000000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.53.2",
        "use_cache": True,
        "vocab_size": max(vocabulary.values()) + 5,
    } | changes


def _tokenizer_config(vocabulary: dict[str, int]) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    specials = ("<unk>", "<s>", "</s>", MASK, TURN, END)
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "add_prefix_space": True,
        "added_tokens_decoder": {
            str(vocabulary[token]): {"content": token, "special": True, **flags}
            for token in specials
        },
        "auto_map": {"AutoTokenizer": ["tokenization_openpangu.PanguTokenizer", None]},
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "legacy": True,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<unk>",
        "sp_model_kwargs": {},
        "spaces_between_special_tokens": False,
        "tokenizer_class": "PanguTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
        "chat_template": CHAT_TEMPLATE,
    }


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes an NBDiff-format checkpoint folder; `config_changes` override config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_sentence_pieces(folder, (MASK, TURN, END))
    config = nbdiff_config(vocabulary, **config_changes)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config(vocabulary)))
    generation = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.8}
    ends = {key: config[key] for key in ("bos_token_id", "pad_token_id", "eos_token_id")}
    (folder / "generation_config.json").write_text(json.dumps({**generation, **ends}))
    save_sharded(folder, nbdiff_tensors(config, seed), shards)
    return folder
