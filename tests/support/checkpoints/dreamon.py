"""A tiny random DreamOn checkpoint: Dream's layout, and a token that stands for two masks."""

from pathlib import Path
from typing import Any

from checkpoints import dream

EXPAND = "<|expand|>"


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes a DreamOn-format checkpoint folder; keywords override config.json's entries."""
    return dream.write(
        folder, seed=seed, shards=shards, specials=(*dream.SPECIALS, EXPAND), **config_changes
    )
