"""Qwen's byte-pair tokenizer as the Dream checkpoints publish it: vocab.json and merges.txt."""

import json
from pathlib import Path
from typing import Any

from checkpoints.common import build_tokenizer


def write_byte_pairs(folder: Path, specials: tuple[str, ...], **roles: Any) -> dict[str, int]:
    """Writes the tokenizer's files, `specials` behind the byte pairs; returns token -> id."""
    model = json.loads(build_tokenizer(()).to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    added = {token: len(vocabulary) + place for place, token in enumerate(specials)}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(place): {"content": token, **plain, "special": True}
            for token, place in added.items()
        },
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": 131072,
        "split_special_tokens": False,
        **roles,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return vocabulary | added
