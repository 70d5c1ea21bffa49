"""A tiny random LLaDA2.1 checkpoint: in layout a LLaDA2.0 one, told apart by its card alone."""

from pathlib import Path
from typing import Any

from checkpoints import llada2


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes a LLaDA2.1-format checkpoint folder; `config_changes` override config.json."""
    return llada2.write(folder, seed=seed, shards=shards, **config_changes)
