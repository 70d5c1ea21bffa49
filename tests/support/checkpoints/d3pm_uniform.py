"""A tiny random D3PM whose noise is uniform, in this project's own layout."""

from pathlib import Path
from typing import Any

from checkpoints import d3pm


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes the folder; `config` overrides config.json's entries."""
    return d3pm.write(folder, seed=seed, shards=shards, kind="beta-diagonal", **config)
