"""Plaid's released weights, made into a folder that `plaid.py` loads.

The weights are a release of github.com/igul222/plaid (v1.0.0, plaid1b_weights.tar.gz in parts) of
four .pt files; the tokenizer lies in the repository. Once per download, the user types

    cat plaid1b_weights.tar.gz.* | tar xzf -
    cp plaid/misc/owt2_tokenizer.json plaid1b_weights/
    python -m dllm_eval.adapters.convert.plaid plaid1b_weights plaid-1b

and passes the folder plaid-1b from then on.
"""

import json
from pathlib import Path

from dllm_eval.errors import UsageError

from ..plaid import RELEASED
from .pickled import read_state, run_converter, write_folder

MODULES = ("noise_schedule", "gamma_bounds", "embedding_matrix", "model")
"""The released .pt files; their names become prefixes of the tensors' names."""
TOKENIZER_FILE = "owt2_tokenizer.json"
END = "<|endoftext_R9VQqF0Ag7|>"
HEAD_WIDTH = 64
"""Of every size in the repository: 2048/32, 384/6, 256/4, 128/2. No tensor tells it."""


def convert(source: Path, target: Path, n_heads: int | None = None, seq_len: int = 1024) -> None:
    """Writes a folder for the harness from the released .pt files and their tokenizer.

    Args:
        source: Holds noise_schedule.pt, gamma_bounds.pt, embedding_matrix.pt, model.pt and
            owt2_tokenizer.json (from misc/ of the repository).
        target: A new folder.
        n_heads: None takes heads 64 wide, as every published size has them.
        seq_len: Tokens the model was trained on at once; 1024 for Plaid 1B.

    Raises:
        UsageError: A file is missing, or is more than tensors.
    """
    tensors = {
        f"{module}.{name}": tensor
        for module in MODULES
        for name, tensor in read_state(source / f"{module}.pt").items()
    }
    for name in ("embedding_matrix.matrix", "model.input_linear.weight", "noise_schedule.b1"):
        if name not in tensors:
            raise UsageError(f"{source} lacks the tensor {name}")
    tokenizer = source / TOKENIZER_FILE
    if not tokenizer.is_file():
        raise UsageError(f"there is no {tokenizer}; copy it from misc/ of igul222/plaid")
    vocab_size, embed_dim = tensors["embedding_matrix.matrix"].shape
    dim = len(tensors["model.input_linear.weight"])
    text = tokenizer.read_text(encoding="utf-8")
    config = {
        **RELEASED,
        "model_type": "plaid",
        "vocab_size": vocab_size,
        "embed_dim": embed_dim,
        "dim": dim,
        "n_blocks": len(
            {name.split(".")[2] for name in tensors if name.startswith("model.blocks.")}
        ),
        "n_heads": n_heads or dim // HEAD_WIDTH,
        "seq_len": seq_len,
        "noise_width": len(tensors["noise_schedule.b1"]),
        "eos_token_id": _end_id(text, tokenizer),
        "eos_token": END,
        "pad_token": END,
    }
    write_folder(target, config=config, tensors=tensors, tokenizer=text)


def _end_id(text: str, path: Path) -> int:
    added = json.loads(text).get("added_tokens", [])
    ids = [token["id"] for token in added if token.get("content") == END]
    if not ids:
        raise UsageError(f"{path} has no token {END!r}")
    return int(ids[0])


if __name__ == "__main__":
    run_converter(convert)
