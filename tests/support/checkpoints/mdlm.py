"""A tiny random MDLM checkpoint, as kuleshov-group publishes mdlm-owt, and a tokenizer."""

import json
from pathlib import Path
from typing import Any

from checkpoints.common import END, save_sharded, write_tokenizer
from checkpoints.dit import dit_tensors


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes the folder; `config_changes` override config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, (END,))
    config: dict[str, Any] = {
        "_name_or_path": "kuleshov-group/mdlm-owt",
        "architectures": ["MDLM"],
        "auto_map": {
            "AutoConfig": "configuration_mdlm.MDLMConfig",
            "AutoModelForMaskedLM": "modeling_mdlm.MDLM",
        },
        "cond_dim": 16,
        "dropout": 0.1,
        "hidden_dim": 32,
        "model_length": 128,
        "model_type": "mdlm",
        "n_blocks": 2,
        "n_heads": 4,
        "return_dict": False,
        "time_conditioning": False,
        "torch_dtype": "float32",
        "transformers_version": "4.38.2",
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
    save_sharded(folder, tensors, shards)
    return folder
