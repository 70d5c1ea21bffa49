"""A tiny random BD3-LM checkpoint, as kuleshov-group publishes them, with a tokenizer beside it."""

import json
from pathlib import Path
from typing import Any

import torch

from checkpoints.common import END, save_sharded, write_tokenizer
from checkpoints.dit import dit_tensors


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes the folder; `config_changes` override config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, (END,))
    config: dict[str, Any] = {
        "_name_or_path": "kuleshov-group/bd3lm-owt-block_size4",
        "architectures": ["BD3LM"],
        "attn_backend": "sdpa",
        "auto_map": {
            "AutoConfig": "configuration_bd3lm.BD3LMConfig",
            "AutoModelForMaskedLM": "modeling_bd3lm.BD3LM",
        },
        "block_size": 4,
        "cond_dim": 16,
        "cross_attn": True,
        "dropout": 0.1,
        "hidden_dim": 32,
        "model_length": 128,
        "model_type": "bd3lm",
        "n_blocks": 2,
        "n_heads": 4,
        "return_dict": False,
        "sampling_eps_max": 0.999,
        "sampling_eps_min": 0.001,
        "time_conditioning": False,
        "torch_dtype": "float32",
        "transformers_version": "4.49.0",
        "var_min": True,
        "vocab_size": len(vocabulary) + 1,
    } | config_changes
    (folder / "config.json").write_text(json.dumps(config))
    tensors = dit_tensors(
        vocab=config["vocab_size"],
        width=config["hidden_dim"],
        level=config["cond_dim"],
        layers=config["n_blocks"],
        heads=config["n_heads"],
        prefix="backbone.",
        seed=seed,
    )
    if config["var_min"]:
        tensors["sampling_eps_min"] = torch.tensor(config["sampling_eps_min"])
        tensors["sampling_eps_max"] = torch.tensor(config["sampling_eps_max"])
    save_sharded(folder, tensors, shards)
    return folder
