"""A tiny random SEDD checkpoint: louaaron's config.json, weights converted to safetensors."""

import json
from pathlib import Path
from typing import Any

from checkpoints.common import END, save_sharded, write_tokenizer
from checkpoints.dit import dit_tensors


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes the folder; `config_changes` override entries of config.json or of its sections."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, (END,))
    config: dict[str, Any] = {
        "ngpus": 8,
        "tokens": len(vocabulary),
        "data": {"train": "openwebtext", "valid": "wikitext103", "cache_dir": "data"},
        "graph": {"type": "absorb", "file": "data", "report_all": False},
        "noise": {"type": "loglinear", "sigma_min": 1e-4, "sigma_max": 20},
        "sampling": {"predictor": "euler", "steps": 128, "noise_removal": True},
        "model": {
            "name": "small",
            "type": "ddit",
            "hidden_size": 32,
            "cond_dim": 16,
            "length": 128,
            "n_blocks": 2,
            "n_heads": 4,
            "scale_by_sigma": True,
            "dropout": 0.1,
        },
    }
    for name, change in config_changes.items():
        config[name] = {**config[name], **change} if isinstance(change, dict) else change
    (folder / "config.json").write_text(json.dumps(config))
    model = config["model"]
    tensors = dit_tensors(
        vocab=config["tokens"] + 1,
        width=model["hidden_size"],
        level=model["cond_dim"],
        layers=model["n_blocks"],
        heads=model["n_heads"],
        prefix="",
        seed=seed,
    )
    save_sharded(folder, tensors, shards)
    return folder
