"""Weights that were published as torch .pt files, turned once into a folder the harness loads.

Knows files and tensors; knows no family. The converters call it when the user runs them on a
download or a training. Evaluation itself never opens a pickle.
"""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import typer
from safetensors.torch import save_file
from torch import Tensor

from dllm_eval.checkpoint import SINGLE_FILE
from dllm_eval.errors import UsageError

ROLES = ("bos_token", "eos_token", "pad_token")


def run_converter(convert: Callable[..., None]) -> None:
    """Runs a converter on the command line's arguments; an error is one line and exit 2."""
    try:
        typer.run(convert)
    except UsageError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .pt file; anything in it but tensors is refused, never run.

    Raises:
        UsageError: The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise UsageError(f"there is no {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path} cannot be read as tensors alone: {line}") from error
    if not isinstance(state, dict) or not all(isinstance(part, Tensor) for part in state.values()):
        raise UsageError(f"{path} holds {type(state).__name__}, not named tensors alone")
    return {str(name): tensor for name, tensor in state.items()}


def write_folder(
    folder: Path, *, config: Mapping[str, Any], tensors: Mapping[str, Tensor], tokenizer: str
) -> None:
    """Writes config.json, model.safetensors, tokenizer.json and tokenizer_config.json.

    Args:
        folder: Made if missing; must not hold weights yet.
        config: What the family's loader reads.
        tensors: By the names that the loader looks for.
        tokenizer: The text of a tokenizer.json; config's `eos_token`, `pad_token` and, where there
            is one, `bos_token` name its special tokens, and go into tokenizer_config.json.

    Raises:
        UsageError: The folder holds weights.
    """
    if (folder / SINGLE_FILE).exists():
        raise UsageError(f"{folder} holds a {SINGLE_FILE}; pass a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    roles = {role: config[role] for role in ROLES if role in config}
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **roles,
    }
    own = {name: value for name, value in config.items() if name not in roles}
    (folder / "config.json").write_text(json.dumps(own, indent=2), encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    # Tied tensors share memory in a .pt file; safetensors wants each to have its own.
    apart = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(apart, folder / SINGLE_FILE, metadata={"format": "pt"})
